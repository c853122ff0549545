//! Plugins that are served and not locked any more. They go on for a moment: the configuration and the lock are two files, of which
//! either may come first, and one that is written in place may be read half.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::oci::lock::{Lock, Locked};
use crate::plugins::sources::SourceState;

/// Time after which a plugin ends that the lock does not name.
const GONE_AFTER: Duration = Duration::from_secs(2);

/// Time after which one ends that the lock has from elsewhere than the configuration, on a server alone.
pub(super) const ELSEWHERE_AFTER: Duration = Duration::from_secs(5);

/// Since when which are not, and whether the lock has them from elsewhere.
#[derive(Default)]
pub(super) struct Unlocked(BTreeMap<String, (bool, Instant)>);

/// The entry of the lock for a plugin.
///
/// # Errors
/// There is none, for this reason.
pub(super) fn locked<'l>(lock: &'l Lock, plugin: &str, from: &str) -> Result<&'l Locked, String> {
    lock.of(plugin, from).ok_or_else(|| match lock.plugins.contains_key(plugin) {
        true => format!(
            "the lock has it from elsewhere than `{from}`: `tinymcp update {plugin}` shows what would run, and locks it"
        ),
        false => format!("`{from}` is not locked: `tinymcp update {plugin}` shows what would run, and locks it"),
    })
}

impl Unlocked {
    /// These are locked, and all others of before are wanted no more.
    pub(super) fn keep(&mut self, is_unlocked: impl Fn(&str) -> bool) {
        self.0.retain(|plugin, _| is_unlocked(plugin));
    }

    /// The state of a plugin that is not locked, `before` being its last one; `elsewhere_after` counts for one that the lock has
    /// from elsewhere.
    pub(super) fn state(
        &mut self,
        plugin: &str,
        reason: String,
        before: Option<&SourceState>,
        (lock, elsewhere_after): (&Lock, Duration),
    ) -> SourceState {
        if before.is_none_or(|before| matches!(before, SourceState::NotLocked(_))) {
            return SourceState::NotLocked(reason);
        }
        let is_elsewhere = lock.plugins.contains_key(plugin);
        let patience = if is_elsewhere { elsewhere_after } else { GONE_AFTER };
        let known = self.0.entry(plugin.to_owned()).or_insert_with(|| (is_elsewhere, Instant::now()));
        if known.0 != is_elsewhere {
            // One thing and then the other: a file is being replaced.
            *known = (is_elsewhere, Instant::now());
        }
        let since = known.1;
        match since.elapsed() < patience {
            true => SourceState::Missing(reason),
            false => SourceState::NotLocked(reason),
        }
    }

    /// True as long as one may go on that is not locked: it has to be looked at again.
    pub(super) fn any(&self) -> bool {
        !self.0.is_empty()
    }
}
