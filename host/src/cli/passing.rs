//! Errors at the start, by kind: those that may be gone at the next attempt, and those that somebody has to mend.
//!
//! A supervisor starts the server again after the first (exit code 1) and leaves it after the second (2). In doubt an
//! error passes: a service that is started in vain costs little, and one that nobody starts is gone.

use std::error::Error;
use std::io::{self, ErrorKind};

use crate::redis as shared;
use crate::store::OpenError;

/// True if an error, or the cause of it, may pass: a full disk, a limit that was reached. A port or a store in use is most
/// often a mistake: two services of one configuration would take turns for ever.
pub(super) fn may_pass(error: &anyhow::Error) -> bool {
    error.chain().any(is_passing)
}

fn is_passing(error: &(dyn Error + 'static)) -> bool {
    if let Some(shared::OpenError::Unusable { fault, .. }) = error.downcast_ref() {
        return matches!(fault, shared::Fault::Unreachable(_));
    }
    let of_system = error.downcast_ref::<io::Error>().is_some_and(|error| !is_lasting(error.kind()));
    // Two servers of one store, like two on one port, are a mistake.
    of_system && !matches!(error.downcast_ref::<OpenError>(), Some(OpenError::InUse { .. }))
}

/// True for a mistake of the configuration or of the system's set-up.
fn is_lasting(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::AlreadyExists
            | ErrorKind::AddrInUse
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidData
            | ErrorKind::InvalidFilename
            | ErrorKind::Unsupported
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustix::io::Errno;

    use super::*;
    use crate::state::StateError;

    fn of_state(errno: Errno) -> anyhow::Error {
        StateError::Directory { path: PathBuf::from("state"), source: errno.into() }.into()
    }

    #[test]
    fn a_lack_passes_and_a_mistake_does_not() {
        for errno in [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::FBIG,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::AGAIN,
            Errno::IO,
            Errno::ADDRNOTAVAIL,
            Errno::STALE,
        ] {
            assert!(may_pass(&of_state(errno)), "{errno}");
        }
        for errno in
            [Errno::ADDRINUSE, Errno::NOENT, Errno::ACCESS, Errno::PERM, Errno::NOTDIR, Errno::ROFS, Errno::NAMETOOLONG]
        {
            assert!(!may_pass(&of_state(errno)), "{errno}");
        }
        let of_store = OpenError::Unusable { path: PathBuf::new(), source: ErrorKind::StorageFull.into() };
        assert!(may_pass(&of_store.into()));
        let of_shared = |fault| shared::OpenError::Unusable { url: String::new(), fault };
        assert!(may_pass(&of_shared(shared::Fault::Unreachable(String::new())).into()));
        assert!(!may_pass(&of_shared(shared::Fault::Refused(String::new())).into()));
        assert!(!may_pass(&OpenError::InUse { path: PathBuf::new(), pid: None }.into()));
        assert!(!may_pass(&OpenError::WrongKey { path: PathBuf::new() }.into()));
        assert!(!may_pass(&StateError::Key { path: PathBuf::new(), found: 5 }.into()));
        assert!(!may_pass(&anyhow::anyhow!("provider `x` was not read")));
    }
}
