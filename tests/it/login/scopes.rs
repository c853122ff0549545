//! Scopes: narrowed and never refused, cut to what the person holds, and what a tool demands (RFC 6750 §3.1, RFC 6749 §3.3).

use serde_json::json;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens, challenge, register};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::{Account, Settings};
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{World, behind, local};

use super::{alice, mallory};

const SCOPES: &str = "[auth.scopes]\n\"a:b\" = [\"alice@example.com\"]\n\"c:d\" = [\"*@example.com\"]\n";

/// `open` for everybody, `guarded` for those who hold `a:b`, `double` for those who hold both.
const GUARDED: &str = "[plugin.guarded]\nscopes = [\"a:b\"]\n[plugin.double]\nscopes = [\"a:b\", \"c:d\"]\n";

fn guarded(site: Site) -> Site {
    let greeter = guest("greeter-v1");
    let site = site.plugin("open", &greeter).plugin("guarded", &greeter).plugin("double", &greeter);
    site.config(&format!("{SCOPES}{GUARDED}"))
}

async fn with_scope(client: &OAuthClient, scope: &str) -> Tokens {
    let code = client.code_of(client.authorization().set("scope", scope), &mut alice()).await;
    client.redeem(&code).await
}

#[tokio::test]
async fn unknown_scopes_are_dropped_and_what_is_left_is_granted() {
    let world = World::of(local().config(SCOPES)).await;
    let client = world.register(Kind::ClaudeCode).await;
    for (asked, granted) in [
        ("a:b", vec!["a:b"]),
        ("a:b unknown mcp:tools", vec!["a:b"]),
        ("  a:b\t\tc:d ", vec!["a:b", "c:d"]),
        ("a:b a:b", vec!["a:b"]),
        ("a:b offline_access", vec!["a:b"]),
        ("unknown", vec![]),
        ("unknown openid offline_access", vec![]),
        ("A:B *", vec![]),
        ("", vec!["a:b", "c:d"]),
        ("openid", vec!["a:b", "c:d"]),
        ("openid profile email offline_access", vec!["a:b", "c:d"]),
    ] {
        let mut scopes = with_scope(&client, asked).await.scopes;
        scopes.retain(|scope| scope != "offline_access");
        scopes.sort();
        assert_eq!(scopes, granted, "{asked:?}");
    }
    let code = client.code(&mut alice()).await;
    let mut scopes = client.redeem(&code).await.scopes;
    scopes.retain(|scope| scope != "offline_access");
    scopes.sort();
    assert_eq!(scopes, ["a:b", "c:d"], "absent is the default set");
}

/// The `scope` of a registration counts where a request has none (RFC 7591 §2).
#[tokio::test]
async fn a_registered_scope_is_the_default() {
    let world = World::of(local().config(SCOPES)).await;
    for (registered, granted) in
        [("c:d", vec!["c:d"]), ("c:d openid", vec!["c:d"]), ("nonsense", vec![]), ("openid", vec!["a:b", "c:d"])]
    {
        let body = json!({ "redirect_uris": ["http://localhost/cb"], "token_endpoint_auth_method": "none", "scope": registered });
        let answer = register(&world.base, &body).await.json();
        let client = OAuthClient::known(&world.base, answer["client_id"].as_str().unwrap(), "http://localhost/cb");
        let code = client.code(&mut alice()).await;
        let mut scopes = client.redeem(&code).await.scopes;
        scopes.retain(|scope| scope != "offline_access");
        assert_eq!(scopes, granted, "{registered:?}");
        assert_eq!(with_scope(&client, "a:b").await.scopes, ["a:b"], "what is asked for counts");
    }
}

