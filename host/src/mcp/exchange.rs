//! One HTTP exchange with rmcp, as seen from both of its sides.
//!
//! rmcp always answers requests of legacy sessions with a stream. Most calls send one message only, and many clients
//! and proxies prefer plain JSON for it. So the session manager, which sees the messages, leaves a lone response here,
//! and the endpoint, which sees the HTTP response, sends it as JSON.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use rmcp::model::{InitializeRequestParams, ServerJsonRpcMessage};
use tokio::sync::OwnedMutexGuard;

use super::answer::{APPLICATION_JSON, Code, rpc_error};
use crate::principal::Principal;

tokio::task_local! {
    /// The exchange that the current task is serving.
    static EXCHANGE: Arc<Exchange>;
}

/// The state that both sides share.
pub(super) struct Exchange {
    /// The owner of its session, see [`Principal::session`].
    pub(super) owner: [u8; 32],
    /// The person behind it, see [`Principal::person`].
    pub(super) person: [u8; 32],
    pub(super) handshake: Handshake,
    /// The client names streams before JSON.
    prefers_streams: bool,
    reply: Mutex<Option<ServerJsonRpcMessage>>,
    /// Held while the exchange makes a session again.
    turn: Mutex<Option<OwnedMutexGuard<()>>>,
}

/// The handshake of a request's session.
pub(super) enum Handshake {
    /// The request has no session.
    None,
    /// The request is the handshake, and begins a session.
    Now(InitializeRequestParams),
    /// The session began with it earlier.
    Before(InitializeRequestParams),
}

impl Exchange {
    pub(super) fn new(principal: &Principal, handshake: Handshake, prefers_streams: bool) -> Arc<Self> {
        let (owner, person) = (principal.session(), principal.person());
        Arc::new(Self { owner, person, handshake, prefers_streams, reply: Mutex::default(), turn: Mutex::default() })
    }

    /// True if an answer of one message is to be a stream too.
    pub(super) fn prefers_streams(&self) -> bool {
        self.prefers_streams
    }

    /// Runs one exchange; within `serve`, [`Exchange::current`] is this one.
    pub(super) async fn run<T>(self: &Arc<Self>, serve: impl Future<Output = T>) -> T {
        EXCHANGE.scope(Arc::clone(self), serve).await
    }

    /// The exchange that this task serves; `None` outside of one.
    pub(super) fn current() -> Option<Arc<Self>> {
        EXCHANGE.try_with(Arc::clone).ok()
    }

    /// Leaves the only message of the answer.
    pub(super) fn leave_reply(&self, message: ServerJsonRpcMessage) {
        *self.reply.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
    }

    /// Keeps a turn until it is given back, or the exchange is over.
    pub(super) fn keep_turn(&self, turn: OwnedMutexGuard<()>) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
    }

    /// Lets the next exchange have its turn.
    pub(super) fn give_turn_back(&self) {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Makes JSON of rmcp's answer, unless it is a stream.
    pub(super) async fn finish(&self, response: Response<BoxBody<Bytes, Infallible>>) -> Response {
        if let Some(reply) = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let (mut parts, _) = response.into_parts();
            parts.headers.insert(CONTENT_TYPE, APPLICATION_JSON);
            let body = serde_json::to_vec(&reply).expect("messages are JSON");
            return Response::from_parts(parts, Body::from(body));
        }
        let is_json =
            response.headers().get(CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"application/json"));
        if is_json || !(response.status().is_client_error() || response.status().is_server_error()) {
            return response.map(Body::new);
        }
        let (parts, body) = response.into_parts();
        let text = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let is_ours = parts.status.is_server_error();
        if is_ours {
            tracing::error!(status = parts.status.as_u16(), "a request failed: {text}");
        }
        let code = if is_ours { Code::InternalError } else { Code::InvalidRequest };
        let mut answer = rpc_error(parts.status, code, &text, None);
        for (name, value) in &parts.headers {
            answer.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        answer
    }
}
