//! The threads of SQLite, and the queues before them.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::check;
use super::lock::Lock;
use super::open::{self, OpenDatabase, Role, connect, is_damage};
use crate::store::contract::{OpenError, StoreError, now};
use crate::store::seal::Sealer;

/// The most calls in a queue; further ones wait for room in it.
const QUEUE: usize = 1024;

/// The most writes of one transaction, so that the first does not wait long for the last.
const GROUP: usize = 64;

/// Threads that read: reads are short, and mostly from memory.
const READERS: usize = 2;

/// The queues of a running database.
pub(super) struct Workers {
    pub(super) writer: Queue,
    pub(super) readers: Queue,
}

/// A queue of calls before one thread or several. The threads end when no queue is left, or when it is closed.
#[derive(Clone)]
pub(super) struct Queue {
    sender: mpsc::Sender<Order>,
    threads: usize,
}

/// A queue that does not keep the threads running.
pub(super) struct WeakQueue {
    sender: mpsc::WeakSender<Order>,
    threads: usize,
}

enum Order {
    /// May share its transaction with others.
    Run(Box<dyn Job>),
    /// Runs outside any transaction.
    RunAlone(Box<dyn Job>),
    /// Ends the thread that gets it.
    Close,
}

/// An operation on its way through a queue: first it runs, then its answer is sent.
trait Job: Send {
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, done: Result<(), StoreError>);
}

struct Call<T, F> {
    operation: Option<F>,
    outcome: Option<T>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send> Job for Call<T, F> {
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let operation = self.operation.take().expect("a call runs once");
        self.outcome = Some(operation(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, done: Result<(), StoreError>) {
        let Self { operation: _, outcome, caller } = *self;
        // The caller may have gone away.
        let _ = caller.send(done.map(|()| outcome.expect("a call that was done has run")));
    }
}

impl Workers {
    pub(super) fn start(opened: OpenDatabase, sealer: &Sealer, tracker: &TaskTracker) -> Result<Self, OpenError> {
        let OpenDatabase { path, lock, connection, is_checked } = opened;
        let shared = Arc::new(Shared { path: path.clone(), damage: OnceLock::new(), _lock: lock });
        let database = |role, connection| Database {
            role,
            connection,
            shared: Arc::clone(&shared),
            _running: Some(tracker.token()),
        };
        let failed = |error: io::Error| OpenError::Unusable { path: path.clone(), source: error };

        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Queue { sender, threads: 1 };
        let mut database_to_write = database(Role::Write, Some(connection));
        let thread = thread::Builder::new().name("store-write".to_owned());
        thread.spawn(move || database_to_write.write(receiver)).map_err(failed)?;

        let (sender, receiver) = mpsc::channel(QUEUE);
        let readers = Queue { sender, threads: READERS };
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..READERS {
            let mut database_to_read = database(Role::Read, None);
            let receiver = Arc::clone(&receiver);
            let thread = thread::Builder::new().name(format!("store-read-{number}"));
            thread.spawn(move || database_to_read.read(&receiver)).map_err(failed)?;
        }
        if !is_checked {
            let mut database_to_check = Database { _running: None, ..database(Role::Read, None) };
            let sealer = sealer.clone();
            let thread = thread::Builder::new().name("store-check".to_owned());
            thread.spawn(move || database_to_check.check(&sealer)).map_err(failed)?;
        }
        Ok(Self { writer, readers })
    }
}

impl Queue {
    /// Runs an operation on a thread of the database, in a transaction if that thread writes.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.send(operation, Order::Run).await
    }

    /// Runs an operation outside any transaction.
    pub(super) async fn run_alone<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.send(operation, Order::RunAlone).await
    }

    /// Lets the calls in the queue finish, and refuses later ones.
    pub(super) async fn close(&self) {
        for _ in 0..self.threads {
            // An error says that it is closed.
            let _ = self.sender.send(Order::Close).await;
        }
    }

    pub(super) fn downgrade(&self) -> WeakQueue {
        WeakQueue { sender: self.sender.downgrade(), threads: self.threads }
    }

