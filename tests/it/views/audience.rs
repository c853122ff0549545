//! Tokens of a view: for it alone, from the metadata through login, renewal and step-up (RFC 8707, RFC 9728).

use serde_json::{Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::{Client, initialize};
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::Answer;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens, challenge};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{World, behind, local};

const VIEWS: &str =
    "[view.ops]\nplugins = [\"greeter\"]\n[view.small]\nplugins = [\"greeter\"]\ntools = [\"greeter_wait\"]\n";

fn with_views(site: Site) -> Site {
    site.plugin("greeter", &guest("greeter-v1")).config(VIEWS)
}

fn alice() -> Browser {
    Browser::of("alice")
}

fn resource(client: &OAuthClient, view: &str) -> String {
    format!("{}mcp/{view}", client.base)
}

/// The login of a client that names the view that it wants.
async fn log_in(client: &OAuthClient, view: &str) -> Tokens {
    let authorization = client.authorization().set("resource", &resource(client, view));
    let code = client.code_of(authorization, &mut alice()).await;
    client.redeem(&code).await
}

/// The login of a client that says nothing of what it wants.
async fn log_in_blindly(client: &OAuthClient) -> Tokens {
    let code = client.code_of(client.authorization().without("resource"), &mut alice()).await;
    client.redeem(&code).await
}

async fn knock(client: &OAuthClient, path: &str, token: &str) -> Answer {
    client.request("POST", path).json(&initialize("2025-11-25")).bearer(token).send().await
}

#[tokio::test]
async fn a_view_has_metadata_of_its_own() {
    let scopes = "[plugin.greeter.tool.wait]\nscopes = [\"tool\"]\n[plugin.greeter]\nscopes = [\"plugin\"]\n\
        [view.ops]\nplugins = [\"greeter\"]\nscopes = [\"view\"]\ntitle = \"Operations\"\n[view.none]\n\
        [auth.scopes]\n\"other\" = [\"*@example.com\"]\n";
    let world = World::of(with_views(local()).config(scopes)).await;
    let metadata = world.server.get("/.well-known/oauth-protected-resource/mcp/ops").await;
    assert_eq!(metadata.header("access-control-allow-origin"), "*");
    assert_eq!(
        metadata.json(),
        json!({
            "resource": format!("{}mcp/ops", world.base).replace("localhost", "127.0.0.1"),
            "authorization_servers": [world.base.as_str().trim_end_matches('/')],
            "scopes_supported": ["plugin", "tool", "view"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Operations",
        })
    );
    let of = async |path: &str| world.server.get(&format!("/.well-known/oauth-protected-resource{path}")).await;
    // What opens a view is of no use at `/mcp`.
    for path in ["", "/mcp"] {
        assert_eq!(of(path).await.json()["scopes_supported"], json!(["other", "plugin", "tool"]), "{path}");
    }
    assert_eq!(of("/mcp/none").await.json()["scopes_supported"], json!([]));
    for path in ["/mcp/nothing", "/mcp/Ops", "/ops", "/mcp/ops/more"] {
        assert_eq!(of(path).await.status, 404, "{path}");
    }
    for path in ["/mcp/ops/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/mcp/ops"] {
        let answer = world.server.get(path).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (404, Some("not_found")), "{path}");
    }
    let answer = world.server.request("POST", "/mcp/ops").json(&initialize("2025-11-25")).send().await;
    assert_eq!(answer.status, 401);
    let told = challenge(&answer);
    assert!(told["resource_metadata"].ends_with("/.well-known/oauth-protected-resource/mcp/ops"), "{told:?}");
    assert_eq!((told["scope"].as_str(), told.get("error")), ("plugin tool view", None));
    let metadata = world.server.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(metadata["scopes_supported"], json!(["offline_access", "other", "plugin", "tool", "view"]));
}

#[tokio::test]
async fn a_token_is_good_at_its_own_view_alone() {
    let world = World::of(with_views(local())).await;
    let client = world.register(Kind::ClaudeCode).await;
    let (ops, small) = (log_in(&client, "ops").await, log_in(&client, "small").await);
    let (main, blind) = (client.log_in(&mut alice()).await, log_in_blindly(&client).await);
    for (path, good, bad) in [
        ("/mcp", vec![&main, &blind], vec![&ops, &small]),
        ("/mcp/ops", vec![&ops], vec![&small, &main, &blind]),
        ("/mcp/small", vec![&small], vec![&ops, &main, &blind]),
    ] {
        for tokens in good {
            assert_eq!(knock(&client, path, &tokens.access).await.status, 200, "{path}");
        }
        for tokens in bad {
            let refused = knock(&client, path, &tokens.access).await;
            let told = challenge(&refused);
            assert_eq!((refused.status, told["error"].as_str()), (401, "invalid_token"), "{path}");
            assert!(told["resource_metadata"].ends_with(&format!("protected-resource{path}")), "{told:?}");
            assert!(told["error_description"].contains("for another part of this server"), "{told:?}");
        }
    }
    // Both eras, and nobody's list but one's own.
    let legacy = Client::legacy_at(&world.server, "/mcp/small", Some(&small.access)).await;
    for client in [world.modern(&small.access).at("/mcp/small"), legacy] {
        assert_eq!(client.tool_names().await, ["greeter_wait"]);
        assert_eq!(client.value("greeter_wait", json!({ "ms": 0 })).await, "v1");
    }
}

