//! The state of plugins for several servers, in Redis or Valkey.
//!
//! A space is at one place ([`layout`]), so that a script changes it as a whole. An operation reads what it is about,
//! decides here, and writes if the space is still as it was read; else it begins anew. Of one server's writes to a space
//! one is under way at a time, so that only other servers come in between. Lives end by Redis's clock.
//!
//! - `layout`: keys and values. `scripts`: what is done in one step. `key`: the key under which things are sealed.
//! - `lists`: pages of names. `spaces`: what is about many spaces, each at its place. `handing`: a space gets another plugin. `sweep`: what has
//!   expired is removed.
//!
//! Invariant: what is sealed opens under the space's own name alone. A store that was emptied is an error.

mod handing;
mod key;
mod layout;
mod lists;
mod scripts;
mod spaces;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::layout::{ALL, At, DUE, ENDS, ENTRIES, FROZEN, Head, KEY_NAME, NAMES, SPACE, TURNS};
use self::scripts::Scripts;
use super::Backend;
use super::limits::MAX_BATCH_BYTES;
use super::operations::{self, Change, Changes, Decided, Expired, Look, Millis, Part, Seen};
use super::pace::Pace;
use super::request::{Answer, KvError, Operation, Outcome, Request, Space};
use super::seal::{self, Sealer};
use crate::log_limiter::LogLimiter;
use crate::redis::{Fault, Place, Redis, Script, Step};
use crate::state::StateDir;

/// Times that a write begins anew because another server was quicker.
const TRIES: u32 = 60;

/// The longest pause before the next of them.
const PAUSE_MAX: Duration = Duration::from_millis(40);

/// Time to wait for the other writes of this server to a space.
const PATIENCE: Duration = Duration::from_secs(3);

/// The time that a plugin is told to wait whose write was never the quickest.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Locks for writes to spaces; several spaces share one.
const LOCKS: usize = 256;

/// Life of the mark by which a change is recognised that is sent again: longer than anybody sends it again.
const MARK_MS: u32 = 20_000;

/// Expired entries that one step removes.
const EXPIRED: usize = 500;

/// The backend.
pub(super) struct Shared {
    redis: Redis,
    state: StateDir,
    scripts: Scripts,
    pace: Pace,
    current: StdMutex<Option<Arc<Opened>>>,
    opening: Mutex<()>,
    writing: Vec<Mutex<()>>,
}

/// The key, and what it is called.
struct Opened {
    /// The version of the root keys under which it was last sealed.
    version: u64,
    sealer: Sealer,
    name: [u8; 8],
}

/// What is read of a space.
struct Sight {
    now: Millis,
    head: Option<Head>,
    expired: Expired,
    /// What is under each name.
    rows: Vec<Vec<u8>>,
}

/// The end of an attempt.
enum Stop {
    Kv(KvError),
    /// What has expired has to be known.
    NeedsRoom,
}

impl From<KvError> for Stop {
    fn from(error: KvError) -> Self {
        Self::Kv(error)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Done,
    Conflict,
}

impl Shared {
    /// A backend, which sweeps until `stop` is cancelled.
    pub(super) fn start(redis: Redis, state: &StateDir, tracker: &TaskTracker, stop: CancellationToken) -> Arc<Self> {
        let this = Arc::new(Self {
            redis,
            state: state.clone(),
            scripts: Scripts::new(),
            pace: Pace::default(),
            current: StdMutex::default(),
            opening: Mutex::default(),
            writing: (0..LOCKS).map(|_| Mutex::default()).collect(),
        });
        tracker.spawn(sweep::from_time_to_time(Arc::downgrade(&this), stop));
        this
    }

