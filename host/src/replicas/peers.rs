//! The other servers of a store, as they say of themselves.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::envelope::Sender;

/// Time without a word after which a server counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(15);

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its name: the host's, as a person knows it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The latest format of stored things that it reads.
    pub format: u32,
    /// A digest of its configuration, secrets aside.
    pub configuration: String,
}

/// Another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What it says of itself.
    pub about: About,
}

/// All of them.
pub(super) struct Peers {
    own: Mutex<About>,
    others: Mutex<HashMap<Sender, (About, Instant)>>,
}

impl Peers {
    pub(super) fn new(own: About) -> Self {
        Self { own: Mutex::new(own), others: Mutex::default() }
    }

    /// What this server says of itself.
    pub(super) fn own(&self) -> About {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn configured(&self, digest: String) {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).configuration = digest;
    }

    /// Notes a server. Returns true if it is new, or says something else than before.
    pub(super) fn note(&self, sender: Sender, about: About) -> bool {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.retain(|_, (_, at)| at.elapsed() <= GONE_AFTER);
        let before = others.insert(sender, (about.clone(), Instant::now()));
        before.is_none_or(|(before, _)| before != about)
    }

    /// Forgets one that is going away.
    pub(super) fn forget(&self, sender: &Sender) {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).remove(sender);
    }

    pub(super) fn others(&self) -> Vec<Peer> {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = others.values().filter(|(_, at)| at.elapsed() <= GONE_AFTER);
        alive.map(|(about, _)| Peer { about: about.clone() }).collect()
    }

    pub(super) fn differences(&self) -> Vec<String> {
        let own = self.own();
        let mut by_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for Peer { about } in self.others() {
            if about.configuration != own.configuration {
                by_kind.entry("another configuration").or_default().push(about.name.clone());
            }
            if about.version != own.version {
                by_kind.entry("another version").or_default().push(format!("{} ({})", about.name, about.version));
            }
        }
        let words = |(kind, mut names): (&str, Vec<String>)| {
            names.sort_unstable();
            format!("{kind} than this server ({}): {}", own.name, names.join(", "))
        };
        by_kind.into_iter().map(words).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(name: &str, configuration: &str) -> About {
        let (name, configuration) = (name.to_owned(), configuration.to_owned());
        About { name, version: "1".to_owned(), format: 1, configuration }
    }

    #[test]
    fn others_are_known_while_they_say_so_and_differences_are_named() {
        let peers = Peers::new(about("a", "one"));
        assert!(peers.note([1; 16], about("b", "one")) && !peers.note([1; 16], about("b", "one")));
        assert!(peers.differences().is_empty());
        assert!(peers.note([2; 16], about("c", "two")));
        assert_eq!(peers.differences(), ["another configuration than this server (a): c"]);
        peers.forget(&[2; 16]);
        assert!(peers.differences().is_empty() && peers.others().len() == 1);
    }
}
