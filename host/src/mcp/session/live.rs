//! One session in memory, between rmcp's service and the HTTP requests of its client.
//!
//! The session itself is small: its streams and its client's wishes. rmcp's service, some tens of kilobytes of channels
//! and tasks, is there while the session has requests for it, and a moment longer; the next one starts it again.
//!
//! Every request gets a number when it comes in, and its own id back when it is answered: clients may use an id twice
//! at once, and some use no other than 1. The same goes for progress tokens. So each message of the service finds the
//! stream of its own request.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, ClientNotification, ClientRequest,
    GetExtensions, GetMeta, JsonRpcRequest, ProgressToken, ProtocolVersion, RequestId, ServerJsonRpcMessage,
    ServerNotification, ServerResult,
};
use rmcp::service::OriginatingRequestId;
use rmcp::transport::Transport;
use tokio::sync::{OnceCell, SetOnce, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::question;
use super::requests::Requests;
use crate::mcp::event_stream::{EventStream, Opening, Reader};
use crate::mcp::preferences::Preferences;

/// Time without a request after which a session's service ends.
const SERVICE_IDLE: Duration = Duration::from_secs(5);

/// The most messages of the client that wait for the service.
const INBOX: usize = 32;

/// The number of the stream that belongs to no request.
const STANDALONE: u64 = 0;

/// A session in memory.
pub(super) struct Live {
    /// The version that the handshake negotiated.
    version: ProtocolVersion,
    preferences: Arc<Preferences>,
    /// Distinguishes streams from those of the same session before a restart.
    instance: u32,
    service: Mutex<Option<Service>>,
    requests: Mutex<Requests>,
    standalone: EventStream,
    closed: CancellationToken,
    /// Several servers serve its client, each of which asks it questions.
    is_shared: bool,
    /// What several servers keep of it was taken over.
    pub(super) taken_over: OnceCell<()>,
}

/// This side of a service that runs.
struct Service {
    inbox: mpsc::Sender<ClientJsonRpcMessage>,
    /// Sends the handshake's answer to the request that waits for it.
    handshake: Option<oneshot::Sender<ServerJsonRpcMessage>>,
    state: Arc<ServiceState>,
    /// Exchanges that are about to use it.
    uses: usize,
}

#[derive(Default)]
struct ServiceState {
    /// The handshake is done.
    ready: SetOnce<()>,
    ended: CancellationToken,
}

/// A use of a session's service, which does not end meanwhile for being idle.
pub(in crate::mcp) struct Use(Arc<Live>);

impl Drop for Use {
    fn drop(&mut self) {
        if let Some(service) = self.0.service().as_mut() {
            service.uses = service.uses.saturating_sub(1);
        }
    }
}

/// Whose question an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AskedBy {
    /// This session's, here.
    Us,
    /// The same session's on another server, or of before; by the id that the client got.
    Another(u64),
    /// Nobody's: there is no such question.
    Nobody,
}

/// Where a stream is that a client comes back for.
pub(super) enum Resumed {
    Here(Reader),
    /// Of a request of the same session on another server, or of before.
    Elsewhere,
    /// Of a request that is not known, or not any more.
    Unknown,
}

/// The session is over.
#[derive(Debug, thiserror::Error)]
#[error("the session has ended")]
pub(in crate::mcp) struct SessionEnded;

impl Live {
    /// Makes a session without a service.
    pub(super) fn new(version: ProtocolVersion, preferences: Arc<Preferences>, is_shared: bool) -> Arc<Self> {
        let instance = rand::random_range(1..=u32::MAX);
        Arc::new(Self {
            version,
            preferences,
            instance,
            service: Mutex::default(),
            requests: Mutex::default(),
            standalone: EventStream::new(stream_name(instance, STANDALONE)),
            closed: CancellationToken::new(),
            is_shared,
            taken_over: OnceCell::new(),
        })
    }

