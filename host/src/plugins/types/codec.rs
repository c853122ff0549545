//! Arguments from JSON to the engine's values, and results back, along a [`Signature`].
//!
//! What the input schema accepts is decoded, what it refuses is refused, and every encoded result validates against
//! the output schema; nothing is dropped or rounded silently. Some things differ from the schema on purpose: a `null`
//! for an optional property is taken as absent, a value that its client has sent as JSON text in a string is taken all
//! the same (`unquote`), the range of 64-bit integers and of `f32` and the repetition of flags and keys are held here alone, and an
//! integer written as `1e3` is one only below 2^53.
//!
//! Both directions recurse as deep as the shape does, never as deep as the input.

use std::fmt;

use serde_json::{Map, Value};
use wasmtime::component::Val;

pub use self::outcome::{ArgumentError, Reply, ResultError, Rich, Structured};
use self::unquote::Reading;
use crate::plugins::types::shape::Signature;

mod arguments;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod keys;
mod lift;
mod outcome;
mod results;
mod rich;
mod unquote;
mod weight;
mod wording;

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

/// The bytes of each value of arguments, at least, whatever its type is.
pub const LEAST_VALUE_BYTES: usize = weight::VAL;

/// Encodes what a call returned, of which the JSON text may have `max_bytes` bytes.
///
/// # Errors
/// The first value that has no JSON form; [`ResultError::TooLarge`] as soon as the limit is passed.
pub fn encode_result(signature: &Signature, results: &[Val], max_bytes: u64) -> Result<Reply, ResultError> {
    results::reply(&signature.output, results, max_bytes)
}

pub use self::rich::{encode_output, encode_stop, of_block, of_contents, parse_object, require_size};

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
