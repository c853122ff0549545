//! Answers to messages that are none, and leniency with the rest.

use serde_json::json;
use tinymcp_tests::client::{Client, LEGACY, MODERN, initialize};
use tinymcp_tests::http::{Request, content_type};
use tinymcp_tests::server::{Server, Site};

use super::refusal;

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;

/// Sends a body as three clients would: of no version, of a legacy one in a session, and of the modern one.
async fn is_refused(body: impl AsRef<[u8]>, code: i64) {
    let body = body.as_ref();
    let server = Server::with(&["greeter-v1"]).await;
    let post = || server.request("POST", "/mcp").json(&json!(null)).body(body.to_vec());
    let session = Client::legacy(&server).await;
    let requests: [(&str, Request); 4] = [
        ("plain", post()),
        ("version", post().header("mcp-protocol-version", LEGACY[0])),
        ("session", post().header("mcp-protocol-version", LEGACY[0]).header("mcp-session-id", session.session())),
        ("modern", post().header("mcp-protocol-version", MODERN).header("mcp-method", "tools/list")),
    ];
    for (who, request) in requests {
        let answer = request.send().await;
        let body = String::from_utf8_lossy(body);
        assert_eq!(refusal(&answer), (400, code, None), "{who}: {body}: {answer:?}");
        assert_eq!(content_type(&answer.headers), "application/json", "{who}: {body}");
    }
}

#[tokio::test]
async fn what_is_not_json_is_a_parse_error() {
    for body in
        ["", "{", "hello", "{\"jsonrpc\": \"2.0\",}", "\u{feff}{}", r#"{"jsonrpc":"2.0","id":1,"method":"ping"}}"#]
    {
        is_refused(body, PARSE_ERROR).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_as_json_is_a_parse_error_wherever_it_stands() {
    let call = |name: &[u8], argument: &str| {
        let arguments = format!(r#"","arguments":{{"name":{argument}}}}}}}"#);
        [br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":""#, name, arguments.as_bytes()].concat()
    };
    is_refused(call(b"\xff\xfe", "1"), PARSE_ERROR).await;
}

/// JSON by its grammar, as JavaScript and models write it, with a value that cannot be.
#[tokio::test]
async fn a_request_with_a_value_that_cannot_be_is_answered_with_its_id() {
    let server = Server::with(&["greeter-v1"]).await;
    let arguments = |argument: &str| {
        format!(r#""id":"it","method":"tools/call","params":{{"name":"greeter_v1_greet","arguments":{argument}}}"#)
    };
    let results = [
        (r#"{"name":"Ada \ud800 Lovelace"}"#, "argument `$.name`"),
        (r#"{"name":"\udc00"}"#, "argument `$.name`"),
        (r#"{"other":[1,{"deep":"\ud83d"}]}"#, "argument `$.other[1].deep`"),
        (r#"{"name":1e999}"#, "argument `$.name`"),
    ];
    let errors = [
        (r#""id":"it","method":"tools/call","params":{"name":"\ud800"}"#, "`$.params.name`"),
        (
            r#""id":"it","method":"prompts/get","params":{"name":"x","arguments":{"a":"\ud800"}}"#,
            "`$.params.arguments.a`",
        ),
        (r#""id":"it","method":"\ud800""#, "`$.method`"),
    ];
    let results = results.map(|(argument, path)| (arguments(argument), path, true));
    let errors = errors.map(|(message, path)| (message.to_owned(), path, false));
    let session = Client::legacy(&server).await;
    for (members, path, is_result) in results.into_iter().chain(errors) {
        let body = format!(r#"{{"jsonrpc":"2.0",{members}}}"#);
        let post = || server.request("POST", "/mcp").json(&json!(null)).body(body.clone());
        let requests = [
            ("plain", post()),
            ("session", post().header("mcp-protocol-version", LEGACY[0]).header("mcp-session-id", session.session())),
            ("modern", post().header("mcp-protocol-version", MODERN).header("mcp-method", "tools/call")),
        ];
        for (who, request) in requests {
            let answer = request.send().await;
            let message = answer.json();
            assert_eq!((answer.status, &message["id"]), (200, &json!("it")), "{who}: {body}: {answer:?}");
            let text = if is_result {
                assert_eq!(message["result"]["isError"], true, "{who}: {body}: {answer:?}");
                &message["result"]["content"][0]["text"]
            } else {
                assert_eq!(message["error"]["code"], -32602, "{who}: {body}: {answer:?}");
                &message["error"]["message"]
            };
            assert!(text.as_str().is_some_and(|text| text.contains(path)), "{who}: {body}: {answer:?}");
        }
    }
    // Where nobody waits for an answer there is none to give.
    let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"\ud800"}}"#;
    let answer = server.request("POST", "/mcp").json(&json!(null)).body(body).send().await;
    assert_eq!(refusal(&answer), (400, PARSE_ERROR, None));
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_told_from_an_unknown_method() {
    let server = Server::with(&["greeter-v1"]).await;
    for client in Client::both(&server).await {
        for arguments in [json!([]), json!("x"), json!(5)] {
            let answer =
                client.answer("tools/call", json!({ "name": "greeter_v1_greet", "arguments": arguments })).await;
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
            assert_eq!(answer["error"]["message"], "the parameters do not fit `tools/call`");
        }
        assert_eq!(client.answer("tools/cull", json!({})).await["error"]["code"], -32601);
    }
    let handshake = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {} });
    let answer = server.request("POST", "/mcp").json(&handshake).send().await;
    assert_eq!(answer.json()["error"]["code"], -32602, "{answer:?}");
}

#[tokio::test]
async fn json_that_is_no_message_is_an_invalid_request() {
    for body in ["null", "5", "\"text\"", "{}", r#"{"jsonrpc":"2.0"}"#, r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#] {
        is_refused(body, INVALID_REQUEST).await;
    }
}

#[tokio::test]
async fn batches_are_refused() {
    for body in [
        "[]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        r#"[{"jsonrpc":"2.0","method":"notifications/initialized"}]"#,
    ] {
        is_refused(body, INVALID_REQUEST).await;
    }
}

#[tokio::test]
async fn deep_json_is_refused_and_hurts_nobody() {
    is_refused(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), PARSE_ERROR).await;
    let server = Server::with(&["greeter-v1"]).await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"greeter_v1_greet","arguments":{{"name":{}1{}}}}}}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let answer = server.request("POST", "/mcp").json(&json!(null)).body(deep).send().await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = Site::new().config("[server]\nbody = \"10KiB\"\n").start().await;
    let body = |size: usize| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"x":"{}"}}}}"#, "x".repeat(size))
    };
    let post = |size| server.request("POST", "/mcp").json(&json!(null)).body(body(size));
    assert_eq!(post(9_000).send().await.status, 200);
    for version in [LEGACY[0], MODERN] {
        let answer = post(11_000).header("mcp-protocol-version", version).send().await;
        assert_eq!(answer.status, 413, "{answer:?}");
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains("server.body"), "{answer:?}");
    }
}

