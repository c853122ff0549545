//! The state that plugins keep: values under names, durable, in a space of its own for each plugin or for each person who
//! calls it.
//!
//! It is in a SQLite file of its own in the state directory, with a thread of its own, so that a plugin that writes in a
//! loop keeps no login waiting. The file is made when something is first kept. Where several servers share what they
//! have, it is in Redis. It knows nothing of WebAssembly, of grants or of the protocol (`docs/grants.md`, State).
//!
//! - `limits`: lengths and numbers. `request`: what is asked for, as data, which also travels through the control socket.
//!   `pace`: how fast a space is written.
//! - `operations`: what an operation on a space comes to, `pages`: lists of names, `seal`: what is sealed; all three
//!   wherever it is kept.
//! - `open`: the file and its lock. `spaces`, `rows`: what is stored in it. `database`: what is asked of it. `fault`: why it
//!   is not done. `worker`: the thread. `turns`: whose request is next.
//! - `redis`: the same in Redis.

mod backend;
#[cfg(test)]
mod conformance;
mod database;
mod fault;
mod limits;
mod open;
mod operations;
mod pace;
mod pages;
mod redis;
mod request;
mod rows;
mod seal;
mod spaces;
mod turns;
mod worker;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::backend::Backend;
pub use self::limits::{ENTRY_BYTES, MAX_BATCH_BYTES, MAX_ENTRIES, MAX_NAME_BYTES, MAX_VALUE_BYTES, PAGE};
pub use self::open::OpenError;
use self::open::Place;
use self::pace::Pace;
pub use self::request::{
    Answer, Delta, Expected, KvError, Operation, Outcome, Owner, OwnerState, Person, Request, Space, SpaceState, Value,
};
use self::worker::Worker;
use crate::log_limiter::LogLimiter;
use crate::redis::Redis;
use crate::state::StateDir;

/// A handle to the state of plugins.
#[derive(Clone)]
pub struct Kv(Arc<dyn Backend>);

impl fmt::Debug for Kv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kv(..)")
    }
}

impl Kv {
    /// What is kept elsewhere: by the server that is running.
    pub fn elsewhere(backend: Arc<dyn Backend>) -> Self {
        Self(backend)
    }

    /// That of a state directory. The file is opened, or made, when something is first asked for, and closed when `stop`
    /// is cancelled: later requests fail. `tracker` waits for that.
    pub fn of(state: &StateDir, tracker: &TaskTracker, stop: CancellationToken) -> Self {
        Self::at(Place::In(state.clone()), tracker, stop)
    }

    /// What several servers share, in Redis. Its key is found, or made, when something is first asked for. Until `stop` is
    /// cancelled, what has expired is removed from time to time; `tracker` waits for that.
    pub fn shared(redis: Redis, state: &StateDir, tracker: &TaskTracker, stop: CancellationToken) -> Self {
        Self(redis::start(redis, state, tracker, stop))
    }

    /// Writes a copy of the state in a state directory, as it is at one moment, into a file. It may be in use.
    ///
    /// # Errors
    /// It cannot be read, or the file not written.
    pub fn snapshot(state: &StateDir, into: &std::path::Path) -> Result<(), OpenError> {
        open::snapshot(state, into)
    }

    /// Seals the key of the state in a state directory anew, under the current root key, so that an earlier one is not
    /// needed for it. It may be in use.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn reseal(state: &StateDir) -> Result<(), OpenError> {
        open::reseal(state)
    }

    /// The same, with the file opened now.
    ///
    /// # Errors
    /// It cannot be; another process may have it.
    pub async fn opened(state: &StateDir, tracker: &TaskTracker, stop: CancellationToken) -> Result<Self, OpenError> {
        let place = Place::In(state.clone());
        let path = state.path().to_owned();
        let failed = |source| OpenError::Unusable { path: path.clone(), source };
        let opening = place.clone();
        let opened = tokio::task::spawn_blocking(move || open::open(&opening)).await;
        let database = opened.map_err(|error| failed(io::Error::other(error)))??;
        let worker = Worker::start(database, tracker, stop.clone());
        let worker = worker.map_err(|error| failed(io::Error::other(error)))?;
        let worker = OnceCell::new_with(Some(worker));
        Ok(Self(Arc::new(Local { place, tracker: tracker.clone(), stop, worker, pace: Pace::default() })))
    }

    /// True if plugins have kept anything in a state directory.
    pub fn is_there(state: &StateDir) -> bool {
        open::is_there(state)
    }

    /// Nothing that outlives the process, for commands without a server.
    pub fn in_memory(tracker: &TaskTracker, stop: CancellationToken) -> Self {
        Self::at(Place::Memory, tracker, stop)
    }

    fn at(place: Place, tracker: &TaskTracker, stop: CancellationToken) -> Self {
        let local = Local { place, tracker: tracker.clone(), stop, worker: OnceCell::new(), pace: Pace::default() };
        Self(Arc::new(local))
    }

    /// Opens, or makes, what it is kept in before anything is asked for, so that faults are known early.
    ///
    /// # Errors
    /// It cannot be used.
    pub async fn prepare(&self) -> Result<(), KvError> {
        self.0.prepare().await
    }

    /// False if plugins have never kept anything.
    pub fn has_any(&self) -> bool {
        self.0.has_any()
    }

    /// Does what is asked for.
    ///
    /// # Errors
    /// [`KvError`]. Of a change that failed nothing was written; only after [`KvError::Unavailable`] of what servers share it
    /// may have been.
    pub async fn ask(&self, request: Request) -> Result<Answer, KvError> {
        self.0.ask(request).await
    }

    /// Does something with the entries of one space, which may hold `quota_bytes`.
    ///
    /// # Errors
    /// As for [`Kv::ask`].
    pub async fn run(&self, space: Space, quota_bytes: u64, operation: Operation) -> Result<Outcome, KvError> {
        match self.ask(Request::Use { space, quota_bytes, operation }).await? {
            Answer::Outcome(outcome) => Ok(outcome),
            Answer::Owners(_) | Answer::Spaces(..) | Answer::Changed(_) => Err(KvError::unfit()),
        }
    }
}

/// The file of this process.
struct Local {
    place: Place,
    tracker: TaskTracker,
    stop: CancellationToken,
    worker: OnceCell<Worker>,
    pace: Pace,
}

#[async_trait]
impl Backend for Local {
    async fn ask(&self, request: Request) -> Result<Answer, KvError> {
        if let Request::Use { space, operation, .. } = &request {
            operation.check()?;
            self.pace.wait(space, operation).await?;
        }
        self.worker().await?.ask(request).await
    }

    fn has_any(&self) -> bool {
        match &self.place {
            Place::In(state) => open::is_there(state),
            Place::Memory => true,
        }
    }
}

impl Local {
    /// The thread, started at its first use. One that could not be started is tried again at the next.
    async fn worker(&self) -> Result<&Worker, KvError> {
        static FAILED: LogLimiter = LogLimiter::new("uses of the state of plugins without its file");
        let start = async || {
            let place = self.place.clone();
            let opened = tokio::task::spawn_blocking(move || open::open(&place)).await;
            let opened = opened.map_err(|_| KvError::Unavailable("it is closed".to_owned()))?;
            let database = opened.map_err(|error| {
                FAILED.log(|| tracing::error!("state of plugins cannot be used: {error}"));
                KvError::Unavailable(error.outward().to_owned())
            })?;
            Worker::start(database, &self.tracker, self.stop.clone())
        };
        self.worker.get_or_try_init(start).await
    }
}
