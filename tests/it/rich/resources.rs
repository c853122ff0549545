//! Resources: read, watched, and guarded by scopes like everything else of a plugin.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::{Kind, challenge};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::{World, behind};

use super::{CONFIG, serve, with_everything};

const WATCHED: &str = "test://watched-resource";

#[tokio::test]
async fn subscribers_of_both_eras_are_told_of_an_update_and_others_are_not() {
    let server = serve().await;
    let [modern, legacy] = Client::both(&server).await;
    let filter = json!({ "notifications": { "resourceSubscriptions": [WATCHED] } });
    let mut watching = modern.request("subscriptions/listen", filter).1.open().await.events();
    watching.expect("an acknowledgement").await;
    let other = json!({ "notifications": { "resourceSubscriptions": ["test://static-text"] } });
    let mut elsewhere = modern.request("subscriptions/listen", other).1.open().await.events();
    elsewhere.expect("an acknowledgement").await;
    let mut stream = legacy.listen().await;
    legacy.result("resources/subscribe", json!({ "uri": WATCHED })).await;
    modern.call("update_watched_resource", json!({})).await;
    for events in [&mut watching, &mut stream] {
        let updated = events.expect("an update").await;
        assert_eq!(updated["method"], "notifications/resources/updated", "{updated}");
        assert_eq!(updated["params"]["uri"], WATCHED, "{updated}");
    }
    legacy.result("resources/unsubscribe", json!({ "uri": WATCHED })).await;
    modern.call("update_watched_resource", json!({})).await;
    watching.expect("an update").await;
    server.terminate();
    let told = [elsewhere.rest().await, stream.rest().await].concat();
    let updates: Vec<&Value> = told.iter().filter(|it| it["method"] == "notifications/resources/updated").collect();
    assert_eq!(updates, [&json!(null); 0]);
}

#[tokio::test]
async fn updates_in_quick_succession_are_told_as_few() {
    let server = serve().await;
    let [modern, legacy] = Client::both(&server).await;
    let filter = json!({ "notifications": { "resourceSubscriptions": [WATCHED] } });
    let mut watching = modern.request("subscriptions/listen", filter).1.open().await.events();
    watching.expect("an acknowledgement").await;
    let stream = legacy.listen().await;
    legacy.result("resources/subscribe", json!({ "uri": WATCHED })).await;
    let start = Instant::now();
    for _ in 0..200 {
        modern.call("update_watched_resource", json!({})).await;
    }
    let intervals = usize::try_from(start.elapsed().as_millis() / 100).unwrap();
    // The last one is told within a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.terminate();
    for events in [watching, stream] {
        let told = events.rest().await;
        let updates = told.iter().filter(|it| it["method"] == "notifications/resources/updated").count();
        assert!((1..=intervals + 2).contains(&updates), "{updates} in {intervals} intervals");
    }
}

#[tokio::test]
async fn scopes_guard_resources_and_prompts_like_tools() {
    let scoped = format!("{CONFIG}scopes = [\"a:b\"]\n[auth.scopes]\n\"a:b\" = [\"alice@example.com\"]\n");
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::of(with_everything(behind(&provider)).config(&scoped)).await;
    let (_, mallorys) = world.log_in(Kind::ClaudeCode, "mallory").await;
    let mallory = world.modern(&mallorys.access);
    for (method, list) in [
        ("resources/list", "resources"),
        ("prompts/list", "prompts"),
        ("resources/templates/list", "resourceTemplates"),
    ] {
        assert_eq!(mallory.result(method, json!({})).await[list], json!([]), "{method}");
    }
    assert_eq!(mallory.result("skills/list", json!({})).await["skills"], json!([]));
    for (method, params) in [
        ("resources/read", json!({ "uri": "test://static-text" })),
        ("prompts/get", json!({ "name": "test_simple_prompt" })),
        ("skills/get", json!({ "uri": "skill://greeting/SKILL.md" })),
        (
            "completion/complete",
            json!({
                "ref": { "type": "ref/prompt", "name": "test_prompt_with_arguments" },
                "argument": { "name": "arg1", "value": "p" },
            }),
        ),
    ] {
        let refused = mallory.answer(method, params).await;
        assert!(refused.get("error").is_some(), "{method}: {refused}");
    }
}

#[tokio::test]
async fn who_could_hold_the_scope_is_told_to_ask_for_it() {
    let scopes = "[auth.scopes]\n\"a:b\" = [\"alice@example.com\"]\n\"c:d\" = [\"alice@example.com\"]\n";
    let scoped = format!("{CONFIG}scopes = [\"a:b\"]\n{scopes}");
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::of(with_everything(behind(&provider)).config(&scoped)).await;
    let client = world.register(Kind::ClaudeCode).await;
    let narrow = client.authorization().set("scope", "c:d");
    let tokens = client.redeem(&client.code_of(narrow, &mut Browser::of("alice")).await).await;
    for (method, params) in [
        ("resources/read", json!({ "uri": "test://static-text" })),
        ("prompts/get", json!({ "name": "test_simple_prompt" })),
        ("tools/call", json!({ "name": "test_simple_text" })),
    ] {
        let answer = world.modern(&tokens.access).request(method, params).1.send().await;
        assert_eq!(answer.status, 403, "{method}: {answer:?}");
        assert_eq!(challenge(&answer)["error"], "insufficient_scope", "{method}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_in_the_words_of_its_era() {
    let server = serve().await;
    let [modern, legacy] = Client::both(&server).await;
    let params = json!({ "uri": "test://nowhere" });
    assert_eq!(modern.answer("resources/read", params.clone()).await["error"]["code"], -32602);
    assert_eq!(legacy.answer("resources/read", params.clone()).await["error"]["code"], -32002);
    assert_eq!(legacy.answer("resources/subscribe", params).await["error"]["code"], -32002);
}

#[tokio::test]
async fn two_plugins_cannot_have_one_resource() {
    let server = serve().await;
    server.site().put("usurper.wasm", &guest("everything"));
    server.log.wait_for("resource `test://static-text` belongs to `everything.wasm`").await;
    assert!(!Client::modern(&server).tool_names().await.iter().any(|name| name.starts_with("usurper")));
}
