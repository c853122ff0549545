//! `tinymcp stdio`: messages of both eras, line by line, and what a client may do wrong.

use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tinymcp_tests::DEADLINE;
use tinymcp_tests::command::tinymcp;
use tinymcp_tests::guests::guest;
use tinymcp_tests::log::Log;
use tinymcp_tests::server::Site;

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;

/// A client of one process. What is no message on its standard output fails a test.
struct Local {
    child: Child,
    input: Option<ChildStdin>,
    output: Log,
    log: Log,
    /// Lines that were read.
    read: usize,
}

impl Local {
    fn start(site: &Site) -> Self {
        let mut command = tinymcp(site.path());
        command.arg("stdio").env("TINYMCP_PLUGINS_WAIT", "10m");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take(), Log::collect(child.stdout.take().unwrap()));
        let log = Log::collect(child.stderr.take().unwrap());
        Self { child, input, output, log, read: 0 }
    }

    /// The same after a handshake by somebody whose person can be asked.
    async fn legacy(site: &Site) -> Self {
        let mut client = Self::start(site);
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "elicitation": {} },
            "clientInfo": { "name": "tests", "version": "1" },
        });
        let answer = client.ask(1, "initialize", params).await;
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
        client.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    fn line(&mut self, line: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line).and_then(|()| input.write_all(b"\n")).unwrap();
    }

    fn tell(&mut self, message: &Value) {
        self.line(message.to_string().as_bytes());
    }

    #[expect(clippy::needless_pass_by_value, reason = "calls with `json!` read better")]
    fn send(&mut self, id: i64, method: &str, params: Value) {
        self.tell(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
    }

    /// The next message.
    async fn next(&mut self) -> Value {
        let started = Instant::now();
        loop {
            let text = self.output.text();
            if let Some(line) = text.lines().nth(self.read) {
                self.read += 1;
                return serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            }
            assert!(started.elapsed() < 2 * DEADLINE, "nothing came: {}", self.log.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The next message, which is no answer.
    async fn told(&mut self) -> Value {
        let message = self.next().await;
        assert!(message.get("method").is_some(), "{message}");
        message
    }

    /// The next message that answers this request, and all before it.
    async fn answer(&mut self, id: i64) -> (Vec<Value>, Value) {
        let mut before = Vec::new();
        loop {
            let message = self.next().await;
            if message["id"] == id && message.get("method").is_none() {
                return (before, message);
            }
            before.push(message);
        }
    }

    async fn ask(&mut self, id: i64, method: &str, params: Value) -> Value {
        self.send(id, method, params);
        self.answer(id).await.1
    }

    /// Asks by the rules of 2026-07-28.
    async fn modern(&mut self, id: i64, method: &str, params: Value) -> Value {
        self.ask(id, method, with_meta(params)).await
    }

    async fn call(&mut self, id: i64, tool: &str, arguments: Value) -> Value {
        self.ask(id, "tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// Closes the input, and waits for the end.
    async fn end(mut self) -> (i32, Duration, Vec<String>) {
        self.input = None;
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.output.ended().await;
                let rest = self.output.text().lines().skip(self.read).map(str::to_owned).collect();
                return (status.code().unwrap_or(-1), started.elapsed(), rest);
            }
            assert!(started.elapsed() < DEADLINE, "it does not end: {}", self.log.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_meta(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "form": {} } },
    });
    params
}

fn tools(answer: &Value) -> Vec<&str> {
    answer["result"]["tools"].as_array().unwrap().iter().filter_map(|tool| tool["name"].as_str()).collect()
}

fn everything() -> Site {
    Site::with(&["everything"]).config("[plugin.everything]\nenabled = true\nprefix = \"\"\n")
}

#[tokio::test]
async fn both_eras_are_served_by_one_process_in_any_order() {
    let site = Site::with(&["greeter-v1"]);
    let mut client = Local::start(&site);
    let discovered = client.modern(1, "server/discover", json!({})).await;
    assert_eq!(discovered["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "tinymcp", "{discovered}");
    assert_eq!(client.ask(2, "ping", json!({})).await["result"], json!({}));
    let listed = client.modern(3, "tools/list", json!({})).await;
    assert_eq!(tools(&listed), ["greeter_v1_greet", "greeter_v1_wait"]);
    assert_eq!(listed["result"]["resultType"], "complete", "{listed}");
    let version = client
        .ask(4, "initialize", json!({ "protocolVersion": "2099-01-01", "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } }))
        .await;
    assert_eq!(version["result"]["protocolVersion"], "2025-11-25", "{version}");
    let called = client.call(5, "greeter_v1_greet", json!({ "name": "Ada" })).await;
    assert_eq!(called["result"]["content"][0]["text"], "v1 greets Ada", "{called}");
    assert!(called["result"].get("resultType").is_none(), "{called}");
    let params = json!({ "name": "greeter_v1_greet", "arguments": { "name": "Bo" } });
    let called = client.modern(6, "tools/call", params).await;
    assert_eq!(called["result"]["content"][0]["text"], "v1 greets Bo", "{called}");
    let (code, _, rest) = client.end().await;
    assert_eq!((code, rest.len()), (0, 0), "{rest:?}");
}

#[tokio::test]
async fn lists_change_for_clients_of_both_eras() {
    let site = Site::with(&["greeter-v1"]);
    let mut legacy = Local::legacy(&site).await;
    let mut modern = Local::start(&site);
    let count = |answer: &Value| tools(answer).len();
    let before = count(&legacy.ask(2, "tools/list", json!({})).await);
    modern.send(7, "subscriptions/listen", with_meta(json!({ "notifications": { "toolsListChanged": true } })));
    let acknowledged = modern.next().await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged", "{acknowledged}");
    assert_eq!(count(&modern.modern(8, "tools/list", json!({})).await), before);
    site.put("other.wasm", &guest("echo"));
    let told = legacy.told().await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    let told = modern.told().await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7, "{told}");
    assert!(count(&legacy.ask(3, "tools/list", json!({})).await) > before);
    // A subscription that is cancelled hears nothing more.
    modern.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } }));
    modern.modern(9, "server/discover", json!({})).await;
    site.remove("other.wasm");
    assert_eq!(legacy.told().await["method"], "notifications/tools/list_changed");
    modern.send(10, "server/discover", with_meta(json!({})));
    let (others, _) = modern.answer(10).await;
    assert!(others.is_empty(), "{others:?}");
}

#[tokio::test]
async fn progress_comes_before_the_result() {
    let site = everything();
    let mut client = Local::legacy(&site).await;
    let params = json!({ "name": "test_tool_with_progress", "arguments": {}, "_meta": { "progressToken": "p" } });
    client.send(2, "tools/call", params);
    let (before, answer) = client.answer(2).await;
    let done: Vec<f64> = before
        .iter()
        .filter(|message| message["params"]["progressToken"] == "p")
        .filter_map(|message| message["params"]["progress"].as_f64())
        .collect();
    assert_eq!(done, [0.0, 50.0, 100.0], "{before:?} {answer}");
}

#[tokio::test]
async fn a_person_is_asked_in_both_eras() {
    let site = everything();
    let mut client = Local::legacy(&site).await;
    client.send(2, "tools/call", json!({ "name": "test_elicitation", "arguments": { "message": "Who?" } }));
    let asked = client.next().await;
    assert_eq!(asked["method"], "elicitation/create", "{asked}");
    client.tell(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "action": "decline" } }));
    let answer = client.answer(2).await.1;
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("decline"), "{answer}");

    let mut params = json!({ "name": "test_input_required_result_elicitation", "arguments": {} });
    let asked = client.modern(3, "tools/call", params.clone()).await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    params["requestState"] = asked["result"]["requestState"].clone();
    params["inputResponses"] = json!({ "user_name": { "action": "accept", "content": { "name": "Ada" } } });
    let answer = client.modern(4, "tools/call", params).await;
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("Ada"), "{answer}");
}

