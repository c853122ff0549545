//! One store of several servers, and the steps that are done in it on one space.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Mutex;

use super::key;
use super::layout::{self, ALL, At, DUE, ENDS, ENTRIES, FROZEN, Head, KEY_NAME, NAMES, SPACE, TURNS};
use super::outward::outward;
use super::scripts::Scripts;
use crate::kv::limits::MAX_BATCH_BYTES;
use crate::kv::operations::{Change, Expired, Millis, Part};
use crate::kv::pace::Pace;
use crate::kv::request::KvError;
use crate::kv::seal::{self, Sealer};
use crate::log_limiter::LogLimiter;
use crate::redis::{Fault, Place, Redis, Script, Step};
use crate::state::StateDir;

/// Time to wait for the other writes of this server to a space.
const PATIENCE: Duration = Duration::from_secs(10);

/// Locks for writes to spaces; several spaces share one.
const LOCKS: usize = 256;

/// Life of the mark by which a change is recognised that is sent again: longer than anybody sends it again.
const MARK_MS: u32 = 20_000;

/// Expired entries that one step removes.
pub(super) const EXPIRED: usize = 500;

/// The store.
pub(super) struct Shared {
    pub(super) redis: Redis,
    state: StateDir,
    pub(super) scripts: Scripts,
    pub(super) pace: Pace,
    current: StdMutex<Option<Arc<Opened>>>,
    opening: Mutex<()>,
    writing: Vec<Mutex<()>>,
}

/// The key, and what it is called.
pub(super) struct Opened {
    /// The version of the root keys under which it was last sealed.
    version: u64,
    pub(super) sealer: Sealer,
    name: [u8; 8],
}

/// What is read of a space.
pub(super) struct Sight {
    pub(super) now: Millis,
    pub(super) head: Option<Head>,
    pub(super) expired: Expired,
    /// What is under each name.
    pub(super) rows: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    Conflict,
}