#[tokio::test]
async fn clients_may_accept_what_they_like() {
    let server = Server::with(&["greeter-v1"]).await;
    for client in Client::both(&server).await {
        for accept in [
            Some("application/json"),
            Some("text/event-stream"),
            Some("*/*"),
            Some("application/*"),
            Some("application/json; q=0.5, text/event-stream;q=1"),
            Some("Application/JSON"),
            None,
        ] {
            for method in ["tools/list", "tools/call"] {
                let params = json!({ "name": "greeter_v1_greet", "arguments": { "name": "Ada" } });
                let request = client.request(method, params).1.without("accept");
                let request = match accept {
                    Some(accept) => request.header("accept", accept),
                    None => request,
                };
                let answer = request.send().await;
                assert_eq!(answer.status, 200, "{method} {accept:?}: {answer:?}");
                assert!(answer.text().contains("\"result\""), "{method} {accept:?}: {answer:?}");
            }
        }
    }
    let answer = Client::modern(&server).request("tools/list", json!({})).1.header("accept", "image/png").send().await;
    assert_eq!(answer.status, 406, "{answer:?}");
}

#[tokio::test]
async fn a_content_type_may_have_a_charset() {
    let server = Server::with(&["greeter-v1"]).await;
    for client in Client::both(&server).await {
        for (content_type, status) in [
            ("application/json; charset=utf-8", 200),
            ("Application/JSON;charset=UTF-8", 200),
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
        ] {
            let params = json!({ "name": "greeter_v1_greet", "arguments": { "name": "Ada" } });
            let request = client.request("tools/call", params).1;
            assert_eq!(request.header("content-type", content_type).send().await.status, status, "{content_type}");
        }
        let request = client.request("tools/list", json!({})).1.without("content-type");
        assert_eq!(request.send().await.status, 415);
    }
}

#[tokio::test]
async fn a_slash_at_the_end_changes_nothing() {
    let server = Server::with(&["greeter-v1"]).await;
    let answer = server.request("POST", "/mcp/").json(&initialize(LEGACY[0])).send().await;
    assert_eq!(answer.json()["result"]["protocolVersion"], LEGACY[0]);
    let answer = server.request("POST", "/mcp?source=test").json(&initialize(LEGACY[0])).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let server = Server::with(&[]).await;
    for method in ["PUT", "PATCH"] {
        let answer = server.request(method, "/mcp").json(&json!({})).send().await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, POST, DELETE"), "{method}");
    }
    let answer = server.request("POST", "/healthz").send().await;
    assert_eq!(answer.status, 405, "{answer:?}");
    assert!(answer.header("allow").contains("GET"), "{answer:?}");
}

#[tokio::test]
async fn a_stream_without_a_session_is_not_offered() {
    let server = Server::with(&[]).await;
    let answer = server.request("GET", "/mcp").header("accept", "text/event-stream").send().await;
    assert!([400, 405].contains(&answer.status), "{answer:?}");
    assert_eq!(content_type(&answer.headers), "application/json");
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let server = Server::with(&[]).await;
    for path in ["/sse", "/mcp/x", "/.well-known/oauth-authorization-server", "//mcp"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, content_type(&answer.headers)), (404, "application/json"), "{path}");
    }
}

#[tokio::test]
async fn health_and_readiness_are_told() {
    let server = Server::with(&[]).await;
    assert_eq!(server.get("/healthz").await.json(), json!({ "status": "ok" }));
    assert_eq!(server.get("/readyz").await.json(), json!({ "status": "ready" }));
}
