//! Tags that name another artifact than the lock has: said, and never followed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::wanted;
use crate::config::Config;
use crate::oci::client::Client;
use crate::oci::lock::Lock;
use crate::oci::reference::Source;

/// The interval between looks.
const LOOK_EVERY: Duration = Duration::from_secs(6 * 3600);

/// What was found at the last look.
#[derive(Default)]
pub(super) struct Moved {
    looked: Option<(Instant, Lock)>,
    notes: BTreeMap<String, String>,
}

impl Moved {
    /// Looks at all tags if it is time. Returns what there is to say, by plugin. A registry that does not answer says nothing.
    pub(super) async fn look(&mut self, client: &Client, config: &Config, lock: &Lock) -> &BTreeMap<String, String> {
        let is_known = |(at, of): &(Instant, Lock)| at.elapsed() < LOOK_EVERY && of == lock;
        if self.looked.as_ref().is_some_and(is_known) {
            return &self.notes;
        }
        self.looked = Some((Instant::now(), lock.clone()));
        let mut notes = BTreeMap::new();
        for (plugin, from) in wanted(config) {
            let (Some(locked), Ok(source)) = (lock.of(&plugin, &from), from.parse::<Source>()) else { continue };
            match client.resolve(&source).await {
                Ok(now) if now.digest != locked.manifest => {
                    let note = format!(
                        "`{from}` names another artifact now ({}), and the locked one runs: `tinymcp update {plugin}` shows what would change",
                        now.digest
                    );
                    if self.notes.get(&plugin) != Some(&note) {
                        tracing::warn!(plugin, "plugin `{plugin}`: {note}");
                    }
                    notes.insert(plugin, note);
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(plugin, %error, "no look at the tag of plugin `{plugin}`"),
            }
        }
        self.notes = notes;
        &self.notes
    }
}
