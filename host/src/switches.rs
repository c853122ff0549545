//! What the operator has switched off by a command: people, plugins, and every session up to a moment.
//!
//! It is one sealed file of the state directory, `switched-off`, beside what `tinymcp.toml` says: a command takes effect
//! at once, and without anybody who edits a file. It fails closed: a server does not start with a file that it cannot
//! read, since an empty one in its place would let people in again.
//!
//! Several servers of one store keep it there ([`Place::Shared`]): one that changes it tells the others in the same step,
//! and they read it again. What a server had in its own directory before is taken along.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::atomic_file;
use crate::records::{LATER, RecordVault, Unread};
use crate::redis::{Kept, Redis};
use crate::replicas::{Hint, News, Replicas, Told};
use crate::state::StateDir;
use crate::vault::Vault;

/// The file in the state directory.
pub(crate) const FILE: &str = "switched-off";

const PURPOSE: &str = "tinymcp 2026 switched off";

/// The context of the seal.
const CONTEXT: &[u8] = b"switched off";

/// Time between two tries to read it again.
const READ_AGAIN: Duration = Duration::from_millis(200);

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
    /// The shared store refuses it.
    #[error("what is switched off cannot be read from the shared store: {0}")]
    Shared(io::Error),
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
    place: Place,
    now: watch::Sender<Arc<SwitchedOff>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

/// Where it is kept.
enum Place {
    /// Nowhere, in tests and commands.
    Memory,
    File(PathBuf, RecordVault),
    Shared(Redis, RecordVault, OnceLock<Replicas>),
}

/// Its name in a shared store.
const SHARED: &str = "switched-off";

/// Tries of a change that others make at the same time.
const TRIES: usize = 32;

impl std::fmt::Debug for Switches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Switches(..)")
    }
}

impl Default for Switches {
    /// Nothing is switched off, and nothing is kept.
    fn default() -> Self {
        Self(Arc::new(Inner { place: Place::Memory, now: watch::Sender::default(), changing: Default::default() }))
    }
}

impl Switches {
    /// Those of a state directory.
    ///
    /// # Errors
    /// [`SwitchError`].
    pub fn open(state: &StateDir) -> Result<Self, SwitchError> {
        let (path, vault) = (state.path().join(FILE), RecordVault::of_one(Vault::of(state, PURPOSE)));
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
        Ok(Self(Arc::new(Inner { place: Place::File(path, vault), now, changing: Default::default() })))
    }

    /// Those of a shared store. Where it has none yet, those of the state directory are taken along.
    ///
    /// # Errors
    /// [`SwitchError`].
    pub async fn shared(redis: Redis, state: &StateDir) -> Result<Self, SwitchError> {
        let own = Self::open(state)?;
        let vault = RecordVault::shared(Vault::of(state, PURPOSE), &redis);
        let (now, place) = (watch::Sender::default(), Place::Shared(redis, vault, OnceLock::new()));
        let this = Self(Arc::new(Inner { place, now, changing: Default::default() }));
        let (shared, kept) = this.read().await.map_err(SwitchError::Shared)?;
        this.0.now.send_replace(shared);
        // Only then: what was switched on again in the store stays so.
        if kept.is_some_and(|kept| kept.value.is_none()) {
            let of_before = own.now();
            this.change(|off| *off = SwitchedOff::clone(&of_before)).await.map_err(SwitchError::Shared)?;
        }
        Ok(this)
    }

    /// Tells other servers of changes that are made here from now on.
    pub fn tell(&self, replicas: &Replicas) {
        if let Place::Shared(_, _, told) = &self.0.place {
            drop(told.set(replicas.clone()));
        }
    }

    /// Follows the changes that other servers make, and tells them of those that are made here.
    pub fn follow(&self, replicas: &Replicas, tracker: &TaskTracker) {
        let Some(news) = replicas.news() else { return };
        self.tell(replicas);
        let (this, left) = (self.clone(), news.left());
        tracker.spawn(async move { left.run_until_cancelled(this.listen(news)).await });
    }

    async fn listen(self, mut news: News) {
        while let Some(heard) = news.next().await {
            if !matches!(heard, Told::Gap | Told::Hint(Hint::Switches)) {
                continue;
            }
            while let Err(error) = self.read_again().await {
                tracing::warn!(%error, "what is switched off could not be read again yet");
                tokio::time::sleep(READ_AGAIN).await;
            }
        }
    }

    async fn read_again(&self) -> io::Result<()> {
        let _turn = self.0.changing.lock().await;
        let (read, _) = self.read().await?;
        self.0.now.send_if_modified(|now| {
            let is_other = *now != read;
            *now = read;
            is_other
        });
        Ok(())
    }

