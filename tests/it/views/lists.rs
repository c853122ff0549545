//! The list of a view: a part of the server's, by every way in which something can be seen or used.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::Request;
use tinymcp_tests::server::{Server, Site};

use super::{INVALID_PARAMS, both_at, code, with_views};

async fn names(client: &Client, method: &str, member: &str, key: &str) -> Vec<String> {
    let listed = client.result(method, json!({})).await;
    let items = listed[member].as_array().unwrap_or_else(|| panic!("{listed}"));
    items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn views_that_share_a_plugin_show_it_each_in_its_own_list() {
    let server = with_views(Site::new()).start().await;
    for (small, ops) in both_at(&server, "/mcp/small").await.iter().zip(&both_at(&server, "/mcp/ops").await) {
        assert_eq!(small.tool_names().await, ["greeter_greet", "greeter_wait"]);
        assert_eq!(ops.tool_names().await, Client::modern(&server).tool_names().await);
        for client in [small, ops] {
            assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
        }
        for (method, member, key) in [
            ("prompts/list", "prompts", "name"),
            ("resources/list", "resources", "uri"),
            ("resources/templates/list", "resourceTemplates", "uriTemplate"),
        ] {
            assert!(names(small, method, member, key).await.is_empty(), "{method}");
            assert!(!names(ops, method, member, key).await.is_empty(), "{method}");
        }
    }
}

#[tokio::test]
async fn what_a_view_does_not_show_cannot_be_used_there() {
    let server = with_views(Site::new()).start().await;
    let main = Client::modern(&server);
    let completion = json!({
        "ref": { "type": "ref/prompt", "name": "test_prompt_with_arguments" },
        "argument": { "name": "arg1", "value": "p" },
    });
    for client in both_at(&server, "/mcp/small").await {
        for (method, params) in [
            ("tools/call", json!({ "name": "greet", "arguments": { "name": "Ada" } })),
            ("prompts/get", json!({ "name": "test_simple_prompt" })),
            ("resources/read", json!({ "uri": "test://static-text" })),
            ("resources/read", json!({ "uri": "test://template/1/data" })),
            ("completion/complete", completion.clone()),
            ("skills/get", json!({ "uri": "skill://greeting/SKILL.md" })),
        ] {
            let refused = client.answer(method, params.clone()).await;
            assert!(refused.get("error").is_some(), "{method}: {refused}");
            assert!(main.answer(method, params).await.get("result").is_some(), "{method}");
        }
        let called = client.answer("tools/call", json!({ "name": "greet", "arguments": {} })).await;
        assert_eq!(code(&called), INVALID_PARAMS);
        assert_eq!(client.result("skills/list", json!({})).await["skills"], json!([]));
    }
    let legacy = Client::legacy_at(&server, "/mcp/small", None).await;
    let refused = legacy.answer("resources/subscribe", json!({ "uri": "test://watched-resource" })).await;
    assert!(refused.get("error").is_some(), "{refused}");
}

#[tokio::test]
async fn a_view_may_show_a_part_of_a_plugin() {
    let config = "[server]\ndiscovery_tools = true\n[plugin.greeter.tool.wait]\nname = \"doze\"\n\
        [view.one]\nplugins = [\"greeter\"]\ntools = [\"doze\"]\n[view.other]\nplugins = [\"greeter\"]\nhide = [\"doze\"]\n";
    let server = Site::new().plugin("greeter", &guest("greeter-v1")).config(config).start().await;
    for (path, shown, hidden) in [("/mcp/one", "doze", "greeter_greet"), ("/mcp/other", "greeter_greet", "doze")] {
        for client in both_at(&server, path).await {
            assert_eq!(client.tool_names().await, [shown, "find_tools", "call_tool"]);
            let arguments = json!({ "name": "Ada", "ms": 0 });
            let refused = client.answer("tools/call", json!({ "name": hidden, "arguments": arguments })).await;
            assert_eq!(code(&refused), INVALID_PARAMS);
            let refused = client.failure("call_tool", json!({ "name": hidden, "arguments": arguments })).await;
            assert!(refused.starts_with(&format!("there is no tool `{hidden}`")), "{refused}");
            assert_eq!(client.call("find_tools", json!({})).await.structured["total"], 1);
        }
    }
}

/// `/mcp/NAME` answers like `/mcp` to everything but who calls.
#[tokio::test]
async fn a_view_is_an_endpoint_like_the_other() {
    let server = with_views(Site::new()).start().await;
    for path in ["/mcp/ops", "/mcp/ops/"] {
        let client = Client::modern(&server).at(path);
        assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
        let options = server.request("OPTIONS", path).send().await;
        assert_eq!((options.status, options.header("allow")), (204, "GET, POST, DELETE, OPTIONS"));
        let list = client.message("tools/list", json!({}));
        let foreign = client.post(&list).header("origin", "https://evil.example").send().await;
        assert_eq!(foreign.status, 403, "{foreign:?}");
        let foreign = client.post(&list).header("host", "evil.example").send().await;
        assert_eq!(foreign.status, 403, "{foreign:?}");
        let page = server.request("GET", path).header("accept", "text/html").send().await;
        assert!(page.status == 200 && page.header("content-type").starts_with("text/html"), "{page:?}");
        assert_eq!(server.request("PUT", path).send().await.status, 405);
    }
    let unreadable = Request::new(server.address, "POST", "/mcp/ops").json(&Value::Null).body("{").send().await;
    assert_eq!((unreadable.status, code(&unreadable.json())), (400, -32700));
}

#[tokio::test]
async fn there_is_nothing_at_other_names() {
    let server = with_views(Site::new()).start().await;
    let client = Client::modern(&server);
    for path in ["/mcp/nothing", "/mcp/Ops", "/mcp/%6fps", "/mcp/ops/more", "/mcp//ops", "/mcp/ops//", "/mcp/."] {
        let list = client.post(&client.message("tools/list", json!({})));
        let (headers, body) = (list.sent_headers().clone(), list.sent_body().to_vec());
        let mut request = Request::new(server.address, "POST", path).body(body);
        for (name, value) in headers.iter().filter(|(name, _)| *name != "host" && *name != "content-length") {
            request = request.header(name.as_str(), value.to_str().unwrap());
        }
        let answer = request.send().await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (404, Some("not_found")), "{path}: {answer:?}");
        assert_eq!(server.request("GET", path).send().await.status, 404, "{path}");
    }
    let site: Site = Site::new().config("[view.sse]\nplugins = [\"greeter\"]\n");
    let refused = site.run(&["check"]);
    assert!(refused.code == 2 && refused.stderr.contains("`sse` is reserved"), "{refused:?}");
}

#[tokio::test]
async fn connect_gives_the_url_of_a_view() {
    let server: Server = with_views(Site::new()).start().await;
    let connected = server.site().run(&["connect", "claude-code", "--view", "ops"]);
    assert!(connected.code == 0 && connected.stdout.contains("/mcp/ops"), "{connected:?}");
    let refused = server.site().run(&["connect", "claude-code", "--view", "opps"]);
    assert!(refused.code == 2 && refused.stderr.contains("there is no view `opps`"), "{refused:?}");
}
