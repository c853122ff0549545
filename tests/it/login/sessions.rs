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
async fn the_cap_of_sessions_is_each_persons_own() {
    let world = World::of(local().config("[server]\nsessions_per_person = 2\n")).await;
    let (client, alices) = world.log_in(Kind::ClaudeCode, "alice").await;
    let mallorys = client.log_in(&mut super::mallory()).await;
    let open = async |token: &str| {
        let request = world.server.request("POST", "/mcp").bearer(token);
        request.json(&tinymcp_tests::client::initialize("2025-11-25")).send().await.status
    };
    for _ in 0..2 {
        assert_eq!(open(&mallorys.access).await, 200);
    }
    assert_eq!(open(&mallorys.access).await, 429);
    assert_eq!(open(&alices.access).await, 200);
}