    /// Begins a service; `None` while there is one. It is in use from now on.
    pub(super) fn begin_service(self: &Arc<Self>) -> Option<(Line, Use)> {
        let mut service = self.service();
        if service.is_some() || self.is_closed() {
            return None;
        }
        let (sender, inbox) = mpsc::channel(INBOX);
        let state = Arc::default();
        *service = Some(Service { inbox: sender, handshake: None, state: Arc::clone(&state), uses: 1 });
        Some((Line { live: Arc::clone(self), state, inbox }, Use(Arc::clone(self))))
    }

    /// Uses the service; `None` if there is none.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Use> {
        self.service().as_mut()?.uses += 1;
        Some(Use(Arc::clone(self)))
    }

    /// Passes the handshake to the service, and waits for its answer.
    ///
    /// # Errors
    /// The service or the session has ended.
    pub(super) async fn initialize(&self, message: ClientJsonRpcMessage) -> Result<ServerJsonRpcMessage, SessionEnded> {
        let (sender, answer) = oneshot::channel();
        let state = {
            let mut service = self.service();
            let service = service.as_mut().ok_or(SessionEnded)?;
            service.handshake = Some(sender);
            Arc::clone(&service.state)
        };
        self.hand_over(message).await?;
        let answer = tokio::select! {
            answer = answer => answer.map_err(|_| SessionEnded)?,
            () = state.ended.cancelled() => return Err(SessionEnded),
        };
        if let ServerJsonRpcMessage::Response(response) = &answer
            && let ServerResult::InitializeResult(_) = &response.result
        {
            let _ = state.ready.set(());
        }
        Ok(answer)
    }

    /// Waits for the service's handshake, which another request may be making.
    ///
    /// # Errors
    /// The service or the session has ended.
    pub(super) async fn ready(&self) -> Result<(), SessionEnded> {
        let state = Arc::clone(&self.service().as_ref().ok_or(SessionEnded)?.state);
        tokio::select! {
            biased;
            () = state.ended.cancelled() => Err(SessionEnded),
            () = state.ready.wait() => Ok(()),
        }
    }

    /// Passes a message of the client to the service.
    ///
    /// # Errors
    /// The service or the session has ended.
    pub(super) async fn hand_over(&self, message: ClientJsonRpcMessage) -> Result<(), SessionEnded> {
        let (inbox, state) = {
            let service = self.service();
            let service = service.as_ref().ok_or(SessionEnded)?;
            (service.inbox.clone(), Arc::clone(&service.state))
        };
        tokio::select! {
            biased;
            () = state.ended.cancelled() => Err(SessionEnded),
            sent = inbox.send(message) => sent.map_err(|_| SessionEnded),
        }
    }

    /// The version that the handshake negotiated.
    pub(super) fn version(&self) -> &ProtocolVersion {
        &self.version
    }

    /// The client's wishes.
    pub(super) fn preferences(&self) -> Arc<Preferences> {
        Arc::clone(&self.preferences)
    }

    /// True while it has a service, a response that is open, or a rest that a client may come back for.
    pub(super) fn is_in_use(&self) -> bool {
        self.service().is_some() || !self.standalone.is_alone() || self.requests().has_any()
    }

    /// Ends a service that nobody uses. True if it was this one.
    fn put_service_away(&self, state: &Arc<ServiceState>) -> bool {
        let mut service = self.service();
        let is_idle = service.as_ref().is_some_and(|service| Arc::ptr_eq(&service.state, state) && service.uses == 0);
        let is_idle = is_idle && !self.requests().any_in_flight();
        if is_idle {
            *service = None;
        }
        is_idle
    }

    /// Ends the requests of a service that is gone, unless another one is in its place.
    fn service_ended(&self, state: &Arc<ServiceState>) {
        state.ended.cancel();
        let mut service = self.service();
        if service.as_ref().is_some_and(|service| Arc::ptr_eq(&service.state, state)) {
            *service = None;
            self.requests().end_all();
        }
    }

    fn service(&self) -> MutexGuard<'_, Option<Service>> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a request its number, and its stream.
    pub(super) fn begin(&self, request: &mut JsonRpcRequest<ClientRequest>) -> (u64, EventStream) {
        let mut requests = self.requests();
        requests.forget_old();
        let number = requests.next_number();
        let stream = EventStream::new(stream_name(self.instance, number));
        let token = request.request.get_meta().get_progress_token();
        if token.is_some() {
            request.request.get_meta_mut().set_progress_token(ProgressToken(id_of(number)));
        }
        let id = std::mem::replace(&mut request.id, id_of(number));
        requests.add(number, id, token, stream.clone());
        if self.closed.is_cancelled() {
            stream.end();
        }
        (number, stream)
    }

    /// Requests in progress with this id, by number.
    pub(super) fn in_flight(&self, id: &RequestId) -> Vec<u64> {
        self.requests().of_id(id)
    }

    /// Ends a request without an answer.
    ///
    /// # Errors
    /// The session has ended.
    pub(super) async fn cancel(&self, number: u64, reason: Option<String>) -> Result<(), SessionEnded> {
        let ended = self.requests().end(number);
        if let Some((_, stream)) = ended {
            stream.end();
        }
        let params = CancelledNotificationParam::new(Some(id_of(number)), reason);
        let cancelled = ClientNotification::CancelledNotification(CancelledNotification::new(params));
        self.hand_over(ClientJsonRpcMessage::notification(cancelled)).await
    }

    /// The stream of messages that belong to no request.
    pub(super) fn standalone(&self) -> &EventStream {
        &self.standalone
    }

    /// A further response for the stream of an event, from that event on. Events from before a restart are lost, but the
    /// stream that belongs to no request goes on.
    pub(super) fn resume(&self, event_id: &str) -> Resumed {
        match position(event_id) {
            Some((instance, STANDALONE, index)) if instance == self.instance => {
                Resumed::Here(self.standalone.resume(index))
            }
            Some((instance, number, index)) if instance == self.instance => {
                let stream = self.requests().stream(number);
                stream.map_or(Resumed::Unknown, |stream| Resumed::Here(stream.resume(index)))
            }
            None | Some((_, STANDALONE, _)) => Resumed::Here(self.standalone.read(Opening::Plain)),
            Some(_) => Resumed::Elsewhere,
        }
    }

    /// The questions under way, by their ids for the client.
    pub(super) fn questions(&self) -> Vec<u64> {
        self.requests().questions()
    }

    /// Whose question a client answers, where several servers ask: the answer of one that was asked here gets the
    /// service's own id.
    pub(super) fn asked_by(&self, answer: &mut ClientJsonRpcMessage) -> AskedBy {
        let id = match answer {
            ClientJsonRpcMessage::Response(response) => Some(&mut response.id),
            ClientJsonRpcMessage::Error(error) => error.id.as_mut(),
            ClientJsonRpcMessage::Request(_) | ClientJsonRpcMessage::Notification(_) => return AskedBy::Us,
        };
        let Some((id, question)) = id.and_then(|id| Some((question::number(id)?, id))) else { return AskedBy::Nobody };
        match question::parts(id) {
            Some((instance, number)) if instance == self.instance => {
                *question = id_of(number);
                self.requests().answered(id);
                AskedBy::Us
            }
            Some(_) => AskedBy::Another(id),
            None => AskedBy::Nobody,
        }
    }

    /// Ends the session and all of its streams.
    pub(super) fn close(&self) {
        self.closed.cancel();
        if let Some(service) = self.service().take() {
            service.state.ended.cancel();
        }
        self.standalone.end();
        self.requests().end_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream of a request in flight.
    fn stream_of(&self, number: u64) -> Option<EventStream> {
        Some(self.requests().in_flight(number)?.stream.clone())
    }

    /// Puts a message of the service on the stream that it belongs to, with the client's own ids.
    async fn deliver(&self, message: ServerJsonRpcMessage) {
        match message {
            answer @ (ServerJsonRpcMessage::Response(_) | ServerJsonRpcMessage::Error(_)) => self.answer(answer).await,
            ServerJsonRpcMessage::Request(mut request) => {
                let asked_by =
                    request.request.extensions().get::<OriginatingRequestId>().and_then(|it| number_of(&it.0));
                if let Some(question) = number_of(&request.id).filter(|_| self.is_shared) {
                    let question = question::id(self.instance, question);
                    request.id = id_of(question);
                    self.requests().asks(asked_by, question);
                }
                let stream = asked_by.and_then(|number| self.stream_of(number));
                stream.as_ref().unwrap_or(&self.standalone).send(ServerJsonRpcMessage::Request(request)).await;
            }
            ServerJsonRpcMessage::Notification(mut notification) => {
                let mut stream = self.standalone.clone();
                if let ServerNotification::ProgressNotification(progress) = &mut notification.notification {
                    let of = number_of(&progress.params.progress_token.0);
                    let of = of.and_then(|number| {
                        let requests = self.requests();
                        let request = requests.in_flight(number)?;
                        Some((request.token.clone()?, request.stream.clone()))
                    });
                    // Nobody waits for the progress of a request that has ended.
                    let Some((token, of)) = of else { return };
                    progress.params.progress_token = token;
                    stream = of;
                }
                // The stream of GETs may be another server's.
                if let ServerNotification::LoggingMessageNotification(message) = &notification.notification
                    && self.is_shared
                    && let Some(of) = message.extensions.get::<OriginatingRequestId>()
                    && let Some(of) = number_of(&of.0).and_then(|number| self.stream_of(number))
                {
                    stream = of;
                }
                stream.send(ServerJsonRpcMessage::Notification(notification)).await;
            }
        }
    }

    async fn answer(&self, mut answer: ServerJsonRpcMessage) {
        let handshake = self.service().as_mut().and_then(|service| service.handshake.take());
        if let Some(handshake) = handshake {
            // The request that began the session may be gone.
            let _ = handshake.send(answer);
            return;
        }
        let id = match &mut answer {
            ServerJsonRpcMessage::Response(response) => Some(&mut response.id),
            ServerJsonRpcMessage::Error(error) => error.id.as_mut(),
            ServerJsonRpcMessage::Request(_) | ServerJsonRpcMessage::Notification(_) => None,
        };
        let Some(id) = id else { return self.standalone.send(answer).await };
        // A request that was cancelled has no answer.
        let ended = number_of(id).and_then(|number| self.requests().end(number));
        if let Some((own, stream)) = ended {
            *id = own;
            stream.finish(answer);
            self.requests().forget_old();
        }
    }
}

