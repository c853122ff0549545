//! HTTP answers of one message that this server writes without rmcp.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::budget::Overdrawn;

/// Seconds after which a client may ask again whose person's requests held too much.
const RETRY_AFTER_S: u64 = 1;

pub(super) const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// JSON-RPC error codes (JSON-RPC 2.0 §5.1) that this host answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    ParseError = -32700,
    InvalidRequest = -32600,
    InvalidParams = -32602,
    InternalError = -32603,
}

/// An HTTP answer with this JSON.
pub(super) fn json_response(json: impl Into<Body>) -> Response {
    let mut response = Response::new(json.into());
    response.headers_mut().insert(CONTENT_TYPE, APPLICATION_JSON);
    response
}

/// An HTTP error with a JSON-RPC error as its body. `id` is left out if the request's is not known
/// (2026-07-28, basic, Error Responses).
pub(super) fn rpc_error(status: StatusCode, code: Code, message: &str, id: Option<&Value>) -> Response {
    let mut body = json!({ "jsonrpc": "2.0", "error": { "code": code as i32, "message": message } });
    if let Some(id) = id.filter(|id| id.is_string() || id.is_i64() || id.is_u64()) {
        body["id"] = id.clone();
    }
    let mut response = json_response(body.to_string());
    *response.status_mut() = status;
    response
}

/// An HTTP error at the MCP endpoint that has nothing to do with the message: the body explains the status.
pub fn error_response(status: StatusCode, message: &str) -> Response {
    rpc_error(status, Code::InvalidRequest, message, None)
}

/// The answer to a request for which its person's account has no memory.
pub(super) fn overdrawn(refusal: Overdrawn, id: Option<&Value>) -> Response {
    let message = refusal.to_string();
    match refusal {
        Overdrawn::Ever(_) => rpc_error(StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidRequest, &message, id),
        Overdrawn::Now(..) => {
            let mut response = rpc_error(StatusCode::TOO_MANY_REQUESTS, Code::InternalError, &message, id);
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S.into());
            response
        }
    }
}
