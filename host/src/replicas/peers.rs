//! The other servers of a store, as they say of themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::lacks::{BACK_WITHIN, Lacks, OthersLack};
use super::rollout::{self, Debt, Rollout, Turn};
use crate::config::effective::SharedSettings;
use crate::sanitize::escape;

pub(super) const SENDER_BYTES: usize = 16;

/// The id of a process.
pub(super) type Sender = [u8; SENDER_BYTES];

/// Time between two words of a server to all others.
const HERE_EVERY: Duration = Duration::from_secs(3);

/// The number of others up to which that holds. What all say to all grows with the square of their number: with more of
/// them, each says it less often.
const FEW: usize = 100;

/// Words that are missed before a server counts as gone.
const MISSED: u32 = 5;

/// The most settings that are named of one that differs.
const KEYS_NAMED: usize = 10;

/// The id of a process as text.
pub(super) fn name_of(sender: &Sender) -> String {
    format!("{:032x}", u128::from_be_bytes(*sender))
}

/// What a server says of itself. One of another version may say more, or less: then the rest is as if it said nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// Its name: the host's, as a person knows it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The latest format of stored things that it reads.
    pub format: u32,
    /// Its configuration as digests, secrets aside.
    pub settings: SharedSettings,
    /// How far it is with the plugins from registries. Earlier versions say nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The names on record whose files it has not got. One that starts, and earlier versions, say nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacks: Option<Lacks>,
}

impl About {
    /// Says the same of the server itself, whatever it is about to do.
    fn is_same_server(&self, other: &Self) -> bool {
        (&self.name, &self.version, self.format, &self.settings)
            == (&other.name, &other.version, other.format, &other.settings)
    }
}

/// Another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What it says of itself.
    pub about: About,
}

/// This one.
struct Own {
    about: About,
    /// Since when it wants the plugins that it wants.
    wants_since: Instant,
    debt: Debt,
}

/// All of them.
pub(super) struct Peers {
    own: Mutex<Own>,
    others: Mutex<HashMap<Sender, (About, Instant)>>,
    /// What those lacked that have left, and when.
    left: Mutex<Vec<(Option<Lacks>, Instant)>>,
}

impl Peers {
    pub(super) fn new(own: About) -> Self {
        Self {
            own: Mutex::new(Own { about: own, wants_since: Instant::now(), debt: Debt::default() }),
            others: Mutex::default(),
            left: Mutex::default(),
        }
    }

    fn lock_own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sender, (About, Instant)>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time between two words of this server to all others.
    pub(super) fn pace(&self) -> Duration {
        pace(self.lock().len())
    }

    /// What this server says of itself.
    pub(super) fn own(&self) -> About {
        self.lock_own().about.clone()
    }

    pub(super) fn configured(&self, settings: SharedSettings) {
        self.lock_own().about.settings = settings;
    }

    /// This server is this far with its plugins from registries. Returns true if that is further than before.
    pub(super) fn rolled(&self, rollout: Rollout) -> bool {
        let mut own = self.lock_own();
        if own.about.rollout.as_ref().is_none_or(|before| before.wanted != rollout.wanted) {
            own.wants_since = Instant::now();
        }
        own.debt.note(&rollout);
        let before = own.about.rollout.replace(rollout);
        before != own.about.rollout
    }

    /// All others have been heard since the start.
    pub(super) fn all_are_known(&self) {
        let others = self.rollouts();
        let Own { about, debt, .. } = &mut *self.lock_own();
        if let Some(rollout) = &about.rollout {
            debt.settle(rollout, &others);
        }
    }

    /// This server lacks the files of these names. Returns true if that is other than before.
    pub(super) fn lack(&self, lacks: Lacks) -> bool {
        let mut own = self.lock_own();
        let is_other = own.about.lacks.as_ref() != Some(&lacks);
        own.about.lacks = Some(lacks);
        is_other
    }

