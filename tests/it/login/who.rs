//! Changes of `[auth]` while the server runs: they hold for tokens, streams and calls that are out.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::Events;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::{Account, Settings};
use tinymcp_tests::world::{ACME, World, behind};
use tinymcp_tests::{until, until_within};

use super::large::doctor;

/// The rules apply within two seconds of the file's change; busy machines look later.
const SOON: Duration = Duration::from_secs(60);

fn auth(provider: &Provider, rules: &str) -> String {
    format!(
        "[auth]\nprovider = \"{ACME}\"\n{rules}\n[auth.providers.{ACME}]\ndiscovery = \"{}\"\n\
         client_id = \"${{ACME_CLIENT_ID}}\"\nclient_secret = \"${{ACME_CLIENT_SECRET}}\"\n\
         scopes = [\"openid\", \"profile\", \"email\", \"offline_access\"]\n\
         [auth.providers.{ACME}.claims]\norganizations = [\"groups\"]\n",
        provider.discovery()
    )
}

const PLUGINS: &str = "[plugin.guarded]\nscopes = [\"use\"]\n[limits]\nconcurrency = 4\ntimeout = \"10m\"\n";

async fn world(provider: &Provider, rules: &str) -> World {
    let site = behind(provider).plugin("hostile", &guest("hostile")).plugin("guarded", &guest("hostile"));
    World::of(site.auth(&auth(provider, rules)).config(PLUGINS)).await
}

fn change(world: &World, provider: &Provider, rules: &str) {
    let text = format!("{}{PLUGINS}", auth(provider, rules));
    fs::write(world.server.site().path().join("tinymcp.toml"), text).unwrap();
}

#[tokio::test]
async fn whoever_is_turned_away_loses_token_stream_and_call_at_once() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = world(&provider, "").await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "bob").await;
    let (alices, hers) = world.log_in(Kind::Inspector, "alice").await;
    let mcp = world.modern(&tokens.access);
    let mut stream = mcp.listen().await;
    let sleep = json!({ "name": "hostile_sleep_ms", "arguments": { "ms": 600_000 } });
    let call = tokio::spawn(mcp.request("tools/call", sleep.clone()).1.try_send());
    let her_call = tokio::spawn(world.modern(&hers.access).request("tools/call", sleep).1.try_send());
    let begun = Instant::now();
    change(&world, &provider, "deny = [\"bob@example.com\"]");
    let ended = tokio::time::timeout(SOON, async { while stream.next().await.is_some() {} }).await;
    assert!(ended.is_ok(), "the stream goes on");
    let answer = tokio::time::timeout(SOON, call).await.expect("the call goes on").unwrap().unwrap();
    assert!(answer.text().contains("may not use this tool any more"), "{answer:?}");
    until_within(SOON, "a token that is good for nothing", async || !client.is_live(&tokens.access).await).await;
    eprintln!("turned away after {:?}", begun.elapsed());
    assert!(alices.is_live(&hers.access).await && !her_call.is_finished());
    // Nothing is gone for good: who is let in again goes on.
    change(&world, &provider, "");
    until_within(SOON, "a token that is good again", async || client.is_live(&tokens.access).await).await;
    // Who renews meanwhile is out.
    change(&world, &provider, "allow = [\"alice@example.com\"]");
    until_within(SOON, "a token that is good for nothing", async || !client.is_live(&tokens.access).await).await;
    assert_eq!(client.try_renew(&tokens.refresh).await.oauth_error(), (400, "invalid_grant".to_owned()));
    her_call.abort();
}

