//! The large part of the page: tools, files and clients, rendered once for all who see the same ([`Audience`]).

use std::sync::Arc;

use askama::Template;

use super::super::App;
use super::connect::{self, ClientView};
use super::kept::{Audience, Front, Seen};
use super::operators::{self, FileView};
use super::tools::{self, PluginView};
use super::views::{self, ViewView};
use super::visitor::Visitor;
use crate::config::Config;
use crate::http::pages;
use crate::plugins::catalog::Catalog;
use crate::plugins::refusals;

#[derive(Template)]
#[template(path = "front/front.html")]
struct FrontPage {
    endpoint: String,
    clients: Vec<ClientView>,
    /// The visitor sees the tools.
    shows_tools: bool,
    can_try: bool,
    tool_count: usize,
    plugins: Vec<PluginView>,
    is_ready: bool,
    /// Files that did not load.
    not_loaded: usize,
    /// File, reason, and whether the version before goes on: for whoever may see them.
    broken: Vec<(String, String, bool)>,
    /// Tables of the configuration for plugins that do not exist.
    unknown: Vec<String>,
    /// For operators.
    files: Option<Vec<FileView>>,
    views: Vec<ViewView>,
    /// What the operator says that this server is for.
    description: Option<String>,
    website: Option<String>,
    /// The name of the provider that logs people in.
    provider: Option<String>,
    version: &'static str,
}

/// The part of now for a visitor, rendered if there is none for those who see the same.
pub(super) fn of(app: &App, visitor: &Visitor) -> Front {
    let (catalog, is_ready) = (app.plugins.catalog(), app.plugins.is_ready());
    let config = Arc::clone(&app.config.borrow());
    let refusals = if is_operator(visitor) { refusals::revision() } else { 0 };
    let seen = Seen { catalog: &catalog, config: &config, is_ready, refusals };
    app.pages.fronts.current(audience(visitor), &seen, || {
        page(app, visitor, (&catalog, &config), is_ready).render().unwrap_or_else(|_| {
            tracing::error!("the page could not be rendered");
            String::new()
        })
    })
}

fn audience(visitor: &Visitor) -> Audience {
    match visitor.person() {
        None => Audience::Strangers,
        Some(person) => Audience::Known {
            is_anonymous: person.principal().is_anonymous(),
            is_operator: person.is_operator(),
            held: person.principal().scopes().into_iter().map(str::to_owned).collect(),
            possible: person.principal().could_hold(),
        },
    }
}

fn is_operator(visitor: &Visitor) -> bool {
    visitor.person().is_some_and(|person| person.is_operator())
}

/// True if the visitor sees the tools: where everybody does, and after a login.
pub(super) fn shows_tools(app: &App, visitor: &Visitor) -> bool {
    pages::is_open(app) || visitor.person().is_some()
}

fn page(app: &App, visitor: &Visitor, (catalog, config): (&Catalog, &Config), is_ready: bool) -> FrontPage {
    let about = Arc::clone(&app.about.borrow());
    let endpoint = app.server.base_url.endpoint();
    let shows_tools = shows_tools(app, visitor);
    let plugins = if shows_tools { tools::by_plugin(catalog, visitor) } else { Vec::new() };
    let sees_reasons = pages::is_open(app) || is_operator(visitor);
    let not_loaded = catalog.plugins().iter().filter(|plugin| plugin.problem.is_some()).count();
    FrontPage {
        clients: connect::clients(&endpoint, app.auth.server().is_some()),
        shows_tools,
        can_try: visitor.person().is_some(),
        tool_count: plugins.iter().map(|plugin| plugin.tools.len()).sum(),
        plugins,
        is_ready,
        not_loaded: if shows_tools { not_loaded } else { 0 },
        broken: if sees_reasons { catalog.plugins().iter().filter_map(pages::broken).collect() } else { Vec::new() },
        unknown: if sees_reasons { pages::unknown(app) } else { Vec::new() },
        files: is_operator(visitor).then(|| operators::files(catalog)),
        views: if shows_tools { views::views(app, config, catalog, visitor) } else { Vec::new() },
        description: about.server.description.clone(),
        website: about.server.website.clone(),
        provider: app.auth.server().map(|server| server.provider().to_owned()),
        version: env!("CARGO_PKG_VERSION"),
        endpoint,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tools::ToolView;
    use super::*;
    use crate::http::arguments::arguments;

    fn tool() -> ToolView {
        let schema = serde_json::json!({ "properties": { "<b>": { "type": "string", "description": "</script>" } } });
        let schema = schema.as_object().unwrap();
        ToolView {
            name: "add".to_owned(),
            title: Some("<i>".to_owned()),
            summary: "<script>".to_owned(),
            details: Some("</p><script>".to_owned()),
            arguments: arguments(schema),
            result: Vec::new(),
            schema: serde_json::to_string(schema).unwrap(),
            shown_schema: "</pre>".to_owned(),
            hints: Vec::new(),
            is_destructive: false,
            lacks: Vec::new(),
            print: "0".to_owned(),
        }
    }

    fn rendered(shows_tools: bool, can_try: bool) -> String {
        let plugin = PluginView { name: "plugin".to_owned(), description: Some("<u>".to_owned()), tools: vec![tool()] };
        let view = ViewView {
            name: "ops".to_owned(),
            title: Some("<b>".to_owned()),
            description: Some("<script>".to_owned()),
            url: "http://localhost:8000/mcp/ops".to_owned(),
            tools: vec!["add".to_owned()],
            scopes: vec!["ops".to_owned()],
            commands: vec![("Codex".to_owned(), "tinymcp connect codex --view ops".to_owned())],
        };
        let page = FrontPage {
            endpoint: "http://localhost:8000/mcp".to_owned(),
            clients: connect::clients("http://localhost:8000/mcp", true),
            shows_tools,
            can_try,
            tool_count: 1,
            plugins: if shows_tools { vec![plugin] } else { Vec::new() },
            is_ready: true,
            not_loaded: usize::from(shows_tools),
            broken: if shows_tools { vec![("<s>.wasm".to_owned(), "<script>".to_owned(), false)] } else { Vec::new() },
            unknown: if shows_tools { vec!["`[plugin.secret]`".to_owned()] } else { Vec::new() },
            files: None,
            views: if shows_tools { vec![view] } else { Vec::new() },
            description: Some("<em>".to_owned()),
            website: Some("https://acme.example/?a=\"><q>".to_owned()),
            provider: Some("Auth0".to_owned()),
            version: "0",
        };
        page.render().unwrap()
    }

    #[test]
    fn what_plugins_say_is_shown_as_text() {
        let page = rendered(true, true);
        for markup in ["<script>", "</script>", "<b>", "<i>", "<u>", "<s>", "<em>", "<q>"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert!(page.contains("&#60;script&#62;"), "{page}");
    }

    #[test]
    fn strangers_see_how_to_log_in_and_not_what_there_is() {
        let page = rendered(false, false);
        assert!(page.contains("People log in with Auth0") && page.contains("http://localhost:8000/mcp"));
        assert!(!page.contains("data-schema") && !page.contains(".wasm") && !page.contains("plugin.secret"));
        assert!(!page.contains("/mcp/ops") && page.contains("acme.example"));
    }

    #[test]
    fn only_those_who_may_try_a_tool_get_its_form() {
        assert!(!rendered(true, false).contains("data-schema"));
        assert!(rendered(true, true).contains("data-schema"));
    }
}
