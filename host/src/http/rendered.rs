//! Texts as they were rendered last: one copy is sent to all who ask, and takes the memory of one however slowly they read.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use super::page::kept::Fronts;
use super::page::watchers::Watchers;
use crate::config::Config;
use crate::plugins::catalog::Catalog;

/// The pages of this server, and those who watch them.
#[derive(Default)]
pub struct RenderedPages {
    /// The large part of the page at `/`.
    pub(super) fronts: Fronts,
    /// Open pages that are told of changes.
    pub(super) watchers: Watchers,
    pub(super) llms_txt: RenderedPage,
}

/// One page.
#[derive(Default)]
pub(super) struct RenderedPage(Mutex<Option<Rendering>>);

/// A text, and what it was rendered from.
struct Rendering {
    catalog: Weak<Catalog>,
    config: Weak<Config>,
    is_ready: bool,
    text: Bytes,
}

impl RenderedPage {
    /// The page of these, rendered if it is another one than before.
    pub(super) fn current(
        &self,
        catalog: &Arc<Catalog>,
        config: &Arc<Config>,
        is_ready: bool,
        render: impl FnOnce() -> Option<String>,
    ) -> Option<Bytes> {
        let (catalog, config) = (Arc::downgrade(catalog), Arc::downgrade(config));
        let mut rendering = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |known: &&Rendering| {
            known.catalog.ptr_eq(&catalog) && known.config.ptr_eq(&config) && known.is_ready == is_ready
        };
        if let Some(known) = rendering.as_ref().filter(is_same) {
            return Some(known.text.clone());
        }
        let text = Bytes::from(render()?);
        *rendering = Some(Rendering { catalog, config, is_ready, text: text.clone() });
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_rendered_when_it_changes_and_shared() {
        let page = RenderedPage::default();
        let [catalog, other] = [0; 2].map(|_| Arc::new(Catalog::default()));
        let config = Arc::new(Config::default());
        let shown =
            |catalog, is_ready, text: &str| page.current(catalog, &config, is_ready, || Some(text.to_owned())).unwrap();
        let first = shown(&catalog, true, "a");
        let second = shown(&catalog, true, "b");
        assert!(first == "a" && first.as_ptr() == second.as_ptr());
        assert_eq!(shown(&catalog, false, "c"), "c");
        assert_eq!(shown(&other, false, "d"), "d");
    }
}