/// Reads the id of an event: see [`stream_name`], and the event's index.
fn position(event_id: &str) -> Option<(u32, u64, u64)> {
    let mut parts = event_id.splitn(3, '-');
    let instance = u32::from_str_radix(parts.next()?, 16).ok()?;
    Some((instance, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn stream_name(instance: u32, number: u64) -> String {
    format!("{instance:08x}-{number}")
}

/// The id by which the service knows a request.
pub(super) fn id_of(number: u64) -> RequestId {
    RequestId::Number(number.cast_signed())
}

fn number_of(id: &RequestId) -> Option<u64> {
    match id {
        RequestId::Number(number) => u64::try_from(*number).ok(),
        RequestId::String(_) => None,
    }
}

/// The service's end of a session.
pub(in crate::mcp) struct Line {
    live: Arc<Live>,
    state: Arc<ServiceState>,
    inbox: mpsc::Receiver<ClientJsonRpcMessage>,
}

impl Transport<RoleServer> for Line {
    type Error = Infallible;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let live = Arc::clone(&self.live);
        async move {
            live.deliver(message).await;
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            tokio::select! {
                biased;
                () = self.state.ended.cancelled() => return None,
                message = self.inbox.recv() => return message,
                () = tokio::time::sleep(SERVICE_IDLE) => {
                    if self.live.put_service_away(&self.state) {
                        return None;
                    }
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.live.service_ended(&self.state);
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.live.service_ended(&self.state);
    }
}
