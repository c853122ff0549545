//! The thread that has the file, and the queue before it.
//!
//! Every operation is short, and one thread does all of them, the spaces in turn: nobody waits long, and what was written is
//! read.

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use rusqlite::ErrorCode;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::Fault;
use super::open::Database;
use super::request::{Answer, KvError, Request, Space};
use super::turns::Turns;
use crate::log_limiter::LogLimiter;

/// The most requests in the queue, and of those that were taken from it for their turns; further ones wait for room.
const QUEUE: usize = 256;

/// Time between two sweeps. What has expired is not read; a sweep gives its space back.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Time between two batches of a sweep, in which others have their turn.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// The queue before the thread.
pub(super) struct Worker(mpsc::Sender<Order>);

enum Order {
    Ask(Box<Request>, oneshot::Sender<Result<Answer, KvError>>),
    /// Answers whether there is more to do.
    Sweep(oneshot::Sender<bool>),
    Close,
}

/// The next order, which is waited for. None when nobody can send one any more.
fn next(turns: &mut Turns<Order>, queue: &mut mpsc::Receiver<Order>) -> Option<Order> {
    loop {
        // What has come meanwhile counts for whose turn it is.
        while !turns.is_closed(QUEUE)
            && let Ok(order) = queue.try_recv()
        {
            turns.add(order.space(), order);
        }
        if let Some(order) = turns.next() {
            return Some(order);
        }
        let order = queue.blocking_recv()?;
        turns.add(order.space(), order);
    }
}

impl Order {
    /// The space that it is about, if it is about one alone.
    fn space(&self) -> Option<Space> {
        match self {
            Self::Ask(request, _) => match &**request {
                Request::Use { space, .. } => Some(space.clone()),
                _ => None,
            },
            Self::Sweep(_) | Self::Close => None,
        }
    }
}

impl Worker {
    /// Starts the thread, and sweeps until `stop` is cancelled, which closes the file.
    pub(super) fn start(database: Database, tracker: &TaskTracker, stop: CancellationToken) -> Result<Self, KvError> {
        let (sender, mut queue) = mpsc::channel(QUEUE);
        let running = tracker.token();
        let mut turns = Turns::default();
        let serve = move || {
            // The file is closed before anybody hears that the thread is done.
            let _running = running;
            let mut database = database;
            while let Some(order) = next(&mut turns, &mut queue) {
                if database.obey(order).is_break() {
                    break;
                }
            }
        };
        let spawned = thread::Builder::new().name("kv".to_owned()).spawn(serve);
        spawned.map_err(|error| KvError::Unavailable(error.to_string()))?;
        tracker.spawn(maintain(sender.downgrade(), stop));
        Ok(Self(sender))
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Answer, KvError> {
        let closed = || KvError::Unavailable("it is closed".to_owned());
        let (caller, answer) = oneshot::channel();
        self.0.send(Order::Ask(Box::new(request), caller)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// Sweeps from time to time, and closes the file in the end.
async fn maintain(queue: mpsc::WeakSender<Order>, stop: CancellationToken) {
    let mut pause = SWEEP_INTERVAL;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        // No handle is left: the thread ends by itself.
        let Some(queue) = queue.upgrade() else { return };
        let (caller, answer) = oneshot::channel();
        let _ = queue.send(Order::Sweep(caller)).await;
        pause = if answer.await.unwrap_or(false) { SWEEP_PAUSE } else { SWEEP_INTERVAL };
    }
    if let Some(queue) = queue.upgrade() {
        let _ = queue.send(Order::Close).await;
    }
}

impl Database {
    fn obey(&mut self, order: Order) -> ControlFlow<()> {
        match order {
            Order::Ask(_, caller) if caller.is_closed() => {}
            Order::Ask(request, caller) => {
                // The caller may have gone away.
                let _ = caller.send(self.run(*request).map_err(outward));
            }
            Order::Sweep(caller) => {
                let swept = self.expect_in_place().map_err(Fault::from).and_then(|()| Ok(self.sweep()?));
                let _ = caller.send(swept.unwrap_or_else(|fault| {
                    // The log has it: nobody may use the state for long, and know it otherwise.
                    outward(fault);
                    false
                }));
            }
            Order::Close => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }
}

/// What a plugin gets to know of a fault; all of it is in the log.
fn outward(fault: Fault) -> KvError {
    static FAILED: LogLimiter = LogLimiter::new("failures of the state of plugins");
    match fault {
        Fault::Kv(KvError::Damaged) => {
            FAILED.log(|| tracing::error!("state of plugins: an entry is not what was written"));
            KvError::Damaged
        }
        Fault::Kv(error) => error,
        Fault::File(error) => {
            FAILED.log(|| tracing::error!("state of plugins cannot be used: {error}"));
            KvError::Unavailable(error.outward().to_owned())
        }
        Fault::Sqlite(error) => {
            FAILED.log(|| tracing::error!(%error, "state of plugins not read or written"));
            KvError::Unavailable(match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "its file is damaged".to_owned(),
                _ => "its file cannot be used now".to_owned(),
            })
        }
    }
}
