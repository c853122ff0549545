//! Telling clients that a list or a resource changed: once per change of a list, and never when it stays the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::{Peer, SubscriptionContext, SubscriptionSendError};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::session_state::SessionState;
use crate::plugins::catalog::{Catalog, Revisions};
use crate::plugins::{Plugins, Updated};
use crate::principal::Principal;

/// A legacy client that does not take a notification within so long misses it.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Those who want to know.
///
/// Modern clients each wait on the channel within their own `subscriptions/listen` request. Legacy sessions are kept
/// in one list with one task for all, so that a session that ends leaves nothing behind that waits for a change.
pub(super) struct Listeners {
    plugins: Plugins,
    /// By session id: a client that says twice that it is initialized is told once.
    sessions: Mutex<HashMap<String, Session>>,
    draining: CancellationToken,
}

/// A legacy session.
#[derive(Clone)]
struct Session {
    peer: Peer<RoleServer>,
    state: Arc<SessionState>,
    principal: Arc<Principal>,
}

/// What clients are told.
#[derive(Debug, Clone)]
enum News {
    /// Lists are others than those of these revisions.
    Lists { before: Revisions, now: Revisions },
    /// A resource holds something else.
    Resource(Updated),
}

impl Listeners {
    /// Starts the task that tells legacy sessions, on `tracker` until `draining`.
    pub(super) fn start(plugins: &Plugins, tracker: &TaskTracker, draining: CancellationToken) -> Arc<Self> {
        let listeners =
            Arc::new(Self { plugins: plugins.clone(), sessions: Mutex::default(), draining: draining.clone() });
        let telling = Arc::clone(&listeners);
        let mut changes = Changes::of(plugins);
        tracker.spawn(async move { draining.run_until_cancelled(telling.tell_sessions(&mut changes)).await });
        listeners
    }

    /// Adds a legacy session that has finished its handshake.
    pub(super) fn add(&self, id: &str, peer: Peer<RoleServer>, state: Arc<SessionState>, principal: Arc<Principal>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| !session.peer.is_transport_closed());
        sessions.insert(id.to_owned(), Session { peer, state, principal });
    }

    /// Tells one modern client of changes until it goes away or the server stops.
    pub(super) async fn listen(&self, subscription: &SubscriptionContext, principal: &Principal) {
        let mut changes = Changes::of(&self.plugins);
        loop {
            let news = tokio::select! {
                () = subscription.cancelled() => return,
                // A returned subscription gets its final result, which tells the client that this was no accident.
                () = self.draining.cancelled() => return,
                () = principal.turned_away(&[]) => return,
                news = changes.next() => news,
            };
            let Some(news) = news else { return };
            if self.tell_subscription(subscription, principal, news).await.is_err() {
                return;
            }
        }
    }

    async fn tell_subscription(
        &self,
        subscription: &SubscriptionContext,
        principal: &Principal,
        news: News,
    ) -> Result<(), SubscriptionSendError> {
        let (accepted, sink) = (subscription.accepted(), subscription.sink());
        match news {
            News::Lists { before, now } => {
                if now.tools != before.tools && accepted.tools_list_changed == Some(true) {
                    sink.notify_tool_list_changed().await?;
                }
                if now.prompts != before.prompts && accepted.prompts_list_changed == Some(true) {
                    sink.notify_prompt_list_changed().await?;
                }
                if now.resources != before.resources && accepted.resources_list_changed == Some(true) {
                    sink.notify_resource_list_changed().await?;
                }
            }
            News::Resource(updated) => {
                let is_wanted = accepted.resource_subscriptions.iter().flatten().any(|uri| **uri == *updated.uri);
                if is_wanted && self.may_know(&updated, principal) {
                    sink.notify_resource_updated(updated.uri.to_string()).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether the resource is the plugin's own, and one that this person may read.
    fn may_know(&self, updated: &Updated, principal: &Principal) -> bool {
        let catalog = self.plugins.catalog();
        let owner = catalog.owner_of(&updated.uri);
        owner.is_some_and(|served| {
            served.plugin.name == updated.plugin
                && principal.holds(served.scopes())
                && principal.may_still(served.scopes())
        })
    }

    async fn tell_sessions(&self, changes: &mut Changes) {
        while let Some(news) = changes.next().await {
            let sessions = {
                let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
                sessions.retain(|_, session| !session.peer.is_transport_closed());
                sessions.values().cloned().collect::<Vec<_>>()
            };
            let news = &news;
            let sends = sessions
                .iter()
                .map(|session| async move { tokio::time::timeout(SEND_TIMEOUT, self.tell(session, news)).await });
            futures::future::join_all(sends).await;
        }
    }

    /// A session that cannot be reached has ended, or will ask.
    async fn tell(&self, session: &Session, news: &News) {
        let peer = &session.peer;
        match news {
            News::Lists { before, now } => {
                if now.tools != before.tools {
                    let _ = peer.notify_tool_list_changed().await;
                }
                if now.prompts != before.prompts {
                    let _ = peer.notify_prompt_list_changed().await;
                }
                if now.resources != before.resources {
                    let _ = peer.notify_resource_list_changed().await;
                }
            }
            News::Resource(updated) => {
                if session.state.subscribes_to(&updated.uri) && self.may_know(updated, &session.principal) {
                    let params = ResourceUpdatedNotificationParam::new(updated.uri.to_string());
                    let _ = peer.notify_resource_updated(params).await;
                }
            }
        }
    }
}

/// What happens from now on.
struct Changes {
    catalogs: watch::Receiver<Arc<Catalog>>,
    seen: Revisions,
    updates: broadcast::Receiver<Updated>,
}

impl Changes {
    fn of(plugins: &Plugins) -> Self {
        let mut catalogs = plugins.changes();
        let seen = catalogs.borrow_and_update().revisions();
        Self { catalogs, seen, updates: plugins.updates() }
    }

    /// Waits for something that clients are told; `None` when there will be nothing more.
    async fn next(&mut self) -> Option<News> {
        let before = self.seen;
        loop {
            tokio::select! {
                changed = self.catalogs.wait_for(|catalog| catalog.revisions() != before) => {
                    let now = changed.ok()?.revisions();
                    self.seen = now;
                    return Some(News::Lists { before, now });
                }
                updated = self.updates.recv() => match updated {
                    Ok(updated) => return Some(News::Resource(updated)),
                    // Too many at once: those that are lost are lost.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        }
    }
}
