//! Both eras, in common and each alone: handshake, discovery, lists and calls.

use serde_json::json;
use tinymcp_tests::client::{Client, LEGACY, MODERN, initialize};
use tinymcp_tests::http::content_type;
use tinymcp_tests::server::{Server, Site};

#[tokio::test]
async fn every_legacy_version_shakes_hands_and_calls() {
    let server = Server::with(&["greeter-v1"]).await;
    for version in LEGACY {
        let client = Client::of_version(&server, version).await;
        assert_eq!(client.value("greeter_v1_greet", json!({ "name": "Ada" })).await, "v1 greets Ada", "{version}");
        assert_eq!(client.other("DELETE").send().await.status, 204, "{version}");
    }
}

#[tokio::test]
async fn an_unknown_version_is_answered_with_one_that_is_known() {
    let server = Server::with(&[]).await;
    for version in ["1999-01-01", "2024-11-05", "2099-01-01"] {
        let answer = server.request("POST", "/mcp").json(&initialize(version)).send().await.json();
        let offered = answer["result"]["protocolVersion"].as_str().unwrap_or_default().to_owned();
        assert!(LEGACY.contains(&offered.as_str()) || offered == version, "{version}: {answer}");
    }
}

#[tokio::test]
async fn a_handshake_says_what_the_server_is_and_can() {
    let server = Server::with(&[]).await;
    let answer = server.request("POST", "/mcp").json(&initialize(LEGACY[0])).send().await;
    let result = &answer.json()["result"];
    assert_eq!(result["serverInfo"]["name"], "tinymcp");
    assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
    let session = answer.header("mcp-session-id");
    assert!(!session.is_empty() && session.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{session}");
}

#[tokio::test]
async fn discovery_names_versions_and_capabilities() {
    let server = Server::with(&[]).await;
    let result = Client::modern(&server).result("server/discover", json!({})).await;
    let versions = result["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!(MODERN)), "{result}");
    assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
    assert!(result["ttlMs"].is_u64() && result["cacheScope"].is_string(), "{result}");
}

#[tokio::test]
async fn answers_are_json_in_both_eras() {
    let server = Server::with(&["greeter-v1"]).await;
    let initialized = server.request("POST", "/mcp").json(&initialize(LEGACY[0])).send().await;
    assert_eq!(content_type(&initialized.headers), "application/json");
    for client in Client::both(&server).await {
        for (method, params) in [
            ("tools/list", json!({})),
            ("tools/call", json!({ "name": "greeter_v1_greet", "arguments": { "name": "Ada" } })),
            ("tools/call", json!({ "name": "greeter_v1_greet", "arguments": {} })),
        ] {
            let answer = client.request(method, params).1.send().await;
            assert_eq!((answer.status, content_type(&answer.headers)), (200, "application/json"), "{method}");
            assert!(!answer.text().contains('\n'), "{method}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn modern_results_name_their_server_and_kind() {
    let server = Server::with(&["greeter-v1"]).await;
    let client = Client::modern(&server);
    for (method, params) in [
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("tools/call", json!({ "name": "greeter_v1_greet", "arguments": { "name": "Ada" } })),
        ("tools/call", json!({ "name": "greeter_v1_greet", "arguments": {} })),
        ("prompts/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
    ] {
        let result = client.result(method, params).await;
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "tinymcp", "{method}: {result}");
        assert_eq!(result["resultType"], "complete", "{method}: {result}");
    }
}

#[tokio::test]
async fn modern_lists_say_how_long_they_are_good() {
    let server = Server::with(&["greeter-v1"]).await;
    let client = Client::modern(&server);
    for method in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
        let result = client.result(method, json!({})).await;
        assert!(result["ttlMs"].is_u64(), "{method}: {result}");
        assert!(["public", "private"].contains(&result["cacheScope"].as_str().unwrap()), "{method}: {result}");
    }
}

#[tokio::test]
async fn legacy_results_have_nothing_of_the_modern_era() {
    let server = Server::with(&["greeter-v1"]).await;
    let client = Client::legacy(&server).await;
    assert_eq!(client.result("ping", json!({})).await, json!({}));
    for (method, params) in [
        ("tools/list", json!({})),
        ("tools/call", json!({ "name": "greeter_v1_greet", "arguments": { "name": "Ada" } })),
        ("prompts/list", json!({})),
    ] {
        let result = client.result(method, params).await;
        for key in ["resultType", "ttlMs", "cacheScope", "_meta"] {
            assert_eq!(result.get(key), None, "{method}: {result}");
        }
    }
}

#[tokio::test]
async fn what_no_plugin_gives_yet_is_an_empty_list() {
    let server = Server::with(&[]).await;
    for client in Client::both(&server).await {
        assert_eq!(client.result("prompts/list", json!({})).await["prompts"], json!([]));
        assert_eq!(client.result("resources/list", json!({})).await["resources"], json!([]));
        assert_eq!(client.result("resources/templates/list", json!({})).await["resourceTemplates"], json!([]));
    }
}

#[tokio::test]
async fn tools_are_listed_in_the_same_order_every_time() {
    let server = Server::with(&["hostile", "echo", "greeter-v2", "greeter-v1"]).await;
    let first = Client::modern(&server).tool_names().await;
    let mut sorted = first.clone();
    sorted.sort();
    assert_eq!(first, sorted);
    for client in Client::both(&server).await {
        assert_eq!(client.tool_names().await, first);
    }
    let again = server.kill().start().await;
    assert_eq!(Client::modern(&again).tool_names().await, first);
}

#[tokio::test]
async fn an_unknown_tool_is_an_error_of_the_protocol() {
    let server = Server::with(&["greeter-v1"]).await;
    for client in Client::both(&server).await {
        let (id, request) = client.request("tools/call", json!({ "name": "no_such_tool", "arguments": {} }));
        let answer = request.send().await;
        assert_eq!(super::refusal(&answer), (200, -32602, Some(json!(id))));
        assert!(answer.text().contains("no_such_tool"), "{}", answer.text());
    }
}

#[tokio::test]
async fn an_unknown_prompt_and_resource_are_invalid_parameters() {
    let server = Server::with(&[]).await;
    let client = Client::modern(&server);
    let answer = client.request("resources/read", json!({ "uri": "test://nothing" })).1.send().await;
    let (_, code, _) = super::refusal(&answer);
    assert_eq!((code, &answer.json()["error"]["data"]["uri"]), (-32602, &json!("test://nothing")));
    let answer = client.request("prompts/get", json!({ "name": "nothing" })).1.send().await;
    assert_eq!(super::refusal(&answer).1, -32602);
    let legacy = Client::legacy(&server).await;
    let answer = legacy.request("resources/read", json!({ "uri": "test://nothing" })).1.send().await;
    assert_eq!(super::refusal(&answer).1, -32002);
}

#[tokio::test]
async fn wrong_arguments_are_a_result_and_no_error() {
    let server = Server::with(&["greeter-v1"]).await;
    for client in Client::both(&server).await {
        let text = client.failure("greeter_v1_greet", json!({ "name": 5 })).await;
        assert_eq!(text, "argument `$.name`: expected a string, got number 5");
    }
}

#[tokio::test]
async fn absent_arguments_are_none() {
    let server = Server::with(&["conformance"]).await;
    for client in Client::both(&server).await {
        let result = client.result("tools/call", json!({ "name": "conformance_test_simple_text" })).await;
        assert_eq!(result["content"][0]["text"], "This is a simple text response for testing.");
    }
}

#[tokio::test]
async fn ids_come_back_as_they_were() {
    let server = Server::with(&["greeter-v1"]).await;
    for client in Client::both(&server).await {
        for id in [json!("text"), json!(0), json!(9_007_199_254_740_991_i64), json!("")] {
            for method in ["tools/list", "tools/call"] {
                let mut message =
                    client.message(method, json!({ "name": "greeter_v1_greet", "arguments": { "name": "" } }));
                message["id"] = id.clone();
                let answer = client.post(&message).send().await.json();
                assert_eq!(answer["id"], id, "{method}");
            }
        }
    }
}

/// A plain call takes a short way through the server. A member that the protocol does not know, and that is to be ignored,
/// makes it take the long one.
#[tokio::test]
async fn the_short_way_answers_as_the_long_one() {
    let site = Site::with(&["echo", "hostile"]).config("[limits]\ntimeout = \"1s\"\n");
    let server = site.start().await;
    for client in Client::both(&server).await {
        for (tool, arguments) in [
            ("echo_answer", json!({})),
            ("echo_silence", json!({})),
            ("echo_echo_string", json!({ "value": "text" })),
            ("echo_echo_string", json!({ "value": "" })),
            ("echo_echo_u64", json!({ "value": "18446744073709551615" })),
            ("echo_echo_u64", json!({ "value": "+1" })),
            ("echo_echo_record", json!({ "value": "{}" })),
            ("echo_outcome", json!({ "value": { "err": "" } })),
            ("echo_echo_variant", json!({ "value": { "dot": true } })),
            ("echo_echo_u8", json!({ "value": 256 })),
            ("echo_outcome", json!({ "value": { "err": "no luck" } })),
            ("hostile_trap", json!({})),
            ("hostile_spin", json!({})),
            ("no_such_tool", json!({})),
        ] {
            let short = client.message("tools/call", json!({ "name": tool, "arguments": arguments }));
            let mut long = short.clone();
            long["unknown"] = json!(1);
            let (short, long) = (client.post(&short).send().await, client.post(&long).send().await);
            assert_eq!((short.status, short.json()), (long.status, long.json()), "{tool}");
            assert_eq!(content_type(&short.headers), content_type(&long.headers), "{tool}");
        }
    }
}