#[tokio::test]
async fn a_call_that_is_cancelled_makes_room_and_has_no_answer() {
    let site = Site::with(&["hostile"]).config("[plugin.hostile]\nconcurrency = 1\n");
    let mut client = Local::legacy(&site).await;
    client.call(2, "hostile_sleep_ms", json!({ "ms": 1 })).await;
    let started = Instant::now();
    client.send(3, "tools/call", json!({ "name": "hostile_spin_for", "arguments": { "ms": 28_000 } }));
    client.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 3 } }));
    client.send(4, "tools/call", json!({ "name": "hostile_sleep_ms", "arguments": { "ms": 1 } }));
    let (before, answer) = client.answer(4).await;
    assert!(before.is_empty() && answer["result"]["isError"] != true, "{before:?} {answer}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let (code, _, rest) = client.end().await;
    assert_eq!((code, rest.len()), (0, 0), "{rest:?}");
}

#[tokio::test]
async fn what_is_no_message_is_answered_and_the_next_one_is_served() {
    let site = Site::with(&["greeter-v1"]).config("[server]\nbody = \"64KiB\"\n");
    let mut client = Local::start(&site);
    for (line, code, id) in [
        (&b"not json"[..], PARSE_ERROR, Value::Null),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,", PARSE_ERROR, Value::Null),
        (b"\xff\xfe", PARSE_ERROR, Value::Null),
        (b"[]", INVALID_REQUEST, Value::Null),
        (b"7", INVALID_REQUEST, Value::Null),
    ] {
        client.line(line);
        let answer = client.next().await;
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{answer}");
    }
    // A line that is too large is answered under its own id, wherever that stands.
    let large = "x".repeat(200_000);
    for message in [
        format!("{{\"jsonrpc\":\"2.0\",\"id\":21,\"method\":\"tools/call\",\"params\":{{\"x\":\"{large}\"}}}}"),
        format!(
            "{{\"method\":\"tools/call\",\"params\":{{\"id\":5,\"x\":\"{large}\"}},\"jsonrpc\":\"2.0\",\"id\":21}}"
        ),
    ] {
        client.line(message.as_bytes());
        let (before, answer) = client.answer(21).await;
        assert!(before.is_empty() && answer["error"]["message"].as_str().unwrap().contains("server.body"), "{answer}");
    }
    // None of these has an answer.
    client.line(b"");
    client.line(b"\r");
    client.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/unknown" }));
    client.tell(&json!({ "jsonrpc": "2.0", "id": 99, "result": {} }));
    client.line(b"\xef\xbb\xbf {\"jsonrpc\":\"2.0\",\"id\":30,\"method\":\"ping\"}\r");
    let (before, answer) = client.answer(30).await;
    assert!(before.is_empty() && answer["result"] == json!({}), "{before:?} {answer}");
    let unknown = client.ask(31, "nope", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
    let called = client.call(32, "greeter_v1_greet", json!({ "name": "Ada" })).await;
    assert_eq!(called["result"]["content"][0]["text"], "v1 greets Ada", "{called}");
}

#[tokio::test]
async fn what_a_guest_prints_is_in_the_log() {
    let site = Site::with(&["talk"]);
    let mut client = Local::legacy(&site).await;
    let forged = "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"forged\"}\n";
    for (id, tool) in [(2, "talk_say"), (3, "talk_complain")] {
        let answer = client.call(id, tool, json!({ "text": forged })).await;
        assert!(answer["result"]["content"].is_array(), "{answer}");
    }
    client.log.wait_for("forged").await;
    let (_, _, rest) = client.end().await;
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn it_ends_with_its_client() {
    let site = Site::with(&["hostile"]);
    let client = Local::start(&site);
    assert_eq!(client.end().await.0, 0);
    // What is under way may end first, and its answer is written.
    let mut client = Local::legacy(&site).await;
    client.call(2, "hostile_sleep_ms", json!({ "ms": 1 })).await;
    client.send(3, "tools/call", json!({ "name": "hostile_sleep_ms", "arguments": { "ms": 700 } }));
    let (code, took, rest) = client.end().await;
    assert!(code == 0 && took > Duration::from_millis(300), "{took:?}");
    assert!(rest.len() == 1 && rest[0].contains("\"id\":3"), "{rest:?}");
    // A client that is gone reads no more.
    let mut client = Local::legacy(&site).await;
    client.send(2, "tools/call", json!({ "name": "hostile_spin_for", "arguments": { "ms": 28_000 } }));
    let (code, took, _) = client.end().await;
    assert!(code == 0 && took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test]
async fn nothing_waits_for_the_first_scan_but_lists_and_calls() {
    let site = Site::with(&["greeter-v1"]);
    let mut client = Local::start(&site);
    // All at once, as from a pipe.
    client.send(
        1,
        "initialize",
        json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } }),
    );
    client.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    client.send(2, "tools/list", json!({}));
    client.send(3, "ping", json!({}));
    let (code, _, rest) = client.end().await;
    assert_eq!(code, 0);
    let answers: Vec<Value> = rest.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |id: i64| answers.iter().find(|answer| answer["id"] == id).unwrap_or_else(|| panic!("{id}: {answers:?}"));
    assert_eq!(of(1)["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(tools(of(2)), ["greeter_v1_greet", "greeter_v1_wait"]);
    assert_eq!(of(3)["result"], json!({}));
}

#[tokio::test]
async fn state_is_one_for_a_server_and_for_every_client() {
    let site = Site::with(&["state"]).config("[plugin.state]\nkv = {}\n");
    let kept = |site: &Site| site.run(&["kv", "state", "get", "a"]).stdout;
    // Two clients without a server, each with a process of its own.
    let mut one = Local::legacy(&site).await;
    let mut other = Local::legacy(&site).await;
    let set = one.call(2, "state_set", json!({ "key": "a", "value": "one" })).await;
    assert_ne!(set["result"]["isError"], true, "{set}");
    let got = other.call(2, "state_get", json!({ "key": "a" })).await;
    assert_eq!(got["result"]["structuredContent"]["result"], "one", "{got}");
    let mut calls = Vec::new();
    for id in 10..15 {
        for client in [&mut one, &mut other] {
            client.send(
                id,
                "tools/call",
                json!({ "name": "state_increment", "arguments": { "key": "n", "delta": 1 } }),
            );
        }
    }
    // In whatever order they are answered.
    for _ in 10..15 {
        calls.push(one.next().await);
        calls.push(other.next().await);
    }
    let mut counted: Vec<i64> =
        calls.iter().filter_map(|call| call["result"]["structuredContent"]["result"].as_i64()).collect();
    counted.sort_unstable();
    assert_eq!(counted, (1..=10).collect::<Vec<_>>(), "{calls:?}");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(kept(&site), "one\n");
    // Beside a server the server has it.
    let server = site.start().await;
    let set = one.call(20, "state_set", json!({ "key": "a", "value": "two" })).await;
    assert_ne!(set["result"]["isError"], true, "{set} {}", one.log.text());
    assert_eq!(kept(server.site()), "two\n");
}