#[tokio::test]
async fn a_renewal_keeps_the_view_whatever_the_client_says() {
    let world = World::of(with_views(local())).await;
    let client = world.register(Kind::ClaudeCode).await;
    let origin = client.base.as_str().trim_end_matches('/').to_owned();
    let own = resource(&client, "ops");
    let mut tokens = log_in(&client, "ops").await;
    for named in [None, Some(own.clone()), Some(format!("{own}/")), Some(origin)] {
        let resource = named.as_deref().map(|named| ("resource", named));
        let renewal: Vec<_> = client.renewal(&tokens.refresh).into_iter().chain(resource).collect();
        tokens = Tokens::of(&client.post("/token", &renewal).await);
        assert_eq!(knock(&client, "/mcp/ops", &tokens.access).await.status, 200, "{named:?}");
        assert_eq!(knock(&client, "/mcp", &tokens.access).await.status, 401, "{named:?}");
    }
    for other in [resource(&client, "small"), resource(&client, "nothing"), client.resource()] {
        let renewal = [&client.renewal(&tokens.refresh)[..], &[("resource", other.as_str())]].concat();
        let refused = client.post("/token", &renewal).await;
        assert_eq!(refused.oauth_error(), (400, "invalid_target".to_owned()), "{other}");
    }
    // Nothing was used up, and a restart changes nothing.
    let world = world.killed().await;
    let tokens = client.renew(&tokens.refresh).await;
    assert_eq!(knock(&client, "/mcp/ops", &tokens.access).await.status, 200);
    assert!(world.leaked(&[tokens.access, tokens.refresh]).is_empty());
}

#[tokio::test]
async fn a_code_is_for_the_view_that_was_asked_for() {
    let world = World::of(with_views(local())).await;
    let client = world.register(Kind::ClaudeCode).await;
    let authorization = client.authorization().set("resource", &resource(&client, "ops"));
    let code = client.code_of(authorization, &mut alice()).await;
    for other in [client.resource(), resource(&client, "small")] {
        let redemption = [&client.redemption(&code)[..], &[("resource", other.as_str())]].concat();
        let refused = client.post("/token", &redemption).await;
        assert_eq!(refused.oauth_error(), (400, "invalid_target".to_owned()), "{other}");
    }
    let tokens = client.redeem(&code).await;
    assert_eq!(knock(&client, "/mcp/ops", &tokens.access).await.status, 200);
    for unknown in ["nothing", "Ops", "ops/more", ""] {
        let authorization = client.authorization().set("resource", &resource(&client, unknown));
        if unknown.is_empty() {
            // `/mcp/` is `/mcp`.
            client.code_of(authorization, &mut alice()).await;
            continue;
        }
        let url = alice().open(&authorization.url()).await.clicked();
        assert!(url.query().unwrap().starts_with("error=invalid_target&"), "{unknown}: {url}");
    }
}

#[tokio::test]
async fn the_person_sees_which_part_is_asked_for() {
    let world = World::of(with_views(local())).await;
    let client = world.register(Kind::ClaudeCode).await;
    let of_view = client.authorization().set("resource", &resource(&client, "ops"));
    let page = alice().open(&of_view.url()).await.page();
    assert!(page.text().contains("Which part of this server"), "{}", page.text());
    let page = alice().open(&client.authorization().url()).await.page();
    assert!(!page.text().contains("Which part of this server"), "{}", page.text());
}

