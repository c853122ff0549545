//! Answers that hold the memory of their requests until they are sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::request_memory::RequestMemory;

/// A body whose bytes keep the memory of their request.
struct KeptBody {
    body: Body,
    memory: RequestMemory,
}

impl http_body::Body for KeptBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map_ok(|frame| frame.map_data(|bytes| self.memory.keep_with(bytes)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that holds the memory of its request until it is sent.
pub(super) fn kept(body: Body, memory: &RequestMemory) -> Body {
    if !memory.is_held() {
        return body;
    }
    // Of an answer whose size is known nothing else is left; in a stream anything may come.
    if let Some(bytes) = body.size_hint().exact() {
        memory.lower(usize::try_from(bytes).unwrap_or(usize::MAX));
        if !memory.is_held() {
            return body;
        }
    }
    let memory = memory.clone();
    Body::new(KeptBody { body, memory })
}
