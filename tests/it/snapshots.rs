//! Whole answers as their readers get them, headers included: a member that vanishes or is new is seen here. Their meaning is
//! tested elsewhere.
//!
//! `INSTA_UPDATE=always tests/run snapshots` writes the files of `snapshots/` anew.

use serde_json::{Map, Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::{Client, LEGACY, initialize};
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::{Answer, Request, content_type};
use tinymcp_tests::oauth::{Kind, OAuthClient, register};
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::world::{World, local};

/// Headers that say something of the moment alone.
const FLEETING_HEADERS: [&str; 2] = ["date", "content-length"];

/// Members that are others for each client, login or session.
const FLEETING_MEMBERS: [&str; 7] = [
    "mcp-session-id",
    "access_token",
    "refresh_token",
    "client_id",
    "client_secret",
    "client_id_issued_at",
    "expires_in",
];

/// The answers that one reader got, in their order.
struct Answers {
    /// The server's port as it is in URLs, which is another one each time.
    port: String,
    list: Vec<Value>,
}

impl Answers {
    fn of(server: &Server) -> Self {
        Self { port: format!(":{}", server.address.port()), list: Vec::new() }
    }

    async fn ask(&mut self, what: &str, request: Request) -> Answer {
        let answer = request.send().await;
        self.add(what, &answer);
        answer
    }

    fn add(&mut self, what: &str, answer: &Answer) {
        let hide = |text: &str| without_secrets(&text.replace(&self.port, ":[port]"));
        let mut headers = Map::new();
        for name in answer.headers.keys().filter(|name| !FLEETING_HEADERS.contains(&name.as_str())) {
            let values: Vec<String> = answer.all(name.as_str()).into_iter().map(hide).collect();
            headers.insert(name.to_string(), values.join(" | ").into());
        }
        let text = hide(&answer.text());
        let body = match content_type(&answer.headers) {
            "application/json" => serde_json::from_str(&text).unwrap(),
            "text/event-stream" => text.lines().map(event_line).collect(),
            "text/html" => title(&text).into(),
            _ => Value::from(text),
        };
        self.list.push(json!({ "asked": what, "status": answer.status, "headers": headers, "body": body }));
    }

    /// Compares the answers with the file of this name.
    fn hold(mut self, name: &str) {
        self.list.iter_mut().for_each(redact);
        let mut settings = insta::Settings::clone_current();
        settings.set_sort_maps(true);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_compact_json_snapshot!(name, self.list));
    }
}

