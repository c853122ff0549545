//! What the operator has switched off by a command: people, plugins, and every session up to a moment.
//!
//! It is one sealed file of the state directory, `switched-off`, beside what `tinymcp.toml` says: a command takes effect
//! at once, and without anybody who edits a file. It fails closed: a server does not start with a file that it cannot
//! read, since an empty one in its place would let people in again.
//!
//! Several servers behind one store will keep it there; nothing but this file knows where it is.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::atomic_file;
use crate::state::StateDir;
use crate::vault::Vault;

/// The file in the state directory.
pub(crate) const FILE: &str = "switched-off";

const PURPOSE: &str = "tinymcp 2026 switched off";

/// The context of the seal.
const CONTEXT: &[u8] = b"switched off";

/// Everything that is switched off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchedOff {
    /// People who may not log in or call, whatever `[auth]` says.
    #[serde(default)]
    pub people: Vec<BlockedPerson>,
    /// Plugins that are not served, by their names in snake case.
    #[serde(default)]
    pub plugins: BTreeSet<String>,
    /// How often all sessions were ended at once. A session that began at a lower count is over, wherever its row or a
    /// copy of it is.
    #[serde(default)]
    pub all_ended: u64,
}

/// A person who was blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedPerson {
    /// The provider's issuer URL.
    pub issuer: String,
    /// The provider's name for the person.
    pub subject: String,
    /// Their address at that time, so that operators find them again.
    pub email: Option<String>,
    /// The time, in seconds since 1970.
    pub since_s: u64,
}

impl SwitchedOff {
    /// True for somebody who is blocked.
    pub fn blocks(&self, issuer: &str, subject: &str) -> bool {
        self.people.iter().any(|person| person.issuer == issuer && person.subject == subject)
    }

    /// True for a plugin that is switched off. The name may be in kebab case.
    pub fn has_plugin(&self, name: &str) -> bool {
        self.plugins.contains(&crate::config::names::snake(name))
    }
}

/// The reason that the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The system refuses it.
    #[error("`{}` cannot be used: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is not what was written, or was written under a key that is gone.
    #[error(
        "`{}`, which has the people and plugins that are switched off, {fault}: restore it from a backup, or delete it, \
         which lets them in again", path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        fault: &'static str,
    },
}

/// A handle to what is switched off, which all parts of a server share.
#[derive(Clone)]
pub struct Switches(Arc<Inner>);

struct Inner {
    /// None where nothing is kept, in tests and commands.
    file: Option<(PathBuf, Vault)>,
    now: watch::Sender<Arc<SwitchedOff>>,
    /// One change at a time.
    changing: Mutex<()>,
}

impl std::fmt::Debug for Switches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Switches(..)")
    }
}

impl Default for Switches {
    /// Nothing is switched off, and nothing is kept.
    fn default() -> Self {
        Self(Arc::new(Inner { file: None, now: watch::Sender::default(), changing: Mutex::default() }))
    }
}

impl Switches {
    /// Those of a state directory.
    ///
    /// # Errors
    /// [`SwitchError`].
    pub fn open(state: &StateDir) -> Result<Self, SwitchError> {
        let (path, vault) = (state.path().join(FILE), Vault::of(state, PURPOSE));
        let found = match fs::read(&path) {
            Ok(sealed) => Some(sealed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(SwitchError::Unusable { path, source }),
        };
        let switched_off = match &found {
            Some(sealed) => {
                opened(&vault, sealed).map_err(|fault| SwitchError::Unreadable { path: path.clone(), fault })?
            }
            None => SwitchedOff::default(),
        };
        let now = watch::Sender::new(Arc::new(switched_off));
        Ok(Self(Arc::new(Inner { file: Some((path, vault)), now, changing: Mutex::default() })))
    }

    /// What is switched off now.
    pub fn now(&self) -> Arc<SwitchedOff> {
        Arc::clone(&self.0.now.borrow())
    }

    /// The same, as it changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<SwitchedOff>> {
        self.0.now.subscribe()
    }

    /// Changes it. The change is on the disk before anybody hears of it. Returns whether anything is another than before.
    ///
    /// # Errors
    /// The system's; then nothing is changed.
    pub fn change(&self, change: impl FnOnce(&mut SwitchedOff)) -> io::Result<bool> {
        let _turn = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.now();
        let mut after = SwitchedOff::clone(&before);
        change(&mut after);
        if after == *before {
            return Ok(false);
        }
        self.write(&after)?;
        self.0.now.send_replace(Arc::new(after));
        Ok(true)
    }

    /// Seals the file anew, under the current root key, so that an earlier one is not needed for it.
    ///
    /// # Errors
    /// The system's; then the file is as it was.
    pub fn reseal(&self) -> io::Result<()> {
        let _turn = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.0.file {
            Some((path, vault)) if fs::read(path).is_ok_and(|sealed| !vault.has_current_key_of(&sealed)) => {
                self.write(&self.now())
            }
            _ => Ok(()),
        }
    }

    fn write(&self, value: &SwitchedOff) -> io::Result<()> {
        let Some((path, vault)) = &self.0.file else { return Ok(()) };
        let plain = serde_json::to_vec(value).map_err(io::Error::other)?;
        atomic_file::replace_durable(path, &vault.seal(CONTEXT, &plain))
    }
}

fn opened(vault: &Vault, sealed: &[u8]) -> Result<SwitchedOff, &'static str> {
    match vault.open(CONTEXT, sealed) {
        Some(plain) => serde_json::from_slice(&plain).map_err(|_| "was written by a later version"),
        None if vault.has_key_of(sealed) => Err("is damaged"),
        None => Err("was written under another key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Secrets;

    fn open(dir: &std::path::Path) -> Result<Switches, SwitchError> {
        Switches::open(&StateDir::open(dir, &Secrets::default()).unwrap())
    }

    fn alice() -> BlockedPerson {
        let (issuer, subject) = ("https://id.example".to_owned(), "alice".to_owned());
        BlockedPerson { issuer, subject, email: Some("alice@example.com".to_owned()), since_s: 1 }
    }

    #[test]
    fn what_is_switched_off_is_told_kept_and_sealed() {
        let scratch = tempfile::tempdir().unwrap();
        let switches = open(scratch.path()).unwrap();
        let mut told = switches.subscribe();
        assert!(!switches.change(|_| {}).unwrap() && !told.has_changed().unwrap());
        assert!(switches.change(|off| off.people.push(alice())).unwrap());
        assert!(told.borrow_and_update().blocks("https://id.example", "alice"));
        let disable = |off: &mut SwitchedOff| {
            off.plugins.insert("my_tool".to_owned());
        };
        assert!(switches.change(disable).unwrap());
        let bytes = fs::read(scratch.path().join(FILE)).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"alice"));
        let again = open(scratch.path()).unwrap().now();
        assert_eq!(*again, *switches.now());
        assert!(again.has_plugin("my-tool") && !again.blocks("https://other.example", "alice"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_no_empty_one() {
        let scratch = tempfile::tempdir().unwrap();
        open(scratch.path()).unwrap().change(|off| off.people.push(alice())).unwrap();
        let path = scratch.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(open(scratch.path()).unwrap_err().to_string().contains("is damaged"));
        fs::write(&path, b"").unwrap();
        open(scratch.path()).unwrap_err();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        fs::remove_file(scratch.path().join("key")).unwrap();
        assert!(open(scratch.path()).unwrap_err().to_string().contains("another key"));
    }
}