    /// The key. It is read once, and again when the root keys have changed.
    async fn opened(&self) -> Result<Arc<Opened>, KvError> {
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
    fn known(&self) -> Option<Arc<Opened>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does something with the entries of one space.
    async fn operate(&self, space: &Space, quota_bytes: u64, operation: &Operation) -> Result<Outcome, KvError> {
        let opened = self.opened().await?;
        let at = At { name: opened.sealer.name(space) };
        match Look::of(operation) {
            Look::Entries { names, part } => {
                let is_write = operation.written().next().is_some();
                let _turn = if is_write { Some(self.turn(at).await?) } else { None };
                self.decide(&opened, at, space, quota_bytes, operation, &names, part).await
            }
            Look::Names { prefix, cursor } => self.names(&opened, at, prefix, cursor).await,
            Look::NamesInTurn { after } => self.names_in_turn(&opened, at, after).await,
        }
    }

    /// Waits for the writes of this server before one.
    async fn turn(&self, at: At) -> Result<tokio::sync::MutexGuard<'_, ()>, KvError> {
        let [_, number, ..] = at.name.0;
        let lock = self.writing.get(usize::from(number) % LOCKS).ok_or_else(waited)?;
        tokio::time::timeout(PATIENCE, lock.lock()).await.map_err(|_| waited())
    }

    #[allow(clippy::too_many_arguments, reason = "all of it is the one operation")]
    async fn decide(
        &self,
        opened: &Opened,
        at: At,
        space: &Space,
        quota_bytes: u64,
        operation: &Operation,
        names: &[&str],
        part: Part,
    ) -> Result<Outcome, KvError> {
        let (mut tries, mut most_expired) = (0, 0);
        while tries < TRIES {
            let Sight { now, head, expired, rows } = self.look(opened, at, names, part, most_expired).await?;
            let held = head.as_ref().map(|head| head.open(&opened.sealer, at)).transpose()?;
            let mut seen = Seen::new(now, held);
            for (name, row) in names.iter().zip(&rows) {
                seen.add(name, layout::read_entry(row)?)?;
            }
            let with_expired = || if most_expired == 0 { Err(Stop::NeedsRoom) } else { Ok(expired.clone()) };
            let decided = operations::decide(&opened.sealer, space, quota_bytes, operation, seen, with_expired);
            let changes = match decided {
                Ok(Decided { outcome, changes: None }) => return Ok(outcome),
                Ok(Decided { outcome, changes: Some(changes) }) => (outcome, changes),
                Err(Stop::NeedsRoom) => {
                    most_expired = EXPIRED;
                    continue;
                }
                // There is more to remove before there is no room.
                Err(Stop::Kv(KvError::Quota { .. })) if expired.len() >= EXPIRED => {
                    self.remove_expired(opened, at, head, expired).await?;
                    continue;
                }
                Err(Stop::Kv(error)) => return Err(error),
            };
            let (outcome, Changes { space: held, entries }) = changes;
            let before = head.as_ref().map(|head| head.version);
            if before == Some(FROZEN) {
                return Err(handed());
            }
            let head = match head {
                Some(head) => head.next(held.bytes, held.turn),
                None => Head {
                    version: layout::new_version(),
                    bytes: held.bytes,
                    turn: held.turn,
                    seal: opened.sealer.seal_named(&at.name, &space.plugin, &held.sealed),
                },
            };
            if self.commit(opened, at, before, &head, &entries).await? == Written::Done {
                return Ok(outcome);
            }
            tries += 1;
            let most = Duration::from_millis(u64::from(tries)).min(PAUSE_MAX);
            tokio::time::sleep(most.mul_f64(rand::random())).await;
        }
        Err(KvError::TooManyWrites { retry_after: RETRY_AFTER })
    }