#[tokio::test]
async fn a_scope_that_is_taken_back_ends_the_calls_that_needed_it() {
    let provider = Provider::start(Settings::oidc()).await;
    let given = "scopes.use = [\"group:users\"]\ngroups.users = [\"alice@example.com\"]";
    let world = world(&provider, given).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let mcp = world.modern(&tokens.access);
    let sleep = |tool: &str| json!({ "name": tool, "arguments": { "ms": 600_000 } });
    let guarded = tokio::spawn(mcp.request("tools/call", sleep("guarded_sleep_ms")).1.try_send());
    let open = tokio::spawn(mcp.request("tools/call", sleep("hostile_sleep_ms")).1.try_send());
    until("tools with the scope", async || mcp.tool_names().await.iter().any(|name| name == "guarded_now")).await;
    let legacy = Client::legacy_with_token(&world.server, &tokens.access).await;
    let mut streams = [mcp.listen().await, legacy.listen().await];
    change(&world, &provider, "scopes.use = [\"group:users\"]\ngroups.users = [\"bob@example.com\"]");
    let answer = tokio::time::timeout(SOON, guarded).await.expect("the call goes on").unwrap().unwrap();
    assert!(answer.text().contains("may not use this tool any more"), "{answer:?}");
    assert!(!open.is_finished() && client.is_live(&tokens.access).await);
    assert!(!mcp.tool_names().await.iter().any(|name| name == "guarded_now"));
    // Clients of both eras are told that their lists are others, and told again.
    tools_changed(&mut streams).await;
    change(&world, &provider, given);
    tools_changed(&mut streams).await;
    until_within(SOON, "the tool is back", async || mcp.tool_names().await.iter().any(|name| name == "guarded_now"))
        .await;
    open.abort();
}

async fn tools_changed(streams: &mut [Events; 2]) {
    for stream in streams {
        assert_eq!(stream.expect("word of the change").await["method"], "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn a_client_that_is_denied_is_out_at_once() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = world(&provider, "").await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let mut stream = world.modern(&tokens.access).listen().await;
    change(&world, &provider, &format!("denied_clients = [\"{}\"]", client.id));
    let ended = tokio::time::timeout(SOON, async { while stream.next().await.is_some() {} }).await;
    assert!(ended.is_ok(), "the stream goes on");
    until_within(SOON, "a token that is good for nothing", async || !client.is_live(&tokens.access).await).await;
    assert_eq!(client.try_renew(&tokens.refresh).await.oauth_error(), (401, "invalid_client".to_owned()));
}

/// A rule is decided against those of whom the provider says too little.
#[tokio::test]
async fn deny_fails_closed() {
    let provider = Provider::start(Settings::oidc()).await;
    let account = |name: &str, claims: &[(&str, serde_json::Value)]| {
        let claims = claims.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        (name.to_owned(), Account { claims, ..Account::of(name) })
    };
    provider.change(|settings| {
        settings.accounts.extend([
            account("inside", &[("groups", json!(["acme"]))]),
            account("outside", &[("groups", json!(["other"]))]),
            account("untold", &[]),
            account(
                "overflowed",
                &[
                    ("_claim_names", json!({ "groups": "src1" })),
                    ("_claim_sources", json!({ "src1": { "endpoint": format!("{}/never", provider.url) } })),
                ],
            ),
        ]);
        settings.accounts.insert("bob".to_owned(), Account::of("bob").unverified());
    });
    let world = world(&provider, "deny = [\"org:acme\", \"bob@example.com\"]").await;
    let client = world.register(Kind::Inspector).await;
    for (name, is_admitted) in
        [("inside", false), ("outside", true), ("untold", false), ("overflowed", false), ("bob", false)]
    {
        let landing = tinymcp_tests::browser::Browser::of(name).walk(&client.authorization().url()).await;
        match landing {
            tinymcp_tests::browser::Landing::Client(url) => assert!(is_admitted, "{name}: {url}"),
            tinymcp_tests::browser::Landing::Page(page) => assert!(!is_admitted, "{name}: {}", page.text()),
        }
    }
    assert!(provider.sent("/never").is_empty(), "a stranger's URL was fetched");
    world.server.log.wait_for("`groups` of a person out").await;
    let said = doctor(&world, &provider);
    assert!(said.contains("did not list all that a person belongs to (`groups`)"), "{said}");
}

#[test]
fn whom_nobody_can_be_is_refused_at_the_start() {
    for (rules, words) in [
        ("allow = [\"!bob@example.com\"]", "auth.deny"),
        ("deny = [\"role:admin\"]", "auth.deny"),
        ("allow = [\"group:opps\"]\ngroups.ops = []", "unknown group `opps`; did you mean `group:ops`?"),
        ("groups.a = [\"group:b\"]\ngroups.b = [\"group:a\"]", "names itself"),
        ("scopes.x = [\"group:nobody\"]", "unknown group `nobody`"),
    ] {
        let site = tinymcp_tests::server::Site::new().auth(&format!("[auth]\nprovider = \"none\"\n{rules}\n"));
        let finished = site.refusal();
        assert_eq!(finished.code, 2, "{rules}: {finished:?}");
        assert!(finished.stderr.contains(words), "{rules}: {finished:?}");
    }
}
