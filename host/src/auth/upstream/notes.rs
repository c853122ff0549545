//! The provider's last failures, in a file beside its discovery document: `tinymcp doctor` is another process
//! than the server, and failures with real people cannot be tried out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::atomic_file;
use crate::clock::now_s;

/// Seconds within which the same failure is not written again.
const SAME_S: u64 = 10;

/// The folder of the notes, below the state directory.
const DIRECTORY: &str = "providers";

/// The last failure of each kind, until the same has worked again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastFailures {
    /// A login that failed at the provider.
    pub(super) login: Option<Note>,
    /// A session that could not be renewed, which the operator has to do something about.
    pub(super) refresh: Option<Note>,
    /// Somebody's groups were too many to be listed. It stands until it is old: the next person has fewer.
    #[serde(default)]
    pub(super) left_out: Option<Note>,
    /// More than one person was refused in the same words, and nobody was renewed since.
    #[serde(default)]
    pub(super) refused_alike: bool,
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The time, in seconds since 1970.
    pub(super) at_s: u64,
    /// The cause, as in the log.
    pub(super) cause: String,
}

/// The notes of a running server.
pub(super) struct Notes {
    file: Option<PathBuf>,
    kept: Mutex<LastFailures>,
}

impl Notes {
    /// Goes on with the notes of an earlier run.
    pub(super) fn of(state: Option<&Path>, provider: &str) -> Self {
        let kept = state.map(|state| read(state, provider)).unwrap_or_default();
        Self { file: state.map(|state| file(state, provider)), kept: Mutex::new(kept) }
    }

    /// Notes that a login has failed, or has worked.
    pub(super) fn login(&self, cause: Option<&str>) {
        self.note(|kept| &mut kept.login, cause);
    }

    /// Notes that a session could not be renewed, or that one was.
    pub(super) fn refresh(&self, cause: Option<&str>) {
        if cause.is_none() {
            self.kept().refused_alike = false;
        }
        self.note(|kept| &mut kept.refresh, cause);
    }

    /// Notes that more than one person was refused in the same words.
    pub(super) fn refused_alike(&self) {
        let mut kept = self.kept();
        if !kept.refused_alike {
            kept.refused_alike = true;
            self.write(&kept);
        }
    }

    /// True if an earlier run has met an outage of everybody's refreshes that has not ended.
    pub(super) fn is_refused_alike(&self) -> bool {
        self.kept().refused_alike
    }

    fn kept(&self) -> MutexGuard<'_, LastFailures> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the provider has not listed all groups of somebody.
    pub(super) fn left_out(&self, cause: &str) {
        self.note(|kept| &mut kept.left_out, Some(cause));
    }

    fn note(&self, kind: impl FnOnce(&mut LastFailures) -> &mut Option<Note>, cause: Option<&str>) {
        let mut kept = self.kept();
        let place = kind(&mut kept);
        let now_s = now_s();
        match (&place, cause) {
            (None, None) => return,
            (Some(last), Some(cause)) if last.cause == cause && now_s < last.at_s + SAME_S => return,
            _ => *place = cause.map(|cause| Note { at_s: now_s, cause: cause.to_owned() }),
        }
        self.write(&kept);
    }

    fn write(&self, kept: &LastFailures) {
        if let Some(file) = &self.file
            && let Err(error) = write(file, kept)
        {
            tracing::warn!("what went wrong at the provider is not kept for `tinymcp doctor`: {error}");
        }
    }
}

/// The notes of a server with this state directory; none if there are none.
pub(super) fn read(state: &Path, provider: &str) -> LastFailures {
    let text = fs::read(file(state, provider)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn file(state: &Path, provider: &str) -> PathBuf {
    state.join(DIRECTORY).join(format!("{provider}.notes.json"))
}

fn write(file: &Path, kept: &LastFailures) -> io::Result<()> {
    atomic_file::replace_private(file, &serde_json::to_vec(kept)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_kept_until_the_same_works() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join(DIRECTORY)).unwrap();
        let notes = Notes::of(Some(state.path()), "acme");
        notes.login(Some("no"));
        notes.refresh(Some("never"));
        let kept = read(state.path(), "acme");
        assert_eq!(kept.login.unwrap().cause, "no");
        assert_eq!(kept.refresh.unwrap().cause, "never");
        let notes = Notes::of(Some(state.path()), "acme");
        notes.left_out("too many");
        notes.login(None);
        assert!(!Notes::of(Some(state.path()), "acme").is_refused_alike());
        notes.refused_alike();
        assert!(Notes::of(Some(state.path()), "acme").is_refused_alike(), "over a restart");
        notes.refresh(None);
        assert!(!Notes::of(Some(state.path()), "acme").is_refused_alike());
        notes.refresh(Some("never"));
        let kept = read(state.path(), "acme");
        assert!(kept.login.is_none() && kept.refresh.is_some() && kept.left_out.is_some());
        assert_eq!(read(state.path(), "other"), LastFailures::default());
    }
}
