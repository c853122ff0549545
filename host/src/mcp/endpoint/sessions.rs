//! Requests about sessions of the older era: a GET for the stream of one, a DELETE that ends it, and the session that any
//! request names.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use rmcp::model::InitializeRequestParams;

use super::{Endpoint, Rejection, unavailable};
use crate::mcp::answer::{self, Code};
use crate::mcp::exchange::{Exchange, Handshake};
use crate::mcp::headers;
use crate::mcp::listener_places::ListenerPlace;
use crate::principal::Principal;

impl Endpoint {
    pub(super) async fn get(&self, principal: &Arc<Principal>, request: Request<Body>) -> Result<Response, Rejection> {
        let (mut parts, _) = request.into_parts();
        parts.extensions.insert(Arc::clone(principal));
        let handshake = self.handshake(principal, &parts.headers).await?;
        if headers::accept_events(&parts.headers) {
            parts.headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        let place = self.enter(principal)?;
        let exchange = Exchange::without_message(principal, handshake);
        exchange.keep_place(place);
        let request = Request::from_parts(parts, Full::<Bytes>::default());
        let response = exchange.run(self.stateful.handle(request)).await;
        Ok(exchange.finish(response).await)
    }

    fn enter(&self, principal: &Principal) -> Result<ListenerPlace, Box<Response>> {
        self.listeners
            .enter(principal)
            .map_err(|no_place| Box::new(answer::error_response(StatusCode::TOO_MANY_REQUESTS, &no_place.to_string())))
    }

    pub(super) async fn delete(
        &self,
        principal: &Arc<Principal>,
        request: Request<Body>,
    ) -> Result<Response, Rejection> {
        let (mut parts, _) = request.into_parts();
        parts.extensions.insert(Arc::clone(principal));
        let session = headers::session_id(&parts.headers).map(str::to_owned);
        let exchange = Exchange::without_message(principal, self.handshake(principal, &parts.headers).await?);
        let request = Request::from_parts(parts, Full::<Bytes>::default());
        let response = exchange.run(self.stateful.handle(request)).await;
        let mut answer = exchange.finish(response).await;
        if let Some(session) = session.filter(|_| answer.status().is_success()) {
            if let Err(error) = self.sessions.end(&principal.person(), &session).await {
                let text = format!("the session has ended on this server alone: {error}");
                return Ok(unavailable(&text, None));
            }
            // rmcp answers 202, which Python's client takes for a failure.
            *answer.status_mut() = StatusCode::NO_CONTENT;
        }
        Ok(answer)
    }

    /// The handshake of the session that a request without a message names.
    async fn handshake(&self, principal: &Principal, headers: &HeaderMap) -> Result<Handshake, Box<Response>> {
        match headers::session_id(headers) {
            Some(id) => Ok(Handshake::Before(self.open_session(principal, id).await?)),
            None => Ok(Handshake::None),
        }
    }

    /// Opens a session. One of another person is as unknown as one that never was.
    pub(super) async fn open_session(
        &self,
        principal: &Principal,
        id: &str,
    ) -> Result<InitializeRequestParams, Box<Response>> {
        let message = "session not found: begin a new one with `initialize`";
        let opened = self.sessions.open(&principal.session(), &principal.person(), id).await;
        opened.ok_or_else(|| Box::new(answer::rpc_error(StatusCode::NOT_FOUND, Code::InvalidRequest, message, None)))
    }
}
