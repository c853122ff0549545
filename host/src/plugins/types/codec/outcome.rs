//! The outcome of a call, ready for a client; and the faults of arguments and results.

use std::borrow::Cow;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::plugins::types::validator::Misfit;
use crate::plugins::wit::content::Block;
use crate::plugins::wit::input::Request;

/// The outcome of a call, ready for a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The call went well and gave a value.
    Structured(Structured),
    /// The call went well and gave a text, which is all there is to show.
    Text(String),
    /// The call went well; there is no value to tell of.
    Nothing,
    /// The function returned its `err`.
    Failed {
        /// The error: a string as it is, anything else as compact JSON.
        text: String,
    },
    /// Content blocks, and other values that only `tinymcp:plugin` has.
    Rich(Box<Rich>),
    /// The client's request asks for something impossible.
    Invalid {
        /// The reason.
        text: String,
    },
    /// The plugin needs answers before it can go on.
    Asks(Box<Request>),
}

/// A value as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structured {
    json: String,
    /// The structured content, which is an object, has it as a member.
    is_member: bool,
}

impl Structured {
    pub(super) fn new(json: String, is_member: bool) -> Self {
        Self { json, is_member }
    }

    /// The bytes of its JSON.
    pub fn size(&self) -> usize {
        self.json.len()
    }

    /// The structured content: the JSON of an object that the output schema accepts, in three parts.
    pub fn content(&self) -> [&str; 3] {
        if self.is_member { [MEMBER_BEGIN, &self.json, "}"] } else { ["", &self.json, ""] }
    }

    /// The same for clients that read text: a string as it is, anything else as compact JSON.
    pub fn text(&self) -> Cow<'_, str> {
        let string = self.json.starts_with('"').then(|| serde_json::from_str(&self.json).ok()).flatten();
        string.map_or(Cow::Borrowed(&*self.json), Cow::Owned)
    }

    /// The value itself.
    pub fn value(&self) -> Option<Value> {
        serde_json::from_str(&self.json).ok()
    }

    /// The text alone.
    pub fn into_text(self) -> String {
        let string = match self.text() {
            Cow::Owned(text) => Some(text),
            Cow::Borrowed(_) => None,
        };
        string.unwrap_or(self.json)
    }
}

/// The beginning of an object with [`RESULT_PROPERTY`](crate::plugins::types::schema::RESULT_PROPERTY).
const MEMBER_BEGIN: &str = "{\"result\":";

/// A result of a tool that is more than a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Rich {
    /// The content blocks.
    pub blocks: Vec<Block>,
    /// The structured content.
    pub structured: Option<Value>,
    /// True for the account of a failure.
    pub is_error: bool,
    /// `_meta`
    pub meta: Option<Map<String, Value>>,
}

/// A fault of a call's arguments: the first one, with its place in the JSON.
///
/// The message quotes the value that came (shortened). It is for the caller, never for a log.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ArgumentError {
    /// A value of another type, or out of the type's bounds.
    #[error("argument `{path}`: expected {expected}, got {got}")]
    Unexpected {
        /// The place, from the root `$`.
        path: String,
        /// The values that the type takes, in words.
        expected: String,
        /// The value that came, in words.
        got: String,
    },
    /// A string where the type takes none, and its text is not the JSON of that type either.
    #[error("argument `{path}`: expected {expected}, got {got}; send it without quotes")]
    Quoted {
        /// The place, from the root `$`.
        path: String,
        /// The values that the type takes, in words.
        expected: String,
        /// The value that came, in words.
        got: String,
    },
    /// A required property is not there.
    #[error("argument `{path}`: missing; expected {expected}")]
    Missing {
        /// The place of the missing property.
        path: String,
        /// The values that the type takes, in words.
        expected: String,
    },
    /// A property or case that does not exist.
    #[error("argument `{path}`: unknown; {known}")]
    Unknown {
        /// The place of the unknown property.
        path: String,
        /// The known ones, the most similar name first.
        known: String,
    },
    /// The tool's own schema does not accept the arguments.
    #[error("argument `{path}`: {problem}")]
    Schema {
        /// The place, from the root `$`.
        path: String,
        /// The fault.
        problem: String,
    },
    /// A flag that stood in the array before.
    #[error("argument `{path}`: repeats `{name}`; each flag may be given once")]
    Repeated {
        /// The place of the second one.
        path: String,
        /// The flag.
        name: String,
    },
    /// A key of a map that stood in the array before.
    #[error("argument `{path}`: repeats {key}; each key may be given once")]
    RepeatedKey {
        /// The place of the second one.
        path: String,
        /// The key, in words.
        key: String,
    },
}

impl From<Misfit> for ArgumentError {
    fn from(Misfit { pointer, problem }: Misfit) -> Self {
        Self::Schema { path: format!("${}", pointer.replace('/', ".")), problem }
    }
}

/// A reason why a result cannot be given to a client.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ResultError {
    /// A NaN or an infinity, for which JSON has no number.
    #[error("result `{path}`: {number} has no JSON form")]
    NotFinite {
        /// The place in the structured content.
        path: String,
        /// `NaN`, `inf` or `-inf`.
        number: String,
    },
    /// A text that should be JSON is none, or not of the right kind.
    #[error("{what} is no JSON: {problem}")]
    NotJson {
        /// The text that should be JSON.
        what: &'static str,
        /// The fault.
        problem: String,
    },
    /// The structured result does not fit the tool's own output schema.
    #[error("it does not fit the tool's own output schema: {0}")]
    Schema(String),
    /// A question that no person should be shown.
    #[error("{0}")]
    Question(String),
    /// A map has a key twice: which of the values is meant, nobody knows.
    #[error("result `{path}`: a map with the key {key} twice has no JSON form")]
    RepeatedKey {
        /// The place of the second one.
        path: String,
        /// The key as JSON.
        key: String,
    },
    /// The value's JSON text is longer than allowed.
    #[error("result larger than {max_bytes} bytes")]
    TooLarge {
        /// The limit.
        max_bytes: u64,
    },
    /// The structured result takes more memory than allowed, small as its text may be.
    #[error("the structured result has too many values: they take more than {max_bytes} bytes of memory")]
    TooManyValues {
        /// The limit.
        max_bytes: u64,
    },
    /// The value is not of the type that the component declares, which the engine rules out.
    #[error("result `{path}`: not a value of its declared type")]
    Mismatch {
        /// The place in the structured content.
        path: String,
    },
}