/// Puts their names in the place of values that are others each time.
fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if FLEETING_MEMBERS.contains(&name.as_str()) && !value.is_null() {
                    *value = format!("[{name}]").into();
                } else if name.ends_with("serverInfo") {
                    value["version"] = "[version]".into();
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

/// A header without the hash of a style sheet, and without a cookie's name and value.
fn without_secrets(text: &str) -> String {
    let hashed = text.split_once("'sha256-").and_then(|(head, tail)| Some((head, tail.split_once('\'')?.1)));
    match (hashed, text.strip_prefix("tmcp_").and_then(|cookie| cookie.split_once(';'))) {
        (Some((head, rest)), _) => format!("{head}[hash]{rest}"),
        (None, Some((_, attributes))) => format!("[cookie];{attributes}"),
        (None, None) => text.to_owned(),
    }
}

/// The title of a page, whose text is for people and may change.
fn title(page: &str) -> &str {
    let (_, rest) = page.split_once("<title>").unwrap();
    rest.split_once("</title>").unwrap().0
}

/// A line of an event stream, with its message as JSON.
fn event_line(line: &str) -> Value {
    match line.strip_prefix("data: ").map(serde_json::from_str::<Value>) {
        Some(Ok(message)) => json!({ "data": message }),
        _ => line.into(),
    }
}

async fn server() -> (Server, Answers) {
    let site = Site::with(&["greeter-v1", "hostile"]).plugin("everything", &guest("everything"));
    let server = site.config("[plugin.everything]\nprefix = \"everything\"\n").start().await;
    let answers = Answers::of(&server);
    (server, answers)
}

/// The requests that clients of both eras make, and the mistakes that both can make.
fn requests() -> Vec<(&'static str, &'static str, Value)> {
    let greet = |arguments: Value| json!({ "name": "greeter_v1_greet", "arguments": arguments });
    vec![
        ("a call", "tools/call", greet(json!({ "name": "Ada" }))),
        ("a call with a wrong argument", "tools/call", greet(json!({ "name": 5 }))),
        ("a call of a tool that crashes", "tools/call", json!({ "name": "hostile_trap", "arguments": {} })),
        ("a call of no tool", "tools/call", json!({ "name": "nothing", "arguments": {} })),
        ("a call without a name", "tools/call", json!({})),
        ("resources", "resources/list", json!({})),
        ("templates of resources", "resources/templates/list", json!({})),
        ("a resource", "resources/read", json!({ "uri": "test://static-text" })),
        ("no resource", "resources/read", json!({ "uri": "test://nowhere" })),
        ("prompts", "prompts/list", json!({})),
        ("a prompt", "prompts/get", json!({ "name": "everything_test_simple_prompt" })),
        ("no prompt", "prompts/get", json!({ "name": "nothing" })),
        ("a method that is none", "nothing/at-all", json!({})),
        ("a cursor that is none", "prompts/list", json!({ "cursor": "nothing" })),
    ]
}

#[tokio::test]
async fn a_modern_client() {
    let (server, mut answers) = server().await;
    let client = Client::modern(&server);
    answers.ask("server/discover", client.request("server/discover", json!({})).1).await;
    for (what, method, params) in requests() {
        answers.ask(what, client.request(method, params).1).await;
    }
    let ping = client.message("ping", json!({}));
    answers.ask("a header that contradicts the body", client.post(&ping).header("mcp-method", "tools/list")).await;
    answers.ask("no header of the method", client.post(&ping).without("mcp-method")).await;
    answers.ask("a version that is none", client.post(&ping).header("mcp-protocol-version", "1999-01-01")).await;
    answers.hold("a_modern_client");
}

#[tokio::test]
async fn a_client_that_lists_tools() {
    let server = Server::with(&["greeter-v1"]).await;
    let mut answers = Answers::of(&server);
    for client in Client::both(&server).await {
        answers.ask("tools/list", client.request("tools/list", json!({})).1).await;
    }
    answers.hold("a_client_that_lists_tools");
}

#[tokio::test]
async fn a_legacy_client() {
    let (server, mut answers) = server().await;
    let post = || server.request("POST", "/mcp");
    for version in LEGACY {
        answers.ask(&format!("initialize, {version}"), post().json(&initialize(version))).await;
    }
    answers.ask("initialize, a version that is none", post().json(&initialize("1999-01-01"))).await;
    let client = Client::legacy(&server).await;
    answers.add("a notification", &client.notify("notifications/initialized", json!({})).await);
    answers.ask("ping", client.request("ping", json!({})).1).await;
    for (what, method, params) in requests() {
        answers.ask(what, client.request(method, params).1).await;
    }
    let (_, ping) = client.request("ping", json!({}));
    answers.ask("no session", ping.clone().without("mcp-session-id")).await;
    answers.ask("a session that is none", ping.header("mcp-session-id", "nothing")).await;
    answers.ask("the end of the session", client.other("DELETE")).await;
    answers.hold("a_legacy_client");
}

#[tokio::test]
async fn a_client_that_talks_nonsense() {
    let (server, mut answers) = server().await;
    let post = || server.request("POST", "/mcp").json(&json!({}));
    for (what, request) in [
        ("no JSON", post().body("{")),
        ("no JSON-RPC", post().body("{}")),
        ("a batch", post().body("[]")),
        ("no media type", post().without("content-type")),
        ("a media type that is not taken", post().header("content-type", "text/plain")),
        ("answers that are not given", post().header("accept", "text/html")),
        ("a coding that is not taken", post().header("content-encoding", "gzip")),
        ("a method that is not there", server.request("PUT", "/mcp")),
        ("another host", post().header("host", "evil.example")),
        ("another origin", post().header("origin", "https://evil.example")),
        ("a path that is not there", server.request("GET", "/nothing")),
        ("health", server.request("GET", "/healthz")),
        ("readiness", server.request("GET", "/readyz")),
    ] {
        answers.ask(what, request).await;
    }
    answers.hold("a_client_that_talks_nonsense");
}

/// A server with a scope that guards a plugin, for Alice alone.
async fn guarded() -> (World, Answers) {
    let scopes = "[auth.scopes]\n\"a:b\" = [\"alice@example.com\"]\n\"c:d\" = [\"*@example.com\"]\n\"e:f\" = [\"*@example.com\"]\n";
    let site = local().plugin("greeter-v1", &guest("greeter-v1"));
    let world = World::of(site.config(&format!("{scopes}[plugin.greeter-v1]\nscopes = [\"a:b\"]\n"))).await;
    let answers = Answers::of(&world.server);
    (world, answers)
}

#[tokio::test]
async fn a_client_that_discovers_and_registers() {
    let (world, mut answers) = guarded().await;
    let to = |method: &str, path: &str| Request::to(&world.base.join(path).unwrap(), method);
    let unnamed = || to("POST", "/mcp").json(&initialize(LEGACY[0]));
    answers.ask("MCP without a token", unnamed()).await;
    answers.ask("MCP with a token that is none", unnamed().bearer("nothing")).await;
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        answers.ask(path, to("GET", path)).await;
    }
    let preflight = |path: &str| {
        let request = to("OPTIONS", path).header("origin", "https://app.example");
        request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
    };
    for path in ["/mcp", "/token", "/.well-known/oauth-authorization-server"] {
        answers.ask(&format!("a browser's preflight, {path}"), preflight(path)).await;
    }
    for kind in [Kind::Cursor, Kind::VsCode, Kind::Confidential] {
        answers.add(&format!("the registration of {kind:?}"), &register(&world.base, &kind.registration()).await);
    }
    for (what, registration) in [
        ("a registration without redirect URIs", json!({})),
        ("a registration with a bad redirect URI", json!({ "redirect_uris": ["http://elsewhere.example/"] })),
        ("a registration that is none", json!([])),
    ] {
        answers.add(what, &register(&world.base, &registration).await);
    }
    answers.hold("a_client_that_discovers_and_registers");
}