/// A client that names no `resource` would be sent to log in forever.
#[tokio::test]
async fn who_logs_in_for_another_part_again_and_again_is_told_why() {
    let world = World::of(with_views(local())).await;
    let client = world.register(Kind::ClaudeCode).await;
    let said = |answer: &Answer| answer.json()["error"]["message"].as_str().unwrap().to_owned();
    let first = log_in_blindly(&client).await;
    for _ in 0..3 {
        // A client sends several requests at once, with the token that it has.
        let refused = said(&knock(&client, "/mcp/ops", &first.access).await);
        assert!(refused.ends_with("log in for this one"), "{refused}");
    }
    let heed = "This may not help";
    let blind = client.authorization().without("resource");
    assert!(!alice().open(&blind.url()).await.page().text().contains(heed));
    let second = log_in_blindly(&client).await;
    let refused = said(&knock(&client, "/mcp/ops", &second.access).await);
    assert!(refused.contains("does not name the URL when it logs in (`resource`, RFC 8707)"), "{refused}");
    let page = alice().open(&blind.url()).await.page().text();
    assert!(page.contains(heed) && page.contains("/mcp/ops") && page.contains("RFC 8707"), "{page}");
    let line = world.server.log.wait_for("a client was refused at `/mcp/ops` again").await;
    assert!(line.contains("it logs in for `/mcp`") && !line.contains("alice"), "{line}");
    // Who names it is not held up, and then it is over.
    let of_view = client.authorization().set("resource", &resource(&client, "ops"));
    assert!(!alice().open(&of_view.url()).await.page().text().contains(heed));
    let third = log_in(&client, "ops").await;
    assert_eq!(knock(&client, "/mcp/ops", &third.access).await.status, 200);
    assert!(!alice().open(&blind.url()).await.page().text().contains(heed));
    let refused = said(&knock(&client, "/mcp/ops", &second.access).await);
    assert!(refused.ends_with("log in for this one"), "{refused}");
}

#[tokio::test]
async fn the_scopes_of_a_view_are_for_every_request_there() {
    let provider = Provider::start(Settings::auth0()).await;
    let config = "[view.ops]\nplugins = [\"greeter\"]\nscopes = [\"ops\"]\n[plugin.greeter.tool.greet]\nscopes = [\"greet\"]\n\
        [auth.scopes]\n\"ops\" = [\"alice@example.com\"]\n\"greet\" = [\"alice@example.com\"]\n\"other\" = [\"*@example.com\"]\n";
    let world = World::of(with_views(behind(&provider)).config(config)).await;
    let client = world.register(Kind::ClaudeCode).await;
    let with = async |scope: &str, person: &str| {
        let authorization = client.authorization().set("resource", &resource(&client, "ops")).set("scope", scope);
        client.redeem(&client.code_of(authorization, &mut Browser::of(person)).await).await
    };
    // Less than the view demands, by somebody who could have more: another login, for this very view.
    let narrow = with("other", "alice").await;
    for method in ["initialize", "ping", "tools/list"] {
        let message =
            json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": initialize("2025-11-25")["params"] });
        let refused = client.request("POST", "/mcp/ops").json(&message).bearer(&narrow.access).send().await;
        let told = challenge(&refused);
        assert_eq!((refused.status, told["error"].as_str()), (403, "insufficient_scope"), "{method}");
        assert_eq!(told["scope"], "ops other");
        assert!(told["resource_metadata"].ends_with("/mcp/ops"), "{told:?}");
    }
    // Enough for the view, and not for the tool.
    let middle = world.modern(&with("ops", "alice").await.access).at("/mcp/ops");
    assert_eq!(middle.tool_names().await, ["greeter_greet", "greeter_wait"]);
    let (_, request) = middle.request("tools/call", json!({ "name": "greeter_greet", "arguments": { "name": "A" } }));
    let refused = request.send().await;
    let told = challenge(&refused);
    assert_eq!((refused.status, told["scope"].as_str()), (403, "greet ops"));
    assert!(told["resource_metadata"].ends_with("/mcp/ops"), "{told:?}");
    // Nothing asked for is everything that the view needs, and no more.
    let code = client.code_of(client.authorization().set("resource", &resource(&client, "ops")), &mut alice()).await;
    let wide = client.redeem(&code).await;
    assert_eq!(wide.scopes, ["greet", "ops"]);
    let modern = world.modern(&wide.access).at("/mcp/ops");
    assert_eq!(modern.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    // Somebody who can never have them is not sent to log in.
    let mallory = with("other", "mallory").await;
    let refused = knock(&client, "/mcp/ops", &mallory.access).await;
    assert_eq!((refused.status, refused.all("www-authenticate").len()), (403, 0), "{refused:?}");
    let said: Value = refused.json();
    assert!(said["error"]["message"].as_str().unwrap().contains("scopes that you do not have"), "{said}");
    // What is withdrawn ends what is open.
    let stream = modern.listen().await;
    world.server.site().configure(&config.replace("\"ops\" = [\"alice@example.com\"]", "\"ops\" = []"));
    tinymcp_tests::within("the end of the stream", stream.rest()).await;
    assert_eq!(knock(&client, "/mcp/ops", &wide.access).await.status, 403);
}
