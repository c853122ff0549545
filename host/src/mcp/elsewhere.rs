//! What other servers of the store tell of clients, taken to whoever has a part of it here; and what plugins say here of
//! their resources, taken to the others.
//!
//! Every kind of hint is listed in [`Parts::take`], but those of rests, which count in their order. None of them is more than a reason to look: among the requests that are
//! in flight here, or into the store.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::RequestId;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::session::Sessions;
use super::shelf::{Shelf, person_of};
use super::tasks::Tasks;
use crate::plugins::Plugins;
use crate::plugins::updates::Said;
use crate::replicas::{ChangedList, ClientHint, Hint, News, Told, UpdatedResource};

/// Hints that are looked after at a time.
const AT_ONCE: usize = 64;

/// Time between two messages about resources.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Whoever has a part of what clients do.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) sessions: Arc<Sessions>,
    pub(super) tasks: Tasks,
    pub(super) plugins: Plugins,
}

/// Hears and tells until this server leaves.
pub(super) fn start(shelf: &Shelf, parts: Parts, tracker: &TaskTracker) {
    let Some(news) = shelf.replicas().news() else { return };
    let left = news.left();
    let telling = tell(shelf.clone(), parts.plugins.clone());
    tracker.spawn(left.clone().run_until_cancelled_owned(telling));
    tracker.spawn(left.run_until_cancelled_owned(listen(news, parts)));
}

async fn listen(mut news: News, parts: Parts) {
    let mut looking = JoinSet::new();
    loop {
        while looking.len() >= AT_ONCE {
            looking.join_next().await;
        }
        tokio::select! {
            heard = news.next() => match heard {
                Some(Told::Hint(Hint::Client(hint))) => drop(looking.spawn(parts.clone().take(hint))),
                Some(Told::Hint(Hint::Rest(hint))) => parts.sessions.rest_elsewhere(hint),
                Some(Told::Hint(Hint::Rows(_) | Hint::Switches | Hint::Plugins)) => {}
                Some(Told::Gap) => parts.missed_something().await,
                None => return,
            },
            Some(_) = looking.join_next() => {}
        }
    }
}

impl Parts {
    async fn take(self, hint: ClientHint) {
        let Self { sessions, tasks, plugins } = self;
        match hint {
            ClientHint::Cancelled { session, request } => {
                if let Ok(request) = serde_json::from_value::<RequestId>(request) {
                    sessions.cancelled_elsewhere(&session, request).await;
                }
            }
            ClientHint::Session { person, session } => {
                if let Some(person) = person_of(&person) {
                    sessions.changed_elsewhere(&person, &session).await;
                }
            }
            ClientHint::Answered { person, session, question } => {
                if let Some(person) = person_of(&person) {
                    sessions.answered_elsewhere(&person, &session, question).await;
                }
            }
            ClientHint::Task { person, task, letter } => {
                if let Some(person) = person_of(&person) {
                    tasks.said_elsewhere(&person, &task, &letter).await;
                }
            }
            ClientHint::Person(person) => {
                if let Some(person) = person_of(&person) {
                    sessions.ended_elsewhere(&person).await;
                    tasks.forgotten_elsewhere(&person).await;
                }
            }
            ClientHint::Updated(resources) => {
                for UpdatedResource { plugin, uri } in resources {
                    plugins.updates().announced_elsewhere(&plugin, uri.as_deref());
                }
            }
            ClientHint::Lists(lists) => {
                for ChangedList { plugin, list } in lists {
                    plugins.list_announced_elsewhere(&plugin, &list);
                }
            }
        }
    }

    async fn missed_something(&self) {
        self.sessions.missed_something().await;
        self.tasks.missed_something().await;
    }
}

/// Tells others of what plugins say here of their own resources and lists.
async fn tell(shelf: Shelf, plugins: Plugins) {
    loop {
        let hint = tokio::select! {
            said = plugins.updates().for_others() => updated(&plugins, said),
            lists = plugins.lists_for_others() => Some(changed(lists)),
        };
        if let Some(hint) = hint {
            // While the store is away, nobody hears it.
            if let Err(error) = shelf.tell(hint).await {
                tracing::debug!(%error, "other servers could not be told of what plugins say");
            }
        }
        tokio::time::sleep(TELL_EVERY).await;
    }
}

/// Of a resource only its own plugin can say that it holds something else.
fn updated(plugins: &Plugins, said: Said) -> Option<ClientHint> {
    let is_own =
        |plugin: &str, uri: &str| plugins.catalog().owner_of(uri).is_some_and(|owner| *owner.plugin.name == *plugin);
    let own = said.into_iter().filter(|(plugin, uri)| uri.as_ref().is_none_or(|uri| is_own(plugin, uri)));
    let resources: Vec<UpdatedResource> = own
        .map(|(plugin, uri)| UpdatedResource { plugin: plugin.to_string(), uri: uri.map(|uri| uri.to_string()) })
        .collect();
    (!resources.is_empty()).then_some(ClientHint::Updated(resources))
}

fn changed(lists: Vec<(Arc<str>, &'static str)>) -> ClientHint {
    let list = |(plugin, list): (Arc<str>, &str)| ChangedList { plugin: plugin.to_string(), list: list.to_owned() };
    ClientHint::Lists(lists.into_iter().map(list).collect())
}
