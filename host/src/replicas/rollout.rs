//! A change of the plugins from registries, on all servers of a store at once.
//!
//! Each server gets what its own lock names, and says how far it is ([`Rollout`]). It changes over when all others have the
//! same at hand, or one has changed over, or it has waited for them for long enough ([`Turn`]). What it says of its lock is a
//! digest, which others compare with theirs, and the names of its plugins, by which one that starts sees what its lock lacks
//! ([`Debt`]). Nothing else: which code runs, each server's own lock decides.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What a server wants and serves that has no plugins from registries, in the place of a digest.
pub(crate) const NOTHING: &str = "nothing";

/// How far a server is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rollout {
    /// A digest of what its configuration and lock want.
    pub wanted: String,
    /// It has all of that at hand: pulled, verified and compiled.
    pub is_prepared: bool,
    /// A digest of what it serves; empty until it has served everything that it wanted.
    pub served: String,
    /// The names of the plugins in that.
    pub serves: BTreeSet<String>,
    /// Those that its configuration has from a registry, and its lock has not.
    pub unlocked: BTreeSet<String>,
}

/// The plugins that a server should have had at its start: its configuration names them, its lock did not have them, and others
/// served them. What others begin to serve later is none: somebody may try a lock on one of them.
#[derive(Debug, Default)]
pub(super) struct Debt {
    plugins: BTreeSet<String>,
    /// All others were heard once this server had got so far. Before that, what it lacks may be part of it.
    is_settled: bool,
}

impl Debt {
    /// This server has got so far. What it serves is paid, and so is what it does not want any more.
    pub(super) fn note(&mut self, own: &Rollout) {
        if !self.is_settled {
            self.plugins.extend(own.unlocked.iter().cloned());
        }
        let is_whole = own.served == own.wanted;
        self.plugins.retain(|plugin| own.unlocked.contains(plugin) || !(is_whole || own.serves.contains(plugin)));
    }

    /// All others have been heard.
    pub(super) fn settle(&mut self, own: &Rollout, others: &[(String, Option<Rollout>)]) {
        if self.is_settled || own.served.is_empty() {
            return;
        }
        self.plugins = who_serves(&self.plugins, others).into_keys().map(ToOwned::to_owned).collect();
        self.is_settled = true;
    }

    /// The plugins in it.
    pub(super) fn plugins(&self) -> &BTreeSet<String> {
        &self.plugins
    }

    /// True as long as others may serve what is in it.
    pub(super) fn is_open(&self) -> bool {
        !self.is_settled && !self.plugins.is_empty()
    }
}

/// Whether a server that has everything at hand may change over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Now.
    Now,
    /// Not yet, for these servers, as far as they are known.
    After(Vec<String>),
}

impl Rollout {
    /// Has it at hand, or serves it.
    fn is_ready_for(&self, wanted: &str) -> bool {
        self.served == wanted || (self.is_prepared && self.wanted == wanted)
    }
}

/// The turn of a server that wants this. `are_known`: all others have been heard of late. A server of an earlier version says
/// nothing of itself here, and is not waited for.
pub(super) fn turn(wanted: &str, others: &[(String, Option<Rollout>)], are_known: bool) -> Turn {
    if serve(wanted, others).next().is_some() {
        return Turn::Now;
    }
    let is_late = |rollout: &Option<Rollout>| rollout.as_ref().is_some_and(|other| !other.is_ready_for(wanted));
    let late: Vec<String> =
        others.iter().filter(|(_, rollout)| is_late(rollout)).map(|(name, _)| name.clone()).collect();
    match late.is_empty() && are_known {
        true => Turn::Now,
        false => Turn::After(late),
    }
}

/// The servers that serve this.
pub(super) fn serve<'o>(
    wanted: &'o str,
    others: &'o [(String, Option<Rollout>)],
) -> impl Iterator<Item = &'o str> + use<'o> {
    let serves = move |rollout: &Option<Rollout>| rollout.as_ref().is_some_and(|other| other.served == wanted);
    others.iter().filter(move |(_, rollout)| serves(rollout)).map(|(name, _)| name.as_str())
}

