//! The control socket of a running server: what its operator asks of it, from the same machine, as the same user.
//!
//! `control/socket` in the state directory, or `state.socket`. A client sends a line of JSON, `{"version": 1, "command": "kv", "arguments": …}`,
//! and gets one: `{"result": …}`, or `{"error": "…"}`. `commands` is the list of all commands, `server` the socket's side
//! of the server, `client` that of commands, `message` what goes through it, `place` its directory,
//! `waiting` bounds connections that are silent.

pub mod client;
mod commands;
mod message;
mod place;
mod recorded;
mod server;
mod waiting;

pub use self::commands::Parts;
pub use self::recorded::Act;
pub use self::server::listen;
