//! MCP on one endpoint: both eras, with what clients of either may send.

mod access;
mod answers;
mod bodies;
mod connections;
mod eras;
mod ids;
mod kept;
mod modern;
mod sessions;
mod strangers;
mod streams;

use tinymcp_tests::http::Answer;

/// Status, code and `id` of an error of the protocol, on which clients act.
fn refusal(answer: &Answer) -> (u16, i64, Option<serde_json::Value>) {
    let body = answer.json();
    let code = body["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer:?}"));
    assert_eq!((&body["jsonrpc"], body.get("result")), (&"2.0".into(), None), "{body}");
    assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    (answer.status, code, body.get("id").cloned())
}
