//! Who lets a file go live, and what waits for that.

use std::sync::Arc;
use std::time::SystemTime;

use crate::config::Config;
use crate::config::trust::{Approve, Trust};
use crate::plugins::approval::reference::Reference;
use crate::plugins::plugin::Plugin;

/// Who says that a file may go live.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::plugins::registry) struct Policy {
    pub(in crate::plugins::registry) approve: Approve,
    pub(in crate::plugins::registry) trust: Option<Trust>,
}

impl Policy {
    pub(super) fn of(config: &Config, plugin: &str) -> Self {
        Self { approve: config.approve(plugin), trust: config.plugin(plugin).trust.clone() }
    }

    /// True if whoever can replace the file cannot decide alone what is served.
    pub(in crate::plugins::registry) fn is_any(&self) -> bool {
        *self != Self::default()
    }

    pub(in crate::plugins::registry) fn asks_for_signature(&self) -> bool {
        self.trust.as_ref().is_some_and(|trust| trust.minisign.is_some())
    }
}

/// A plugin that an operator has to look at before it goes live.
pub(in crate::plugins::registry) struct Waiting {
    pub(in crate::plugins::registry) plugin: Arc<Plugin>,
    pub(in crate::plugins::registry) part: WaitingPart,
    pub(in crate::plugins::registry) reference: Reference,
    pub(in crate::plugins::registry) since: SystemTime,
}

/// What is not as it was approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plugins::registry) enum WaitingPart {
    /// Nothing of it was approved before.
    New,
    /// Nobody can tell what was approved before.
    Damaged,
    /// The file.
    File,
    /// What the plugin lists at run time.
    Lists,
}

impl WaitingPart {
    pub(in crate::plugins::registry) fn in_words(self) -> &'static str {
        match self {
            Self::New => "a new plugin",
            Self::Damaged => "what was approved of it before cannot be read",
            Self::File => "another file",
            Self::Lists => "other lists at run time",
        }
    }
}