    /// What the others lack of the files of names.
    pub(super) fn others_lack(&self) -> OthersLack {
        let others = self.lock();
        let gone_after = gone_after(others.len());
        let (there, silent): (Vec<_>, Vec<_>) = others.values().partition(|(_, at)| at.elapsed() <= gone_after);
        let silent = silent.into_iter().filter(|(_, at)| at.elapsed() <= gone_after + BACK_WITHIN);
        let silent = silent.map(|(about, _)| about.lacks.clone());
        let left = self.lock_left();
        let gone = left.iter().filter(|(_, at)| at.elapsed() <= BACK_WITHIN).map(|(lacks, _)| lacks.clone());
        OthersLack {
            there: there.into_iter().map(|(about, _)| about.lacks.clone()).collect(),
            left: silent.chain(gone).collect(),
        }
    }

    fn lock_left(&self) -> MutexGuard<'_, Vec<(Option<Lacks>, Instant)>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_left(&self, about: About) {
        let mut left = self.lock_left();
        left.retain(|(_, at)| at.elapsed() <= BACK_WITHIN);
        left.push((about.lacks, Instant::now()));
    }

    /// Whether this server may change over to what it has at hand.
    pub(super) fn turn(&self, are_known: bool) -> Turn {
        let wanted = self.own().rollout.unwrap_or_default().wanted;
        rollout::turn(&wanted, &self.rollouts(), are_known)
    }

    /// The servers that serve what this one wants and has not got, after `patience`. For one that has not had everything since
    /// its start those that serve anything, at once: it may have none of what clients find there. So do those that serve what its
    /// lock lacked at its start. None, if there are none; for such a one also nobody counts, until all have been heard.
    pub(super) fn ahead(&self, patience: Duration, are_known: bool) -> Option<Vec<String>> {
        if are_known {
            self.all_are_known();
        }
        let others = self.rollouts();
        let own = self.lock_own();
        // It has not looked at its lock yet, which takes a moment.
        let Some(rollout) = &own.about.rollout else { return Some(Vec::new()) };
        let owed = own.debt.plugins();
        let has_all = rollout.served == rollout.wanted;
        let is_new = rollout.served.is_empty() && !has_all;
        let is_late = !has_all && !is_new && own.wants_since.elapsed() > patience;
        let mut ahead: BTreeSet<&str> = rollout::who_serves(owed, &others).into_values().flatten().collect();
        match (is_new, is_late) {
            (true, _) => ahead.extend(rollout::serve_something(&others)),
            (_, true) => ahead.extend(rollout::serve(&rollout.wanted, &others)),
            _ => {}
        }
        let may_be_behind = is_new || own.debt.is_open();
        let is_behind = !ahead.is_empty() || (may_be_behind && !are_known);
        is_behind.then(|| ahead.into_iter().map(ToOwned::to_owned).collect())
    }

    /// The plugins that this server should have had at its start and others serve, each with who does.
    fn owed(&self) -> Option<String> {
        let others = self.rollouts();
        let own = self.lock_own();
        let owed = rollout::who_serves(own.debt.plugins(), &others);
        let named = owed
            .into_iter()
            .take(KEYS_NAMED)
            .map(|(plugin, who)| format!("`{plugin}` ({})", who.into_iter().collect::<Vec<_>>().join(", ")));
        let named: Vec<String> = named.collect();
        (!named.is_empty()).then(|| {
            format!(
                "the lock of this server ({}) lacked at its start what others serve, and it is not ready: {}; bring their `tinymcp.lock` here",
                own.about.name,
                named.join(", ")
            )
        })
    }

    fn rollouts(&self) -> Vec<(String, Option<Rollout>)> {
        self.others().into_iter().map(|Peer { about }| (about.name, about.rollout)).collect()
    }

    /// Notes a server. Returns true if it is new, or says that it is another than before.
    pub(super) fn note(&self, sender: Sender, about: &About) -> bool {
        let mut others = self.lock();
        let gone_after = gone_after(others.len());
        for (_, (silent, _)) in others.extract_if(|_, (_, at)| at.elapsed() > gone_after) {
            self.has_left(silent);
        }
        let before = others.insert(sender, (about.clone(), Instant::now()));
        before.is_none_or(|(before, _)| !before.is_same_server(about))
    }

    /// Forgets one that is going away.
    pub(super) fn forget(&self, sender: &Sender) {
        let gone = self.lock().remove(sender);
        if let Some((about, _)) = gone {
            self.has_left(about);
        }
    }

    /// True if the process of this name has said something of late.
    pub(super) fn is_there(&self, name: &str) -> bool {
        let others = self.lock();
        let gone_after = gone_after(others.len());
        others.iter().any(|(sender, (_, at))| at.elapsed() <= gone_after && name_of(sender) == name)
    }

    /// Time without a word after which a server counts as gone.
    pub(super) fn gone_after(&self) -> Duration {
        gone_after(self.lock().len())
    }

    /// Time within which all others have said something of themselves.
    pub(super) fn all_heard_after(&self) -> Duration {
        2 * self.pace()
    }

    pub(super) fn others(&self) -> Vec<Peer> {
        let others = self.lock();
        let gone_after = gone_after(others.len());
        let alive = others.values().filter(|(_, at)| at.elapsed() <= gone_after);
        alive.map(|(about, _)| Peer { about: about.clone() }).collect()
    }

    /// The latest format that all servers read which are there, this one with its own.
    pub(super) fn read_by_all(&self, own: u8) -> u8 {
        let others = self.others();
        let formats = others.iter().map(|peer| u8::try_from(peer.about.format).unwrap_or(u8::MAX));
        formats.fold(own, u8::min)
    }

    /// The servers that do not read a format, with their versions.
    pub(super) fn who_reads_less_than(&self, format: u32) -> Vec<String> {
        let others = self.others().into_iter().filter(|peer| peer.about.format < format);
        let mut names: Vec<String> =
            others.map(|Peer { about }| format!("{} ({})", about.name, about.version)).collect();
        names.sort_unstable();
        names
    }

    /// The number of others that were there at a moment.
    pub(super) fn others_at(&self, moment: Instant) -> usize {
        let others = self.lock();
        let gone_after = gone_after(others.len());
        others.values().filter(|(_, at)| moment.saturating_duration_since(*at) <= gone_after).count()
    }

    pub(super) fn differences(&self) -> Vec<String> {
        let own = self.own();
        let mut by_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for Peer { about } in self.others() {
            if about.settings.digest != own.settings.digest {
                let keys: Vec<String> =
                    about.settings.differences(&own.settings).into_iter().take(KEYS_NAMED).collect();
                let named = format!("{} ({})", about.name, keys.join(", "));
                by_kind.entry("another configuration").or_default().push(named);
            }
            if let (Some(other), Some(own)) = (&about.rollout, &own.rollout)
                && other.wanted != own.wanted
            {
                by_kind.entry("other plugins from registries by its lock").or_default().push(about.name.clone());
            }
            if let (Some(theirs), Some(ours)) = (&about.lacks, &own.lacks) {
                for (kind, files) in [
                    ("fewer plugins that own names", &theirs.files - &ours.files),
                    ("more plugins that own names", &ours.files - &theirs.files),
                ] {
                    if !files.is_empty() {
                        let files: Vec<String> = files.iter().take(KEYS_NAMED).map(|file| escape(file)).collect();
                        by_kind.entry(kind).or_default().push(format!("{} ({})", about.name, files.join(", ")));
                    }
                }
            }
            if about.version != own.version {
                by_kind.entry("another version").or_default().push(format!("{} ({})", about.name, about.version));
            }
        }
        let words = |(kind, mut names): (&str, Vec<String>)| {
            names.sort_unstable();
            format!("{kind} than this server ({}): {}", own.name, names.join(", "))
        };
        by_kind.into_iter().map(words).chain(self.owed()).collect()
    }
}

