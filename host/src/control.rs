//! The control socket of a running server: what its operator asks of it, from the same machine, as the same user.
//!
//! `control.sock` in the state directory. A client sends a line of JSON, `{"version": 1, "command": "kv", "arguments": …}`,
//! and gets one: `{"result": …}`, or `{"error": "…"}`. `commands` is the list of all commands, `server` the socket's side
//! of the server, `client` that of commands, `message` what goes through it, `address` its place.

mod address;
pub mod client;
mod commands;
mod message;
mod server;

pub use self::commands::Parts;
pub use self::server::listen;