/// Everything would be more than anybody asked for, and a refusal would be the end of clients that ask for what all
/// servers have but this one.
#[tokio::test]
async fn who_asks_for_unknown_scopes_alone_holds_none_and_can_step_up() {
    let world = World::of(guarded(local())).await;
    let client = world.register(Kind::ClaudeCode).await;
    let page = alice().open(&client.authorization().set("scope", "mcp:tools openid").url()).await.page();
    assert!(page.asks_for_consent() && page.text().contains("tools that are open to everybody"), "{page:?}");
    let tokens = with_scope(&client, "mcp:tools openid").await;
    assert_eq!(
        tokens.answer["scope"], "",
        "what is held is said, where it is not what was asked for: {}",
        tokens.answer
    );
    let mcp = world.modern(&tokens.access);
    assert_eq!(mcp.value("open_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    let (_, request) = mcp.request("tools/call", json!({ "name": "double_greet", "arguments": { "name": "Ada" } }));
    let answer = request.send().await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let challenge = challenge(&answer);
    assert_eq!((challenge["error"].as_str(), challenge["scope"].as_str()), ("insufficient_scope", "a:b c:d"));
    let more = with_scope(&client, &challenge["scope"]).await;
    assert_eq!(world.modern(&more.access).value("double_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    // Renewing gives no more than there was.
    for scope in [None, Some("mcp:tools openid"), Some("openid")] {
        let scope = scope.map(|scope| ("scope", scope));
        let parameters = client.renewal(&tokens.refresh).into_iter().chain(scope).collect::<Vec<_>>();
        let renewed = Tokens::of(&client.post("/token", &parameters).await);
        assert_eq!(renewed.scopes, Vec::<String>::new(), "{scope:?}");
    }
}

/// Clients repeat what they asked for at first.
#[tokio::test]
async fn a_renewal_reads_scopes_as_the_login_does() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::of(guarded(behind(&provider))).await;
    let client = world.register(Kind::ClaudeCode).await;
    let renew = async |tokens: &Tokens, scope: &str| {
        let parameters = [&client.renewal(&tokens.refresh)[..], &[("scope", scope)]].concat();
        Tokens::of(&client.post("/token", &parameters).await)
    };
    // Mallory does not hold `a:b`.
    let asked = "a:b c:d mcp:tools openid";
    let code = client.code_of(client.authorization().set("scope", asked), &mut mallory()).await;
    let mut tokens = client.redeem(&code).await;
    assert_eq!((&tokens.scopes[..], &tokens.answer["scope"]), (&["c:d".to_owned()][..], &json!("c:d")));
    for (scope, held) in [
        (asked, vec!["c:d"]),
        ("openid profile email offline_access", vec!["c:d"]),
        ("a:b", vec![]),
        ("mcp:tools", vec![]),
        ("c:d", vec!["c:d"]),
    ] {
        tokens = renew(&tokens, scope).await;
        assert_eq!(tokens.scopes, held, "{scope}");
    }
}

#[tokio::test]
async fn a_token_without_the_scope_is_told_what_it_needs() {
    let world = World::of(guarded(local())).await;
    let client = world.register(Kind::ClaudeCode).await;
    let tokens = with_scope(&client, "c:d").await;
    let mcp = world.modern(&tokens.access);
    assert_eq!(mcp.value("open_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    for (tool, scope) in [("guarded_greet", "a:b"), ("double_greet", "a:b c:d")] {
        let (_, request) = mcp.request("tools/call", json!({ "name": tool, "arguments": { "name": "Ada" } }));
        let answer = request.send().await;
        assert_eq!(answer.status, 403, "{tool}: {answer:?}");
        let challenge = challenge(&answer);
        assert_eq!(challenge["error"], "insufficient_scope");
        // All that is needed, and what is held already, so that the next token is good for both.
        for part in scope.split(' ') {
            assert!(challenge["scope"].split(' ').any(|held| held == part), "{tool}: {challenge:?}");
        }
        assert!(challenge["resource_metadata"].ends_with("/.well-known/oauth-protected-resource/mcp"), "{challenge:?}");
    }
    let more = with_scope(&client, "a:b c:d").await;
    assert_eq!(world.modern(&more.access).value("double_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
}

#[tokio::test]
async fn what_could_be_granted_is_listed_and_the_rest_is_hidden() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::of(guarded(behind(&provider))).await;
    let client = world.register(Kind::ClaudeCode).await;
    let tools = async |tokens: &Tokens| world.modern(&tokens.access).tool_names().await;
    let greeters = |names: &[String]| names.iter().filter(|name| name.ends_with("_greet")).cloned().collect::<Vec<_>>();
    let alices = with_scope(&client, "c:d").await;
    assert_eq!(
        greeters(&tools(&alices).await),
        ["double_greet", "guarded_greet", "open_greet"],
        "alice could have a:b"
    );
    let mallorys = client.log_in(&mut mallory()).await;
    assert_eq!(mallorys.scopes, ["c:d"]);
    assert_eq!(greeters(&tools(&mallorys).await), ["open_greet"]);
    let hidden = world.modern(&mallorys.access);
    let (_, request) = hidden.request("tools/call", json!({ "name": "guarded_greet", "arguments": { "name": "Ada" } }));
    let answer = request.send().await;
    assert!([200, 400, 403, 404].contains(&answer.status) && !answer.text().contains("v1 greets"), "{answer:?}");
}

#[tokio::test]
async fn a_persons_scopes_come_from_the_configuration_or_the_provider() {
    let provider = Provider::start(Settings::auth0()).await;
    provider.change(|settings| {
        settings.accounts.insert("bob".to_owned(), Account::of("bob").with(&["a:b", "something:else"]));
    });
    let world = World::of(guarded(behind(&provider))).await;
    let client = world.register(Kind::ClaudeCode).await;
    for (name, held) in [("alice", vec!["a:b", "c:d"]), ("bob", vec!["a:b", "c:d"]), ("mallory", vec!["c:d"])] {
        let code = client
            .code_of(client.authorization().set("scope", "a:b c:d"), &mut tinymcp_tests::browser::Browser::of(name))
            .await;
        let mut scopes = client.redeem(&code).await.scopes;
        scopes.sort();
        assert_eq!(scopes, held, "{name}");
    }
}

#[tokio::test]
async fn an_unverified_address_gives_no_scope() {
    let provider = Provider::start(Settings::auth0()).await;
    provider.change(|settings| {
        settings.accounts.insert("alice".to_owned(), Account::of("alice").unverified());
    });
    let world = World::of(guarded(behind(&provider))).await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert_eq!(tokens.scopes, Vec::<String>::new());
}

#[tokio::test]
async fn a_failing_tool_is_no_refusal() {
    let world = World::of(local().plugin("odd", &guest("hostile"))).await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let mcp = world.modern(&tokens.access);
    let (_, request) = mcp.request("tools/call", json!({ "name": "no_such_tool", "arguments": {} }));
    assert!(![401, 403].contains(&request.send().await.status));
}

/// The legacy era has its sessions between: the challenge is the same.
#[tokio::test]
async fn a_legacy_call_without_the_scope_gets_the_same_challenge() {
    let world = World::of(guarded(local())).await;
    let client = world.register(Kind::ClaudeCode).await;
    let tokens = with_scope(&client, "c:d").await;
    let mcp = tinymcp_tests::client::Client::legacy_with_token(&world.server, &tokens.access).await;
    let (_, request) = mcp.request("tools/call", json!({ "name": "guarded_greet", "arguments": { "name": "Ada" } }));
    let answer = request.send().await;
    assert_eq!((answer.status, challenge(&answer)["error"].as_str()), (403, "insufficient_scope"), "{answer:?}");
    // The session goes on with a token that has more.
    let more = with_scope(&client, "a:b c:d").await;
    let mcp = mcp.with_token(&more.access);
    assert_eq!(mcp.value("guarded_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
}
