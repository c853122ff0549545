//! Notifications of changes: one per change of a list or a resource, and none if a list stays the same.

mod changes;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::{Peer, SubscriptionContext, SubscriptionSendError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::changes::{Announcement, Changes, Lists};
use super::preferences::Preferences;
use crate::plugins::Plugins;
use crate::plugins::announcements::ResourceUpdated;
use crate::plugins::catalog::Catalog;
use crate::plugins::served::Served;
use crate::principal::{self, Principal};

/// A legacy client that does not take a notification within so long misses it.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// The clients that wait for changes.
///
/// Modern clients each wait on the channel within their own `subscriptions/listen` request. Legacy sessions are kept
/// in one list with one task for all, so that a session that ends leaves nothing behind that waits for a change.
pub(super) struct Listeners {
    plugins: Plugins,
    rules: watch::Receiver<()>,
    /// By session id: a client that sends `initialized` twice is told once.
    sessions: Mutex<HashMap<String, LegacySession>>,
    draining: CancellationToken,
}

/// A legacy session.
#[derive(Clone)]
struct LegacySession {
    peer: Peer<RoleServer>,
    preferences: Arc<Preferences>,
    principal: Arc<Principal>,
    /// The reach that its lists were last made for.
    reach: Reach,
}

/// The scopes that a person could hold: with the catalog, they make the person's lists.
#[derive(Clone, PartialEq)]
struct Reach(Option<BTreeSet<String>>);

impl Reach {
    fn of(principal: &Principal) -> Self {
        Self(principal.could_hold())
    }

    fn covers(&self, served: &Served) -> bool {
        self.0.as_ref().is_none_or(|scopes| principal::has_all(scopes, served.scopes()))
    }
}

impl Lists {
    /// The lists that have changed for a person whose scopes have changed.
    fn of_other_reach(catalog: &Catalog, before: &Reach, now: &Reach) -> Self {
        let differs = |served: &Served| before.covers(served) != now.covers(served);
        Self {
            tools: catalog.tools().iter().any(|tool| differs(&tool.served)),
            prompts: catalog.prompts().iter().any(|prompt| differs(&prompt.served)),
            resources: catalog.resources().iter().any(|resource| differs(&resource.served))
                || catalog.templates().iter().any(|template| differs(&template.served)),
        }
    }
}

impl Listeners {
    /// Starts the task that tells legacy sessions, on `tracker` until `draining`.
    pub(super) fn start(
        plugins: &Plugins,
        rules: watch::Receiver<()>,
        tracker: &TaskTracker,
        draining: CancellationToken,
    ) -> Arc<Self> {
        let (plugins, sessions) = (plugins.clone(), Mutex::default());
        let listeners = Arc::new(Self { plugins, rules, sessions, draining: draining.clone() });
        let telling = Arc::clone(&listeners);
        let mut changes = listeners.changes();
        tracker.spawn(async move { draining.run_until_cancelled(telling.tell_sessions(&mut changes)).await });
        listeners
    }

