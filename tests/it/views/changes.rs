//! Views come, change and go while clients listen at them.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::Events;
use tinymcp_tests::server::Site;
use tinymcp_tests::{until, within};

use super::{VIEWS, both_at, with_views};

const CHANGED: &str = "notifications/tools/list_changed";

const WATCHED: &str = "test://watched-resource";

async fn streams_at(server: &tinymcp_tests::server::Server, path: &'static str) -> Vec<Events> {
    let mut streams = Vec::new();
    for client in both_at(server, path).await {
        streams.push(client.listen().await);
    }
    streams
}

async fn told(streams: Vec<Events>) -> Vec<usize> {
    let mut told = Vec::new();
    for stream in streams {
        let messages: Vec<Value> = stream.rest().await;
        told.push(messages.iter().filter(|message| message["method"] == CHANGED).count());
    }
    told
}

#[tokio::test]
async fn a_change_is_told_where_it_can_be_seen_alone() {
    let config = format!("{VIEWS}[view.empty]\n");
    let server = with_views(Site::new()).config(&config).start().await;
    let (main, ops) = (streams_at(&server, "/mcp").await, streams_at(&server, "/mcp/ops").await);
    let (small, empty) = (streams_at(&server, "/mcp/small").await, streams_at(&server, "/mcp/empty").await);
    // Another tool of `greeter`, which both show.
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    Client::modern(&server).at("/mcp/small").wait_for_tool("greeter_part").await;
    // And one that `everything` announces, though its list stays the same.
    let before = server.log.mark();
    Client::modern(&server).call("test_trigger_tool_change", json!({})).await;
    server.log.wait_since(before, "list of tools changed").await;
    // A view that shows less, and nothing else that does.
    let less =
        config.replace("[view.ops]\nplugins = [\"greeter\", \"everything\"]", "[view.ops]\nplugins = [\"everything\"]");
    let at_ops = Client::modern(&server).at("/mcp/ops");
    server.site().configure(&less);
    until("a smaller view", async || !at_ops.tool_names().await.contains(&"greeter_part".to_owned())).await;
    server.terminate();
    assert_eq!(told(main).await, [2, 2]);
    assert_eq!(told(ops).await, [3, 3]);
    assert_eq!(told(small).await, [1, 1]);
    assert_eq!(told(empty).await, [0, 0]);
}

#[tokio::test]
async fn an_update_is_told_where_its_resource_is() {
    let server = with_views(Site::new()).start().await;
    let filter = json!({ "notifications": { "resourceSubscriptions": [WATCHED] } });
    let watch = async |path: &'static str| {
        let client = Client::modern(&server).at(path);
        let mut events = client.request("subscriptions/listen", filter.clone()).1.open().await.events();
        events.expect("an acknowledgement").await;
        events
    };
    let (mut ops, small) = (watch("/mcp/ops").await, watch("/mcp/small").await);
    Client::modern(&server).call("update_watched_resource", json!({})).await;
    assert_eq!(ops.expect("an update").await["params"]["uri"], WATCHED);
    server.terminate();
    let told = small.rest().await;
    assert!(told.iter().all(|message| message["method"] != "notifications/resources/updated"), "{told:?}");
}

#[tokio::test]
async fn streams_end_with_their_view() {
    let server = with_views(Site::new()).start().await;
    let [modern, legacy] = both_at(&server, "/mcp/small").await;
    let (listening, waiting) = (modern.listen().await, legacy.listen().await);
    let mut others = streams_at(&server, "/mcp/ops").await;
    let without = VIEWS.split("[view.small]").next().unwrap();
    server.site().configure(without);
    let rest = within("the end of a modern stream", listening.rest()).await;
    // It ends as one that was meant to end, with its result.
    assert!(rest.last().is_some_and(|last| last.get("result").is_some()), "{rest:?}");
    within("the end of a legacy stream", waiting.rest()).await;
    for client in [&modern, &legacy] {
        let (_, request) = client.request("tools/list", json!({}));
        assert_eq!(request.send().await.status, 404);
    }
    // Another view of that name has nothing of the first.
    server.site().configure(&format!("{without}[view.small]\nplugins = [\"everything\"]\ntools = [\"greet\"]\n"));
    until("another view", async || {
        let (_, request) = modern.request("tools/list", json!({}));
        request.send().await.status == 200
    })
    .await;
    modern.wait_for_tools(&["greet"]).await;
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    for stream in &mut others {
        assert_eq!(stream.expect("a change elsewhere").await["method"], CHANGED);
    }
}
