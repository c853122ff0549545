//! The page at `/`: what it shows to whom, trying tools from it, and what an attacker can make of either.

mod approving;
mod chromium;
mod descriptions;
mod shaped;
mod strangers;
mod trying;

use serde_json::{Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::MODERN;
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::{Answer, Request};
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::world::{World, local};
use url::Url;

/// Somebody at the page, with what their browser sends.
struct Visitor {
    base: Url,
    cookies: String,
    token: String,
}

impl Visitor {
    /// A person who has logged in.
    async fn logged_in(world: &World, name: &str) -> Self {
        let mut browser = Browser::of(name);
        let page = browser.walk(world.base.join("login?to=/me").unwrap().as_str()).await.page();
        assert_eq!((page.url.path(), page.status), ("/me", 200), "{}", page.text());
        let cookies = browser.jar.header(&world.base);
        let mut visitor = Self { base: world.base.clone(), cookies, token: String::new() };
        visitor.token = token(&visitor.get("").send().await.text());
        assert!(!visitor.token.is_empty());
        visitor
    }

    /// Somebody at a server where nobody logs in.
    async fn anybody(server: &Server) -> Self {
        let base: Url = format!("http://localhost:{}/", server.address.port()).parse().unwrap();
        let page = Request::to(&base, "GET").header("accept", "text/html").send().await;
        Self { base, cookies: String::new(), token: token(&page.text()) }
    }

    fn get(&self, path: &str) -> Request {
        let request = Request::to(&self.base.join(path).unwrap(), "GET").header("accept", "text/html");
        if self.cookies.is_empty() { request } else { request.header("cookie", &self.cookies) }
    }

    /// The request that the page sends to call a tool.
    fn call(&self, tool: &str, arguments: &Value) -> Request {
        let body = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {
                "name": tool, "arguments": arguments,
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": MODERN,
                    "io.modelcontextprotocol/clientInfo": { "name": "page", "version": "1" },
                    "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "form": {} } },
                },
            },
        });
        let origin = self.base.origin().ascii_serialization();
        let request = Request::to(&self.base.join(&format!("try?tool={tool}")).unwrap(), "POST")
            .json(&body)
            .header("origin", &origin)
            .header("sec-fetch-site", "same-origin")
            .header("x-page-token", &self.token);
        if self.cookies.is_empty() { request } else { request.header("cookie", &self.cookies) }
    }
}

/// The token of a page; empty without one.
fn token(html: &str) -> String {
    let token = html.split_once("data-token=\"").and_then(|(_, rest)| rest.split_once('"'));
    token.map(|(token, _)| token.to_owned()).unwrap_or_default()
}

fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

/// A site with the tools that a page has to show, without prefix.
fn with_shown(site: Site) -> Site {
    site.plugin("shown", &guest("shown"))
}
