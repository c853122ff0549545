//! The large part of the page as it was rendered last, for each of those who see something else.
//!
//! The scopes of a login decide which tools are shown, and nothing else of a person is in it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use crate::config::Config;
use crate::plugins::catalog::Catalog;

/// Renderings that are kept; the oldest goes.
const KEPT: usize = 6;

/// The parts that were rendered last.
#[derive(Default)]
pub(in crate::http) struct Fronts(Mutex<Vec<Rendering>>);

/// A rendered part.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) html: Bytes,
    /// Its digest: an open page with another one shows something old.
    pub(super) stamp: Arc<str>,
}

/// Those who see the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Audience {
    /// Nobody has logged in.
    Strangers,
    /// People with the same scopes.
    Known { is_anonymous: bool, is_operator: bool, held: Vec<String>, possible: Option<BTreeSet<String>> },
}

/// What a part is rendered from.
pub(super) struct Seen<'a> {
    pub(super) catalog: &'a Arc<Catalog>,
    pub(super) config: &'a Arc<Config>,
    pub(super) is_ready: bool,
    /// The number of the refusals that are shown; 0 where none are.
    pub(super) refusals: u64,
}

struct Rendering {
    audience: Audience,
    catalog: Weak<Catalog>,
    config: Weak<Config>,
    is_ready: bool,
    refusals: u64,
    front: Front,
}

impl Rendering {
    fn is_of(&self, audience: &Audience, seen: &Seen<'_>) -> bool {
        self.audience == *audience
            && std::ptr::eq(self.catalog.as_ptr(), Arc::as_ptr(seen.catalog))
            && std::ptr::eq(self.config.as_ptr(), Arc::as_ptr(seen.config))
            && self.is_ready == seen.is_ready
            && self.refusals == seen.refusals
    }
}

impl Fronts {
    /// The part for these people, rendered if it is another one than before.
    pub(super) fn current(&self, audience: Audience, seen: &Seen<'_>, render: impl FnOnce() -> String) -> Front {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|known| known.is_of(&audience, seen)) {
            return known.front.clone();
        }
        let html = render();
        let stamp = blake3::hash(html.as_bytes()).to_hex()[..16].into();
        let front = Front { html: html.into(), stamp };
        // What was rendered from an older catalog is shown to nobody any more.
        let catalog = Arc::as_ptr(seen.catalog);
        kept.retain(|known| known.audience != audience && std::ptr::eq(known.catalog.as_ptr(), catalog));
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(Rendering {
            audience,
            catalog: Arc::downgrade(seen.catalog),
            config: Arc::downgrade(seen.config),
            is_ready: seen.is_ready,
            refusals: seen.refusals,
            front: front.clone(),
        });
        front
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_see_the_same_share_one_copy_and_nobody_else_does() {
        let fronts = Fronts::default();
        let [catalog, other] = [0; 2].map(|_| Arc::new(Catalog::default()));
        let config = Arc::new(Config::default());
        let known = |scope: &str| Audience::Known {
            is_anonymous: false,
            is_operator: false,
            held: vec![scope.to_owned()],
            possible: None,
        };
        let shown = |audience: Audience, catalog: &Arc<Catalog>, refusals: u64, text: &str| {
            let seen = Seen { catalog, config: &config, is_ready: true, refusals };
            fronts.current(audience, &seen, || text.to_owned()).html
        };
        let first = shown(known("a"), &catalog, 0, "1");
        assert_eq!(shown(known("a"), &catalog, 0, "2").as_ptr(), first.as_ptr());
        assert_eq!(shown(known("b"), &catalog, 0, "3"), "3");
        assert_eq!(shown(Audience::Strangers, &catalog, 0, "4"), "4");
        assert_eq!(shown(known("a"), &catalog, 1, "5"), "5");
        assert_eq!(shown(known("a"), &other, 1, "6"), "6");
        for scope in 0..100 {
            shown(known(&scope.to_string()), &other, 0, "7");
        }
        assert_eq!(fronts.0.lock().unwrap().len(), KEPT);
    }
}
