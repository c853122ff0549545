//! What a collector of OpenTelemetry gets: the same numbers, and spans of those calls that the operator wants.

use serde_json::json;
use tinymcp_tests::client::{Client, modern_meta};
use tinymcp_tests::collector::{Collector, attributes};
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;

/// A server that sends to a collector, with further lines of `[telemetry]`.
async fn sending(collector: &Collector, lines: &str) -> Server {
    let config = format!("[telemetry]\notlp = \"{}\"\ninterval = \"200ms\"\n{lines}", collector.url());
    Site::with(&["greeter-v1"]).config(&config).variable("OTLP_TOKEN", "a-token-of-the-collector").start().await
}

#[tokio::test]
async fn numbers_follow_the_conventions_and_carry_the_secret_header() {
    let collector = Collector::start().await;
    let headers = "headers = { Authorization = \"Bearer ${OTLP_TOKEN}\" }\n";
    // Variables of the libraries change nothing.
    let server = sending(&collector, headers).await;
    Client::modern(&server).value("greeter_v1_greet", json!({ "name": "x" })).await;
    let of_calls = || {
        let points = collector.points("mcp.server.operation.duration");
        points.into_iter().rfind(|point| point.attributes.iter().any(|it| it == "mcp.method.name=tools/call"))
    };
    until("the call", async || of_calls().is_some()).await;
    let point = of_calls().unwrap();
    assert_eq!(
        point.attributes,
        [
            "gen_ai.operation.name=execute_tool",
            "gen_ai.tool.name=greeter_v1_greet",
            "mcp.method.name=tools/call",
            "network.transport=tcp",
        ]
    );
    assert_eq!((point.unit.as_str(), point.value), ("s", 1.0));
    let calls = collector.points("tinymcp.calls").pop().unwrap();
    assert_eq!(calls.attributes, ["outcome=ok", "plugin=greeter_v1", "tool=greeter_v1_greet"]);
    assert!(collector.resources().contains(&"service.name=tinymcp".to_owned()), "{:?}", collector.resources());
    let sent = collector.headers().pop().unwrap();
    assert_eq!(sent["authorization"], "Bearer a-token-of-the-collector");
    assert_eq!(sent["content-type"], "application/x-protobuf");
    assert!(!server.log.text().contains("a-token-of-the-collector"));
    assert!(collector.spans().is_empty(), "nobody asked for any");
}

#[tokio::test]
async fn a_span_is_a_part_of_its_clients_trace_and_takes_nothing_else_of_it() {
    let collector = Collector::start().await;
    let server = sending(&collector, "traces = 1\n").await;
    let client = Client::modern(&server);
    let call = |parent: &str| {
        let mut meta = modern_meta();
        meta["traceparent"] = parent.into();
        meta["tracestate"] = "evil=1".into();
        meta["baggage"] = "user=alice".into();
        json!({ "name": "greeter_v1_greet", "arguments": { "name": "x" }, "_meta": meta })
    };
    // Its flags say that it is not sampled.
    client.result("tools/call", call("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")).await;
    client.result("tools/call", call("nonsense\u{202e}")).await;
    client.try_call("greeter_v1_greet", json!({ "nonsense": 1 })).await.unwrap();
    until("three spans", async || collector.spans().len() >= 3).await;
    let spans = collector.spans();
    let below = spans.iter().find(|span| !span.parent_span_id.is_empty()).unwrap();
    assert_eq!(below.trace_id, hex("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!(below.parent_span_id, hex("00f067aa0ba902b7"));
    assert_eq!((below.name.as_str(), below.kind), ("tools/call greeter_v1_greet", 2));
    assert!(below.end_time_unix_nano >= below.start_time_unix_nano);
    let failed = spans.iter().find(|span| span.status.as_ref().is_some_and(|status| status.code == 2)).unwrap();
    assert!(attributes(&failed.attributes).contains(&"error.type=arguments".to_owned()), "{failed:?}");
    for span in &spans {
        assert!(span.trace_state.is_empty(), "{span:?}");
        let text = format!("{span:?}");
        assert!(!text.contains("evil") && !text.contains("alice") && !text.contains("nonsense"), "{text}");
    }
}

#[tokio::test]
async fn a_client_cannot_ask_for_a_span() {
    let collector = Collector::start().await;
    let server = sending(&collector, "traces = 0\n").await;
    let mut meta = modern_meta();
    meta["traceparent"] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into();
    let params = json!({ "name": "greeter_v1_greet", "arguments": { "name": "x" }, "_meta": meta });
    Client::modern(&server).result("tools/call", params).await;
    until("numbers", async || !collector.points("tinymcp.calls").is_empty()).await;
    let mut server = server;
    server.terminate();
    server.ended().await;
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn what_is_left_is_sent_at_the_end() {
    let collector = Collector::start().await;
    let config = format!("[telemetry]\notlp = \"{}\"\ninterval = \"1h\"\ntraces = 1\n", collector.url());
    let mut server = Site::with(&["greeter-v1"]).config(&config).start().await;
    Client::modern(&server).value("greeter_v1_greet", json!({ "name": "x" })).await;
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(collector.points("tinymcp.calls").len(), 1);
    assert_eq!(collector.spans().len(), 1);
}

#[tokio::test]
async fn a_collector_that_refuses_or_is_gone_is_told_of_and_costs_no_call() {
    let collector = Collector::start().await;
    collector.answer(http::StatusCode::FORBIDDEN);
    let server = sending(&collector, "").await;
    server.log.wait_for("telemetry was not taken").await;
    Client::modern(&server).value("greeter_v1_greet", json!({ "name": "x" })).await;
    let gone = Site::with(&["greeter-v1"]).config("[telemetry]\notlp = \"http://127.0.0.1:1\"\ninterval = \"100ms\"\n");
    let mut gone = gone.start().await;
    gone.log.wait_for("telemetry was not sent").await;
    Client::modern(&gone).value("greeter_v1_greet", json!({ "name": "x" })).await;
    gone.terminate();
    assert_eq!(gone.ended().await.code(), Some(0));
}

#[tokio::test]
async fn no_plugin_is_led_to_the_collector() {
    let collector = Collector::start().await;
    let (url, address) = (collector.url(), collector.address);
    let config = format!("[telemetry]\notlp = \"{url}\"\n[plugin.fetch]\nhttp = [\"http://{address}\"]\n");
    let server = Site::new().plugin("fetch", &guest("fetch")).config(&config).start().await;
    let request = json!({ "method": "POST", "url": format!("{url}/v1/traces"), "headers": [], "body": "" });
    Client::modern(&server).failure("fetch", request).await;
    let line = server.log.wait_for("may not send a request").await;
    assert!(line.contains("this server or its proxy"), "{line}");
}

#[test]
fn secrets_do_not_leave_the_machine_in_clear() {
    let config = "[telemetry]\notlp = \"http://collector.example:4318\"\nheaders = { Authorization = \"x\" }\n";
    let checked = Site::new().config(config).run(&["check"]);
    assert!(checked.code == 2 && checked.stderr.contains("write https"), "{checked:#?}");
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
