//! What the registry keeps of the records that it shares with other servers, and what is under way to them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::sharing::{Known, SharedRecords};
use super::vacancies::Vacancies;
use crate::plugins::plugin::Plugin;

/// The records that servers share, for one of several; or nothing, for a server alone.
#[derive(Default)]
pub(super) struct Sharing {
    pub(super) records: Option<SharedRecords>,
    pub(super) news: Option<watch::Receiver<Arc<Known>>>,
    /// Changes on their way to the store.
    pub(super) under_way: JoinSet<Recorded>,
    /// Plugins in force whose approval is on its way: nobody judges them meanwhile.
    pub(super) recording: BTreeSet<String>,
    /// What could not be recorded while the store was away.
    pub(super) again: Vec<About>,
    pub(super) vacancies: Vacancies,
    pub(super) are_names_under_way: bool,
    /// The time to look again at names whose files are not here.
    pub(super) names_at: Option<Instant>,
    /// The directory is to be looked at now.
    pub(super) look_now: bool,
}

/// The end of a change.
pub(super) struct Recorded {
    pub(super) about: About,
    pub(super) outcome: Result<(), String>,
}

/// What a change is about.
pub(super) enum About {
    /// A plugin that comes into force when it is on record.
    Next { file: String, plugin: Arc<Plugin>, elapsed: Duration },
    /// A plugin that is in force, and counts as approved for this reason.
    InForce { file: String, plugin: Arc<Plugin>, why: &'static str },
    /// Whose names are whose.
    Names,
    /// Which files are not here, for the other servers.
    Lacks,
    /// Something that is remembered if that goes well.
    Memory(&'static str),
}

impl Sharing {
    pub(super) fn of(records: Option<SharedRecords>) -> Self {
        let news = records.as_ref().map(SharedRecords::subscribe);
        Self { records, news, ..Self::default() }
    }
}

/// Waits for what other servers have changed; without end for a server alone.
pub(super) async fn news(news: &mut Option<watch::Receiver<Arc<Known>>>) {
    let is_new = match news {
        Some(news) => news.changed().await.is_ok(),
        None => false,
    };
    if !is_new {
        std::future::pending::<()>().await;
    }
}