/// Time without a word after which a server counts as gone.
fn gone_after(others: usize) -> Duration {
    MISSED * pace(others)
}

fn pace(others: usize) -> Duration {
    HERE_EVERY * u32::try_from(others.div_ceil(FEW).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_servers_say_less_often_what_they_are() {
        assert_eq!([0, 1, 100, 101, 1000].map(|others| pace(others).as_secs()), [3, 3, 3, 6, 30]);
    }

    fn about(name: &str, configuration: &str) -> About {
        let given = [("server.body".to_owned(), configuration.to_owned())].into();
        let settings = SharedSettings { digest: configuration.to_owned(), given };
        About { name: name.to_owned(), version: "1".to_owned(), format: 1, settings, rollout: None, lacks: None }
    }

    #[test]
    fn one_that_has_not_got_what_others_serve_is_behind() {
        let rollout = |wanted: &str, served: &str| Rollout {
            wanted: wanted.to_owned(),
            is_prepared: false,
            served: served.to_owned(),
            ..Rollout::default()
        };
        let (none, long) = (Duration::ZERO, Duration::from_secs(60));
        let peers = Peers::new(about("a", "one"));
        let is_behind = |patience, are_known| {
            std::thread::sleep(Duration::from_millis(2));
            peers.ahead(patience, are_known)
        };
        // It has said nothing yet; it wants nothing.
        assert_eq!(is_behind(none, true), Some(Vec::new()));
        peers.rolled(rollout("", ""));
        assert_eq!(is_behind(none, false), None);
        // It starts: nobody is ahead that it knows, and then somebody is.
        peers.rolled(rollout("new", ""));
        assert_eq!((is_behind(long, false), is_behind(long, true)), (Some(Vec::new()), None));
        let other = About { rollout: Some(rollout("new", "new")), ..about("b", "one") };
        peers.note([1; 16], &other);
        assert_eq!(is_behind(long, true), Some(vec!["b".to_owned()]));
        // Also with another lock than this one's, and not with nothing.
        for (served, names) in [("old", Some(vec!["b".to_owned()])), ("", None), (rollout::NOTHING, None)] {
            peers.note([1; 16], &About { rollout: Some(rollout("old", served)), ..about("b", "one") });
            assert_eq!(is_behind(long, true), names, "{served}");
        }
        peers.note([1; 16], &other);
        // It serves something, and has some time.
        peers.rolled(rollout("new", "old"));
        assert_eq!((is_behind(long, true), is_behind(none, false)), (None, Some(vec!["b".to_owned()])));
        peers.rolled(rollout("new", "new"));
        assert_eq!(is_behind(none, true), None);
        peers.rolled(rollout("another", "new"));
        assert_eq!(is_behind(none, true), None);
    }

    #[test]
    fn one_whose_lock_lacks_at_its_start_what_others_serve_is_behind() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let own = |unlocked: &[&str]| Rollout {
            wanted: rollout::NOTHING.to_owned(),
            is_prepared: true,
            served: rollout::NOTHING.to_owned(),
            unlocked: names(unlocked),
            ..Rollout::default()
        };
        let other = |serves: &[&str]| {
            let rollout = Rollout { serves: names(serves), ..own(&[]) };
            About { rollout: Some(rollout), ..about("b", "one") }
        };
        let long = Duration::from_secs(60);
        let start = |serves: &[&str]| {
            let peers = Peers::new(about("a", "one"));
            peers.rolled(own(&["x"]));
            assert_eq!(peers.ahead(long, false), Some(Vec::new()), "nobody has been heard");
            peers.note([1; 16], &other(serves));
            peers
        };
        let peers = start(&["x", "y"]);
        assert_eq!(peers.ahead(long, true), Some(vec!["b".to_owned()]));
        let [difference] = peers.differences().try_into().unwrap();
        assert!(difference.contains("it is not ready: `x` (b); bring their `tinymcp.lock`"), "{difference}");
        // While nothing is heard, and until nobody serves it, or it is locked here.
        assert_eq!(peers.ahead(long, false), Some(vec!["b".to_owned()]));
        peers.note([1; 16], &other(&["y"]));
        assert_eq!(peers.ahead(long, true), None);
        peers.note([1; 16], &other(&["x"]));
        assert_eq!(peers.ahead(long, true), Some(vec!["b".to_owned()]));
        peers.rolled(own(&[]));
        assert!(peers.ahead(long, true).is_none() && peers.differences().is_empty());
        // Nobody has it at the start, and then somebody tries a lock with it. Nothing that is heard less changes that.
        let peers = start(&["y"]);
        assert_eq!(peers.ahead(long, true), None);
        peers.note([1; 16], &other(&["x"]));
        assert_eq!((peers.ahead(long, true), peers.ahead(long, false)), (None, None));
    }

    #[test]
    fn whoever_reads_less_or_says_nothing_of_it_holds_the_format_back() {
        let peers = Peers::new(about("a", "one"));
        assert_eq!((peers.read_by_all(2), peers.who_reads_less_than(2)), (2, Vec::new()));
        let reading = |name: &str, format| About { format, ..about(name, "one") };
        peers.note([1; 16], &reading("b", 300));
        assert_eq!(peers.read_by_all(2), 2);
        peers.note([2; 16], &reading("c", 1));
        peers.note([3; 16], &reading("d", 0));
        assert_eq!((peers.read_by_all(2), peers.who_reads_less_than(2)), (0, vec!["c (1)".into(), "d (1)".into()]));
        peers.forget(&[3; 16]);
        assert_eq!(peers.read_by_all(2), 1);
    }

    #[test]
    fn others_are_known_while_they_say_so_and_differences_are_named() {
        let peers = Peers::new(about("a", "one"));
        assert!(peers.note([1; 16], &about("b", "one")) && !peers.note([1; 16], &about("b", "one")));
        assert!(peers.differences().is_empty());
        assert!(peers.note([2; 16], &about("c", "two")));
        assert_eq!(peers.differences(), ["another configuration than this server (a): c (server.body)"]);
        // One of which nothing is heard any more, since nothing is heard at all, was there last.
        let now = Instant::now();
        assert_eq!((peers.others_at(now), peers.others_at(now + gone_after(2) * 2)), (2, 0));
        assert!(peers.is_there(&name_of(&[2; 16])) && !peers.is_there(&name_of(&[3; 16])));
        peers.forget(&[2; 16]);
        assert!(!peers.is_there(&name_of(&[2; 16])));
        assert!(peers.differences().is_empty() && peers.others().len() == 1);
    }

    #[test]
    fn missing_files_are_differences_and_those_who_left_may_come_back() {
        let lacking = |files: &[&str]| {
            let files = files.iter().map(|file| (*file).to_owned()).collect();
            Some(Lacks { files, ..Lacks::default() })
        };
        let peers = Peers::new(about("a", "one"));
        peers.note([1; 16], &about("b", "one"));
        // It has not said yet what it lacks.
        assert!(peers.lack(lacking(&["x.wasm"]).unwrap()) && !peers.lack(lacking(&["x.wasm"]).unwrap()));
        assert!(peers.differences().is_empty() && !peers.others_lack().nobody_has("x", "x.wasm"));
        peers.note([1; 16], &About { lacks: lacking(&["y.wasm"]), ..about("b", "one") });
        let differences = peers.differences();
        assert_eq!(
            differences,
            [
                "fewer plugins that own names than this server (a): b (y.wasm)",
                "more plugins that own names than this server (a): b (x.wasm)"
            ]
        );
        peers.forget(&[1; 16]);
        let lack = peers.others_lack();
        assert!(lack.nobody_has("x", "x.wasm") && lack.may_come_back("x", "x.wasm"));
        assert!(!lack.may_come_back("y", "y.wasm"));
    }
}