#[tokio::test]
async fn a_client_with_tokens() {
    let (world, mut answers) = guarded().await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code_of(client.authorization().set("scope", "a:b c:d"), &mut Browser::of("alice")).await;
    let wrong = [&client.redemption(&code)[1..], &[("grant_type", "password")]].concat();
    answers.ask("a grant that is not given", client.posting("/token", &wrong)).await;
    answers
        .ask("a redemption without its code", client.posting("/token", &[("grant_type", "authorization_code")]))
        .await;
    let target = [&client.redemption(&code)[..], &[("resource", "https://other.example/mcp")]].concat();
    answers.ask("a redemption for another server", client.posting("/token", &target)).await;
    let redeemed = answers.ask("a redemption", client.posting("/token", &client.redemption(&code))).await.json();
    answers.ask("a second redemption", client.posting("/token", &client.redemption(&code))).await;
    let refresh = redeemed["refresh_token"].as_str().unwrap();
    let wider = [&client.renewal(refresh)[..], &[("scope", "a:b e:f")]].concat();
    answers.ask("a renewal with more scopes", client.posting("/token", &wider)).await;
    let narrow = [&client.renewal(refresh)[..], &[("scope", "c:d")]].concat();
    let renewed = answers.ask("a renewal", client.posting("/token", &narrow)).await.json();
    answers.ask("a renewal with no token of ours", client.posting("/token", &client.renewal("nothing"))).await;
    let stranger = OAuthClient::known(&world.base, "nobody", &client.redirect_uri);
    answers.ask("a renewal of no client", stranger.posting("/token", &stranger.renewal(refresh))).await;
    let access = renewed["access_token"].as_str().unwrap();
    let call = json!({ "name": "greeter_v1_greet", "arguments": { "name": "Ada" } });
    answers.ask("a call without its scope", world.modern(access).request("tools/call", call).1).await;
    answers.ask("a revocation", client.posting("/revoke", &[("token", access)])).await;
    answers.ask("a revocation of nothing", client.posting("/revoke", &[])).await;
    answers.ask("MCP with a token that was revoked", world.modern(access).request("tools/list", json!({})).1).await;
    answers.hold("a_client_with_tokens");
}

#[tokio::test]
async fn a_person_who_is_sent_to_authorize() {
    let (world, mut answers) = guarded().await;
    let client = world.register(Kind::Inspector).await;
    for (name, value) in [
        ("response_type", "token"),
        ("code_challenge_method", "plain"),
        ("scope", "a:b"),
        ("resource", "https://other.example/mcp"),
    ] {
        let authorization = client.authorization().set(name, value).set("state", "a state");
        let url = authorization.url().parse().unwrap();
        answers.ask(&format!("{name}={value}"), Request::to(&url, "GET").header("accept", "text/html")).await;
    }
    answers.hold("a_person_who_is_sent_to_authorize");
}
