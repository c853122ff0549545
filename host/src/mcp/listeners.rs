//! Telling clients that the list of tools changed: once per change of the list, and never when it stays the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::service::{Peer, SubscriptionContext};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::plugins::Plugins;
use crate::plugins::catalog::Catalog;

/// A legacy client that does not take a notification within so long misses it.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Those who want to know.
///
/// Modern clients each wait on the channel within their own `subscriptions/listen` request. Legacy sessions are kept
/// in one list with one task for all, so that a session that ends leaves nothing behind that waits for a change.
pub(super) struct Listeners {
    changes: watch::Receiver<Arc<Catalog>>,
    /// By session id: a client that says twice that it is initialized is told once.
    sessions: Mutex<HashMap<String, Peer<RoleServer>>>,
    draining: CancellationToken,
}

impl Listeners {
    /// Starts the task that tells legacy sessions, on `tracker` until `draining`.
    pub(super) fn start(plugins: &Plugins, tracker: &TaskTracker, draining: CancellationToken) -> Arc<Self> {
        let listeners =
            Arc::new(Self { changes: plugins.changes(), sessions: Mutex::default(), draining: draining.clone() });
        let telling = Arc::clone(&listeners);
        tracker.spawn(async move { draining.run_until_cancelled(telling.tell_sessions()).await });
        listeners
    }

    /// Adds a legacy session that has finished its handshake.
    pub(super) fn add(&self, id: &str, session: Peer<RoleServer>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| !session.is_transport_closed());
        sessions.insert(id.to_owned(), session);
    }

    /// Tells one modern client of changes until it goes away or the server stops.
    pub(super) async fn listen(&self, subscription: &SubscriptionContext) {
        let mut changes = self.changes.clone();
        let mut seen = changes.borrow_and_update().revision();
        loop {
            tokio::select! {
                () = subscription.cancelled() => return,
                // A returned subscription gets its final result, which tells the client that this was no accident.
                () = self.draining.cancelled() => return,
                changed = next_revision(&mut changes, seen) => {
                    let Some(revision) = changed else { return };
                    seen = revision;
                }
            }
            if subscription.accepted().tools_list_changed == Some(true)
                && subscription.sink().notify_tool_list_changed().await.is_err()
            {
                return;
            }
        }
    }

    async fn tell_sessions(&self) {
        let mut changes = self.changes.clone();
        let mut seen = changes.borrow_and_update().revision();
        while let Some(revision) = next_revision(&mut changes, seen).await {
            seen = revision;
            let sessions = {
                let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
                sessions.retain(|_, session| !session.is_transport_closed());
                sessions.values().cloned().collect::<Vec<_>>()
            };
            let sends =
                sessions.iter().map(|session| tokio::time::timeout(SEND_TIMEOUT, session.notify_tool_list_changed()));
            futures::future::join_all(sends).await;
        }
    }
}

/// Waits for a list that differs from the one of revision `seen`; `None` when there will be none.
async fn next_revision(changes: &mut watch::Receiver<Arc<Catalog>>, seen: u64) -> Option<u64> {
    let catalog = changes.wait_for(|catalog| catalog.revision() != seen).await.ok()?;
    Some(catalog.revision())
}
