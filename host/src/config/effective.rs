//! The effective configuration, for `tinymcp check`: TOML, with the source behind each value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::key::{Key, quoted};
use super::problem::Source;

/// The text in place of a secret.
pub(super) const REDACTED: &str = "\"***\"";

/// Beginnings of keys that each machine may have of its own.
const OF_ONE_MACHINE: [&str; 9] = [
    "server.listen",
    "state.dir",
    "state.socket",
    "state.url",
    "state.ca_file",
    "plugins.dir",
    "log.",
    "metrics.listen",
    "audit.file",
];

/// Every value that was read, in the order of the keys' declarations, and the URLs at the provider that follow from
/// them. Displayed as TOML without secrets.
#[derive(Clone, Debug)]
pub struct EffectiveConfig {
    pub(super) lines: Vec<Line>,
    pub(super) provider_urls: Option<ProviderUrls>,
    /// The way to the provider, in words.
    pub(super) egress: String,
    /// The way out of plugins, in words, where there is a proxy.
    pub(super) way_out: Option<&'static str>,
}

impl EffectiveConfig {
    /// A digest of all values, secrets aside: the same for the same configuration, wherever it comes from.
    pub fn digest(&self) -> String {
        digest_of(self.values())
    }

    /// The same without what one machine may have of its own: for servers that are to be alike.
    pub fn shared(&self) -> SharedSettings {
        let is_of_machine = |key: &str| OF_ONE_MACHINE.iter().any(|own| key.starts_with(own));
        let shared = self.values().filter(|(key, _)| !is_of_machine(key));
        let given = self.lines.iter().filter(|line| line.source != Source::Default);
        let given =
            given.map(|line| (line.key.to_string(), line.shown.as_str())).filter(|(key, _)| !is_of_machine(key));
        let one =
            |(key, shown): (String, &str)| (key.clone(), digest_of(std::iter::once((key, shown)))[..8].to_owned());
        SharedSettings { digest: digest_of(shared), given: given.map(one).collect() }
    }

    /// The keys whose values are others than before.
    pub fn changed_from(&self, before: &Self) -> Vec<String> {
        let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (before.values().collect(), self.values().collect());
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
    }

    fn values(&self) -> impl Iterator<Item = (String, &str)> {
        let mut values: Vec<(String, &str)> =
            self.lines.iter().map(|line| (line.key.to_string(), line.shown.as_str())).collect();
        values.sort_unstable();
        values.into_iter()
    }
}

/// What servers that are to be alike have in common, without any value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SharedSettings {
    /// A digest of all settings.
    pub digest: String,
    /// A digest of each that is given.
    pub given: BTreeMap<String, String>,
}

impl SharedSettings {
    /// The keys of which two servers have different values.
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        if self.digest == other.digest {
            return BTreeSet::new();
        }
        let keys = self.given.keys().chain(other.given.keys());
        keys.filter(|key| self.given.get(*key) != other.given.get(*key)).cloned().collect()
    }
}

fn digest_of<'v>(values: impl Iterator<Item = (String, &'v str)>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (key, shown) in values {
        hasher.update(format!("{key} = {shown}\n").as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// The URLs that an operator compares with what the provider says.
#[derive(Clone, Debug)]
pub(super) struct ProviderUrls {
    /// The provider's name for people.
    pub(super) name: String,
    /// The URL of its discovery document; none if its endpoints are given.
    pub(super) discovery: Option<String>,
    /// The callback URL, to which it sends people back.
    pub(super) callback: String,
}

/// One key with its value.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) key: Key,
    /// The value in TOML, as it was written, or redacted.
    pub(super) shown: String,
    pub(super) source: Source,
}

impl EffectiveConfig {
    /// The same for programs: every key with its value as TOML, secrets redacted, and where it comes from.
    pub fn as_json(&self) -> serde_json::Value {
        let value = |line: &Line| {
            serde_json::json!({
                "key": line.key.to_string(),
                "value": line.shown,
                "source": line.source.to_string(),
            })
        };
        let provider = self.provider_urls.as_ref().map(|ProviderUrls { name, discovery, callback }| {
            serde_json::json!({ "name": name, "discovery": discovery, "callback": callback, "reached": self.egress })
        });
        serde_json::json!({ "values": self.lines.iter().map(value).collect::<Vec<_>>(), "provider": provider })
    }
}

impl fmt::Display for EffectiveConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tables: Vec<Key> = Vec::new();
        for table in self.lines.iter().map(|line| line.key.table()) {
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        // TOML has each table once: the keys after a table within it belong to the lines before.
        for (place, table) in tables.iter().enumerate() {
            let gap = if place == 0 { "" } else { "\n" };
            writeln!(f, "{gap}[{table}]")?;
            for line in self.lines.iter().filter(|line| line.key.table() == *table) {
                writeln!(f, "{} = {}  # {}", quoted(line.key.name()), line.shown, line.source)?;
            }
        }
        if let Some(way_out) = self.way_out {
            writeln!(f, "\n# Requests of plugins go through the proxy: {way_out}")?;
        }
        let Some(ProviderUrls { name, discovery, callback }) = &self.provider_urls else { return Ok(()) };
        writeln!(f)?;
        if let Some(discovery) = discovery {
            writeln!(f, "# The discovery document of {name}: {discovery}")?;
        }
        writeln!(f, "# The callback URL to enter at {name}: {callback}")?;
        writeln!(f, "# {name} is reached {}", self.egress)
    }
}
