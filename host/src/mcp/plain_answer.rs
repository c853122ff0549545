//! The answer to a plain call, as JSON that is written here: at once if it is small, and piece by piece as the client
//! takes it if it is large. So a large result is in memory once, as it came from the tool, and not three times.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use rmcp::model::RequestId;
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer;
use super::call_result::TextResult;
use crate::request_memory::RequestMemory;

/// The most bytes of a result that is written at once, and of a piece of a larger one.
const PIECE_BYTES: usize = 64 * 1024;

/// `CallToolResult` around its text and its structured content.
pub(super) struct PlainAnswer<'a> {
    pub(super) id: &'a RequestId,
    /// `_meta` of a modern result.
    pub(super) meta: Option<&'a RawValue>,
}

impl PlainAnswer<'_> {
    /// The answer with this result, which counts against the memory of its request until it is sent.
    pub(super) fn with(&self, result: TextResult, memory: &RequestMemory) -> Response {
        let body = if result.size() <= PIECE_BYTES {
            let json = self.whole(&result);
            memory.set(json.len()).map(|()| Body::from(memory.keep_with(json)))
        } else {
            let unquoted = match result.text() {
                Cow::Owned(text) => Some(text),
                Cow::Borrowed(_) => None,
            };
            let bytes = result.size() + unquoted.as_ref().map_or(0, String::len);
            memory.set(bytes).map(|()| self.in_pieces(result, unquoted, memory))
        };
        answer::json_response(body.unwrap_or_else(|refusal| {
            memory.release();
            self.whole(&TextResult::failure(refusal.to_string())).into()
        }))
    }

    /// The answer with this small result.
    pub(super) fn whole(&self, result: &TextResult) -> Vec<u8> {
        let text = result.text();
        let structured = result.structured();
        let mut json = Vec::with_capacity(256 + 2 * result.size());
        self.begin(&mut json);
        write(&mut json, &*text);
        self.between(structured.is_some(), &mut json);
        structured.iter().flatten().for_each(|part| json.extend_from_slice(part.as_bytes()));
        self.end(result.is_error(), &mut json);
        json
    }

    fn in_pieces(&self, result: TextResult, unquoted: Option<String>, memory: &RequestMemory) -> Body {
        let (mut begin, mut between, mut end) = (Vec::new(), Vec::new(), Vec::new());
        self.begin(&mut begin);
        begin.push(b'"');
        between.push(b'"');
        self.between(result.structured().is_some(), &mut between);
        self.end(result.is_error(), &mut end);

        let text = match &unquoted {
            Some(text) => pieces(text),
            None => pieces(&result.text()),
        };
        let structured = result.structured().unwrap_or_default().map(pieces);
        let parts = structured.into_iter().enumerate();
        let parts: Vec<Part> = [Part::Own(begin)]
            .into_iter()
            .chain(text.into_iter().map(Part::Text))
            .chain([Part::Own(between)])
            .chain(parts.flat_map(|(part, pieces)| pieces.into_iter().map(move |piece| Part::Structured(part, piece))))
            .chain([Part::Own(end)])
            .collect();
        let source = Source { result, unquoted, _memory: memory.clone() };
        Body::from_stream(stream::iter(parts.into_iter().map(move |part| Ok::<_, Infallible>(source.piece(part)))))
    }

    fn begin(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        write(json, self.id);
        json.extend_from_slice(br#","result":{"#);
        if self.meta.is_some() {
            json.extend_from_slice(br#""resultType":"complete","#);
        }
        json.extend_from_slice(br#""content":[{"type":"text","text":"#);
    }

    fn between(&self, is_structured: bool, json: &mut Vec<u8>) {
        json.extend_from_slice(b"}]");
        if is_structured {
            json.extend_from_slice(br#","structuredContent":"#);
        }
    }

    fn end(&self, is_error: bool, json: &mut Vec<u8>) {
        json.extend_from_slice(br#","isError":"#);
        write(json, &is_error);
        if let Some(meta) = self.meta {
            json.extend_from_slice(br#","_meta":"#);
            json.extend_from_slice(meta.get().as_bytes());
        }
        json.extend_from_slice(b"}}");
    }
}

/// A piece of an answer.
enum Part {
    Own(Vec<u8>),
    /// A part of the text, in which quotes have to be escaped.
    Text(Range<usize>),
    /// A part of one of the three parts of the structured content.
    Structured(usize, Range<usize>),
}

struct Source {
    result: TextResult,
    /// The text, where the result has it in quotes only.
    unquoted: Option<String>,
    _memory: RequestMemory,
}

impl Source {
    fn piece(&self, part: Part) -> Bytes {
        match part {
            Part::Own(json) => json.into(),
            Part::Text(range) => {
                let mut json = Vec::with_capacity(2 * range.len());
                let text = self.unquoted.as_deref().map_or_else(|| self.result.text(), Cow::Borrowed);
                write(&mut json, &text[range]);
                // Without the quotes.
                let length = json.len();
                Bytes::from(json).slice(1..length - 1)
            }
            Part::Structured(part, range) => {
                let json = self.result.structured().unwrap_or_default()[part];
                Bytes::copy_from_slice(&json.as_bytes()[range])
            }
        }
    }
}

/// The places of a text's pieces, none of which ends within a character.
fn pieces(text: &str) -> Vec<Range<usize>> {
    let mut pieces = Vec::with_capacity(text.len() / PIECE_BYTES + 1);
    let mut start = 0;
    while start < text.len() {
        let end = text.floor_char_boundary(start + PIECE_BYTES);
        pieces.push(start..end);
        start = end;
    }
    pieces
}

fn write<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(json, value).expect("texts, numbers and booleans are JSON");
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::Value;

    use super::*;
    use crate::budget::Budgets;
    use crate::plugins::types::codec::Reply;

    #[tokio::test]
    async fn a_large_answer_is_what_it_would_be_at_once() {
        let meta = RawValue::from_string(r#"{"a":1}"#.to_owned()).unwrap();
        let id = RequestId::String("\"".into());
        let budgets = Budgets::new(1 << 22);
        let text = "ä\"\\\n".repeat(50_000);
        for meta in [None, Some(&*meta)] {
            let plain = PlainAnswer { id: &id, meta };
            let whole: Value =
                serde_json::from_slice(&plain.whole(&TextResult::of(Ok(Reply::Text(text.clone()))))).unwrap();
            assert_eq!(whole["result"]["content"][0]["text"], text.as_str());
            let memory = RequestMemory::new(&budgets, [0; 32]);
            let answer = plain.with(TextResult::of(Ok(Reply::Text(text.clone()))), &memory);
            drop(memory);
            assert!(RequestMemory::new(&budgets, [0; 32]).charge(192 << 20).is_err());
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), whole);
            assert!(RequestMemory::new(&budgets, [0; 32]).charge(192 << 20).is_ok());
        }
    }
}
