//! The protocol over standard input and output (basic/transports, stdio): one message a line, from a client that has
//! started this process, and for nobody but the user of both.
//!
//! The requests are those of HTTP and are answered by the same [`Handler`](super::handler::Handler), through one service
//! of rmcp that runs as long as the client. It is begun without a handshake, so that each request is served by the rules
//! of the version that it names: a client may probe, begin with `initialize`, or do neither.
//!
//! [`lines`]: the client's bytes as lines, within bounds. [`outline`]: the id of a message that is too large to be read.
//! Reading never waits for a request: one that has to wait, for the first scan or for memory, does so in a task of its
//! own, since the next line may be the answer to a question or a cancellation.

mod lines;
mod outline;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, GetExtensions, RequestId, ServerJsonRpcMessage, ServerResult,
};
use rmcp::service::serve_directly_with_ct;
use rmcp::transport::Transport;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{SetOnce, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::lines::{Lines, Read};
use super::answer::{self, Code};
use super::endpoint::{self, Endpoint};
use super::event_stream::{EventStream, Opening};
use super::headers;
use super::in_flight::InFlight;
use super::message::{Era, Message, handshake};
use super::session;
use crate::principal::Principal;

/// The name of the one client, where requests and streams of HTTP go by their session.
const CLIENT: &str = "stdio";

/// The most messages of the client that wait for the service.
const INBOX: usize = 32;

/// The most messages that wait for a client that does not read. Then calls with progress wait, as over HTTP.
const OUTBOX: usize = 32;

/// The most requests that wait to be handed on; with more of them, reading waits as well.
const WAITING: usize = 64;

/// What is served.
pub struct Stdio {
    /// The requests.
    pub endpoint: Arc<Endpoint>,
    /// Whoever has started the client.
    pub principal: Arc<Principal>,
    /// Time for calls under way once the client sends no more.
    pub grace: Duration,
}

/// The client's messages on their way in.
struct Reception {
    endpoint: Arc<Endpoint>,
    principal: Arc<Principal>,
    inbox: mpsc::Sender<ClientJsonRpcMessage>,
    outbox: mpsc::Sender<Bytes>,
    /// Requests that have not been handed on yet, and can be cancelled.
    waiting: InFlight,
    tasks: TaskTracker,
}

impl Stdio {
    /// Serves until the input ends, the output breaks or `stop` is cancelled, and then for as long as calls under way
    /// take within the grace period.
    pub async fn serve<I, O>(self, input: I, output: O, stop: CancellationToken)
    where
        I: AsyncRead + Send + Unpin + 'static,
        O: AsyncWrite + Send + Unpin + 'static,
    {
        let Self { endpoint, principal, grace } = self;
        let (inbox, messages) = mpsc::channel(INBOX);
        let (outbox, written) = mpsc::channel(OUTBOX);
        let (ended, is_begun) = (stop.child_token(), Arc::new(SetOnce::new()));
        let writing = tokio::spawn(write(output, written, ended.clone()));

        let mut handler = endpoint.handler().clone();
        handler.preferences = Arc::default();
        let preferences = Arc::clone(&handler.preferences);
        let listeners = Arc::clone(&handler.listeners);
        let line = Line { inbox: messages, outbox: outbox.clone(), is_begun: Arc::clone(&is_begun) };
        let service = serve_directly_with_ct(handler, line, None, ended.clone());
        let telling = {
            let (outbox, principal) = (outbox.clone(), Arc::clone(&principal));
            let stream = EventStream::new(CLIENT.to_owned());
            listeners.prepare(&preferences);
            // Before the handshake's answer a client expects nothing else.
            let (listeners, plugins) = (Arc::clone(&listeners), endpoint.handler().plugins.clone());
            async move {
                is_begun.wait().await;
                // Lists are not given before the first scan is over: it changes nothing that a client has seen.
                plugins.scanned().await;
                listeners.add(&CLIENT.into(), stream.clone(), preferences, principal);
                let mut messages = stream.read(Opening::Plain);
                while let Some(event) = messages.next().await {
                    let Some(line) = event.message.as_deref().and_then(line_of) else { continue };
                    if outbox.send(line).await.is_err() {
                        return;
                    }
                }
            }
        };
        let telling = tokio::spawn(ended.clone().run_until_cancelled_owned(telling));

        let most = endpoint.max_message_bytes();
        let reception =
            Reception { endpoint, principal, inbox, outbox, waiting: InFlight::default(), tasks: TaskTracker::new() };
        ended.run_until_cancelled(reception.read(Lines::new(input, most))).await;
        tracing::info!("the client sends no more");
        let Reception { inbox, outbox, tasks, .. } = reception;
        tasks.close();
        let finishing = async {
            tasks.wait().await;
            // With the last sender the service's input ends: it answers what is under way, and is done.
            drop(inbox);
            let _ = service.waiting().await;
        };
        let _ = tokio::time::timeout(grace, ended.run_until_cancelled(finishing)).await;
        listeners.remove(CLIENT);
        telling.abort();
        let _ = telling.await;
        drop(outbox);
        // What was answered is written, unless nobody reads it.
        let _ = tokio::time::timeout(grace, writing).await;
        ended.cancel();
    }
}

/// Writes lines until there are no more senders, and cancels `broken` if they cannot be written.
async fn write(mut output: impl AsyncWrite + Unpin, mut lines: mpsc::Receiver<Bytes>, broken: CancellationToken) {
    while let Some(line) = lines.recv().await {
        let written = async {
            output.write_all(&line).await?;
            output.write_all(b"\n").await?;
            output.flush().await
        };
        if let Err(error) = written.await {
            tracing::info!("the client reads no more: {error}");
            broken.cancel();
            return;
        }
    }
}

/// A message as a line, without the end of it.
fn line_of(message: &ServerJsonRpcMessage) -> Option<Bytes> {
    serde_json::to_vec(message).map(Bytes::from).ok()
}

impl Reception {
    /// Takes lines until there are no more.
    async fn read(&self, mut lines: Lines<impl AsyncRead + Unpin>) {
        loop {
            match lines.next().await {
                Ok(Read::Line(line)) => self.take(line).await,
                Ok(Read::TooLong(id)) => {
                    let most = self.endpoint.max_message_bytes();
                    let text = format!("the message is larger than {most} bytes (`server.body`)");
                    let id = id.map(RequestId::into_json_value);
                    let refused =
                        answer::rpc_error(StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidRequest, &text, id.as_ref());
                    self.refuse(refused).await;
                }
                Ok(Read::End) => return,
                Err(error) => {
                    tracing::warn!("the client's messages cannot be read: {error}");
                    return;
                }
            }
        }
    }

    /// Hands a message on, or begins to.
    async fn take(&self, line: Bytes) {
        let mut admission = Box::pin(admit(Arc::clone(&self.endpoint), Arc::clone(&self.principal), line.clone()));
        match (&mut admission).now_or_never() {
            Some(Ok(message)) => self.hand_on(message).await,
            Some(Err(refused)) => self.refuse(*refused).await,
            None => {
                while self.tasks.len() >= WAITING {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                // Only requests wait, and they have ids.
                let id = Message::read(&HeaderMap::new(), &line).and_then(|message| message.id);
                let waiting = self.waiting.begin(CLIENT, &id.unwrap_or(RequestId::Number(0)));
                let (inbox, outbox) = (self.inbox.clone(), self.outbox.clone());
                self.tasks.spawn(async move {
                    match waiting.signal().clone().run_until_cancelled_owned(admission).await {
                        Some(Ok(message)) => drop(inbox.send(message).await),
                        Some(Err(refused)) => send_body(*refused, &outbox).await,
                        None => {}
                    }
                });
            }
        }
    }

    async fn hand_on(&self, message: ClientJsonRpcMessage) {
        if let ClientJsonRpcMessage::Notification(notification) = &message
            && let ClientNotification::CancelledNotification(cancelled) = &notification.notification
            && let Some(id) = &cancelled.params.request_id
        {
            self.waiting.signal(CLIENT, id);
        }
        let _ = self.inbox.send(message).await;
    }

    async fn refuse(&self, refused: Response) {
        tracing::debug!(status = refused.status().as_u16(), "a message of the client is refused");
        send_body(refused, &self.outbox).await;
    }
}

/// Sends the answer that HTTP would have.
async fn send_body(answer: Response, outbox: &mpsc::Sender<Bytes>) {
    let Ok(body) = answer.into_body().collect().await else { return };
    let _ = outbox.send(body.to_bytes()).await;
}

/// Reads a message for rmcp, once there is room for it and, if it is about plugins, they are known.
///
/// # Errors
/// The answer to a message that is not handed on.
async fn admit(
    endpoint: Arc<Endpoint>,
    principal: Arc<Principal>,
    line: Bytes,
) -> Result<ClientJsonRpcMessage, Box<Response>> {
    let headers = HeaderMap::new();
    let Some(message) = Message::read(&headers, &line) else {
        return Err(Box::new(endpoint.refuse(&principal, false, &line)));
    };
    let memory = endpoint.memory(&principal);
    let handshake = match &message.era {
        Era::Endless => return Err(Box::new(endpoint::endless(&message))),
        Era::Handshake(initialize) => {
            let mut initialize = (**initialize).clone();
            initialize.protocol_version = session::negotiated(&initialize.protocol_version);
            message.id.as_ref().map(|id| handshake::message(id, &initialize))
        }
        _ => None,
    };
    let version = message.params.meta.get().and_then(|meta| meta.protocol_version.get());
    let is_modern = version.is_some_and(|version| **version >= *headers::MODERN);
    if message.id.is_some() && !message.method.is_empty() {
        endpoint.require_plugins(&message).await?;
        let admitted = memory.wait_for(endpoint.weight(&principal, &message, &line)).await;
        admitted.map_err(|refusal| {
            Box::new(answer::overdrawn(refusal, message.id.clone().map(RequestId::into_json_value).as_ref()))
        })?;
    }
    let read = serde_json::from_slice(handshake.as_deref().unwrap_or(&line));
    let mut read: ClientJsonRpcMessage = read.map_err(|_| Box::new(endpoint.refuse(&principal, is_modern, &line)))?;
    if let ClientJsonRpcMessage::Request(request) = &mut read {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.extensions.insert(principal);
        parts.extensions.insert(memory);
        let extensions = request.request.extensions_mut();
        extensions.insert(parts);
    }
    Ok(read)
}

/// The service's end.
struct Line {
    inbox: mpsc::Receiver<ClientJsonRpcMessage>,
    outbox: mpsc::Sender<Bytes>,
    /// Set after the answer to a handshake.
    is_begun: Arc<SetOnce<()>>,
}

impl Transport<RoleServer> for Line {
    type Error = io::Error;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let (outbox, is_begun) = (self.outbox.clone(), Arc::clone(&self.is_begun));
        async move {
            let line = serde_json::to_vec(&message)?;
            outbox.send(line.into()).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            if let ServerJsonRpcMessage::Response(response) = &message
                && let ServerResult::InitializeResult(_) = &response.result
            {
                let _ = is_begun.set(());
            }
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        self.inbox.recv().await
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inbox.close();
        Ok(())
    }
}
