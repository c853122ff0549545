//! One HTTP exchange with rmcp, as seen from both of its sides.
//!
//! rmcp always answers requests of legacy sessions with a stream. Most calls send one message only, and many clients
//! and proxies prefer plain JSON for it. So the session manager, which sees the messages, leaves a lone response here,
//! and the endpoint, which sees the HTTP response, sends it as JSON.

use std::any::Any;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use rmcp::model::{InitializeRequestParams, ProtocolVersion, ServerJsonRpcMessage};
use tokio::sync::OwnedMutexGuard;

use super::answer::{APPLICATION_JSON, Code, rpc_error};
use super::listener_places::ListenerPlace;
use super::preferences::Preferences;
use crate::principal::Principal;

tokio::task_local! {
    /// The exchange that the current task is serving.
    static EXCHANGE: Arc<Exchange>;
}

/// The state that both sides share.
pub(super) struct Exchange {
    principal: Arc<Principal>,
    handshake: Handshake,
    /// It carries a message, which rmcp's service of its session answers.
    needs_service: bool,
    /// The client names streams before JSON.
    prefers_streams: bool,
    /// The wishes of the session's client.
    preferences: OnceLock<Arc<Preferences>>,
    reply: Mutex<Option<ServerJsonRpcMessage>>,
    /// Held while the exchange makes a session again.
    turn: Mutex<Option<OwnedMutexGuard<()>>>,
    /// The place of a response that is an open event stream.
    place: Mutex<Option<ListenerPlace>>,
    /// Keeps the session's service for as long as the exchange.
    in_use: Mutex<Option<Box<dyn Any + Send>>>,
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
    /// An exchange for a message.
    pub(super) fn of_message(principal: &Arc<Principal>, handshake: Handshake, prefers_streams: bool) -> Arc<Self> {
        Self::new(principal, handshake, true, prefers_streams)
    }

    /// An exchange for a request without a message.
    pub(super) fn without_message(principal: &Arc<Principal>, handshake: Handshake) -> Arc<Self> {
        Self::new(principal, handshake, false, false)
    }

    fn new(principal: &Arc<Principal>, handshake: Handshake, needs_service: bool, prefers_streams: bool) -> Arc<Self> {
        let principal = Arc::clone(principal);
        Arc::new(Self {
            principal,
            handshake,
            needs_service,
            prefers_streams,
            preferences: OnceLock::new(),
            reply: Mutex::default(),
            turn: Mutex::default(),
            place: Mutex::default(),
            in_use: Mutex::default(),
        })
    }

    /// The sender of the request.
    pub(super) fn principal(&self) -> Arc<Principal> {
        Arc::clone(&self.principal)
    }

    /// The owner of its session, see [`Principal::session`].
    pub(super) fn owner(&self) -> [u8; 32] {
        self.principal.session()
    }

    /// The person behind it, see [`Principal::person`].
    pub(super) fn person(&self) -> [u8; 32] {
        self.principal.person()
    }

    pub(super) fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// The version of the protocol that the client asks for in a handshake.
    pub(super) fn version(&self) -> Option<&ProtocolVersion> {
        match &self.handshake {
            Handshake::Now(initialize) | Handshake::Before(initialize) => Some(&initialize.protocol_version),
            Handshake::None => None,
        }
    }

    /// True if rmcp's service of the session has to answer.
    pub(super) fn needs_service(&self) -> bool {
        self.needs_service
    }

    /// The wishes of the session's client: those that it has stated, or none yet.
    pub(super) fn preferences(&self) -> Arc<Preferences> {
        Arc::clone(self.preferences.get_or_init(Arc::default))
    }

    /// Continues with the wishes of a session in memory.
    pub(super) fn continue_with(&self, preferences: Arc<Preferences>) {
        let _ = self.preferences.set(preferences);
    }

    /// Keeps the place for an event stream until the stream takes it.
    pub(super) fn keep_place(&self, place: ListenerPlace) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }

    /// Takes the place for the event stream of the response.
    pub(super) fn take_place(&self) -> Option<ListenerPlace> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps the use of a service until the exchange is over.
    pub(super) fn keep_use(&self, in_use: impl Send + 'static) {
        *self.in_use.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(in_use));
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
