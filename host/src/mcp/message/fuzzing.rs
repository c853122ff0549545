//! A client's message, held against what a JSON library makes of the same text: whom a request is for is decided here, and
//! what is done comes from values that are read later.

use http::{HeaderMap, HeaderValue};
use rmcp::model::RequestId;
use serde_json::{Map, Value};

use super::{Message, Target};
use crate::mcp::headers;

/// Members of a call that has nothing else in it.
const OF_MESSAGE: [&str; 4] = ["jsonrpc", "id", "method", "params"];
const OF_PARAMS: [&str; 3] = ["name", "arguments", "_meta"];

/// Any body of a request, of the modern era where its length is odd.
pub(crate) fn message(body: &[u8]) {
    let mut headers = HeaderMap::new();
    if body.len() % 2 == 1 {
        headers.insert(headers::PROTOCOL_VERSION, HeaderValue::from_static("2026-07-28"));
    }
    let Some(message) = Message::read(&headers, body) else { return };
    assert_eq!(message.era.is_modern(), body.len() % 2 == 1);
    if let Some(place) = message.arguments_in(body) {
        assert_eq!(body[place].first(), Some(&b'{'));
    }
    let inner_name = message.inner_name();
    // A text that only the lenient reader takes is refused by whoever reads it next.
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let object = value.as_object().expect("a message is an object");
    let params = object.get("params").and_then(Value::as_object);
    assert_eq!(message.method, text(object, "method").unwrap_or_default());
    assert_eq!(message.id, object.get("id").and_then(|id| serde_json::from_value::<RequestId>(id.clone()).ok()));
    assert_eq!(message.is_versioned, text(object, "jsonrpc") == Some("2.0"));

    let name = params.and_then(|params| text(params, "name"));
    assert_eq!(message.params.name.get().map(|name| &**name), name);
    let arguments = params.and_then(|params| params.get("arguments")).and_then(Value::as_object);
    let read = message.params.arguments.get().map(|arguments| serde_json::from_str::<Value>(arguments.get()));
    let read = read.map(|arguments| arguments.expect("a part of JSON is JSON"));
    assert_eq!(read.as_ref().and_then(Value::as_object), arguments);
    assert_eq!(inner_name.as_deref(), arguments.and_then(|arguments| text(arguments, "name")));
    let target = match message.target() {
        Some(Target::Tool(name) | Target::Prompt(name) | Target::Resource(name)) => Some(name),
        None => None,
    };
    assert_eq!(
        target,
        match &*message.method {
            "tools/call" | "prompts/get" => name,
            "resources/read" | "resources/subscribe" => params.and_then(|params| text(params, "uri")),
            _ => None,
        }
    );
    if message.is_exact {
        assert!(object.keys().all(|key| OF_MESSAGE.contains(&key.as_str())), "{value}");
        assert!(params.is_none_or(|params| params.keys().all(|key| OF_PARAMS.contains(&key.as_str()))), "{value}");
    }
}

fn text<'v>(object: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    object.get(key)?.as_str()
}
