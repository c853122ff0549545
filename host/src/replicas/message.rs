//! What servers tell each other.

use serde::{Deserialize, Serialize};

use super::client_hint::{ClientHint, RestHint};
use super::peers::About;

/// Something that another server has changed. One of a kind that is not known here makes everything be read anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// Rows of the store, by the number of their table and their key in hexadecimal digits.
    Rows(Vec<(u8, String)>),
    /// What is switched off.
    Switches,
    /// What is known of plugins: approvals, versions, names.
    Plugins,
    /// Something of a client that several servers serve.
    Client(ClientHint),
    /// Something of a response that goes on at another server.
    Rest(RestHint),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    Hint(Hint),
    /// A server is there, and says what it is.
    Here(About),
    /// It is going away.
    Gone,
    /// A beat, which only its own server hears.
    Beat,
}