    async fn send<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        message: fn(Box<dyn Job>) -> Order,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("it is closed".to_owned());
        let (caller, answer) = oneshot::channel();
        let call = Call { operation: Some(operation), outcome: None, caller };
        self.sender.send(message(Box::new(call))).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl WeakQueue {
    pub(super) fn upgrade(&self) -> Option<Queue> {
        Some(Queue { sender: self.sender.upgrade()?, threads: self.threads })
    }
}

/// The parts that the threads of one database share.
struct Shared {
    path: PathBuf,
    /// Set at the first sign of damage. From then on nothing is read, since it may be wrong, and nothing is written,
    /// since that may do more damage.
    damage: OnceLock<StoreError>,
    /// Held until the last thread has closed its connection.
    _lock: Lock,
}

/// One thread's connection.
struct Database {
    role: Role,
    /// `None` until it is needed, and after an error.
    connection: Option<Connection>,
    shared: Arc<Shared>,
    /// `None` for a thread that nobody waits for.
    _running: Option<TaskTrackerToken>,
}

impl Database {
    /// Writes until told to end, or until no queue is left.
    fn write(&mut self, mut queue: mpsc::Receiver<Order>) {
        let mut next = queue.blocking_recv();
        while let Some(message) = next.take() {
            match message {
                Order::Run(first) => {
                    let mut jobs = vec![first];
                    while jobs.len() < GROUP && next.is_none() {
                        match queue.try_recv() {
                            Ok(Order::Run(job)) => jobs.push(job),
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    let done = self.attempt(|connection| run_in_transaction(connection, &mut jobs));
                    for job in jobs {
                        job.answer(done.clone());
                    }
                }
                Order::RunAlone(mut job) => {
                    let done = self.attempt(|connection| job.run(connection));
                    job.answer(done);
                }
                Order::Close => break,
            }
            next = next.or_else(|| queue.blocking_recv());
        }
        self.close();
    }

    fn close(&mut self) {
        if let Some(Err(error)) = self.connection.take().map(open::close) {
            tracing::warn!(%error, "the store's write-ahead log is left as it is");
        }
    }

    /// Reads until told to end, or until no queue is left. Several threads share the queue.
    fn read(&mut self, queue: &Mutex<mpsc::Receiver<Order>>) {
        loop {
            let message = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
            match message {
                Some(Order::Run(mut job) | Order::RunAlone(mut job)) => {
                    let done = self.attempt(|connection| job.run(connection));
                    job.answer(done);
                }
                Some(Order::Close) | None => return,
            }
        }
    }

    /// Checks the whole file, and puts it out of use if it is damaged.
    fn check(&mut self, sealer: &Sealer) {
        let mut fault = None;
        let looked = self.attempt(|connection| {
            fault = check::find_fault(connection, sealer, now())?;
            Ok(())
        });
        match (looked, fault) {
            (Ok(()), Some(fault)) => drop(self.shared.damage(&fault)),
            (Err(StoreError::Unavailable(cause)), _) => tracing::warn!(cause, "the store was not checked for damage"),
            (Ok(()), None) | (Err(StoreError::Damaged(_)), _) => {}
        }
    }

    /// Runs an operation with the connection. After an error this is closed, and the next operation opens a new one, so
    /// that the database recovers once its files do.
    fn attempt(&mut self, operation: impl FnOnce(&mut Connection) -> rusqlite::Result<()>) -> Result<(), StoreError> {
        if let Some(damage) = self.shared.damage.get() {
            return Err(damage.clone());
        }
        let done = self.connection().and_then(operation);
        done.map_err(|error| {
            if !is_passing(&error) {
                self.connection = None;
            }
            self.shared.failure(&error)
        })
    }

    fn connection(&mut self) -> rusqlite::Result<&mut Connection> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            missing => Ok(missing.insert(connect(&self.shared.path, self.role)?)),
        }
    }
}

impl Shared {
    fn failure(&self, error: &rusqlite::Error) -> StoreError {
        match is_damage(error) {
            true => self.damage(error),
            false => StoreError::Unavailable(error.to_string()),
        }
    }

    /// Puts the database out of use.
    fn damage(&self, cause: &dyn Display) -> StoreError {
        let report = || {
            let damaged = OpenError::Damaged { path: self.path.clone(), cause: cause.to_string() };
            tracing::error!("{damaged}; it is not used any more");
            StoreError::Damaged(cause.to_string())
        };
        self.damage.get_or_init(report).clone()
    }
}

/// Runs all jobs in one transaction, and commits it. When one of them fails, all do, and nothing is written.
fn run_in_transaction(connection: &mut Connection, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in jobs {
        job.run(&transaction)?;
    }
    transaction.commit()
}

/// True for an error after which the connection can still be used.
fn is_passing(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy))
}
