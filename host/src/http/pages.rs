//! Who sees what of the tools on pages, and the page's twin for language models.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, Method};

use super::App;
use super::arguments::{Argument, arguments};
use crate::html;
use crate::mcp;
use crate::plugins::catalog::{PluginStatus, Tool};
use crate::plugins::registry::unknown;
use crate::sanitize;

/// Bytes of an argument's description in `/llms.txt`.
const DESCRIPTION_BYTES: usize = 300;

/// True for a request at `/mcp` by a person who has put the URL into a browser: it prefers HTML by name.
pub(super) fn is_wanted(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::GET && html::is_preferred(headers)
}

/// `/llms.txt`: what this server is, how to log in, and its tools, in Markdown (llmstxt.org).
pub(super) async fn llms_txt(State(app): State<Arc<App>>) -> Response {
    let config = Arc::clone(&app.config.borrow());
    let (catalog, is_ready) = (app.plugins.catalog(), app.plugins.is_ready());
    let text = app.pages.llms_txt.current(&catalog, &config, is_ready, || Some(render_llms_txt(&app)));
    let text = text.unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")], text).into_response()
}

fn render_llms_txt(app: &App) -> String {
    let catalog = app.plugins.catalog();
    let endpoint = app.server.base_url.endpoint();
    let mut text = format!(
        "# TinyMCP\n\n> An MCP server whose tools are WebAssembly plugins. Endpoint: {endpoint} (streamable HTTP).\n"
    );
    text.push_str(&match app.auth.server() {
        Some(server) => format!(
            "\n## Log in\n\n\
             Every request at the endpoint needs a bearer token. An MCP client needs the endpoint's URL and nothing \
             else: it registers by itself, opens a browser, and the person logs in with {}.\n\n\
             - [Protected resource metadata]({base}/.well-known/oauth-protected-resource): RFC 9728\n\
             - [Authorization server metadata]({base}/.well-known/oauth-authorization-server): RFC 8414; authorization \
             code with PKCE (S256), dynamic registration or a client id metadata document\n\
             - [The page for people]({base}/): links and commands that add this server to a client\n",
            server.provider(),
            base = app.server.base_url.as_str(),
        ),
        None => "\n## Log in\n\nNobody has to: the server serves its own machine only.\n".to_owned(),
    });
    if is_open(app) {
        text.push_str("\n## Tools\n\n");
        for tool in catalog.tools() {
            describe(tool, &mut text);
        }
    } else {
        text.push_str("\n## Tools\n\nTools are listed to clients that have logged in.\n");
    }
    text
}

/// A tool in one line, with its arguments below it.
fn describe(tool: &Tool, text: &mut String) {
    text.push_str(&format!("- `{}`: {}\n", tool.name, sanitize::escape(&tool.summary())));
    let listed = mcp::listed_tool(tool);
    let Some(schema) = listed.get("inputSchema").and_then(serde_json::Value::as_object) else { return };
    for Argument { path, kind, is_required, description } in arguments(schema) {
        let is_required = if is_required { ", required" } else { "" };
        let description = description
            .map(|description| format!(": {}", sanitize::cut(&sanitize::escape(&description), DESCRIPTION_BYTES)));
        text.push_str(&format!("  - `{path}` ({kind}{is_required}){}\n", description.unwrap_or_default()));
    }
}

/// Tables for unknown plugins. Until the first scan, no plugin is missing.
pub(super) fn unknown(app: &App) -> Vec<String> {
    if !app.plugins.is_ready() {
        return Vec::new();
    }
    let config = Arc::clone(&app.config.borrow());
    unknown::in_catalog(&config, &app.plugins.catalog()).iter().map(ToString::to_string).collect()
}

/// True if every visitor may see the tools: only people on this machine come here, or nobody has to log in.
pub(super) fn is_open(app: &App) -> bool {
    app.auth.server().is_none() || app.server.base_url.is_loopback()
}

/// A file that did not load: its name, the reason, and whether the version before goes on.
pub(super) fn broken(plugin: &PluginStatus) -> Option<(String, String, bool)> {
    Some((sanitize::escape(&plugin.file), sanitize::escape(plugin.problem.as_ref()?), plugin.serving.is_some()))
}
