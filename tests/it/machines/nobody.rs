//! Machines are nobody: rules about people never mean them, and they have no login, but state and rates of their own.

use serde_json::json;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::world::{World, local};

use super::{access, callable, post};

/// Clients of names that people have.
fn tables() -> String {
    let client = |id: &str, scopes: &str| {
        format!(
            "[auth.clients.\"{id}\"]\ngrants = [\"client_credentials\"]\nsecret = \"secret of {id}\"\nscopes = [{scopes}]\n"
        )
    };
    client("alice", "") + &client("bob", "\"read\"")
}

async fn token_of(world: &World, id: &str) -> String {
    let secret = format!("secret of {id}");
    let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret.as_str())];
    access(&post(&world.base, "/token", &form).await)
}

#[tokio::test]
async fn rules_about_people_never_mean_a_machine() {
    let rules = "[auth]\nprovider = \"local\"\nallow = [\"sub:carol\"]\ndeny = [\"sub:bob\", \"sub:client:bob\", \"*@example.com\"]\n\
                 [auth.groups]\nall = [\"sub:alice\", \"sub:client:alice\"]\n\
                 [auth.scopes]\nwrite = [\"sub:alice\", \"sub:client:alice\", \"group:all\"]\n";
    let world = World::of(super::guarded().auth(rules).config(&format!("{}{}", super::GUARDS, tables()))).await;
    // What people named `alice` hold is not hers, and what turns `bob` away is not about it.
    assert_eq!(callable(&world, &token_of(&world, "alice").await).await, ["open"]);
    assert_eq!(callable(&world, &token_of(&world, "bob").await).await, ["open", "reading"]);
}

#[tokio::test]
async fn state_and_rates_are_a_machines_own() {
    let site = local().plugin("state", &guest("state")).plugin("hostile", &guest("hostile"));
    let config = format!("[plugin.state]\nkv = {{ per = \"person\" }}\n[plugin.hostile]\nrate = \"2/h\"\n{}", tables());
    let world = World::of(site.config(&config)).await;
    let (_, person) = world.log_in(Kind::ClaudeCode, "alice").await;
    let person = world.modern(&person.access);
    let machine = world.modern(&token_of(&world, "alice").await);
    let other = world.modern(&token_of(&world, "bob").await);
    for (client, value) in [(&person, "hers"), (&machine, "the machine's"), (&other, "another's")] {
        client.call("state_set", json!({ "key": "a", "value": value })).await;
    }
    for (client, value) in [(&person, "hers"), (&machine, "the machine's"), (&other, "another's")] {
        assert_eq!(client.value("state_get", json!({ "key": "a" })).await, value);
    }
    // A further token of the same machine is the same caller.
    let again = world.modern(&token_of(&world, "alice").await);
    assert_eq!(again.value("state_get", json!({ "key": "a" })).await, "the machine's");
    let mut calls = Vec::new();
    for client in [&person, &person, &machine, &again, &machine, &other] {
        calls.push(!client.call("hostile_now", json!({})).await.is_error);
    }
    assert_eq!(calls, [true, true, true, true, false, true]);
    let listed = world.server.site().run(&["kv", "state"]).stdout;
    assert!(listed.contains("client:alice at machine:http://localhost:"), "{listed}");
}

#[tokio::test]
async fn a_machine_has_no_token_of_the_identity_provider() {
    let port = tinymcp_tests::server::free_port();
    let config = format!(
        "[plugin.fetch]\nhttp = [{{ to = \"https://localhost:{port}/v1\", as = \"login\", private = true }}]\n{}",
        tables()
    );
    let world = World::of(local().plugin("fetch", &guest("fetch")).config(&config)).await;
    let client = world.modern(&token_of(&world, "bob").await);
    let request = json!({ "method": "GET", "url": format!("https://localhost:{port}/v1/me"), "headers": [] });
    let said = client.failure("fetch", request).await;
    assert!(said.contains("the caller is a machine, which has none"), "{said}");
}

#[tokio::test]
async fn a_session_of_one_machine_is_no_others() {
    let world = super::world(&tables()).await;
    let (alice, bob) = (token_of(&world, "alice").await, token_of(&world, "bob").await);
    let session = tinymcp_tests::client::Client::legacy_with_token(&world.server, &alice).await;
    let id = session.session().to_owned();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let ask = async |token: &str| {
        let request = tinymcp_tests::http::Request::to(&world.base.join("/mcp").unwrap(), "POST").json(&ping);
        let request = request.header("mcp-session-id", &id).header("mcp-protocol-version", "2025-11-25");
        request.bearer(token).send().await.status
    };
    assert_eq!((ask(&alice).await, ask(&bob).await), (200, 404));
}