    /// Reads a space and what is under some names, at one moment.
    async fn look(
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
            Part::Whole => ("W", MAX_BATCH_BYTES + names.len() * (layout::ENTRY_HEAD + seal::VALUE_OVERHEAD)),
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
        let mut expired = Vec::with_capacity(count);
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
    async fn commit(
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
    async fn remove_expired(
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
    fn step(&self, opened: &Opened, place: Place) -> Step {
        Step::default().key(self.redis.key(place, KEY_NAME, b"")).argument(opened.name)
    }

    /// The beginning of a step that changes a space, and is recognised if it is sent again.
    fn marked(&self, opened: &Opened, at: At) -> Step {
        let mark: [u8; 16] = rand::random();
        let mut step = self.step(opened, at.place()).key(self.redis.key(at.place(), "kv-done", &mark)).number(MARK_MS);
        for kind in [SPACE, ENTRIES, NAMES, TURNS, ENDS] {
            step = step.key(at.key(&self.redis, kind));
        }
        step.key(self.redis.key(at.place(), DUE, b"")).key(self.redis.key(at.place(), ALL, b""))
    }

    /// Runs a script that may run twice, and returns what it says behind its verdict.
    async fn run(&self, script: &Script, place: Place, step: Step) -> Result<Vec<Vec<u8>>, KvError> {
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

    async fn written(&self, script: &Script, place: Place, step: Step) -> Result<Written, KvError> {
        let values = self.run(script, place, step).await?;
        Ok(if values.is_empty() { Written::Done } else { Written::Conflict })
    }
}

#[async_trait]
impl Backend for Shared {
    async fn ask(&self, request: Request) -> Result<Answer, KvError> {
        // On the heap, each: together they would be too deep for the compiler.
        match request {
            Request::Use { space, quota_bytes, operation } => {
                operation.check()?;
                self.pace.wait(&space, &operation).await?;
                let outcome = self.operate(&space, quota_bytes, &operation).boxed().await.inspect_err(log_damage)?;
                Ok(Answer::Outcome(outcome))
            }
            Request::Owners { plugin } => Ok(Answer::Owners(self.owners(&plugin).boxed().await?)),
            Request::Spaces { after } => {
                let (spaces, next) = self.page_of_spaces(after).boxed().await?;
                Ok(Answer::Spaces(spaces, next))
            }
            Request::Forget { person } => Ok(Answer::Changed(self.forget(&person).boxed().await?)),
            Request::Move { from, to } => Ok(Answer::Changed(self.hand_over(&from, &to).boxed().await?)),
            Request::Clear { space } => {
                let opened = self.opened().await?;
                let at = At { name: opened.sealer.name(&space) };
                Ok(Answer::Changed(self.clear(&opened, at).boxed().await?))
            }
        }
    }

    async fn prepare(&self) -> Result<(), KvError> {
        self.opened().boxed().await.map(drop)
    }
}

/// A number in decimal digits.
fn number<T: std::str::FromStr>(text: Option<Vec<u8>>) -> Option<T> {
    std::str::from_utf8(&text?).ok()?.parse().ok()
}

fn waited() -> KvError {
    KvError::Unavailable("others waited for it too".to_owned())
}

fn handed() -> KvError {
    KvError::Unavailable(
        "it is being handed to another plugin: the operator's `tinymcp kv OLD move NEW` has to end".to_owned(),
    )
}

fn log_damage(error: &KvError) {
    static DAMAGED: LogLimiter = LogLimiter::new("entries of the state of plugins that are not what was written");
    if *error == KvError::Damaged {
        DAMAGED.log(|| tracing::error!("state of plugins: an entry is not what was written"));
    }
}

/// What a plugin gets to know of a fault; all of it is in the log.
fn outward(fault: Fault) -> KvError {
    static FAILED: LogLimiter = LogLimiter::new("failures of the state of plugins");
    FAILED.log(|| tracing::error!("state of plugins not read or written: {fault}"));
    let words = match fault {
        Fault::Unreachable(_) => "its store cannot be reached now",
        Fault::Lost => "its store has lost what was in it",
        Fault::Refused(words) if words.contains("OOM") || words.contains("maxmemory") => {
            "the memory of its store is full"
        }
        Fault::Refused(_) | Fault::Unexpected(_) => "its store cannot be used now",
    };
    KvError::Unavailable(words.to_owned())
}
