//! Bodies that are no message, and the answers to them.

mod every_value;

use axum::response::Response;
use http::StatusCode;
use rmcp::model::RequestId;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::every_value::EveryValue;

use crate::mcp::answer::{self, Code};
use crate::mcp::call_result::TextResult;
use crate::mcp::echo;
use crate::mcp::plain_call::PlainCalls;
use crate::principal::Principal;

/// The reason that a body is no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the body cannot be read as JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("batches are not supported: send each message in a request of its own")]
    Batch,
    #[error("the body is not a JSON-RPC 2.0 message of this protocol")]
    NotARequest,
}

impl Unreadable {
    /// Finds the fault of a body that could not be read as a message.
    ///
    /// The body is read whole, since text that is not UTF-8, half a surrogate pair, a number beyond all doubles and
    /// endless nesting may be anywhere in it.
    pub(super) fn of(body: &[u8]) -> Self {
        match serde_json::from_slice::<EveryValue>(body) {
            Err(error) => Self::NotJson(error),
            Ok(EveryValue) if body.trim_ascii_start().starts_with(b"[") => Self::Batch,
            Ok(EveryValue) => Self::NotARequest,
        }
    }

    pub(super) fn refuse(&self) -> Response {
        let code = match self {
            Self::NotJson(_) => Code::ParseError,
            Self::Batch | Self::NotARequest => Code::InvalidRequest,
        };
        answer::rpc_error(StatusCode::BAD_REQUEST, code, &self.to_string(), None)
    }
}

/// A request that is JSON by its grammar, with a value in it that JSON readers refuse: half a surrogate pair, as
/// JavaScript writes one, or a number beyond all doubles. Models make both, and their clients wait for an answer with
/// the request's id.
pub(super) struct InvalidValue {
    id: RequestId,
    is_call: bool,
    /// The path of the value in the message; empty for the message itself.
    path: String,
    problem: String,
}

#[derive(Deserialize)]
struct Head<'a> {
    id: RequestId,
    #[serde(borrow)]
    method: &'a RawValue,
}

impl InvalidValue {
    /// Finds such a request in a body that could not be read as a message.
    pub(super) fn of(body: &[u8]) -> Option<Self> {
        if !body.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        // Any other bytes that are not UTF-8 are refused as such.
        let text = with_replacements(&String::from_utf8(without_raw_halves(body)).ok()?);
        let Head { id, method } = serde_json::from_str(&text).ok()?;
        // An id with such a value in it is not the client's own any more.
        if matches!(&id, RequestId::String(id) if id.contains(char::REPLACEMENT_CHARACTER)) {
            return None;
        }
        let is_call = method.get() == "\"tools/call\"";
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let error = serde_path_to_error::deserialize::<_, EveryValue>(&mut deserializer).err()?;
        let path = match error.path().to_string() {
            path if path == "." => String::new(),
            path => echo::name(&path),
        };
        let problem = error.into_inner().to_string();
        if problem.starts_with("recursion limit") {
            return None;
        }
        let is_surrogate = problem.contains("surrogate") || problem.contains("hex escape");
        let problem = if std::str::from_utf8(body).is_err() && problem.contains("unicode") {
            "the text has half of a character in it (a lone surrogate, as three bytes): send it without".to_owned()
        } else if is_surrogate {
            "the text has half of a character in it (a lone surrogate, such as `\\ud800`): send it without".to_owned()
        } else {
            format!("it cannot be read: {problem}")
        };
        Some(Self { id, is_call, path, problem })
    }

    /// The answer: for a call with such an argument a result that a model can read, for anything else an error.
    pub(super) fn answer(&self, plain_calls: &PlainCalls, principal: &Principal, is_modern: bool) -> Response {
        let Self { id, is_call, path, problem } = self;
        if let Some(argument) = path.strip_prefix("params.arguments").filter(|_| *is_call) {
            let refusal = TextResult::failure(format!("argument `${argument}`: {problem}"));
            return plain_calls.answer(principal, is_modern, id, &refusal);
        }
        let dot = if path.is_empty() { "" } else { "." };
        let message = format!("`${dot}{path}`: {problem}");
        answer::rpc_error(StatusCode::OK, Code::InvalidParams, &message, Some(&id.clone().into_json_value()))
    }
}

/// The same bytes with U+FFFD for each half of a surrogate pair that is encoded like a character, in three bytes, as
/// Python does with `surrogatepass`.
fn without_raw_halves(body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    let mut at = 0;
    while let Some(three) = bytes.get_mut(at..at + 3) {
        if let [0xed, 0xa0..=0xbf, 0x80..=0xbf] = three {
            three.copy_from_slice("\u{fffd}".as_bytes());
            at += 2;
        }
        at += 1;
    }
    bytes
}

/// The same JSON with U+FFFD for each half of a surrogate pair, so that the rest of it can be read.
fn with_replacements(text: &str) -> String {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let mut replaced = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(next) = text[at..].find('\\') {
        replaced.push_str(&text[at..at + next]);
        at += next;
        let (length, is_half) = match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => (12, false),
            Some(0xd800..=0xdfff) => (6, true),
            Some(_) => (6, false),
            None => (1 + text[at + 1..].chars().next().map_or(0, char::len_utf8), false),
        };
        replaced.push_str(if is_half { "\\ufffd" } else { &text[at..at + length] });
        at += length;
    }
    replaced.push_str(&text[at..]);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &[u8]) -> Option<(String, String)> {
        let invalid = InvalidValue::of(body)?;
        Some((invalid.id.into_json_value().to_string(), invalid.path))
    }

    #[test]
    fn the_request_is_found_wherever_half_a_character_is() {
        let call = |id: &str, member: &str, argument: &str| {
            let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","{member}":1,"params":"#);
            [head.as_bytes(), br#"{"arguments":{"it":""#, argument.as_bytes(), br#""}}}"#].concat()
        };
        let raw = |body: Vec<u8>| {
            let at = body.windows(3).position(|bytes| bytes == b"RAW").unwrap();
            [&body[..at], b"\xed\xa0\x80", &body[at + 3..]].concat()
        };
        let at = |path: &str| Some(("7".to_owned(), path.to_owned()));
        assert_eq!(found(&call("7", "x", r"a\ud800")), at("params.arguments.it"));
        assert_eq!(found(&call("7", "x", r"a\\\udc00\ud83d\ude00")), at("params.arguments.it"));
        assert_eq!(found(&raw(call("7", "x", "RAW"))), at("params.arguments.it"));
        assert_eq!(found(&call("7", r"\ud800", "a")).unwrap().0, "7");
        assert_eq!(found(&raw(call("7", "RAW", "a"))).unwrap().0, "7");
        assert_eq!(
            found(
                &call("7", "x", "RAW").iter().map(|byte| if *byte == b'R' { 0xff } else { *byte }).collect::<Vec<_>>()
            ),
            None
        );
        assert_eq!(found(&call(r#""a\udfff""#, "x", "a")), None);
        assert_eq!(found(&call("7", "x", r"\ud83d\ude00")), None);
    }
}
