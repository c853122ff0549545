//! Legacy sessions: bound to their owner, bounded in number, and able to survive a restart.
//!
//! Invariant: a session id says by itself whose it is and what its handshake was, under a MAC (see [`SessionId`]).
//! What is in memory is only a saving: a session that was put away, or that another process began, is made again
//! from its id at its next request. Only ids that were ended by DELETE are remembered.

mod id;
mod roster;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, ClientNotification, RequestId,
    ServerJsonRpcMessage,
};
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionHandle, LocalSessionManager, LocalSessionManagerError, SessionConfig,
};
use rmcp::transport::streamable_http_server::session::{
    RestoreOutcome, ServerSseMessage, SessionId as RmcpId, SessionManager, SessionState, SessionStore,
    SessionStoreError,
};
use tokio_util::sync::CancellationToken;

use self::id::SessionId;
pub(super) use self::id::SessionKey;
use self::roster::Roster;
use super::exchange::Exchange;
use super::signals::{Signals, UnderWay};

/// A session that nobody used for so long is put away. Its client notices nothing but that its event stream,
/// if it holds one, has to be opened again.
///
/// rmcp's clock does not see calls that go the short way, so this is long; what bounds memory is the number of
/// sessions, see [`Roster`].
const IDLE: Duration = Duration::from_secs(24 * 3600);

/// A call that has not answered for so long begins a stream, whose comments keep proxies from giving up on it.
const STREAM_AFTER: Duration = Duration::from_secs(12);

/// rmcp's sessions in memory, under our ids.
pub(super) struct Sessions {
    inner: LocalSessionManager,
    key: SessionKey,
    roster: Roster,
    detached: Signals,
    draining: CancellationToken,
}

impl Sessions {
    /// At most `per_person` sessions of one person are kept in memory; the least recently used make room.
    pub(super) fn new(key: SessionKey, per_person: usize, detached: Signals, draining: CancellationToken) -> Arc<Self> {
        let mut inner = LocalSessionManager::default();
        let mut config = SessionConfig::default();
        config.keep_alive = Some(IDLE);
        inner.session_config = config;
        Arc::new(Self { inner, key, roster: Roster::new(per_person), detached, draining })
    }

    /// Whether this is an id that a request of `owner` may use.
    pub(super) fn admits(&self, owner: &[u8; 32], id: &str) -> bool {
        self.key.open(id).is_some_and(|session| session.owner == *owner) && !self.roster.is_ended(id)
    }

    /// A request uses the session, whether or not rmcp sees it.
    pub(super) fn touch(&self, person: &[u8; 32], id: &str) {
        self.roster.touch(person, id);
    }

    /// The client has ended the session: its id is dead from now on.
    pub(super) fn end(&self, id: &str) {
        self.roster.end(id);
    }

    async fn put_away(&self, ids: Vec<RmcpId>) {
        for id in ids {
            // It may have ended by itself meanwhile.
            let _ = self.inner.close_session(&id).await;
        }
    }
}

impl SessionManager for Sessions {
    type Error = LocalSessionManagerError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(RmcpId, Self::Transport), Self::Error> {
        let unknown = || LocalSessionManagerError::SessionNotFound("new".into());
        let exchange = Exchange::current().ok_or_else(unknown)?;
        let initialize = exchange.initialize.clone().ok_or_else(unknown)?;
        let id: RmcpId = self.key.seal(&SessionId::new(exchange.owner, initialize)).into();
        match self.restore_session(Arc::clone(&id)).await? {
            RestoreOutcome::Restored(transport) => Ok((id, transport)),
            _ => Err(unknown()),
        }
    }

    async fn initialize_session(
        &self,
        id: &RmcpId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        let reply = self.inner.initialize_session(id, message).await?;
        if let Some(exchange) = Exchange::current().filter(|exchange| exchange.initialize.is_some()) {
            exchange.leave_reply(reply.clone());
        }
        Ok(reply)
    }

    async fn has_session(&self, id: &RmcpId) -> Result<bool, Self::Error> {
        if let Some(exchange) = Exchange::current() {
            self.touch(&exchange.person, id);
        }
        self.inner.has_session(id).await
    }

