//! One person's requests hold so much memory, and so many places, and no more, whatever they send and whatever they get.

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::Request;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;
use tinymcp_tests::world::{World, local};
use tokio::task::JoinSet;

use super::{hostile, peak_mib};

const TOO_MUCH: &str = "this takes more memory than one person may use at once";

/// As many of these as fit into a request.
fn many(item: &str) -> String {
    format!("[{}]", vec![item; 4_000_000 / (item.len() + 1)].join(","))
}

/// The request of a client with this text in the place of `"HERE"`.
fn with(client: &Client, method: &str, params: serde_json::Value, text: &str) -> Request {
    let message = client.message(method, params);
    let body = message.to_string().replace("\"HERE\"", text);
    client.post(&message).body(body)
}

#[tokio::test]
async fn values_of_a_body_are_weighed_before_they_are_made() {
    let server = Server::with(&["hostile"]).await;
    let peak_before = peak_mib(&server);
    for client in Client::both(&server).await {
        for item in ["[0]", r#"{"":0}"#] {
            let text = many(item);
            let call = |tool: &str| json!({ "name": tool, "arguments": { "ms": "HERE" } });
            // Nobody looks at the arguments of a tool that is not there.
            let answer = with(&client, "tools/call", call("nothing"), &text).send().await.json();
            assert_eq!(answer["error"]["message"], "unknown tool `nothing`", "{answer}");
            // Nor at metadata that nobody knows.
            let call_with_meta = json!({ "name": "hostile_now", "arguments": {}, "_meta": { "a": "HERE" } });
            let answer = with(&client, "tools/call", call_with_meta, &text).send().await.json();
            assert_eq!(answer["result"]["isError"], false, "{answer}");
            for (method, params) in [
                ("tools/call", call("hostile_sleep_ms")),
                ("tools/call", json!({ "name": "hostile_now", "inputResponses": { "a": "HERE" } })),
                ("tools/list", json!({ "cursor": "HERE" })),
                ("completion/complete", json!({ "context": "HERE" })),
                ("resources/read", json!({ "uri": "a:b", "more": "HERE" })),
                ("nothing", json!({ "more": "HERE" })),
            ] {
                let answer = with(&client, method, params, &text).send().await;
                assert_eq!(answer.status, 413, "{method}: {}", answer.text());
                let error = answer.json()["error"]["message"].as_str().unwrap().to_owned();
                assert!(error.starts_with(TOO_MUCH), "{method}: {error}");
                assert!(answer.json()["id"].is_u64(), "{method}: {}", answer.text());
            }
        }
        for body in [many("[0]"), format!(r#"{{"jsonrpc":"2.0","method":"ping","id":{}}}"#, many("[0]"))] {
            let answer = client.post(&json!({})).body(body).send().await;
            assert!(matches!(answer.status, 400 | 413), "{} {}", answer.status, answer.text());
        }
    }
    let handshake = tinymcp_tests::client::initialize("2025-11-25").to_string();
    let large = format!(r#""capabilities":{{"experimental":{{"a":{{"b":{}}}}}}}"#, many("[0]"));
    let request = Request::new(server.address, "POST", "/mcp").json(&json!({}));
    let answer = request.body(handshake.replace(r#""capabilities":{}"#, &large)).send().await;
    assert!(answer.status == 413 && answer.text().contains("65536 bytes"), "{}", answer.text());
    // As values each of these takes a third of a gigabyte and more.
    let peak = peak_mib(&server) - peak_before;
    assert!(peak < 128, "{peak} MiB");
}

#[tokio::test]
async fn memory_of_a_burst_goes_back_to_the_system() {
    let server = Server::with(&["hostile"]).await;
    let client = Client::modern(&server);
    client.call("hostile_now", json!({})).await;
    let before = server.resident_kib();
    let item = r#"{"k":[1,"ab"]}"#;
    let text = format!("[{}]", vec![item; 1_500_000 / (item.len() + 1)].join(","));
    let call = json!({ "name": "hostile_sleep_ms", "arguments": { "ms": "HERE" } });
    let mut burst = JoinSet::new();
    for _ in 0..16 {
        let request = with(&client, "tools/call", call.clone(), &text);
        burst.spawn(async move { request.send().await.status });
    }
    assert!(burst.join_all().await.iter().all(|status| *status == 200));
    let after = peak_mib(&server) * 1024;
    assert!(after > before + 100 * 1024, "the burst took {} KiB, which tells nothing", after - before);
    // Half of what the system's own allocator would keep for good; calls go on meanwhile, as they do everywhere.
    until("the memory", async || {
        client.call("hostile_now", json!({})).await;
        server.resident_kib() < before + 80 * 1024
    })
    .await;
}

#[tokio::test]
async fn texts_that_never_fit_as_values_are_refused_before_they_are_made() {
    let server = Server::with(&["echo"]).await;
    let peak_before = peak_mib(&server);
    for client in Client::both(&server).await {
        let call = json!({ "name": "echo_echo_list_string", "arguments": { "value": "HERE" } });
        let request = with(&client, "tools/call", call, &many(r#""""#));
        // Not the short way of plain calls.
        let answer = request.header("accept", "text/event-stream, application/json").send().await;
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
    let peak = peak_mib(&server) - peak_before;
    assert!(peak < 64, "{peak} MiB");
}

#[tokio::test]
async fn bodies_that_do_not_arrive_make_their_sender_wait_and_nobody_else() {
    use tokio::io::AsyncWriteExt;

    let world = World::of(local().plugin("hostile", &guest("hostile"))).await;
    let person = async |name: &str| world.modern(&world.log_in(Kind::ClaudeCode, name).await.1.access);
    let (alice, bob) = (person("alice").await, person("bob").await);
    let token = world.log_in(Kind::ClaudeCode, "alice").await.1.access;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut connection = tokio::net::TcpStream::connect(world.server.address).await.unwrap();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n{{",
            4 << 20
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        silent.push(connection);
    }
    let large = json!({ "name": "x".repeat(100_000) });
    let soon = std::time::Duration::from_millis(300);
    until("bodies that are waited for", async || {
        tokio::time::timeout(soon, alice.try_call("hostile_now", large.clone())).await.is_err()
    })
    .await;
    assert!(bob.try_call("hostile_now", large.clone()).await.is_ok());
    assert!(alice.value("hostile_now", json!({})).await.is_u64(), "a small one waits for nobody");
    drop(silent);
    assert!(alice.try_call("hostile_now", large).await.is_ok());
}

#[tokio::test]
async fn one_person_leaves_places_to_others_however_slow_their_calls_are() {
    let site = local().plugin("hostile", &guest("hostile")).plugin("greeter-v1", &guest("greeter-v1"));
    let limits = "[pool]\nslots = 8\n[limits]\nconcurrency = 16\ntimeout = \"10m\"\n";
    let world = World::of(site.config(limits)).await;
    let person = async |name: &str| world.modern(&world.log_in(Kind::ClaudeCode, name).await.1.access);
    let (alice, bob) = (person("alice").await, person("bob").await);
    let mut calls = JoinSet::new();
    for _ in 0..16 {
        let alice = alice.clone();
        calls.spawn(async move { alice.try_call("hostile_sleep_ms", json!({ "ms": 600_000 })).await });
    }
    let soon = std::time::Duration::from_millis(500);
    let greet = || json!({ "name": "Ada" });
    until("a person who has all places that one can have", async || {
        tokio::time::timeout(soon, alice.try_call("greeter_v1_greet", greet())).await.is_err()
    })
    .await;
    for _ in 0..3 {
        assert_eq!(bob.value("greeter_v1_greet", greet()).await, "v1 greets Ada");
    }
    assert!(calls.try_join_next().is_none(), "another's plugin waited for a call of this one");
    calls.abort_all();
}

#[tokio::test]
async fn a_search_has_so_many_words() {
    let site = Site::with(&["hostile"]).config("[server]\ndiscovery_tools = true\n");
    let server = site.start().await;
    for client in Client::both(&server).await {
        for query in ["a ".repeat(33), "a".repeat(1025), "a ".repeat(700_000)] {
            let said = client.failure("find_tools", json!({ "query": query })).await;
            assert!(said.contains("more than 32 words or 1024 bytes"), "{said}");
        }
        assert!(!client.call("find_tools", json!({ "query": "a ".repeat(32) })).await.is_error);
        let quoted = json!({ "name": "hostile_now", "arguments": format!("{{\"a\":{}}}", many("[0]")) });
        assert!(client.failure("call_tool", quoted).await.contains("expected an object"));
    }
}

#[tokio::test]
async fn a_large_result_is_the_same_in_pieces() {
    let (_server, client) = hostile("").await;
    let called = client.call("hostile_huge_list", json!({ "length": 200_000 })).await;
    let expected: Vec<u32> = (0..200_000).collect();
    assert_eq!(called.structured, json!({ "result": expected }));
    assert_eq!(called.text, json!(expected).to_string());
}
