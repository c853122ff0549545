//! Legacy sessions: bound to their owner, bounded in number, and able to survive a restart.
//!
//! Invariant: a session id carries its owner and its handshake, under a MAC (see [`SessionId`]). Memory only saves
//! work: a session that was put away, or that another process began, is made again from its id at its next request.
//! Only ids that were ended by DELETE are remembered. Several servers of one store go on with each other's sessions, see
//! [`elsewhere`].
//!
//! A session in memory is small, and rmcp's service for it runs only while requests use it (see [`Live`]). Event streams
//! and their changes need no service.

mod elsewhere;
mod id;
mod live;
mod question;
mod requests;
mod rest;
mod roster;
mod shared;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt, stream as streams};
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, InitializeRequestParams, ProtocolVersion, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::streamable_http_server::session::{
    RestoreOutcome, ServerSseMessage, SessionId as RmcpId, SessionManager, SessionState, SessionStore,
    SessionStoreError,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::id::{SessionId, SessionKey};
use self::live::{Line, Live, Resumed, SessionEnded, Use};
use self::roster::Roster;
use self::shared::Shared;
use super::event_stream::{Opening, Reader};
use super::exchange::{Exchange, Handshake};
use super::in_flight::{InFlight, InFlightRequest};
use super::listeners::Listeners;
use super::shelf::{Shelf, ShelfError};
use crate::state::StateDir;

/// Time after which a call without an answer begins a stream, whose comments keep proxies from giving up on it.
const STREAM_AFTER: Duration = Duration::from_secs(12);

/// Time without use after which a session is put away. An open event stream is a use.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// The same for a session whose client has stated wishes, which the id does not carry.
const IDLE_WITH_WISHES: Duration = Duration::from_secs(24 * 3600);

/// Time between two looks for idle sessions.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The sessions in memory, under our ids.
pub(super) struct Sessions {
    live: Mutex<HashMap<RmcpId, Arc<Live>>>,
    key: SessionKey,
    roster: Roster,
    /// Lets one request at a time make a session again: of two at once, rmcp fails the second.
    restoring: Arc<tokio::sync::Mutex<()>>,
    /// Plain calls of the same sessions.
    plain_calls: InFlight,
    detachable: InFlight,
    listeners: Arc<Listeners>,
    draining: CancellationToken,
    /// What several servers share.
    shared: Option<Shared>,
}

/// The reason that a request finds no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("there is no such session")]
    Unknown,
    #[error(transparent)]
    Ended(#[from] SessionEnded),
    #[error("there is no such event")]
    UnknownEvent,
    #[error("the answer could not be taken to the server that waits for it: {0}")]
    Shelf(#[from] ShelfError),
}

impl Sessions {
    /// At most `per_person` sessions of one person are kept in memory; the least recently used make room. A task on
    /// `tracker` puts idle ones away, until `draining`.
    pub(super) fn start(
        state: &StateDir,
        per_person: usize,
        (plain_calls, detachable): (InFlight, InFlight),
        listeners: Arc<Listeners>,
        shelf: Option<Shelf>,
        tracker: &TaskTracker,
        draining: CancellationToken,
    ) -> Arc<Self> {
        let (key, roster, restoring) = (SessionKey::of(state), Roster::new(per_person), Arc::default());
        let live = Mutex::default();
        let stop = draining.clone();
        let shared = shelf.map(|shelf| Shared::new(shelf, tracker));
        let sessions =
            Arc::new(Self { live, key, roster, restoring, plain_calls, detachable, listeners, draining, shared });
        let swept = Arc::clone(&sessions);
        tracker.spawn(async move { stop.run_until_cancelled(swept.sweep()).await });
        sessions
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.put_idle_away(IDLE, IDLE_WITH_WISHES);
        }
    }

    fn put_idle_away(&self, idle: Duration, with_wishes: Duration) {
        let unused = self.roster.unused_for(idle);
        let over: Vec<RmcpId> = {
            let sessions = self.live();
            let is_over = |id: &RmcpId, unused: Duration| {
                sessions
                    .get(id)
                    .is_none_or(|live| !live.is_in_use() && (unused >= with_wishes || live.preferences().are_default()))
            };
            unused.into_iter().filter(|(id, unused)| is_over(id, *unused)).map(|(id, _)| id).collect()
        };
        for id in &over {
            self.roster.remove(id);
        }
        self.put_away(over);
    }

    /// Opens the session that a request of this owner names and uses, and gives the handshake that it began with.
    pub(super) async fn open(&self, owner: &[u8; 32], person: &[u8; 32], id: &str) -> Option<InitializeRequestParams> {
        let session = self.key.open(id).filter(|session| session.owner == *owner && !self.roster.is_ended(id))?;
        if let Some(shared) = &self.shared
            && shared.has_ended(person, id, &session).await
        {
            self.end_here(vec![id.into()]);
            return None;
        }
        self.roster.touch(person, id);
        Some(session.initialize)
    }

    /// Ends a session for its client: its id is dead from now on, on all servers.
    ///
    /// # Errors
    /// The other servers could not be told.
    pub(super) async fn end(&self, person: &[u8; 32], id: &str) -> Result<(), ShelfError> {
        self.roster.end(id);
        match (&self.shared, self.key.open(id)) {
            (Some(shared), Some(session)) => shared.end(person, id, &session).await,
            _ => Ok(()),
        }
    }

    /// Ends the sessions of a person: all, or those through one client. Those in memory end, and the other servers end
    /// theirs.
    ///
    /// # Errors
    /// The other servers could not be told.
    pub(super) async fn end_of(&self, person: &[u8; 32], owner: Option<&[u8; 32]>) -> Result<(), ShelfError> {
        let is_meant = |id: &str| match owner {
            Some(owner) => self.key.open(id).is_some_and(|session| session.owner == *owner),
            None => true,
        };
        self.end_here(self.roster.of_person(person).into_iter().filter(|id| is_meant(id)).collect());
        match &self.shared {
            Some(shared) => shared.end_of(person, owner).await,
            None => Ok(()),
        }
    }

    fn end_here(&self, ids: Vec<RmcpId>) {
        for id in &ids {
            self.roster.remove(id);
            self.roster.end(id);
        }
        self.put_away(ids);
    }

    fn live(&self) -> MutexGuard<'_, HashMap<RmcpId, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the event stream of the current exchange is to end; holds its place until then.
    fn end_of_stream(&self) -> impl Future<Output = ()> + Send + Sync + 'static {
        let (place, draining) = (Exchange::current().and_then(|exchange| exchange.take_place()), self.draining.clone());
        async move {
            let evicted = async {
                match &place {
                    Some(place) => place.evicted().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = draining.cancelled() => {}
                () = evicted => {}
            }
        }
    }

    fn enter(&self, id: &str) -> Option<Use> {
        self.find(id).ok()?.enter()
    }

    fn find(&self, id: &str) -> Result<Arc<Live>, SessionError> {
        self.live().get(id).filter(|live| !live.is_closed()).cloned().ok_or(SessionError::Unknown)
    }

    /// The session of an exchange in memory, made again from its id if it is not there.
    fn remember(&self, exchange: &Exchange, id: &RmcpId, initialize: &InitializeRequestParams) -> Arc<Live> {
        if let Ok(live) = self.find(id) {
            return live;
        }
        // Sessions count by person, whichever client they go through.
        self.put_away(self.roster.add(exchange.person(), id));
        self.listeners.prepare(&exchange.preferences());
        let live = Live::new(negotiated(&initialize.protocol_version), exchange.preferences(), self.shared.is_some());
        {
            let mut sessions = self.live();
            // Another request may have been faster.
            if let Some(other) = sessions.get(id).filter(|live| !live.is_closed()) {
                return Arc::clone(other);
            }
            sessions.insert(Arc::clone(id), Arc::clone(&live));
        }
        self.listeners.add(id, live.standalone().clone(), live.preferences(), exchange.principal());
        live
    }

    fn put_away(&self, ids: Vec<RmcpId>) {
        for id in ids {
            let live = self.live().remove(&id);
            self.listeners.remove(&id);
            // It may have ended by itself meanwhile.
            if let Some(live) = live {
                live.close();
            }
        }
    }

    /// Cancels the request in progress with this id, unless there are several. False if there is none here.
    async fn cancel(
        &self,
        id: &str,
        live: Option<&Live>,
        request: &RequestId,
        reason: Option<String>,
    ) -> Result<bool, SessionEnded> {
        let fitting = live.map(|live| live.in_flight(request)).unwrap_or_default();
        match (fitting.as_slice(), self.plain_calls.count(id, request)) {
            ([], 0) => Ok(false),
            ([number], 0) => match live {
                Some(live) => live.cancel(*number, reason).await.map(|()| true),
                None => Ok(false),
            },
            ([], 1) => {
                self.plain_calls.signal(id, request);
                Ok(true)
            }
            (several, plain_calls) => {
                tracing::debug!(
                    fitting = several.len() + plain_calls,
                    "a cancellation does not fit one request, and none is cancelled"
                );
                Ok(true)
            }
        }
    }
}

impl SessionManager for Sessions {
    type Error = SessionError;
    type Transport = Line;

    async fn create_session(&self) -> Result<(RmcpId, Self::Transport), Self::Error> {
        let exchange = Exchange::current().ok_or(SessionError::Unknown)?;
        let Handshake::Now(initialize) = exchange.handshake() else { return Err(SessionError::Unknown) };
        let id: RmcpId = self.key.seal(&SessionId::new(exchange.owner(), initialize.clone())).into();
        match self.restore_session(Arc::clone(&id)).await? {
            RestoreOutcome::Restored(transport) => Ok((id, transport)),
            _ => Err(SessionError::Unknown),
        }
    }

    async fn initialize_session(
        &self,
        id: &RmcpId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        let reply = self.find(id)?.initialize(message).await?;
        if let Some(exchange) = Exchange::current().filter(|exchange| matches!(exchange.handshake(), Handshake::Now(_)))
        {
            exchange.leave_reply(reply.clone());
        }
        Ok(reply)
    }

    /// rmcp asks this of every request but DELETE, and starts a service for a session that it takes for unknown.
    async fn has_session(&self, id: &RmcpId) -> Result<bool, Self::Error> {
        let Some(exchange) = Exchange::current() else { return Ok(self.find(id).is_ok()) };
        let (Handshake::Before(initialize) | Handshake::Now(initialize)) = exchange.handshake() else {
            return Ok(false);
        };
        if !exchange.needs_service() {
            let live = self.remember(&exchange, id, initialize);
            self.take_over(&exchange, id, &live).await;
            return Ok(true);
        }
        if let Some(in_use) = self.enter(id) {
            exchange.keep_use(in_use);
            return Ok(true);
        }
        let turn = Arc::clone(&self.restoring).lock_owned().await;
        if let Some(in_use) = self.enter(id) {
            exchange.keep_use(in_use);
            return Ok(true);
        }
        if let Ok(live) = self.find(id) {
            exchange.continue_with(live.preferences());
        }
        // `restore_session` follows.
        exchange.keep_turn(turn);
        Ok(false)
    }

    /// rmcp calls this for a client that ends its session, within its request; and after the end of every service, which
    /// is not the end of its session.
    async fn close_session(&self, id: &RmcpId) -> Result<(), Self::Error> {
        if Exchange::current().is_some() {
            self.roster.remove(id);
            self.put_away(vec![Arc::clone(id)]);
        }
        Ok(())
    }

    async fn create_stream(
        &self,
        id: &RmcpId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let live = self.find(id)?;
        live.ready().await?;
        let opening = opening(live.version());
        let ClientJsonRpcMessage::Request(mut request) = message else { return Err(SessionError::Unknown) };
        let (number, stream) = live.begin(&mut request);
        let mut messages = stream.read(opening);
        let in_flight = self.detachable.begin(id, &live::id_of(number));
        let detached = in_flight.signal().clone();
        let mut abandoned = CancelIfAbandoned(Some((Arc::clone(&live), number)));
        live.hand_over(ClientJsonRpcMessage::Request(request)).await?;
        let exchange = Exchange::current();
        if exchange.as_ref().is_some_and(|exchange| exchange.prefers_streams()) {
            abandoned.disarm();
            return Ok(streams::iter(Vec::new()).chain(until_detached(messages, in_flight, detached)));
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
        Ok(streams::iter(seen).chain(until_detached(messages, in_flight, detached)))
    }

    async fn accept_message(&self, id: &RmcpId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        let live = self.find(id)?;
        live.ready().await?;
        if let ClientJsonRpcMessage::Notification(notification) = &message
            && let ClientNotification::CancelledNotification(cancelled) = &notification.notification
            && let Some(request) = &cancelled.params.request_id
        {
            if !self.cancel(id, Some(&live), request, cancelled.params.reason.clone()).await? {
                self.cancel_elsewhere(id, request).await;
            }
            return Ok(());
        }
        let message = match (&self.shared, Exchange::current()) {
            (Some(shared), Some(exchange)) => shared.pass_on(&exchange.person(), id, &live, message).await?,
            _ => Some(message),
        };
        match message {
            Some(message) => Ok(live.hand_over(message).await?),
            None => Ok(()),
        }
    }

    async fn create_standalone_stream(
        &self,
        id: &RmcpId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let live = self.find(id)?;
        let opening = opening(live.version());
        Ok(live.standalone().read(opening).take_until(self.end_of_stream()))
    }

    async fn resume(
        &self,
        id: &RmcpId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let live = self.find(id)?;
        let events = match (live.resume(&last_event_id), &self.shared, Exchange::current()) {
            (Resumed::Here(reader), ..) => reader.left_stream(),
            (Resumed::Elsewhere, Some(shared), Some(exchange)) => {
                shared.rests.ask(exchange.person(), id, last_event_id).right_stream()
            }
            (Resumed::Elsewhere | Resumed::Unknown, ..) => return Err(SessionError::UnknownEvent),
        };
        Ok(events.take_until(self.end_of_stream()))
    }

    async fn restore_session(&self, id: RmcpId) -> Result<RestoreOutcome<Self::Transport>, Self::Error> {
        let Some(exchange) = Exchange::current() else { return Ok(RestoreOutcome::NotSupported) };
        let (Handshake::Before(initialize) | Handshake::Now(initialize)) = exchange.handshake() else {
            return Ok(RestoreOutcome::NotSupported);
        };
        let live = self.remember(&exchange, &id, initialize);
        let Some((line, in_use)) = live.begin_service() else {
            return Ok(RestoreOutcome::AlreadyPresent);
        };
        exchange.keep_use(in_use);
        exchange.give_turn_back();
        // Others do not wait for the store, and this session's requests wait for the handshake that follows.
        self.take_over(&exchange, &id, &live).await;
        Ok(RestoreOutcome::Restored(line))
    }
}

/// The version that the handshake of a client agrees on: its own, or the newest that has a handshake.
pub(super) fn negotiated(asked: &ProtocolVersion) -> ProtocolVersion {
    let known = [ProtocolVersion::V_2025_03_26, ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25];
    if known.contains(asked) { asked.clone() } else { ProtocolVersion::V_2025_11_25 }
}

/// The beginning of responses in a session of this version.
fn opening(version: &ProtocolVersion) -> Opening {
    let knows_priming = version.as_str() >= ProtocolVersion::V_2025_11_25.as_str();
    if knows_priming { Opening::Primed } else { Opening::Plain }
}

/// Messages until the plugin releases the stream; the rest is kept until the client comes back for it.
fn until_detached(
    messages: Reader,
    in_flight: InFlightRequest,
    detached: CancellationToken,
) -> impl Stream<Item = ServerSseMessage> + Send + Sync + 'static {
    messages.take_until(async move {
        detached.cancelled().await;
        drop(in_flight);
    })
}

fn is_response(message: &ServerJsonRpcMessage) -> bool {
    matches!(message, ServerJsonRpcMessage::Response(_) | ServerJsonRpcMessage::Error(_))
}

/// Cancels a request whose client went away before anything of the answer was sent: it has no event id to resume from,
/// so nobody can read the answer.
struct CancelIfAbandoned(Option<(Arc<Live>, u64)>);

impl CancelIfAbandoned {
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelIfAbandoned {
    fn drop(&mut self) {
        let Some((live, number)) = self.0.take() else { return };
        let reason = Some("the client went away".to_owned());
        // A session that has ended has nothing to cancel.
        tokio::spawn(async move { live.cancel(number, reason).await });
    }
}

/// rmcp's store of sessions, for those that are not in memory. It gives the session of the request, which is open
/// already.
#[derive(Debug)]
pub(super) struct OpenedSession;

#[async_trait::async_trait]
impl SessionStore for OpenedSession {
    async fn load(&self, _session_id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        let Some(exchange) = Exchange::current() else { return Ok(None) };
        Ok(match exchange.handshake() {
            Handshake::Before(initialize) => Some(SessionState::new(initialize.clone())),
            Handshake::None | Handshake::Now(_) => None,
        })
    }

    async fn store(&self, _session_id: &str, _state: &SessionState) -> Result<(), SessionStoreError> {
        Ok(())
    }

    async fn delete(&self, _session_id: &str) -> Result<(), SessionStoreError> {
        Ok(())
    }
}