    async fn close_session(&self, id: &RmcpId) -> Result<(), Self::Error> {
        self.roster.remove(id);
        self.inner.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &RmcpId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let session = self.inner.sessions.read().await.get(id).cloned();
        let mut abandoned = CancelIfAbandoned::new(session, &message);
        let under_way = match &message {
            ClientJsonRpcMessage::Request(request) => Some(self.detached.begin(id, &request.id)),
            _ => None,
        };
        let detached = under_way.as_ref().map(|it| it.given().clone()).unwrap_or_default();
        let mut messages = Box::pin(self.inner.create_stream(id, message).await?);
        let exchange = Exchange::current();
        if exchange.as_ref().is_some_and(|exchange| exchange.prefers_streams()) {
            abandoned.disarm();
            return Ok(stream::iter(Vec::new()).chain(until_detached(messages, under_way, detached)));
        }
        let stream_at = tokio::time::Instant::now() + STREAM_AFTER;
        let mut seen = Vec::new();
        loop {
            let event = tokio::select! {
                biased;
                event = tokio::time::timeout_at(stream_at, messages.next()) => event,
                () = detached.cancelled() => break,
            };
            let Ok(Some(event)) = event else { break };
            let is_answer = event.message.as_deref().map(is_response);
            seen.push(event);
            match is_answer {
                // A priming event, which only says where a stream could be resumed.
                None => {}
                Some(true) => {
                    let reply = seen.pop().and_then(|event| event.message).map(Arc::unwrap_or_clone);
                    if let (Some(exchange), Some(reply)) = (&exchange, reply) {
                        exchange.leave_reply(reply);
                    }
                    seen.clear();
                    break;
                }
                Some(false) => break,
            }
        }
        abandoned.disarm();
        Ok(stream::iter(seen).chain(until_detached(messages, under_way, detached)))
    }

    async fn accept_message(&self, id: &RmcpId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        self.inner.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &RmcpId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let stream = self.inner.create_standalone_stream(id).await?;
        Ok(stream.take_until(self.draining.clone().cancelled_owned()))
    }

    async fn resume(
        &self,
        id: &RmcpId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let stream = self.inner.resume(id, last_event_id).await?;
        Ok(stream.take_until(self.draining.clone().cancelled_owned()))
    }

    async fn restore_session(&self, id: RmcpId) -> Result<RestoreOutcome<Self::Transport>, Self::Error> {
        let Some(session) = self.key.open(&id) else { return Ok(RestoreOutcome::NotSupported) };
        // Sessions count by person, whichever client they go through.
        let person = Exchange::current().map_or(session.owner, |exchange| exchange.person);
        let over = self.roster.add(person, &id);
        self.put_away(over).await;
        self.inner.restore_session(id).await
    }
}

/// Messages until the stream is let go; the rest is kept for whoever comes back for it.
fn until_detached(
    messages: Pin<Box<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static>>,
    under_way: Option<UnderWay>,
    detached: CancellationToken,
) -> impl Stream<Item = ServerSseMessage> + Send + Sync + 'static {
    messages.take_until(async move {
        detached.cancelled().await;
        drop(under_way);
    })
}

fn is_response(message: &ServerJsonRpcMessage) -> bool {
    matches!(message, ServerJsonRpcMessage::Response(_) | ServerJsonRpcMessage::Error(_))
}

/// Cancels a request whose client went away before anything of the answer was sent: it has no event id to
/// resume from, so nobody will ever read the answer.
struct CancelIfAbandoned(Option<(LocalSessionHandle, RequestId)>);

impl CancelIfAbandoned {
    fn new(session: Option<LocalSessionHandle>, message: &ClientJsonRpcMessage) -> Self {
        match (session, message) {
            (Some(session), ClientJsonRpcMessage::Request(request)) => Self(Some((session, request.id.clone()))),
            _ => Self(None),
        }
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelIfAbandoned {
    fn drop(&mut self) {
        let Some((session, id)) = self.0.take() else { return };
        let reason = Some("the client went away".to_owned());
        let cancelled = CancelledNotification::new(CancelledNotificationParam::new(Some(id), reason));
        let cancelled = ClientJsonRpcMessage::notification(ClientNotification::CancelledNotification(cancelled));
        // A session that has ended has nothing to cancel.
        tokio::spawn(async move { session.push_message(cancelled, None).await });
    }
}

#[async_trait::async_trait]
impl SessionStore for SessionKey {
    async fn load(&self, session_id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        Ok(self.open(session_id).map(|session| SessionState::new(session.initialize)))
    }

    async fn store(&self, _session_id: &str, _state: &SessionState) -> Result<(), SessionStoreError> {
        Ok(())
    }

    async fn delete(&self, _session_id: &str) -> Result<(), SessionStoreError> {
        Ok(())
    }
}
