//! The control socket of a running server: what its operator asks of it, from the same machine, as the same user.
//!
//! `control.sock` in the state directory. A client sends a line of JSON, `{"version": 1, "command": "kv", "arguments": …}`,
//! and gets one: `{"result": …}`, or `{"error": "…"}`. `commands` is the list of all commands, `server` the socket's side
//! of the server, `client` that of commands, `address` its place.

mod address;
pub mod client;
mod commands;
mod server;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::commands::Parts;
pub use self::server::listen;

/// The version of the requests. A server refuses those of another one.
const VERSION: u32 = 1;

/// Bytes of a line: a batch of values in base64 fits, and no more.
const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

/// The file, in the state directory.
const FILE: &str = "control.sock";

/// What a client asks for.
#[derive(Serialize, Deserialize)]
struct Request {
    version: u32,
    command: String,
    #[serde(default)]
    arguments: Value,
}

/// What it gets.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Result(Value),
    Error(String),
}
