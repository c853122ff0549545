//! What goes through the socket, a line each.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the requests. A server refuses those of another one.
pub(super) const VERSION: u32 = 1;

/// Bytes of a line: a batch of values in base64 fits, and no more.
pub(super) const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

/// What a client asks for.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) version: u32,
    pub(super) command: String,
    #[serde(default)]
    pub(super) arguments: Value,
}

/// What it gets.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Result(Value),
    Error(String),
}
