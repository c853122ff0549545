//! What servers tell each other of the clients that several of them serve.
//!
//! Sessions are those of the protocol's older era, by their ids, whose owner the sender has verified. People are in
//! hexadecimal digits. Whoever hears one looks among what it has of its own, or into the store.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something of a client that another server may have a part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientHint {
    /// The client cancels a request of its session.
    Cancelled {
        /// The session.
        session: String,
        /// The request's id, as the client gave it.
        request: Value,
    },
    /// What is kept of a session has changed: its client's wishes, or that it has ended.
    Session {
        /// Its person.
        person: String,
        /// The session.
        session: String,
    },
    /// The answer to a question that was asked in a session lies in the store.
    Answered {
        /// Its person.
        person: String,
        /// The session.
        session: String,
        /// The question's id, as the client got it.
        question: u64,
    },
    /// Something that a client says of its task lies in the store.
    Task {
        /// Its person.
        person: String,
        /// The task.
        task: String,
        /// The name of what lies there.
        letter: String,
    },
    /// What is kept of a person has changed: sessions have ended, or tasks were forgotten.
    Person(String),
    /// Plugins say that resources of theirs hold something else.
    Updated(Vec<UpdatedResource>),
    /// Plugins say that lists of theirs are others.
    Lists(Vec<ChangedList>),
}

/// Something of the rest of a response, which a client of an older session has come back for. In the order in which they are
/// told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestHint {
    /// A client comes back for it.
    Asked {
        /// Its person.
        person: String,
        /// The session.
        session: String,
        /// The id of the last event that the client has got.
        event: String,
        /// The name under which whoever has the stream is to lay the rest down.
        rest: String,
    },
    /// There is more of the rest of this name in the store.
    More(String),
    /// What there was of it was taken.
    Taken {
        /// The rest.
        rest: String,
        /// The server that has the stream.
        of: String,
        /// The last piece.
        number: u64,
    },
    /// The server that had the stream reads it no longer.
    Over(String),
    /// Nobody reads it any more.
    Unread(String),
}

/// A list of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedList {
    /// The plugin's name.
    pub plugin: String,
    /// `tools`, `prompts` or `resources`.
    pub list: String,
}

/// A resource of a plugin; without a URI any of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdatedResource {
    /// The plugin's name.
    pub plugin: String,
    /// The resource.
    pub uri: Option<String>,
}
