//! Values that a client has sent as JSON text in a string: `"5"` for `5`, `"[1, 2]"` for `[1, 2]`.
//!
//! Several clients do so with numbers, booleans, lists and objects, and a model that reads an error about it does so again. The
//! type decides: one that takes strings is never read in another way, and one that takes none has refused the value as it
//! was sent. The text must be exactly the JSON of that type, and strings inside it are not read a second time. So a
//! decimal string is the exact way to a 64-bit integer for clients whose numbers are doubles.

use serde_json::Value;

use crate::json_weight;
use crate::plugins::types::shape::Shape;

/// The most memory that a value takes that is read out of a string. Nothing counts it, since it is there for a moment
/// only; a larger one has to come as JSON itself.
const MAX_BYTES: usize = 8 << 20;

/// The way in which a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// It came like this from the client.
    AsSent,
    /// It was text in a string, and is out of it.
    Unquoted,
}

/// The value in a string that stands where this type is expected.
///
/// `None` if the type takes strings itself, or the text is not JSON of its kind.
pub(super) fn value_in(shape: &Shape, text: &str) -> Option<Value> {
    let is_first = |first: u8| match shape {
        Shape::Bool => matches!(first, b't' | b'f'),
        Shape::Integer(_) | Shape::F32 | Shape::F64 => first == b'-' || first.is_ascii_digit(),
        Shape::List(_) | Shape::Entries(_) | Shape::Tuple(_) | Shape::Flags(_) => first == b'[',
        Shape::Map(_) | Shape::Record(_) | Shape::Variant(_) | Shape::Result { .. } => first == b'{',
        // What is in an option is asked for itself, so that `"null"` is no absence.
        Shape::Option(_) | Shape::Char | Shape::String | Shape::Bytes | Shape::Enum(_) => false,
    };
    parsed(text, is_first)
}

/// True if the type takes no string, so that a string is a mistake of the client.
pub(super) fn takes_no_string(shape: &Shape) -> bool {
    match shape {
        Shape::Option(some) => takes_no_string(some),
        Shape::Char | Shape::String | Shape::Bytes | Shape::Enum(_) => false,
        Shape::Bool
        | Shape::Integer(_)
        | Shape::F32
        | Shape::F64
        | Shape::List(_)
        | Shape::Map(_)
        | Shape::Entries(_)
        | Shape::Tuple(_)
        | Shape::Flags(_)
        | Shape::Record(_)
        | Shape::Variant(_)
        | Shape::Result { .. } => true,
    }
}

/// JSON allows white space around a value; text that is exactly a value has none.
fn parsed(text: &str, is_first: impl Fn(u8) -> bool) -> Option<Value> {
    let (first, last) = (*text.as_bytes().first()?, *text.as_bytes().last()?);
    if !is_first(first) || last.is_ascii_whitespace() || json_weight::of_text(text.as_bytes()) > MAX_BYTES {
        return None;
    }
    serde_json::from_str(text).ok()
}
