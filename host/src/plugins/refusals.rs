//! What plugins were refused of late, for operators: the log has the same, and goes further back.
//!
//! It is what guests ask for, so it is bounded: in plugins, in refusals of each, and in their length. The same refusal
//! again is counted, and takes no further place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::sanitize;

/// Refusals of one plugin that are kept; the oldest go.
const OF_A_PLUGIN: usize = 12;

/// Plugins that are kept; of another one nothing is.
const PLUGINS: usize = 256;

/// Bytes of a place and of a reason.
const TEXT_BYTES: usize = 300;

/// Bytes of the lines that would grant it.
const LINES_BYTES: usize = 1000;

/// One thing that a plugin was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The place that it asked for.
    pub what: String,
    /// Why it was refused.
    pub reason: String,
    /// The lines of the configuration that would grant it, if any would.
    pub to_grant: Option<String>,
    /// The last time.
    pub at: SystemTime,
    /// How often it was refused since this is remembered.
    pub times: u64,
}

#[derive(Default)]
struct Lately {
    plugins: BTreeMap<String, VecDeque<Refusal>>,
}

static LATELY: LazyLock<Mutex<Lately>> = LazyLock::new(Mutex::default);
static REVISION: AtomicU64 = AtomicU64::new(0);

fn lately() -> MutexGuard<'static, Lately> {
    LATELY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lately {
    /// Notes a refusal. True if there was none like it.
    fn note(&mut self, plugin: &str, what: &str, reason: &str, to_grant: Option<&str>, at: SystemTime) -> bool {
        if !self.plugins.contains_key(plugin) {
            if self.plugins.len() >= PLUGINS {
                return false;
            }
            self.plugins.insert(plugin.to_owned(), VecDeque::new());
        }
        let Some(refusals) = self.plugins.get_mut(plugin) else { return false };
        let text = |text: &str| sanitize::cut(&sanitize::escape(text), TEXT_BYTES);
        let (what, reason) = (text(what), text(reason));
        if let Some(known) = refusals.iter_mut().find(|known| known.what == what && known.reason == reason) {
            known.times += 1;
            known.at = at;
            return false;
        }
        if refusals.len() >= OF_A_PLUGIN {
            refusals.pop_front();
        }
        let to_grant = to_grant.filter(|lines| !lines.is_empty());
        let to_grant = to_grant.map(|lines| sanitize::cut(&sanitize::escape_lines(lines), LINES_BYTES));
        refusals.push_back(Refusal { what, reason, to_grant, at, times: 1 });
        true
    }
}

/// Notes that a plugin was refused something.
pub(in crate::plugins) fn note(plugin: &str, what: &str, reason: &str, to_grant: Option<&str>) {
    if lately().note(plugin, what, reason, to_grant, SystemTime::now()) {
        REVISION.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a plugin was refused, the newest first.
pub fn of(plugin: &str) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = lately().plugins.get(plugin).into_iter().flatten().cloned().collect();
    refusals.sort_by_key(|refusal| std::cmp::Reverse(refusal.at));
    refusals
}

/// A number that changes when something is refused that was not before.
pub fn revision() -> u64 {
    REVISION.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_asks_for_everything_takes_a_bounded_place() {
        let mut lately = Lately::default();
        for number in 0..1000 {
            let place = format!("https://{number}.example\u{202e}{}", "x".repeat(1000));
            assert!(lately.note("a", &place, "not granted", Some("http = []"), SystemTime::UNIX_EPOCH));
        }
        let refusals = &lately.plugins["a"];
        assert_eq!(refusals.len(), OF_A_PLUGIN);
        assert!(
            refusals.iter().all(|refusal| refusal.what.len() <= TEXT_BYTES + 8 && !refusal.what.contains('\u{202e}'))
        );
        for number in 0..1000 {
            lately.note(&format!("p{number}"), "x", "y", None, SystemTime::UNIX_EPOCH);
        }
        assert_eq!(lately.plugins.len(), PLUGINS);
    }

    #[test]
    fn the_same_again_is_counted() {
        let mut lately = Lately::default();
        assert!(lately.note("a", "x", "y", None, SystemTime::UNIX_EPOCH));
        assert!(!lately.note("a", "x", "y", None, SystemTime::UNIX_EPOCH));
        assert!(lately.note("a", "x", "z", None, SystemTime::UNIX_EPOCH));
        assert_eq!(lately.plugins["a"][0].times, 2);
    }
}
