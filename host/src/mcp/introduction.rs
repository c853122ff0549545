//! What the server says of itself at each view: its name, texts and picture, and its capabilities.
//!
//! All of it is made when the configuration changes, and only handed out per request.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use rmcp::model::{Icon, Implementation, InitializeResult, ProtocolVersion, ServerCapabilities, ServerConfig};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::config::About;
use crate::config::about::Description;
use crate::view::View;

const TITLE: &str = "TinyMCP";

const INSTRUCTIONS: &str = "The tools of this server are plugins that can be added, replaced and removed while it runs: \
    when a tool is missing or behaves differently than described, list the tools again.";

/// What is said at one view.
pub(super) struct Introduction {
    /// The result of a handshake, and what `server/discover` gives.
    pub(super) info: Arc<ServerConfig>,
    /// The same for clients of versions that do not know all of it, and may refuse what they do not know.
    pub(super) info_for_older: Arc<ServerConfig>,
    /// The server's name in every result (2026-07-28, basic: every result names its server), without the rest of what
    /// clients are told once.
    pub(super) server: Implementation,
    /// `_meta` of modern results, as JSON.
    pub(super) meta: Box<RawValue>,
    /// Members of modern lists that are always the same.
    pub(super) of_lists: String,
}

/// What is said at all views, as it is now.
pub(super) struct Introductions(RwLock<Kept>);

struct Kept {
    about: watch::Receiver<Arc<About>>,
    main: Arc<Introduction>,
    /// Those of views at which something else is said.
    views: BTreeMap<String, Arc<Introduction>>,
}

impl Introductions {
    pub(super) fn new(mut about: watch::Receiver<Arc<About>>) -> Self {
        let (main, views) = made_of(&Arc::clone(&about.borrow_and_update()));
        Self(RwLock::new(Kept { about, main, views }))
    }

    /// What is said at a view.
    pub(super) fn of(&self, view: &View) -> Arc<Introduction> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if !kept.about.has_changed().unwrap_or_default() {
            return kept.of(view);
        }
        drop(kept);
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let about = Arc::clone(&kept.about.borrow_and_update());
        (kept.main, kept.views) = made_of(&about);
        kept.of(view)
    }
}

impl Kept {
    fn of(&self, view: &View) -> Arc<Introduction> {
        let own = view.name().and_then(|name| self.views.get(name));
        Arc::clone(own.unwrap_or(&self.main))
    }
}

fn made_of(about: &About) -> (Arc<Introduction>, BTreeMap<String, Arc<Introduction>>) {
    let views = about.views.iter().filter(|(_, of_view)| **of_view != about.server);
    let views = views.map(|(name, of_view)| (name.clone(), Arc::new(Introduction::of(of_view))));
    (Arc::new(Introduction::of(&about.server)), views.collect())
}

impl Introduction {
    fn of(said: &Description) -> Self {
        let server = Implementation::new("tinymcp", env!("CARGO_PKG_VERSION"))
            .with_title(said.title.as_deref().unwrap_or(TITLE));
        let instructions = said.instructions.as_deref().unwrap_or(INSTRUCTIONS);
        let info = |server| {
            let info = InitializeResult::new(capabilities()).with_server_info(server);
            Arc::new(info.with_instructions(instructions))
        };
        let mut whole = server.clone();
        whole.description.clone_from(&said.description);
        whole.website_url.clone_from(&said.website);
        whole.icons = said.icon.as_ref().map(|picture| {
            let mut icon = Icon::new(picture.src.to_string());
            icon.mime_type = picture.media_type.map(str::to_owned);
            vec![icon]
        });
        let meta = json!({ "io.modelcontextprotocol/serverInfo": server });
        Self {
            info: info(whole),
            info_for_older: info(server.clone()),
            of_lists: format!(r#""resultType":"complete","_meta":{meta},"ttlMs":0,"cacheScope":"private","#),
            meta: RawValue::from_string(meta.to_string()).expect("printed JSON is JSON"),
            server,
        }
    }

    /// What a client of this version is told.
    pub(super) fn for_version(&self, version: Option<&ProtocolVersion>) -> &Arc<ServerConfig> {
        let is_older = version.is_some_and(|version| version.as_str() < ProtocolVersion::V_2025_11_25.as_str());
        if is_older { &self.info_for_older } else { &self.info }
    }
}

#[expect(deprecated, reason = "logging is deprecated since 2026-07-28, and clients of both eras have it")]
fn capabilities() -> ServerCapabilities {
    ServerCapabilities::builder()
        .enable_tools()
        .enable_tool_list_changed()
        // Declared whether plugins have any or not: plugins come and go, and clients ask once.
        .enable_prompts()
        .enable_prompts_list_changed()
        .enable_resources()
        .enable_resources_list_changed()
        .enable_resources_subscribe()
        .enable_completions()
        .enable_logging()
        .enable_tasks()
        .enable_skills_with_directory_read()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_follows_the_configuration_and_differs_by_view() {
        let about = |title: &str| {
            let server = Description { title: Some(title.to_owned()), ..Description::default() };
            let ops = Description { instructions: Some("Ops.".to_owned()), ..server.clone() };
            About { views: BTreeMap::from([("ops".to_owned(), ops), ("same".to_owned(), server.clone())]), server }
        };
        let sender = watch::Sender::new(Arc::new(about("One")));
        let introductions = Introductions::new(sender.subscribe());
        let said = |view: &View| {
            let said = introductions.of(view);
            (said.server.title.clone().unwrap(), said.info.instructions.clone().unwrap() == "Ops.")
        };
        let (main, ops, same) = (View::default(), View::named("ops"), View::named("same"));
        assert_eq!(
            [&main, &ops, &same].map(said),
            [("One".into(), false), ("One".into(), true), ("One".into(), false)]
        );
        sender.send_replace(Arc::new(about("Two")));
        assert_eq!([&ops, &main].map(said), [("Two".into(), true), ("Two".into(), false)]);
        drop(sender);
        assert_eq!(said(&main).0, "Two");
    }

    #[test]
    fn a_client_is_told_what_its_version_knows() {
        let said = Description { website: Some("https://a.example".to_owned()), ..Description::default() };
        let said = Introduction::of(&said);
        for (version, is_told) in [(ProtocolVersion::V_2025_06_18, false), (ProtocolVersion::V_2025_11_25, true)] {
            assert_eq!(said.for_version(Some(&version)).server_info.website_url.is_some(), is_told);
        }
        assert!(said.for_version(None).server_info.website_url.is_some());
        assert!(!said.meta.get().contains("a.example") && said.of_lists.contains(said.meta.get()));
    }
}
