//! Refusals and ends with their reasons, in the audit and in the metrics: who was turned away, as far as anybody knows.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::http::{Answer, Request};
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::{Server, Site, free_port};
use tinymcp_tests::until;
use tinymcp_tests::world::{World, local};

use super::{AUDIT, audit_file, events, lines};

const CLIENTS: &str = "[auth.clients.ci]\ngrants = [\"client_credentials\"]\nscopes = []\nsecret = \"the secret of ci\"\n\
                       [auth.clients.tv]\nname = \"Living room\"\ngrants = [\"device_code\"]\n";

/// The configuration of metrics beside the audit, and the address of their listener.
fn observed(more: &str) -> (String, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    (format!("{AUDIT}[metrics]\nlisten = \"{address}\"\n{more}"), address)
}

async fn count(address: SocketAddr, name: &str, labels: &[&str]) -> u64 {
    let text = Request::new(address, "GET", "/metrics").send().await.text();
    let is_it = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
    let value = text.lines().find(is_it).and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
    value.unwrap_or_default()
}

async fn post(world: &World, path: &str, form: &[(&str, &str)]) -> Answer {
    Request::to(&world.base.join(path).unwrap(), "POST").form(form).send().await
}

/// The refusals with this reason, once there is one.
async fn refusals(server: &Server, reason: &str) -> Vec<Value> {
    let path = audit_file(server.site());
    let found = || {
        let of_reason = |line: &Value| line["event"] == "refusal" && line["reason"] == reason;
        lines(&path).into_iter().filter(of_reason).collect::<Vec<_>>()
    };
    until(&format!("a refusal for `{reason}`"), async || !found().is_empty()).await;
    found()
}

#[tokio::test]
async fn refused_clients_have_names_and_what_is_only_claimed_says_so() {
    let (config, address) = observed(CLIENTS);
    let world = World::of(local().config(&config)).await;
    let grant = ("grant_type", "client_credentials");
    post(&world, "/token", &[grant, ("client_id", "ci"), ("client_secret", "a guess")]).await;
    let refused = refusals(&world.server, "client_proof").await.remove(0);
    assert_eq!((&refused["client_claimed"], refused.get("client")), (&json!("ci"), None), "{refused}");
    assert_eq!(refused["from"], "127.0.0.1", "{refused}");
    let good = [("client_id", "ci"), ("client_secret", "the secret of ci")];
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", "nonsense")];
    post(&world, "/token", &[&refresh[..], &good].concat()).await;
    let refused = refusals(&world.server, "bad_grant").await.remove(0);
    assert_eq!((&refused["client"], refused.get("client_claimed")), (&json!("ci"), None), "{refused}");
    // Nobody's text forges a line.
    let forged = "x\"}\n{\"event\":\"call\"}\u{202e}".repeat(40);
    post(&world, "/token", &[grant, ("client_id", &forged), ("client_secret", "x")]).await;
    until("the second", async || refusals(&world.server, "client_proof").await.len() == 2).await;
    let claimed = refusals(&world.server, "client_proof").await.remove(1);
    assert!(claimed["client_claimed"].as_str().unwrap().len() < 200, "{claimed}");
    let text = std::fs::read_to_string(audit_file(world.server.site())).unwrap();
    assert!(!text.contains("the secret of ci") && !text.contains("a guess") && !text.contains('\u{202e}'), "{text}");
    // A machine's own end of its token.
    let token = post(&world, "/token", &[&[grant][..], &good].concat()).await.json()["access_token"].clone();
    post(&world, "/revoke", &[&[("token", token.as_str().unwrap())][..], &good].concat()).await;
    let tokens = events(&world.server, "token", 2).await;
    let what: Vec<(&Value, &Value)> = tokens.iter().map(|token| (&token["what"], &token["person"])).collect();
    assert_eq!(what, [(&json!("issued"), &tokens[0]["person"]), (&json!("revoked"), &tokens[0]["person"])]);
    world.modern(token.as_str().unwrap()).try_answer("tools/list", json!({})).await.unwrap();
    let ended = refusals(&world.server, "ended_token").await.remove(0);
    assert_eq!(ended["person"], tokens[0]["person"], "{ended}");
    assert_eq!(count(address, "tinymcp_tokens_total", &["what=\"revoked\""]).await, 1);
    assert_eq!(count(address, "tinymcp_refusals_total", &["reason=\"client_proof\""]).await, 2);
}

#[tokio::test]
async fn a_token_that_has_ended_has_its_person_while_that_is_known() {
    let (config, address) = observed("");
    let world = World::of(local().config(&config)).await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert!(world.modern(&tokens.access).try_answer("tools/list", json!({})).await.is_ok());
    let ended = world.server.site().run(&["sessions", "end", "alice"]);
    assert_eq!(ended.code, 0, "{ended:#?}");
    world.modern(&tokens.access).try_answer("tools/list", json!({})).await.unwrap();
    let refused = refusals(&world.server, "ended_token").await.remove(0);
    let login = events(&world.server, "login", 1).await.remove(0);
    assert_eq!((&refused["person"], &refused["client_name"]), (&login["person"], &json!("Claude Code (tests)")));
    assert_eq!(count(address, "tinymcp_sessions_ended_total", &["reason=\"ended_by_operator\""]).await, 1);
}

