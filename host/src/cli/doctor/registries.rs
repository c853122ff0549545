//! Checks plugins from registries: that they are locked and at hand, and what their registries say of them now.

use std::path::PathBuf;
use std::time::Duration;

use futures::{StreamExt, stream};

use crate::config::{Config, Egress};
use crate::diagnosis::Finding;
use crate::oci::client::Client;
use crate::oci::lock::Lock;
use crate::oci::reference;
use crate::plugins::sources::{Source, SourceState};
use crate::supply;

const SUBJECT: &str = "plugin from a registry";

/// Plugins that are asked about at once, and the time for each.
const ASKED: usize = 16;
const ASK_MAX: Duration = Duration::from_secs(10);

/// Looks at each of them.
pub(super) async fn look(config: &Config, egress: &Egress, docker: Option<PathBuf>) -> Vec<Finding> {
    let at_hand = supply::at_hand(config);
    if at_hand.is_empty() {
        return Vec::new();
    }
    let client = match supply::client(config, egress, docker) {
        Ok(client) => client,
        Err(error) => return vec![Finding::bad(SUBJECT, format!("no registry can be reached: {error}"))],
    };
    let lock = Lock::read(&config.plugins.lock).unwrap_or_default();
    let (client, lock) = (&client, &lock);
    let looks = at_hand.into_iter().map(|(plugin, source)| one(config, client, lock, plugin, source));
    stream::iter(looks).buffered(ASKED).collect().await
}

async fn one(config: &Config, client: &Client, lock: &Lock, plugin: String, source: Source) -> Finding {
    let Source { from, state, .. } = source;
    let is_signed = config.plugin(&plugin).trust.as_ref().is_some_and(|trust| trust.cosign.is_some());
    let is_at_hand = match state {
        // It is in no lock, or the lock cannot be read.
        SourceState::NotLocked(why) | SourceState::Missing(why) => {
            return Finding::bad(SUBJECT, format!("`{plugin}`: {why}"));
        }
        SourceState::File { cosign: Err(why), .. } if is_signed => {
            return Finding::bad(SUBJECT, format!("`{plugin}`: `trust` demands a signature of cosign: {why}"));
        }
        SourceState::File { .. } => true,
        SourceState::Coming(_) => false,
    };
    let Some(locked) = lock.of(&plugin, &from) else {
        return Finding::bad(SUBJECT, format!("`{plugin}`: the lock has just changed"));
    };
    let source = match from.parse::<reference::Source>() {
        Ok(source) => source,
        Err(error) => return Finding::bad(SUBJECT, format!("`{plugin}`: {error}")),
    };
    let ask = async {
        match is_at_hand {
            true => client.resolve(&source).await.map(Some),
            // What will be pulled has to be there.
            false => client.resolve_digest(&locked.repository, &locked.manifest).await.map(|_| None),
        }
    };
    let asked = tokio::time::timeout(ASK_MAX, ask).await;
    let slow = || format!("its registry gives no answer for {} s", ASK_MAX.as_secs());
    match asked.map_err(|_| slow()).and_then(|asked| asked.map_err(|error| error.to_string())) {
        Ok(Some(now)) if now.digest != locked.manifest => {
            Finding::note(SUBJECT, format!("`{plugin}`: `{from}` names another artifact now than the lock, which runs"))
                .step(format!("`tinymcp update --dry-run {plugin}` shows what would change."))
        }
        Ok(Some(_)) => Finding::good(SUBJECT, format!("`{plugin}` is locked and at hand, and `{from}` names the same")),
        Ok(None) => Finding::good(SUBJECT, format!("`{plugin}` is locked, and its registry has it")),
        Err(error) if is_at_hand => {
            Finding::note(SUBJECT, format!("`{plugin}` is at hand, so that a start asks nobody; but {error}"))
        }
        Err(error) => Finding::bad(SUBJECT, format!("`{plugin}` is not at hand, and cannot be pulled: {error}")),
    }
}
