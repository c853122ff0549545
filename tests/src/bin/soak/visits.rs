//! Visits of all kinds. Each visitor comes again and again until all is over, and a visit that fails is noted.

mod calls;
mod cuts;
mod listeners;
mod logins;
mod outages;
mod reloads;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::ground::Ground;

/// A kind of visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Visitor {
    /// Logs in, calls for a while over one connection, renews, logs out.
    Caller,
    /// Logs in, begins a legacy session, calls, ends it or leaves it.
    Session,
    /// Logs in and listens.
    Listener,
    /// Logs in and renews, and logs out or not.
    Login,
    /// Cuts connections.
    Cutter,
    /// Replaces plugins.
    Reloader,
    /// Takes the provider away.
    Outage,
}

/// How many there are, and how long each stays away between two visits.
const VISITORS: [(Visitor, usize, Duration); 7] = [
    (Visitor::Caller, 4, Duration::from_secs(1)),
    (Visitor::Session, 2, Duration::from_secs(3)),
    (Visitor::Listener, 2, Duration::from_secs(2)),
    (Visitor::Login, 1, Duration::from_secs(4)),
    (Visitor::Cutter, 2, Duration::from_secs(1)),
    (Visitor::Reloader, 1, Duration::from_secs(1)),
    (Visitor::Outage, 1, Duration::from_secs(20)),
];

/// Lets those of some kinds come, one after the other; of all kinds, if none is named.
pub(crate) fn begin(ground: &Arc<Ground>, only: &[Visitor]) -> JoinSet<()> {
    let mut visitors = JoinSet::new();
    let all = VISITORS.into_iter().flat_map(|(visitor, count, pause)| (0..count).map(move |_| (visitor, pause)));
    let all = all.filter(|(visitor, _)| only.is_empty() || only.contains(visitor));
    for (number, (visitor, pause)) in all.enumerate() {
        visitors.spawn(come_again(Arc::clone(ground), visitor, number, pause));
    }
    visitors
}

async fn come_again(ground: Arc<Ground>, visitor: Visitor, number: usize, pause: Duration) {
    ground.pause(Duration::from_millis(300) * u32::try_from(number).unwrap_or_default()).await;
    let mut time = 0;
    while !ground.is_over() {
        let visit = visit(Arc::clone(&ground), visitor, number, time);
        let failure = match tokio::spawn(visit).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(panic) => Some(words(panic)),
        };
        if let Some(failure) = failure {
            ground.ledger.failure(&format!("{visitor:?} {number}"), &failure);
        }
        time += 1;
        ground.pause(pause).await;
    }
}

/// `time` counts the visits of one visitor.
async fn visit(ground: Arc<Ground>, visitor: Visitor, number: usize, time: usize) -> anyhow::Result<()> {
    let person = Ground::person(number);
    match visitor {
        Visitor::Caller => calls::visit(&ground, person, time).await,
        Visitor::Session => sessions::visit(&ground, person, time).await,
        Visitor::Listener => listeners::visit(&ground, person, time).await,
        Visitor::Login => logins::visit(&ground, Ground::person(time), time).await,
        Visitor::Cutter => cuts::visit(&ground, person).await,
        Visitor::Reloader => reloads::visit(&ground, person, time).await,
        Visitor::Outage => outages::visit(&ground, person, time).await,
    }
}

/// The words of an assertion that did not hold.
fn words(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "the visit was cancelled".to_owned() };
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("an assertion does not hold").to_owned()
}