#[tokio::test]
async fn devices_their_codes_and_forged_forms_are_seen() {
    let (config, address) = observed(CLIENTS);
    let site = local().auth("[auth]\nprovider = \"local\"\ndevice_flow = true\n").config(&config);
    let world = World::of(site).await;
    let begun = post(&world, "/device_authorization", &[("client_id", "tv")]).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let code = begun.json()["user_code"].as_str().unwrap().to_owned();
    let device = events(&world.server, "device", 1).await.remove(0);
    assert_eq!((&device["what"], &device["client"]), (&json!("begun"), &json!("tv")), "{device}");
    let refused = post(&world, "/device_authorization", &[("client_id", "ci"), ("client_secret", "a guess")]).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    assert_eq!(refusals(&world.server, "client_proof").await[0]["client_claimed"], "ci");

    let mut person = Browser::of("alice");
    let page = person.open(&format!("{}device", world.base)).await.page();
    let form = page.form_with_text();
    let with = |code: &str| {
        let mut parameters = form.fields.clone();
        for (name, value) in &mut parameters {
            if form.texts.contains(name) {
                code.clone_into(value);
            }
        }
        parameters
    };
    person.submit(&page, &form, &with("BBBB-BBBB")).await;
    person.submit(&page, &form, &with(&code)).await;
    assert_eq!(refusals(&world.server, "wrong_code").await.len(), 1);
    assert_eq!(events(&world.server, "device", 2).await[1]["what"], "entered");
    for _ in 0..5 {
        person.submit(&page, &form, &with("BBBB-BBBC")).await;
    }
    assert_eq!(refusals(&world.server, "too_many").await.len(), 1);
    assert_eq!(count(address, "tinymcp_refusals_total", &["reason=\"wrong_code\""]).await, 5);
    assert_eq!(count(address, "tinymcp_device_codes_total", &["what=\"entered\""]).await, 1);
    // A form without its cookie.
    let fields: Vec<(&str, &str)> = form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    post(&world, "/device", &fields).await;
    assert_eq!(refusals(&world.server, "forged_form").await.len(), 1);
    let text = std::fs::read_to_string(audit_file(world.server.site())).unwrap();
    assert!(!text.contains(&code) && !text.contains(&code.replace('-', "")), "{text}");
}

#[tokio::test]
async fn a_form_of_another_site_is_seen() {
    let (config, address) = observed("");
    let server = Site::with(&["greeter-v1"]).config(&config).start().await;
    let forged = server.request("POST", "/try?tool=greeter_v1_greet").header("origin", "https://evil.example");
    assert_eq!(forged.json(&json!({})).send().await.status, 403);
    let refused = refusals(&server, "forged_form").await.remove(0);
    assert_eq!(refused["from"], "127.0.0.1", "{refused}");
    assert_eq!(count(address, "tinymcp_refusals_total", &["reason=\"forged_form\""]).await, 1);
}

#[tokio::test]
async fn files_that_are_held_or_not_trusted_say_so() {
    let (config, address) = observed(
        "[plugins]\napprove = true\n[plugin.other]\ntrust = { sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\" }\n",
    );
    let server = Site::new().config(&config).start().await;
    server.site().put("held.wasm", &guest("greeter-v1"));
    server.site().put("other.wasm", &marked(&guest("greeter-v1"), 3));
    let path = audit_file(server.site());
    for (what, plugin) in [("held", "held"), ("untrusted", "other")] {
        let is_it = |line: &Value| line["event"] == "plugin" && line["what"] == what && line["plugin"] == plugin;
        until(&format!("a file that is {what}"), async || lines(&path).iter().any(is_it)).await;
        let line = lines(&path).into_iter().find(is_it).unwrap();
        assert!(line["reason"].is_string(), "{line}");
        assert_eq!(count(address, "tinymcp_plugin_changes_total", &[&format!("what=\"{what}\"")]).await, 1);
    }
}

#[tokio::test]
async fn requests_for_what_is_not_there_have_a_time_and_an_error() {
    let (config, address) = observed("");
    let server = Site::with(&["greeter-v1"]).config(&config).start().await;
    let client = Client::modern(&server);
    for (method, params) in [
        ("tools/call", json!({ "name": "nobody", "arguments": {} })),
        ("prompts/get", json!({ "name": "nobody" })),
        ("resources/read", json!({ "uri": "nobody://x" })),
    ] {
        client.try_answer(method, params).await.unwrap();
        let labels = [&*format!("mcp_method_name=\"{method}\""), "error_type=\"-32602\""];
        assert_eq!(count(address, "mcp_server_operation_duration_seconds_count", &labels).await, 1, "{method}");
    }
    client.value("greeter_v1_greet", json!({ "name": "x" })).await;
    let text = Request::new(address, "GET", "/metrics").send().await.text();
    let of_calls = |line: &&str| {
        line.starts_with("mcp_server_operation_duration_seconds_count") && line.contains("\"tools/call\"")
    };
    assert_eq!(text.lines().filter(of_calls).count(), 2, "one call that was made and one in vain: {text}");
    assert!(!text.contains("nobody"), "{text}");
}
