//! The state of plugins for a process that shares it with others: a client's, beside a running server and beside those of
//! further clients.
//!
//! While a server runs, it is asked. Without one, the file is opened for a request and closed a moment after the last one:
//! one process has it at a time, and the next one waits for that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::State;
use crate::control::client::Client;
use crate::kv::{Answer, Backend, Kv, KvError, OpenError, Request};
use crate::state::StateDir;

/// Time without a request after which the file is closed. Others wait no longer than [`PATIENCE`].
const IDLE: Duration = Duration::from_millis(300);

/// Time between two looks whether the file is in use, or can be closed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Time to wait for a file that another process has.
const PATIENCE: Duration = Duration::from_secs(5);

/// The state, wherever it is at the moment.
pub(super) struct Kept {
    /// `[state]` of the server that may be running.
    server: State,
    /// The one with the file.
    state: StateDir,
    own: Mutex<Option<Arc<Own>>>,
    /// Lets one request at a time open the file.
    opening: tokio::sync::Mutex<()>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// The file, opened by this process.
struct Own {
    kv: Kv,
    last_used: Mutex<Instant>,
}

impl Own {
    fn is_idle(&self) -> bool {
        self.last_used.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= IDLE
    }

    fn touch(&self) {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Kept {
    pub(super) fn backend(
        server: &State,
        state: StateDir,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Arc<dyn Backend> {
        Arc::new(Shared(Arc::new(Self {
            server: server.clone(),
            state,
            own: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            tracker: tracker.clone(),
            stop,
        })))
    }

    fn own(&self) -> Option<Arc<Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn opened(self: &Arc<Self>) -> Result<Arc<Own>, OpenError> {
        let _turn = self.opening.lock().await;
        if let Some(own) = self.own() {
            return Ok(own);
        }
        // The file's own: it is closed, and waited for, while the process goes on.
        let (tracker, stop) = (TaskTracker::new(), self.stop.child_token());
        let kv = Kv::opened(&self.state, &tracker, stop.clone()).await?;
        let own = Arc::new(Own { kv, last_used: Mutex::new(Instant::now()) });
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&own));
        let (kept, opened) = (Arc::clone(self), Arc::clone(&own));
        self.tracker.spawn(async move {
            while !kept.put_away(&opened) {
                if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
                    break;
                }
            }
            stop.cancel();
            tracker.close();
            tracker.wait().await;
        });
        Ok(own)
    }

    /// Forgets the file if no request has used it for a while.
    fn put_away(&self, own: &Arc<Own>) -> bool {
        let mut held = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        // One is here, and one in the task that asks.
        let is_over = Arc::strong_count(own) == 2 && own.is_idle();
        if is_over {
            *held = None;
        }
        is_over
    }
}

struct Shared(Arc<Kept>);

#[async_trait]
impl Backend for Shared {
    async fn ask(&self, request: Request) -> Result<Answer, KvError> {
        let Self(kept) = self;
        let until = Instant::now() + PATIENCE;
        loop {
            let own = match kept.own() {
                Some(own) => own,
                None => {
                    if let Ok(server) = Client::find(&kept.server).await {
                        return Kv::elsewhere(Arc::new(server)).ask(request).await;
                    }
                    match kept.opened().await {
                        Ok(own) => own,
                        Err(OpenError::InUse { .. }) if Instant::now() < until => {
                            tokio::time::sleep(LOOK_EVERY).await;
                            continue;
                        }
                        Err(error) => {
                            tracing::warn!("state of plugins cannot be used: {error}");
                            return Err(KvError::Unavailable("its file cannot be used now".to_owned()));
                        }
                    }
                }
            };
            own.touch();
            return own.kv.ask(request).await;
        }
    }
}