impl Shared {
    pub(super) fn new(redis: Redis, state: StateDir) -> Self {
        Self {
            redis,
            state,
            scripts: Scripts::new(),
            pace: Pace::default(),
            current: StdMutex::default(),
            opening: Mutex::default(),
            writing: (0..LOCKS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The key. It is read once, and again when the root keys have changed.
    pub(super) async fn opened(&self) -> Result<Arc<Opened>, KvError> {
        static FAILED: LogLimiter = LogLimiter::new("uses of the state of plugins without its key");
        let version = self.state.ring().version();
        let current = || self.known().filter(|opened| opened.version == version);
        if let Some(opened) = current() {
            return Ok(opened);
        }
        let _turn = tokio::time::timeout(PATIENCE, self.opening.lock()).await.map_err(|_| waited())?;
        if let Some(opened) = current() {
            return Ok(opened);
        }
        let sealer = key::find_or_make(&self.redis, &self.scripts, &self.state).boxed().await.map_err(|error| {
            FAILED.log(|| tracing::error!("state of plugins cannot be used: {}", error.words()));
            error.outward()
        })?;
        let opened = Arc::new(Opened { version, name: sealer.key_name(), sealer });
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// The key, if it was read before.
    pub(super) fn known(&self) -> Option<Arc<Opened>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the writes of this server before one.
    pub(super) async fn turn(&self, at: At) -> Result<tokio::sync::MutexGuard<'_, ()>, KvError> {
        let [_, number, ..] = at.name.0;
        let lock = self.writing.get(usize::from(number) % LOCKS).ok_or_else(waited)?;
        tokio::time::timeout(PATIENCE, lock.lock()).await.map_err(|_| waited())
    }

    /// Reads a space and what is under some names, at one moment.
    pub(super) async fn look(
        &self,
        opened: &Opened,
        at: At,
        names: &[&str],
        part: Part,
        most_expired: usize,
    ) -> Result<Sight, KvError> {
        let (kind, most_bytes) = match part {
            Part::Head => ("H", usize::MAX),
            // Values of more than this are more than one operation is about.
            Part::Whole => ("W", MAX_BATCH_BYTES + names.len() * (layout::ENTRY_HEAD + seal::VALUE_OVERHEAD_MAX)),
        };
        let mut step = self.step(opened, at.place());
        for kind in [SPACE, ENTRIES, ENDS] {
            step = step.key(at.key(&self.redis, kind));
        }
        step = step.argument(kind).number(most_bytes).number(most_expired);
        step = names.iter().fold(step, |step, name| step.argument(*name));
        let mut values = self.run(&self.scripts.look, at.place(), step).await?.into_iter();
        let unexpected = || outward(Fault::Unexpected("not what was looked for"));
        let now = number(values.next()).ok_or_else(unexpected)?;
        let head = Head::read(&values.next().ok_or_else(unexpected)?)?;
        let count: usize = number(values.next()).ok_or_else(unexpected)?;
        let mut expired = Vec::new();
        for _ in 0..count {
            let (name, row) = (values.next().ok_or_else(unexpected)?, values.next().ok_or_else(unexpected)?);
            expired.push((name, layout::read_entry(&row)?.map_or(0, |entry| entry.bytes)));
        }
        let rows: Vec<Vec<u8>> = values.collect();
        if rows.len() != names.len() {
            return Err(unexpected());
        }
        Ok(Sight { now, head, expired, rows })
    }

    /// Writes changes, if the space still has the version that was read; none was there before that has none.
    pub(super) async fn commit(
        &self,
        opened: &Opened,
        at: At,
        before: Option<[u8; 8]>,
        head: &Head,
        changes: &[Change],
    ) -> Result<Written, KvError> {
        let mut step = self.marked(opened, at);
        step = step.argument(before.map(Vec::from).unwrap_or_default()).argument(head.text()).argument(at.name.0);
        for change in changes {
            step = match change {
                Change::Put { name, entry } => step
                    .argument("P")
                    .argument(name.as_slice())
                    .number(entry.turn)
                    .argument(entry.expires_ms.map(|expires| expires.to_string()).unwrap_or_default())
                    .argument(layout::entry_text(entry)),
                Change::Remove { name } => step.argument("R").argument(name.as_slice()),
            };
        }
        let is_removal = changes.iter().all(|change| matches!(change, Change::Remove { .. }));
        let script = if is_removal { &self.scripts.remove } else { &self.scripts.commit };
        self.written(script, at.place(), step).await
    }

    /// Removes what has expired of a space, unless somebody else changes it.
    pub(super) async fn remove_expired(
        &self,
        opened: &Opened,
        at: At,
        head: Option<Head>,
        expired: Expired,
    ) -> Result<Written, KvError> {
        let Some(head) = head.filter(|head| head.version != FROZEN) else { return Ok(Written::Conflict) };
        let (before, turn) = (head.version, head.turn);
        let bytes = expired.iter().fold(head.bytes, |bytes, (_, expired)| bytes.saturating_sub(*expired));
        let changes: Vec<Change> = expired.into_iter().map(|(name, _)| Change::Remove { name }).collect();
        self.commit(opened, at, Some(before), &head.next(bytes, turn), &changes).await
    }

    /// The beginning of a step at a place.
    pub(super) fn step(&self, opened: &Opened, place: Place) -> Step {
        Step::default().key(self.redis.key(place, KEY_NAME, b"")).argument(opened.name)
    }

    /// The beginning of a step that changes a space, and is recognised if it is sent again.
    pub(super) fn marked(&self, opened: &Opened, at: At) -> Step {
        let mark: [u8; 16] = rand::random();
        let mut step = self.step(opened, at.place()).key(self.redis.key(at.place(), "kv-done", &mark)).number(MARK_MS);
        for kind in [SPACE, ENTRIES, NAMES, TURNS, ENDS] {
            step = step.key(at.key(&self.redis, kind));
        }
        step.key(self.redis.key(at.place(), DUE, b"")).key(self.redis.key(at.place(), ALL, b""))
    }

    /// Runs a script that may run twice, and returns what it says behind its verdict.
    pub(super) async fn run(&self, script: &Script, place: Place, step: Step) -> Result<Vec<Vec<u8>>, KvError> {
        static OTHER: LogLimiter = LogLimiter::new("uses of state that another key has sealed");
        let mut values = self.redis.run_until_done(script, place, step).await.map_err(outward)?.values;
        let verdict = if values.is_empty() { Vec::new() } else { values.remove(0) };
        match verdict.as_slice() {
            b"seen" | b"done" => Ok(values),
            b"large" => Err(KvError::LargeBatch),
            b"conflict" | b"gone" => Ok(vec![verdict]),
            b"other" => {
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
                OTHER.log(|| {
                    tracing::error!("state of plugins was sealed under another key than the one in Redis: restore Redis from a backup");
                });
                Err(KvError::Unavailable("its store has to be repaired".to_owned()))
            }
            _ => Err(outward(Fault::Unexpected("no verdict"))),
        }
    }

    pub(super) async fn written(&self, script: &Script, place: Place, step: Step) -> Result<Written, KvError> {
        let values = self.run(script, place, step).await?;
        Ok(if values.is_empty() { Written::Done } else { Written::Conflict })
    }
}

/// A number in decimal digits.
pub(super) fn number<T: std::str::FromStr>(text: Option<Vec<u8>>) -> Option<T> {
    std::str::from_utf8(&text?).ok()?.parse().ok()
}

fn waited() -> KvError {
    KvError::Unavailable("others waited for it too".to_owned())
}
