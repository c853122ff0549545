//! Pages for people: the landing page, and its twin for language models.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::App;
use crate::clients::{self, Client};
use crate::plugins::catalog::{PluginStatus, Tool};

/// The style sheet that pages include. The policy names it by its hash: no other style is applied.
const STYLE: &str = include_str!("../../templates/style.css");

#[derive(Template)]
#[template(path = "landing.html")]
struct Landing {
    endpoint: String,
    cursor_link: String,
    /// Client, place, and what to put there.
    snippets: Vec<(&'static str, &'static str, String)>,
    tools: Vec<(String, String)>,
    broken: Vec<(String, String, bool)>,
    is_ready: bool,
    version: &'static str,
}

/// Whether a request at `/mcp` is a person who has put the URL into a browser: it prefers HTML by name.
pub(super) fn is_wanted(method: &Method, headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    *method == Method::GET && accept.split(',').next().is_some_and(|first| first.trim().starts_with("text/html"))
}

/// `/`: what this is, how to connect to it, and which tools it has.
pub(super) async fn landing(State(app): State<Arc<App>>) -> Response {
    let catalog = app.plugins.catalog();
    let endpoint = app.server.base_url.endpoint();
    let clients = [
        ("Claude Code", Client::ClaudeCode),
        ("Cursor", Client::Cursor),
        ("VS Code", Client::Vscode),
        ("Anything that starts a command", Client::Stdio),
    ];
    let page = Landing {
        cursor_link: clients::cursor_link(&endpoint),
        snippets: clients.map(|(name, client)| (name, client.place(), client.snippet(&endpoint))).to_vec(),
        tools: catalog.tools().iter().map(summary).collect(),
        broken: catalog.plugins().iter().filter_map(broken).collect(),
        is_ready: app.plugins.is_ready(),
        version: env!("CARGO_PKG_VERSION"),
        endpoint,
    };
    html(page.render())
}

/// `/llms.txt`: the same in Markdown (llmstxt.org).
pub(super) async fn llms_txt(State(app): State<Arc<App>>) -> Response {
    let catalog = app.plugins.catalog();
    let mut text = format!(
        "# TinyMCP\n\n> An MCP server whose tools are WebAssembly plugins. Endpoint: {} (streamable HTTP).\n\n## Tools\n\n",
        app.server.base_url.endpoint(),
    );
    for tool in catalog.tools() {
        let (name, summary) = summary(tool);
        text.push_str(&format!("- `{name}`: {summary}\n"));
    }
    ([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")], text).into_response()
}

fn summary(tool: &Arc<Tool>) -> (String, String) {
    (tool.name.clone(), tool.function().summary())
}

fn broken(plugin: &PluginStatus) -> Option<(String, String, bool)> {
    Some((plugin.file.clone(), plugin.problem.clone()?, plugin.serving.is_some()))
}

/// An HTML answer that can run nothing, load nothing and be framed by nobody.
fn html(rendered: Result<String, askama::Error>) -> Response {
    let Ok(body) = rendered else {
        tracing::error!("a page could not be rendered");
        return super::error(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the page could not be rendered");
    };
    let mut response = body.into_response();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        style_hash(),
    );
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// The hash of what stands between the tags: the template engine leaves out the newline at a file's end.
fn style_hash() -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(STYLE.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_style_that_the_page_has() {
        let page = Landing {
            endpoint: "http://localhost:8000/mcp".to_owned(),
            cursor_link: String::new(),
            snippets: Vec::new(),
            tools: vec![("add".to_owned(), "<script>".to_owned())],
            broken: Vec::new(),
            is_ready: true,
            version: "0",
        };
        let page = page.render().unwrap();
        let (_, rest) = page.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        assert_eq!(style, STYLE.trim_end());
        assert!(!page.contains("<script>"));
    }
}
