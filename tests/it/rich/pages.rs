//! Lists in pages, and the same by either way of serving them.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::server::Site;

use super::{CONFIG, INVALID_PARAMS, serve, with_everything};

const LISTS: [(&str, &str, &str); 4] = [
    ("tools/list", "tools", "name"),
    ("prompts/list", "prompts", "name"),
    ("resources/list", "resources", "uri"),
    ("resources/templates/list", "resourceTemplates", "uriTemplate"),
];

#[tokio::test]
async fn a_list_in_pages_is_the_whole_list() {
    let whole = serve().await;
    let config = format!("{CONFIG}[server]\nlist_page = 2\ndiscovery_tools = true\n");
    let paged = with_everything(Site::new()).config(&config).start().await;
    for (client, other) in Client::both(&paged).await.iter().zip(&Client::both(&whole).await) {
        for (method, member, key) in LISTS {
            let expected = other.result(method, json!({})).await;
            assert!(expected.get("nextCursor").is_none(), "{expected}");
            let (mut items, mut cursor) = (Vec::<Value>::new(), Value::Null);
            loop {
                let params = if cursor.is_null() { json!({}) } else { json!({ "cursor": cursor }) };
                let page = client.result(method, params).await;
                let listed = page[member].as_array().unwrap().clone();
                let own = listed.iter().filter(|it| it["name"] == "find_tools" || it["name"] == "call_tool").count();
                assert!(listed.len() - own <= 2, "{page}");
                items.extend(listed);
                cursor = page["nextCursor"].clone();
                if cursor.is_null() {
                    break;
                }
            }
            if method == "tools/list" {
                let own: Vec<Value> = items.split_off(items.len() - 2);
                assert_eq!((&own[0]["name"], &own[1]["name"]), (&json!("find_tools"), &json!("call_tool")));
            }
            let keys: Vec<&Value> = items.iter().map(|item| &item[key]).collect();
            assert_eq!(Value::Array(items.clone()), expected[member], "{keys:?}");
        }
        for cursor in ["x", "", "dG9vbHM"] {
            let refused = client.answer("tools/list", json!({ "cursor": cursor })).await;
            assert_eq!(refused["error"]["code"], INVALID_PARAMS, "{refused}");
        }
        let of_another = client.result("prompts/list", json!({})).await["nextCursor"].clone();
        let refused = client.answer("tools/list", json!({ "cursor": of_another })).await;
        assert_eq!(refused["error"]["code"], INVALID_PARAMS, "{refused}");
    }
}

#[tokio::test]
async fn both_ways_give_the_same_list() {
    let server = serve().await;
    for client in Client::both(&server).await {
        for (method, member, _) in LISTS {
            let kept = client.result(method, json!({})).await;
            assert!(!kept[member].as_array().unwrap().is_empty(), "{kept}");
            // Who names streams first is served by rmcp.
            let (_, request) = client.request(method, json!({}));
            let messages = request.header("accept", "text/event-stream, application/json").messages().await;
            assert_eq!(messages.last().unwrap()["result"], kept, "{method}");
        }
    }
}