    /// What is switched off where it is kept; with that as it was read, if several servers share it.
    async fn read(&self) -> io::Result<(Arc<SwitchedOff>, Option<Kept>)> {
        let Place::Shared(redis, vault, _) = &self.0.place else { return Ok((self.now(), None)) };
        let kept = redis.kept(SHARED).await.map_err(io::Error::other)?;
        let read = kept.value.as_deref().map(|sealed| opened(vault, sealed)).transpose().map_err(io::Error::other)?;
        Ok((Arc::new(read.unwrap_or_default()), Some(kept)))
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
    pub async fn change(&self, change: impl Fn(&mut SwitchedOff)) -> io::Result<bool> {
        let _turn = self.0.changing.lock().await;
        for _ in 0..TRIES {
            let (was, before) = self.read().await?;
            let mut after = SwitchedOff::clone(&was);
            change(&mut after);
            if after == *was {
                return Ok(false);
            }
            if self.write(&after, before.as_ref()).await? {
                self.0.now.send_replace(Arc::new(after));
                return Ok(true);
            }
        }
        Err(io::Error::other("it was changed again and again"))
    }

    /// Seals it anew, under the current root key, so that an earlier one is not needed for it.
    ///
    /// # Errors
    /// The system's; then it is as it was.
    pub async fn reseal(&self) -> io::Result<()> {
        let _turn = self.0.changing.lock().await;
        match &self.0.place {
            Place::File(path, vault) if fs::read(path).is_ok_and(|sealed| !vault.has_current_key_of(&sealed)) => {
                self.write(&self.now(), None).await.map(drop)
            }
            Place::Shared(_, vault, _) => {
                let (value, kept) = self.read().await?;
                let sealed = kept.as_ref().and_then(|kept| kept.value.as_ref());
                match sealed.is_some_and(|sealed| !vault.has_current_key_of(sealed)) {
                    true => self.write(&value, kept.as_ref()).await.map(drop),
                    false => Ok(()),
                }
            }
            Place::Memory | Place::File(..) => Ok(()),
        }
    }

    /// Writes it; false if another server has changed it.
    async fn write(&self, value: &SwitchedOff, before: Option<&Kept>) -> io::Result<bool> {
        let sealed = |vault: &RecordVault| Ok::<_, io::Error>(vault.seal(CONTEXT, &serde_json::to_vec(value)?));
        match &self.0.place {
            Place::Memory => Ok(true),
            Place::File(path, vault) => atomic_file::replace_durable(path, &sealed(vault)?).map(|()| true),
            Place::Shared(redis, vault, replicas) => {
                let Some(before) = before else { return Ok(false) };
                let told = replicas.get().and_then(|replicas| replicas.message(Hint::Switches));
                redis.keep(SHARED, before, &sealed(vault)?, told).await.map_err(io::Error::other)
            }
        }
    }
}

fn opened(vault: &RecordVault, sealed: &[u8]) -> Result<SwitchedOff, &'static str> {
    let plain = vault.open(CONTEXT, sealed).map_err(Unread::words)?;
    serde_json::from_slice(&plain).map_err(|_| LATER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::testing::TestRedis;
    use crate::state::Secrets;

    fn open(dir: &std::path::Path) -> Result<Switches, SwitchError> {
        Switches::open(&StateDir::open(dir, &Secrets::default()).unwrap())
    }

    fn alice() -> BlockedPerson {
        let (issuer, subject) = ("https://id.example".to_owned(), "alice".to_owned());
        BlockedPerson { issuer, subject, email: Some("alice@example.com".to_owned()), since_s: 1 }
    }

    #[tokio::test]
    async fn what_is_switched_off_is_told_kept_and_sealed() {
        let scratch = tempfile::tempdir().unwrap();
        let switches = open(scratch.path()).unwrap();
        let mut told = switches.subscribe();
        assert!(!switches.change(|_| {}).await.unwrap() && !told.has_changed().unwrap());
        assert!(switches.change(|off| off.people.push(alice())).await.unwrap());
        assert!(told.borrow_and_update().blocks("https://id.example", "alice"));
        let disable = |off: &mut SwitchedOff| {
            off.plugins.insert("my_tool".to_owned());
        };
        assert!(switches.change(disable).await.unwrap());
        let bytes = fs::read(scratch.path().join(FILE)).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"alice"));
        let again = open(scratch.path()).unwrap().now();
        assert_eq!(*again, *switches.now());
        assert!(again.has_plugin("my-tool") && !again.blocks("https://other.example", "alice"));
    }

    /// What a server had before it shared a store goes there once; what is changed there later counts.
    #[tokio::test]
    async fn what_a_directory_has_is_taken_into_a_shared_store_once() {
        let (redis, scratch) = (TestRedis::start(), tempfile::tempdir().unwrap());
        let state = StateDir::open(scratch.path(), &Secrets::default()).unwrap();
        let connected = redis.open().await;
        Switches::open(&state).unwrap().change(|off| off.people.push(alice())).await.unwrap();
        let shared = Switches::shared(connected.clone(), &state).await.unwrap();
        assert!(shared.now().blocks("https://id.example", "alice"));
        shared.change(|off| off.people.clear()).await.unwrap();
        let again = Switches::shared(connected, &state).await.unwrap();
        assert!(!again.now().blocks("https://id.example", "alice"));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_no_empty_one() {
        let scratch = tempfile::tempdir().unwrap();
        open(scratch.path()).unwrap().change(|off| off.people.push(alice())).await.unwrap();
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
