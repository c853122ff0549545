//! MCP sessions belong to a person through one client (CVE-2026-52869): nobody else finds them.

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::world::{World, local};

async fn world() -> World {
    World::of(local().plugin("greeter", &guest("greeter-v1"))).await
}

#[tokio::test]
async fn a_session_of_somebody_else_is_not_there_and_its_owner_is_unharmed() {
    let world = world().await;
    let (client, alices) = world.log_in(Kind::ClaudeCode, "alice").await;
    let mallorys = client.log_in(&mut super::mallory()).await;
    let alice = Client::legacy_with_token(&world.server, &alices.access).await;
    let thief = alice.clone().with_token(&mallorys.access);
    let (_, request) = thief.request("tools/list", json!({}));
    assert_eq!(request.send().await.status, 404);
    assert_eq!(thief.other("DELETE").send().await.status, 404);
    assert_eq!(thief.other("GET").header("accept", "text/event-stream").send().await.status, 404);
    assert_eq!(alice.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
}

#[tokio::test]
async fn a_session_of_the_same_person_through_another_client_is_not_there() {
    let world = world().await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (_, others) = world.log_in(Kind::Gemini, "alice").await;
    let alice = Client::legacy_with_token(&world.server, &tokens.access).await;
    let (_, request) = alice.clone().with_token(&others.access).request("tools/list", json!({}));
    assert_eq!(request.send().await.status, 404);
    assert_eq!(alice.tool_names().await, ["greeter_greet", "greeter_wait"]);
}

#[tokio::test]
async fn a_session_without_a_token_is_a_challenge() {
    let world = world().await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let alice = Client::legacy_with_token(&world.server, &tokens.access).await;
    let (_, request) = alice.request("tools/list", json!({}));
    assert_eq!(request.without("authorization").send().await.status, 401);
}

#[tokio::test]
async fn a_session_goes_on_with_the_next_token_and_after_a_restart() {
    let world = world().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let alice = Client::legacy_with_token(&world.server, &tokens.access).await;
    let renewed = client.renew(&tokens.refresh).await;
    let alice = alice.with_token(&renewed.access);
    assert_eq!(alice.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    let world = world.killed().await;
    let alice = alice.moved_to(&world.server);
    assert_eq!(alice.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
}

#[tokio::test]
async fn somebody_elses_many_sessions_take_none_away() {
    let site = local().config("[server]\nsessions_per_person = 1\n").plugin("greeter", &guest("greeter-v1"));
    let world = World::of(site).await;
    let (client, alices) = world.log_in(Kind::ClaudeCode, "alice").await;
    let mallorys = client.log_in(&mut super::mallory()).await;
    let mut events = Client::legacy_with_token(&world.server, &alices.access).await.listen().await;
    for _ in 0..4 {
        Client::legacy_with_token(&world.server, &mallorys.access).await;
    }
    world.server.site().remove("greeter.wasm");
    assert_eq!(events.expect("a change").await["method"], "notifications/tools/list_changed");
}
