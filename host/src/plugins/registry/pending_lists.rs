//! The queue of plugins whose lists are asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::plugins::announcements::List;
use crate::plugins::plugin::Plugin;

/// The plugins that are being asked, and those that wait for their turn.
#[derive(Default)]
pub(super) struct Relisting {
    pub(super) steps: JoinSet<Step>,
    /// Plugins that wait to be asked, and the lists that they announced.
    pub(super) pending: BTreeMap<Arc<str>, BTreeSet<List>>,
    /// Plugins that are being asked.
    pub(super) asked: BTreeSet<Arc<str>>,
    /// The earliest time of the next question, by plugin.
    pub(super) again_at: BTreeMap<Arc<str>, Instant>,
}

/// A step of asking for lists again.
pub(super) enum Step {
    /// The time for this plugin has come.
    Due(Arc<str>),
    /// A plugin has answered.
    Done(Box<NewLists>),
}

/// The answer of a plugin that was asked for its lists again.
pub(super) struct NewLists {
    /// The plugin as it was.
    pub(super) of: Arc<Plugin>,
    /// The lists that it says are new.
    pub(super) lists: BTreeSet<List>,
    /// The plugin as it is now, or why not.
    pub(super) read: Result<Plugin, String>,
}
