//! Values that take long to check: for the plugin and the person who made them, and for nobody else.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};
use tokio::task::JoinHandle;

/// Calls of another plugin that are answered while the checks go on. On two cores that have nothing else to do it is more than
/// a hundred.
const ROUNDS: usize = 8;

/// A server with two plugins, of which the tools of one, `hostile`, take arguments of this schema.
async fn serve(schema: &Value) -> Server {
    let config = format!("[limits]\ntimeout = \"5m\"\n[plugin.hostile.settings]\nschema = '''{schema}'''\n");
    let lister = guest("lister");
    Site::new().plugin("hostile", &lister).plugin("friend", &lister).config(&config).start().await
}

#[tokio::test]
async fn checks_of_one_plugin_do_not_delay_the_callers_of_another() {
    let items = json!({ "type": "array", "items": { "allOf": vec![json!({ "minimum": 0 }); 1500] } });
    let server = serve(&json!({ "type": "object", "properties": { "items": items } })).await;
    let client = Client::modern(&server);
    client.call("friend_t0", json!({})).await;
    let numbers: Vec<u32> = vec![7; 10_000];
    let checks: Vec<JoinHandle<String>> = (0..8)
        .map(|_| {
            let (client, arguments) = (client.clone(), json!({ "items": numbers }));
            tokio::spawn(async move { client.failure("hostile_t0", arguments).await })
        })
        .collect();
    let mut rounds = 0;
    while !checks.iter().any(JoinHandle::is_finished) {
        assert_eq!(server.get("/healthz").await.status, 200);
        assert_eq!(client.call("friend_t0", json!({ "a": [1, 2] })).await.text, "ok");
        rounds += 1;
    }
    assert!(rounds >= ROUNDS, "{rounds} rounds");
    for check in checks {
        let failure = check.await.unwrap();
        assert!(failure.contains("too much to check against this tool's schema"), "{failure}");
    }
}

#[tokio::test]
async fn a_long_enum_is_held_against_many_items() {
    let values: Vec<f64> = (0..15_000).map(|number| f64::from(number) + 0.5).collect();
    let items = json!({ "type": "array", "items": { "enum": values } });
    let server = serve(&json!({ "type": "object", "properties": { "items": items } })).await;
    let client = Client::modern(&server);
    let mut items: Vec<f64> = (0..400_000).map(|number| f64::from(number % 15_000) + 0.5).collect();
    assert_eq!(client.call("hostile_t0", json!({ "items": items })).await.text, "ok");
    items[399_999] = 0.25;
    let failure = client.failure("hostile_t0", json!({ "items": items })).await;
    assert!(failure.contains("argument `$.items.399999`: 0.25 is not one of the 15000 values of `enum`"), "{failure}");
}
