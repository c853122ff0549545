//! Arguments from JSON to the engine's values, and results back, along a [`Signature`].
//!
//! What the input schema accepts is decoded, what it refuses is refused, and every encoded result validates against
//! the output schema; nothing is dropped or rounded silently. Some things differ from the schema on purpose: a `null`
//! for an optional property is taken as absent, a value that its client has sent as JSON text in a string is taken all
//! the same (`spoilt`), the range of 64-bit integers and of `f32` and the repetition of flags and keys are held here alone, and an
//! integer written as `1e3` is one only below 2^53.
//!
//! Both directions recurse as deep as the shape does, never as deep as the input.

use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;
use wasmtime::component::Val;

use self::spoilt::Reading;
use crate::plugins::types::shape::Signature;
use crate::plugins::types::validator::Misfit;
use crate::plugins::wit::content::Block;
use crate::plugins::wit::input::{Request, Stop};
use crate::plugins::wit::tools::Output;

mod arguments;
mod keys;
mod lift;
mod results;
mod rich;
mod spoilt;
mod weight;
mod wording;

/// What a call gave, ready for a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The call went well and gave a value.
    Structured {
        /// The structured content: an object that the output schema accepts.
        value: Value,
        /// The same for clients that read text: a string as it is, anything else as compact JSON.
        text: String,
    },
    /// The call went well and gave a text, which is all there is to show.
    Text(String),
    /// The call went well; there is no value to tell of.
    Nothing,
    /// The function returned its `err`.
    Failed {
        /// The error: a string as it is, anything else as compact JSON.
        text: String,
    },
    /// Content blocks, and what else only `tinymcp:plugin` can say.
    Rich(Box<Rich>),
    /// The client's request asks for what cannot be.
    Invalid {
        /// Why.
        text: String,
    },
    /// The plugin needs answers before it can go on.
    Asks(Box<Request>),
}

/// A result of a tool that is more than a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Rich {
    /// What there is to see.
    pub blocks: Vec<Block>,
    /// The structured content.
    pub structured: Option<Value>,
    /// Whether this is the account of a failure.
    pub is_error: bool,
    /// `_meta`
    pub meta: Option<Map<String, Value>>,
}

/// What is wrong with a call's arguments: the first problem, with its place in the JSON.
///
/// The message quotes what came (shortened). It is for the caller, never for a log.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ArgumentError {
    /// A value of another type, or out of the type's bounds.
    #[error("argument `{path}`: expected {expected}, got {got}")]
    Unexpected {
        /// Where, from the root `$`.
        path: String,
        /// What the type takes, in words.
        expected: String,
        /// What came, in words.
        got: String,
    },
    /// A string where the type takes none, and its text is not the JSON of that type either.
    #[error("argument `{path}`: expected {expected}, got {got}; send it without quotes")]
    Quoted {
        /// Where, from the root `$`.
        path: String,
        /// What the type takes, in words.
        expected: String,
        /// What came, in words.
        got: String,
    },
    /// A required property is not there.
    #[error("argument `{path}`: missing; expected {expected}")]
    Missing {
        /// Where it should be.
        path: String,
        /// What the type takes, in words.
        expected: String,
    },
    /// A property or case that does not exist.
    #[error("argument `{path}`: unknown; {known}")]
    Unknown {
        /// Where it stands.
        path: String,
        /// Which ones exist, the most similar name first.
        known: String,
    },
    /// What the tool's own schema does not accept.
    #[error("argument `{path}`: {problem}")]
    Schema {
        /// Where, from the root `$`.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A flag that stood in the array before.
    #[error("argument `{path}`: repeats `{name}`; each flag may be given once")]
    Repeated {
        /// Where it stands for the second time.
        path: String,
        /// The flag.
        name: String,
    },
    /// A key of a map that stood in the array before.
    #[error("argument `{path}`: repeats {key}; each key may be given once")]
    RepeatedKey {
        /// Where it stands for the second time.
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

/// Why a result cannot be given to a client.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ResultError {
    /// A NaN or an infinity, for which JSON has no number.
    #[error("result `{path}`: {number} has no JSON form")]
    NotFinite {
        /// Where it stands in the structured content.
        path: String,
        /// `NaN`, `inf` or `-inf`.
        number: String,
    },
    /// A text that should be JSON is none, or not of the right kind.
    #[error("{what} is no JSON: {problem}")]
    NotJson {
        /// What should be JSON.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The structured result is not what the tool's own output schema says.
    #[error("it does not fit the tool's own output schema: {0}")]
    Schema(String),
    /// A map has a key twice: which of the values is meant, nobody knows.
    #[error("result `{path}`: a map with the key {key} twice has no JSON form")]
    RepeatedKey {
        /// Where it stands for the second time.
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
    /// The value is not of the type that the component declares, which the engine rules out.
    #[error("result `{path}`: not a value of its declared type")]
    Mismatch {
        /// Where it stands in the structured content.
        path: String,
    },
}

/// Decodes the arguments of a call, in the order of the parameters.
///
/// # Errors
/// The first argument that the input schema refuses.
pub fn decode_arguments(signature: &Signature, arguments: &Map<String, Value>) -> Result<Vec<Val>, ArgumentError> {
    arguments::properties(&signature.params, arguments, Path::Root, Reading::AsSent)
}

/// The bytes of memory that [`decode_arguments`] takes for its values, about: up to forty times those of their JSON.
pub fn weigh_arguments(signature: &Signature, arguments: &Map<String, Value>) -> usize {
    weight::of_properties(&signature.params, arguments, Reading::AsSent)
}

/// Encodes what a call returned, of which the JSON text may have `max_bytes` bytes.
///
/// # Errors
/// The first value that has no JSON form; [`ResultError::TooLarge`] as soon as the limit is passed.
pub fn encode_result(signature: &Signature, results: &[Val], max_bytes: u64) -> Result<Reply, ResultError> {
    results::reply(&signature.output, results, max_bytes)
}

/// What a tool of `tools` gave, of which the bytes may be `max_bytes`.
///
/// # Errors
/// As for [`encode_result`]; texts that should be JSON and are not.
pub fn encode_output(output: Output, max_bytes: u64) -> Result<Reply, ResultError> {
    rich::output(output, max_bytes)
}

/// What a call that stopped comes to.
///
/// # Errors
/// As for [`encode_result`].
pub fn encode_stop(stop: Stop, max_bytes: u64) -> Result<Reply, ResultError> {
    rich::stop(stop, max_bytes)
}

pub(in crate::plugins) use self::rich::{of_block, of_contents};
pub use self::rich::{parse_object, require_size};

/// The way from the root of a JSON document to a value. It lives on the stack of the walk, so that it costs nothing
/// until an error needs it.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Property(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("$"),
            Path::Property(parent, name) if wording::is_plain(name) => write!(f, "{parent}.{name}"),
            Path::Property(parent, name) => write!(f, "{parent}[{}]", wording::quoted(name)),
            Path::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

#[cfg(test)]
pub(in crate::plugins) mod tests;