/// Those of these plugins that others serve, each with who does.
pub(super) fn who_serves<'o>(
    plugins: &'o BTreeSet<String>,
    others: &'o [(String, Option<Rollout>)],
) -> BTreeMap<&'o str, BTreeSet<&'o str>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for (name, rollout) in others {
        for plugin in rollout.iter().flat_map(|other| other.serves.intersection(plugins)) {
            found.entry(plugin.as_str()).or_default().insert(name.as_str());
        }
    }
    found
}

/// The servers that serve something whole, whatever it is.
pub(super) fn serve_something(others: &[(String, Option<Rollout>)]) -> impl Iterator<Item = &str> {
    let serves = |rollout: &Option<Rollout>| {
        rollout.as_ref().is_some_and(|other| !other.served.is_empty() && other.served != NOTHING)
    };
    others.iter().filter(move |(_, rollout)| serves(rollout)).map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(name: &str, wanted: &str, is_prepared: bool, served: &str) -> (String, Option<Rollout>) {
        let (wanted, served) = (wanted.to_owned(), served.to_owned());
        (name.to_owned(), Some(Rollout { wanted, is_prepared, served, ..Rollout::default() }))
    }

    fn after(names: &[&str]) -> Turn {
        Turn::After(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn all_change_over_when_the_last_is_prepared() {
        let ready = other("a", "new", true, "old");
        assert_eq!(turn("new", &[], true), Turn::Now);
        assert_eq!(turn("new", std::slice::from_ref(&ready), true), Turn::Now);
        // It pulls; it has not seen the lock; it has prepared another one; it wants nothing from registries.
        for late in [
            other("b", "new", false, "old"),
            other("b", "old", true, "old"),
            other("b", "newer", true, "old"),
            other("b", "", true, ""),
        ] {
            assert_eq!(turn("new", &[ready.clone(), late], true), after(&["b"]));
        }
    }

    #[test]
    fn one_that_has_changed_over_takes_all_along() {
        let done = other("a", "new", true, "new");
        let late = other("b", "new", false, "old");
        assert_eq!(turn("new", &[late.clone(), done.clone()], false), Turn::Now);
        // Also one that wants the next already.
        assert_eq!(turn("new", &[late, other("a", "newer", false, "new")], true), Turn::Now);
    }

    #[test]
    fn nobody_is_taken_for_ready_who_may_not_have_been_heard() {
        assert_eq!(turn("new", &[], false), after(&[]));
        assert_eq!(turn("new", &[other("a", "new", true, "old")], false), after(&[]));
    }

    #[test]
    fn what_others_served_at_the_start_is_owed_until_it_is_served() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let own = |unlocked: &[&str], served: &str, serves: &[&str]| Rollout {
            wanted: "wanted".to_owned(),
            served: served.to_owned(),
            serves: names(serves),
            unlocked: names(unlocked),
            ..Rollout::default()
        };
        let serving = |plugins: &[&str]| {
            let (name, rollout) = other("b", "x", true, "x");
            vec![(name, rollout.map(|rollout| Rollout { serves: names(plugins), ..rollout })), ("c".to_owned(), None)]
        };
        let mut debt = Debt::default();
        // It has not looked at its lock yet.
        debt.settle(&own(&[], "", &[]), &serving(&["a"]));
        debt.note(&own(&["a", "b", "d"], "wanted", &[]));
        assert!(debt.is_open() && *debt.plugins() == names(&["a", "b", "d"]));
        debt.settle(&own(&["a", "b", "d"], "wanted", &[]), &serving(&["a", "c", "d"]));
        assert!(!debt.is_open() && *debt.plugins() == names(&["a", "d"]));
        // Somebody tries a lock with more.
        debt.settle(&own(&["a", "b"], "wanted", &[]), &serving(&["a", "b", "d"]));
        debt.note(&own(&["a", "b", "d"], "wanted", &[]));
        assert_eq!(*debt.plugins(), names(&["a", "d"]));
        // It is locked, and served in the end; or not wanted any more.
        debt.note(&own(&["b"], "before", &[]));
        assert_eq!(*debt.plugins(), names(&["a", "d"]));
        debt.note(&own(&["b"], "before", &["a"]));
        assert_eq!(*debt.plugins(), names(&["d"]));
        debt.note(&own(&["b"], "wanted", &["a"]));
        assert!(debt.plugins().is_empty());
    }

    #[test]
    fn a_server_of_an_earlier_version_is_not_waited_for() {
        assert_eq!(turn("new", &[("a".to_owned(), None)], true), Turn::Now);
    }
}
