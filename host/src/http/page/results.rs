//! The answer to a call from the page, made fit to be shown: an image is one by its bytes, whatever a plugin calls it.
//!
//! Nothing is made of the answer but the places of its members: as values they could take many times the memory of their
//! text. Texts stay as they are, and the page shows them as text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::sanitize;

/// The largest message that is shown. A plugin's own limit is far below.
const MAX_BYTES: usize = 64 << 20;

/// Characters of base64 that have the longest of the signatures below.
const SIGNATURE_CHARS: usize = 16;

/// Bytes of a plugin's media type that are shown.
const TYPE_BYTES: usize = 60;

/// The members of an object, as they stand in its text.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The kind of image that begins with these bytes; `None` for anything that is not shown, such as SVG.
fn image_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// The message of an answer with the images in its result named by their bytes; `None` if nothing in it changes.
fn shown(message: &[u8]) -> Option<Vec<u8>> {
    let mut message: Members<'_> = serde_json::from_slice(message).ok()?;
    let mut result: Members<'_> = serde_json::from_str(message.get("result")?.get()).ok()?;
    let blocks: Vec<&RawValue> = serde_json::from_str(result.get("content")?.get()).ok()?;
    let blocks: Vec<Cow<'_, RawValue>> = blocks.into_iter().map(block_shown).collect();
    let content = to_raw_value(&blocks).ok()?;
    result.insert("content".to_owned(), &content);
    let result = to_raw_value(&result).ok()?;
    message.insert("result".to_owned(), &result);
    serde_json::to_vec(&message).ok()
}

fn block_shown(block: &RawValue) -> Cow<'_, RawValue> {
    let Ok(members) = serde_json::from_str::<Members<'_>>(block.get()) else { return Cow::Borrowed(block) };
    let text = |name: &str| members.get(name).and_then(|member| serde_json::from_str::<String>(member.get()).ok());
    if text("type").as_deref() != Some("image") {
        return Cow::Borrowed(block);
    }
    let data = text("data").unwrap_or_default();
    let start = data.get(..SIGNATURE_CHARS).and_then(|start| STANDARD.decode(start).ok()).unwrap_or_default();
    let of_plugin = text("mimeType").unwrap_or_default();
    let shown = match image_type(&start) {
        Some(media_type) => json!({ "type": "image", "mimeType": media_type, "data": data }),
        None => {
            let claimed = sanitize::cut(&sanitize::escape(&of_plugin), TYPE_BYTES);
            let bytes = data.len() / 4 * 3;
            json!({ "type": "unshown", "what": "image", "mimeType": claimed, "bytes": bytes })
        }
    };
    to_raw_value(&shown).map_or(Cow::Borrowed(block), Cow::Owned)
}

/// The answer of the endpoint as the page gets it: JSON, or a stream of events with a message in each.
pub(super) async fn answer(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    // The page's own requests are no place for a client's challenge.
    parts.headers.remove("www-authenticate");
    parts.headers.insert("cache-control", HeaderValue::from_static("no-store"));
    let content_type = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if content_type.starts_with(b"text/event-stream") {
        parts.headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        let lines = lines(body.into_data_stream()).map(|line| line.map(event_shown));
        return Response::from_parts(parts, Body::from_stream(lines));
    }
    match axum::body::to_bytes(body, MAX_BYTES).await {
        Ok(whole) => {
            let body = shown(&whole).map_or_else(|| Body::from(whole), Body::from);
            Response::from_parts(parts, body)
        }
        Err(_) => {
            let message = json!({ "error": "too_large", "message": "the answer is too large to be shown here" });
            crate::http::reply::json(StatusCode::BAD_GATEWAY, &message)
        }
    }
}

/// One line of a stream of events (HTML, server-sent events). A message is on one line, since JSON has no line breaks.
fn event_shown(line: Bytes) -> Bytes {
    let Some(data) = line.strip_prefix(b"data:") else { return line };
    match shown(data.trim_ascii()) {
        Some(shown) => Bytes::from([b"data: ", shown.as_slice(), b"\n"].concat()),
        None => line,
    }
}

