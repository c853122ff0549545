//! Pages for people: the landing page, and its twin for language models.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};

use super::App;
use super::rendered::RenderedPage;
use crate::clients::{self, Client};
use crate::html;
use crate::plugins::catalog::{PluginStatus, Tool};
use crate::plugins::registry::unknown;
use crate::sanitize;

#[derive(Template)]
#[template(path = "landing.html")]
struct Landing {
    endpoint: String,
    cursor_link: String,
    /// Client, place, and the text to put there.
    snippets: Vec<(&'static str, &'static str, String)>,
    tools: Vec<(String, String)>,
    broken: Vec<(String, String, bool)>,
    /// Tables of the configuration for plugins that do not exist.
    unknown: Vec<String>,
    is_ready: bool,
    /// The tools are shown.
    is_open: bool,
    /// The name of the provider that logs people in.
    provider: Option<String>,
    version: &'static str,
}

/// True for a request at `/mcp` by a person who has put the URL into a browser: it prefers HTML by name.
pub(super) fn is_wanted(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::GET && html::is_preferred(headers)
}

/// The page of now, rendered if it has changed.
fn current(page: &RenderedPage, app: &App, render: impl FnOnce() -> Option<String>) -> Option<Bytes> {
    let config = Arc::clone(&app.config.borrow());
    page.current(&app.plugins.catalog(), &config, app.plugins.is_ready(), render)
}

/// `/`: the way to connect to this server, and its tools.
pub(super) async fn landing(State(app): State<Arc<App>>) -> Response {
    match current(&app.pages.landing, &app, || render_landing(&app).render().ok()) {
        Some(page) => html::answer_rendered(StatusCode::OK, page, &app.server.base_url),
        None => html::answer(StatusCode::OK, &render_landing(&app), &app.server.base_url),
    }
}

fn render_landing(app: &App) -> Landing {
    let catalog = app.plugins.catalog();
    let endpoint = app.server.base_url.endpoint();
    let clients = [
        ("Claude Code", Client::ClaudeCode),
        ("Cursor", Client::Cursor),
        ("VS Code", Client::Vscode),
        ("Anything that starts a command", Client::Stdio),
    ];
    Landing {
        cursor_link: clients::cursor_link(&endpoint),
        snippets: clients
            .map(|(name, client)| (name, client.place(), client.snippet(&endpoint, app.auth.server().is_some())))
            .to_vec(),
        tools: catalog.tools().iter().map(summary).collect(),
        broken: catalog.plugins().iter().filter_map(broken).collect(),
        unknown: unknown(app),
        is_ready: app.plugins.is_ready(),
        is_open: is_open(app),
        provider: app.auth.server().map(|server| server.provider().to_owned()),
        version: env!("CARGO_PKG_VERSION"),
        endpoint,
    }
}

/// `/llms.txt`: the same in Markdown (llmstxt.org).
pub(super) async fn llms_txt(State(app): State<Arc<App>>) -> Response {
    let text = current(&app.pages.llms_txt, &app, || Some(render_llms_txt(&app))).unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")], text).into_response()
}

fn render_llms_txt(app: &App) -> String {
    let catalog = app.plugins.catalog();
    let mut text = format!(
        "# TinyMCP\n\n> An MCP server whose tools are WebAssembly plugins. Endpoint: {} (streamable HTTP).\n",
        app.server.base_url.endpoint(),
    );
    if is_open(app) {
        text.push_str("\n## Tools\n\n");
        for tool in catalog.tools() {
            let (name, summary) = summary(tool);
            text.push_str(&format!("- `{name}`: {summary}\n"));
        }
    } else {
        text.push_str("\nTools are listed to clients that have logged in.\n");
    }
    text
}

/// Tables for unknown plugins. Until the first scan, no plugin is missing.
fn unknown(app: &App) -> Vec<String> {
    if !app.plugins.is_ready() || !is_open(app) {
        return Vec::new();
    }
    let config = Arc::clone(&app.config.borrow());
    unknown::in_catalog(&config, &app.plugins.catalog()).iter().map(ToString::to_string).collect()
}

/// True if every visitor may see the tools: only people on this machine come here, or nobody has to log in.
fn is_open(app: &App) -> bool {
    app.auth.server().is_none() || app.server.base_url.is_loopback()
}

fn summary(tool: &Arc<Tool>) -> (String, String) {
    (tool.name.clone(), sanitize::escape(&tool.summary()))
}

fn broken(plugin: &PluginStatus) -> Option<(String, String, bool)> {
    Some((sanitize::escape(&plugin.file), sanitize::escape(plugin.problem.as_ref()?), plugin.serving.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(is_open: bool) -> String {
        let page = Landing {
            endpoint: "http://localhost:8000/mcp".to_owned(),
            cursor_link: String::new(),
            snippets: Vec::new(),
            tools: vec![("add".to_owned(), "<script>".to_owned())],
            broken: vec![("secret.wasm".to_owned(), "<script>".to_owned(), false)],
            unknown: vec!["`[plugin.secret]`".to_owned()],
            is_ready: true,
            is_open,
            provider: Some("Auth0".to_owned()),
            version: "0",
        };
        page.render().unwrap()
    }

    #[test]
    fn what_plugins_say_is_shown_as_text() {
        assert!(!page(true).contains("<script>") && page(true).contains("<code>add</code> &#60;script&#62;"));
    }

    #[test]
    fn strangers_see_how_to_log_in_and_not_what_there_is() {
        let page = page(false);
        assert!(page.contains("People log in with Auth0") && page.contains("http://localhost:8000/mcp"));
        assert!(!page.contains("<code>add</code>") && !page.contains("secret.wasm"));
        assert!(!page.contains("plugin.secret"));
    }
}
