//! The descriptors of this process: their limit, and the cure where they are used up.

use std::fs::File;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The fewest with which a server starts: some thirty of its own, those of five processes that compile, and a few
/// connections.
pub(crate) const FEWEST: u64 = 64;

/// Raises the limit to what the system allows, and returns it: every connection and the code of every plugin take a
/// descriptor, and systems give new processes far fewer than they may have.
pub(crate) fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The cure for an error by which descriptors are used up, as the end of a sentence; empty for others.
pub(crate) fn cure(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE) => ": this process has no more descriptors; raise the limit of open files (`ulimit -n`)",
        Some(Errno::NFILE) => ": the system has no more descriptors; raise the sysctl `fs.file-max`",
        _ => "",
    }
}

/// True while this process cannot open anything: some calls report other limits by the same error.
pub(crate) fn are_used_up() -> bool {
    File::open("/dev/null").is_err_and(|error| !cure(&error).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_want_of_descriptors_has_their_cure() {
        assert!(cure(&Errno::MFILE.into()).contains("`ulimit -n`"));
        assert!(cure(&Errno::NFILE.into()).contains("fs.file-max"));
        assert_eq!(cure(&Errno::NOENT.into()), "");
        assert_eq!(cure(&io::Error::other("x")), "");
        assert!(!are_used_up());
    }
}