/// A body in lines, each with its end. A line that is too long ends the stream.
fn lines(
    pieces: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin,
) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    struct Lines<S> {
        pieces: S,
        pending: Vec<u8>,
        /// Bytes of it that have no line's end.
        searched: usize,
    }
    let lines = Lines { pieces, pending: Vec::new(), searched: 0 };
    futures::stream::unfold(lines, async |mut lines| {
        loop {
            if let Some(at) = lines.pending[lines.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = lines.pending.split_off(lines.searched + at + 1);
                let line = std::mem::replace(&mut lines.pending, rest);
                lines.searched = 0;
                return Some((Ok(line.into()), lines));
            }
            lines.searched = lines.pending.len();
            if lines.searched > MAX_BYTES {
                return None;
            }
            match lines.pieces.next().await {
                Some(Ok(piece)) => lines.pending.extend_from_slice(&piece),
                Some(Err(error)) => return Some((Err(error), lines)),
                None if lines.pending.is_empty() => return None,
                None => {
                    let line = std::mem::take(&mut lines.pending);
                    lines.searched = 0;
                    return Some((Ok(line.into()), lines));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn block(block: &Value) -> Value {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": [block], "structuredContent": 1.5 } });
        let shown = shown(message.to_string().as_bytes()).unwrap();
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!((&shown["id"], &shown["result"]["structuredContent"]), (&json!(1), &json!(1.5)));
        shown["result"]["content"][0].clone()
    }

    fn image(bytes: &[u8], media_type: &str) -> Value {
        block(&json!({ "type": "image", "data": STANDARD.encode(bytes), "mimeType": media_type, "more": 1 }))
    }

    #[test]
    fn an_image_is_what_its_bytes_say() {
        for (bytes, expected) in [
            (&b"\x89PNG\r\n\x1a\n0000"[..], "image/png"),
            (b"\xff\xd8\xff\xe0\0\0\0\0\0\0\0\0", "image/jpeg"),
            (b"GIF89a000000", "image/gif"),
            (b"RIFF\x01\x02\x03\x04WEBP", "image/webp"),
        ] {
            let shown = image(bytes, "image/svg+xml");
            assert_eq!((&shown["type"], &shown["mimeType"]), (&json!("image"), &json!(expected)));
        }
    }

    #[test]
    fn anything_else_is_told_of_and_not_shown() {
        for bytes in [&b"<svg xmlns='x' onload='a'>"[..], b"<html>", b"RIFF1234WAVE", b"", b"GIF89"] {
            let shown = image(bytes, "image/png\u{202e}");
            assert_eq!(shown["type"], "unshown", "{shown}");
            assert!(shown.get("data").is_none() && shown["mimeType"] == "image/png\\u{202e}", "{shown}");
        }
        let text = json!({ "type": "text", "text": "<svg>" });
        assert_eq!(block(&text), text);
        assert_eq!(block(&json!("image")), json!("image"));
        assert_eq!(block(&json!({ "type": "image" }))["type"], "unshown");
    }

    #[test]
    fn other_messages_stay_as_they_are() {
        for message in
            ["{\"method\":\"notifications/progress\"}", "{\"error\":{}}", "[]", "{\"result\":{}}", "nonsense"]
        {
            assert!(shown(message.as_bytes()).is_none(), "{message}");
        }
    }

    #[tokio::test]
    async fn a_stream_is_read_line_by_line_however_it_comes() {
        let message = json!({ "result": { "content": [{ "type": "image", "data": "PHN2Zz4=", "mimeType": "x" }] } });
        let text = format!("event: message\ndata: {message}\n\n: beat\n\ndata: no json");
        for size in [1, 3, 1000] {
            let pieces: Vec<_> = text.as_bytes().chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let lines: Vec<Bytes> =
                lines(futures::stream::iter(pieces)).map(|line| event_shown(line.unwrap())).collect().await;
            let whole = String::from_utf8(lines.concat()).unwrap();
            assert!(whole.starts_with("event: message\ndata: {") && whole.ends_with("\n\n: beat\n\ndata: no json"));
            assert!(whole.contains("unshown") && !whole.contains("PHN2Zz4"), "{whole}");
        }
    }
}