    /// Adds a legacy session that has finished its handshake.
    pub(super) fn add(
        &self,
        id: &str,
        peer: Peer<RoleServer>,
        preferences: Arc<Preferences>,
        principal: Arc<Principal>,
    ) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| !session.peer.is_transport_closed());
        let reach = Reach::of(&principal);
        sessions.insert(id.to_owned(), LegacySession { peer, preferences, principal, reach });
    }

    /// Tells one modern client of changes until it goes away or the server stops.
    pub(super) async fn listen(&self, subscription: &SubscriptionContext, principal: &Principal) {
        let mut changes = self.changes();
        let mut reach = Reach::of(principal);
        loop {
            let change = tokio::select! {
                () = subscription.cancelled() => return,
                // A returned subscription gets its final result, by which the client knows that the end was intended.
                () = self.draining.cancelled() => return,
                () = principal.turned_away(&[]) => return,
                change = changes.next() => change,
            };
            let Some(change) = change else { return };
            let told = match change {
                Announcement::Lists(lists) => tell_subscription(subscription, lists).await,
                Announcement::Rules => tell_subscription(subscription, self.follow(&mut reach, principal)).await,
                Announcement::Resource(updated) => self.tell_update(subscription, principal, &updated).await,
            };
            if told.is_err() {
                return;
            }
        }
    }

    fn changes(&self) -> Changes {
        Changes::of(&self.plugins, self.rules.clone())
    }

    /// The lists that the new rules have changed.
    fn follow(&self, reach: &mut Reach, principal: &Principal) -> Lists {
        let now = Reach::of(principal);
        if now == *reach {
            return Lists::default();
        }
        let lists = Lists::of_other_reach(&self.plugins.catalog(), reach, &now);
        *reach = now;
        lists
    }

    async fn tell_update(
        &self,
        subscription: &SubscriptionContext,
        principal: &Principal,
        updated: &ResourceUpdated,
    ) -> Result<(), SubscriptionSendError> {
        let wanted = &subscription.accepted().resource_subscriptions;
        if wanted.iter().flatten().any(|uri| **uri == *updated.uri) && self.may_know(updated, principal) {
            subscription.sink().notify_resource_updated(updated.uri.to_string()).await?;
        }
        Ok(())
    }

    /// True if the resource is the plugin's own, and this person may read it.
    fn may_know(&self, updated: &ResourceUpdated, principal: &Principal) -> bool {
        let catalog = self.plugins.catalog();
        let owner = catalog.owner_of(&updated.uri);
        owner.is_some_and(|served| {
            served.plugin.name == updated.plugin
                && principal.holds(served.scopes())
                && principal.may_still(served.scopes())
        })
    }

    async fn tell_sessions(&self, changes: &mut Changes) {
        while let Some(change) = changes.next().await {
            let sends = self.to_tell(&change);
            let sends = sends.iter().map(|(session, lists)| async {
                tokio::time::timeout(SEND_TIMEOUT, self.tell(session, *lists, &change)).await
            });
            futures::future::join_all(sends).await;
        }
    }

    /// All sessions, each with its lists that have changed.
    fn to_tell(&self, change: &Announcement) -> Vec<(LegacySession, Lists)> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| !session.peer.is_transport_closed());
        let with_lists = sessions.values_mut().map(|session| {
            let lists = match change {
                Announcement::Lists(lists) => *lists,
                Announcement::Rules => self.follow(&mut session.reach, &session.principal),
                Announcement::Resource(_) => Lists::default(),
            };
            (session.clone(), lists)
        });
        with_lists.collect()
    }

    /// Notifies a session. One that cannot be reached has ended, or will ask for its lists again.
    async fn tell(&self, session: &LegacySession, lists: Lists, change: &Announcement) {
        let peer = &session.peer;
        if lists.tools {
            let _ = peer.notify_tool_list_changed().await;
        }
        if lists.prompts {
            let _ = peer.notify_prompt_list_changed().await;
        }
        if lists.resources {
            let _ = peer.notify_resource_list_changed().await;
        }
        if let Announcement::Resource(updated) = change
            && session.preferences.subscribes_to(&updated.uri)
            && self.may_know(updated, &session.principal)
        {
            let params = ResourceUpdatedNotificationParam::new(updated.uri.to_string());
            let _ = peer.notify_resource_updated(params).await;
        }
    }
}

/// Notifies a modern client of the changed lists that it has subscribed to.
async fn tell_subscription(subscription: &SubscriptionContext, lists: Lists) -> Result<(), SubscriptionSendError> {
    let (accepted, sink) = (subscription.accepted(), subscription.sink());
    if lists.tools && accepted.tools_list_changed == Some(true) {
        sink.notify_tool_list_changed().await?;
    }
    if lists.prompts && accepted.prompts_list_changed == Some(true) {
        sink.notify_prompt_list_changed().await?;
    }
    if lists.resources && accepted.resources_list_changed == Some(true) {
        sink.notify_resource_list_changed().await?;
    }
    Ok(())
}
