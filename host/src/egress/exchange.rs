//! One request and its answer, over a connection that was kept or a new one.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::dial::{self, Stream};
use super::failure::Failure;
use super::pool::{Key, Link, Sender};
use super::{Egress, Shared};
use crate::grants::address::Way;
use crate::grants::credentials::Fingerprint;
use crate::grants::in_force::CallGrants;
use crate::grants::scheme::Scheme;
use crate::grants::target::Target;
use crate::grants::{Grants, HttpGrant};

/// The largest head of an answer. Servers and proxies send 8 KiB, rarely 16.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes that the other side of an HTTP/2 connection may send before somebody reads: of one answer, and of all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Time for a connection that was kept to take the next request: the last bit of the answer before is on its way.
const READY_TIMEOUT: Duration = Duration::from_millis(50);

/// The body of a request. Its error ends the request, and is for whoever made the body.
pub type SentBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// A granted request, beside its head and body.
#[derive(Debug, Clone)]
pub struct Order {
    /// The plugin.
    pub owner: Arc<str>,
    /// Where it goes.
    pub target: Target,
    /// The entry that decided.
    pub entry: Arc<HttpGrant>,
    /// Of the credentials that were put in.
    pub credentials: Fingerprint,
    /// The grants by which a connection may be kept.
    pub grants: CallGrants,
    /// Time for look-up, connection and TLS.
    pub connect_timeout: Duration,
    /// Time from the request to the head of its answer.
    pub answer_timeout: Option<Duration>,
}

impl Order {
    fn key(&self) -> Key {
        Key {
            owner: Arc::clone(&self.owner),
            credentials: self.credentials,
            scheme: self.target.scheme(),
            host: self.target.host().clone(),
            port: self.target.port(),
            is_private: self.entry.rule.is_private,
        }
    }

    /// True while a connection that was made for this may be used.
    fn is_granted(&self, grants: &Grants) -> bool {
        grants.http.iter().any(|entry| {
            entry.rule.to.has_origin_of(&self.target)
                && entry.rule.is_private == self.entry.rule.is_private
                && entry.credentials == self.entry.credentials
        })
    }
}

impl Egress {
    /// Sends a granted request: `parts` has its method and headers, `path` its path and query as they are sent. The
    /// answer's head is waited for; redirects are answers.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn send(
        &self,
        order: &Order,
        parts: Parts,
        path: &str,
        body: SentBody,
    ) -> Result<Response<Received>, Failure> {
        let key = order.key();
        let mut request = Request::from_parts(parts, body);
        if let Some(link) = self.kept(&key).await {
            match self.send_over(link, &key, order, request, path).await {
                Ok(answer) => return answer,
                // The other side has closed it meanwhile, and has not seen the request.
                Err(unsent) => request = unsent,
            }
        }
        let link = match tokio::time::timeout(order.connect_timeout, self.connect(order, &key)).await {
            Ok(link) => link?,
            Err(_elapsed) => return Err(Failure::ConnectTimeout),
        };
        self.send_over(link, &key, order, request, path).await.unwrap_or(Err(Failure::Ended))
    }

    /// A connection that was kept, and takes a request.
    async fn kept(&self, key: &Key) -> Option<Link> {
        loop {
            let mut link = self.0.pool.take(key)?;
            let ready = async {
                match &mut link.sender {
                    Sender::One(sender) => sender.ready().await,
                    Sender::Many(sender) => sender.ready().await,
                }
            };
            if let Ok(Ok(())) = tokio::time::timeout(READY_TIMEOUT, ready).await {
                return Some(link);
            }
        }
    }

    /// Sends a request over a connection, or gives it back if the connection has not taken it.
    async fn send_over(
        &self,
        mut link: Link,
        key: &Key,
        order: &Order,
        mut request: Request<SentBody>,
        path: &str,
    ) -> Result<Result<Response<Received>, Failure>, Request<SentBody>> {
        let is_h2 = matches!(link.sender, Sender::Many(_));
        if let Err(failure) = address(&mut request, &order.target, path, is_h2) {
            return Ok(Err(failure));
        }
        let sent = async {
            match &mut link.sender {
                Sender::One(sender) => sender.try_send_request(request).await,
                Sender::Many(sender) => sender.try_send_request(request).await,
            }
        };
        let sent = match order.answer_timeout {
            None => sent.await,
            Some(timeout) => match tokio::time::timeout(timeout, sent).await {
                Ok(sent) => sent,
                Err(_elapsed) => return Ok(Err(Failure::AnswerTimeout)),
            },
        };
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => return unsent(error),
        };
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Err(Failure::Protocol("nobody asked for another protocol".to_owned())));
        }
        // A connection for many requests is kept already.
        let lease = (!is_h2).then(|| Lease { link, key: key.clone(), shared: Arc::clone(&self.0) });
        Ok(Ok(answer.map(|incoming| Received::new(incoming, lease))))
    }

    async fn connect(&self, order: &Order, key: &Key) -> Result<Link, Failure> {
        let permit = self.place().await?;
        let target = &order.target;
        let (stream, is_h2) = match (self.reach(order).await?, target.scheme()) {
            (stream, Scheme::Http) => (stream, false),
            (stream, Scheme::Https) => self.0.trust.secure(stream, target.host(), true).await?,
        };
        let io = TokioIo::new(stream);
        let withdrawn = CancellationToken::new();
        let began = |error: hyper::Error| Failure::of(&error, false);
        let driver = Driver { shared: Arc::clone(&self.0), order: order.clone(), key: key.clone(), permit };
        let sender = if is_h2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
            builder.max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
            let (sender, connection) = builder.handshake(io).await.map_err(began)?;
            self.spawn(driver.drive(async { drop(connection.await) }, withdrawn.clone()));
            let link = Link { sender: Sender::Many(sender.clone()), withdrawn: withdrawn.clone() };
            self.0.pool.put(key.clone(), link, &self.handle());
            Sender::Many(sender)
        } else {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(HEAD_BYTES_MAX);
            let (sender, connection) = builder.handshake(io).await.map_err(began)?;
            self.spawn(driver.drive(async { drop(connection.await) }, withdrawn.clone()));
            Sender::One(sender)
        };
        Ok(Link { sender, withdrawn })
    }

    /// A place among the connections of this server. One that is kept for nobody gives way.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let open = Arc::clone(&self.0.open);
        if let Ok(permit) = Arc::clone(&open).try_acquire_owned() {
            return Ok(permit);
        }
        self.0.pool.drop_oldest();
        open.acquire_owned().await.map_err(|_| Failure::TooManyConnections)
    }

    /// A connection to the target's host, or a tunnel to it. All that may be dialled is looked up here.
    async fn reach(&self, order: &Order) -> Result<Stream, Failure> {
        let (host, port, reach) = (order.target.host(), order.target.port(), order.entry.rule.reach());
        let proxy = self.0.proxy.as_ref().filter(|proxy| !proxy.direct.contains(host));
        let resolves = proxy.is_some_and(|proxy| proxy.resolves);
        let way = Way::of(order.entry.rule.is_near(), host, proxy.is_some(), resolves);
        let Some(proxy) = proxy.filter(|_| way != Way::Direct) else {
            let places = self.look_up(host, port, reach).await?;
            return Ok(Box::new(dial::connect(&places).await?));
        };
        if way == Way::ProxyToName {
            self.expect_foreign(host, port)?;
            return self.tunnel(proxy, &dial::authority(host, port)).await;
        }
        let mut failure = Failure::Proxy("there is no address to ask for".to_owned());
        for place in self.look_up(host, port, reach).await?.into_iter().take(PROXY_ATTEMPTS) {
            match self.tunnel(proxy, &dial::of_address(place.ip(), port)).await {
                Ok(stream) => return Ok(stream),
                Err(reason) => failure = reason,
            }
        }
        Err(failure)
    }
}

/// Addresses of one name that a proxy is asked for: it may have one family alone.
const PROXY_ATTEMPTS: usize = 4;

/// Looks after a connection until it ends.
struct Driver {
    shared: Arc<Shared>,
    order: Order,
    key: Key,
    permit: OwnedSemaphorePermit,
}

impl Driver {
    async fn drive(self, connection: impl Future<Output = ()>, withdrawn: CancellationToken) {
        let Self { shared, order, key, permit } = self;
        // A kept connection must not keep what keeps it.
        let (shared, grants) = (Arc::downgrade(&shared), order.grants.clone());
        tokio::pin!(connection);
        tokio::select! {
            () = &mut connection => return drop(permit),
            () = grants.withdrawn(|grants| order.is_granted(grants)) => {}
        }
        withdrawn.cancel();
        if let Some(shared) = shared.upgrade() {
            shared.pool.forget(&key);
        }
        // Requests under way are ended by those who made them; then it has nobody left.
        connection.await;
        drop(permit);
    }
}

/// Writes the target into a request as its connection has it: the path alone and a `Host`, or the whole URL.
fn address(request: &mut Request<SentBody>, target: &Target, path: &str, is_h2: bool) -> Result<(), Failure> {
    let authority = target.authority();
    let invalid = || Failure::Protocol("the request cannot be written".to_owned());
    let uri: Uri = match is_h2 {
        true => format!("{}://{authority}{path}", target.scheme().as_str()).parse(),
        false => path.parse(),
    }
    .map_err(|_| invalid())?;
    *request.uri_mut() = uri;
    match is_h2 {
        true => drop(request.headers_mut().remove(HOST)),
        false => drop(request.headers_mut().insert(HOST, HeaderValue::from_str(&authority).map_err(|_| invalid())?)),
    }
    *request.version_mut() = if is_h2 { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
    Ok(())
}

type Unsent = Result<Result<Response<Received>, Failure>, Request<SentBody>>;

fn unsent(mut error: TrySendError<Request<SentBody>>) -> Unsent {
    match error.take_message() {
        Some(request) => Err(request),
        None => Ok(Err(Failure::of(error.error(), false))),
    }
}

/// A connection in use, and the place where it is kept afterwards.
struct Lease {
    link: Link,
    key: Key,
    shared: Arc<Shared>,
}

/// The body of an answer. Its connection is kept once all of it was read, and closed if it is dropped before.
pub struct Received {
    incoming: Incoming,
    lease: Option<Lease>,
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Received(..)")
    }
}

impl Received {
    fn new(incoming: Incoming, lease: Option<Lease>) -> Self {
        let mut received = Self { incoming, lease };
        received.keep_if_done();
        received
    }

    fn keep_if_done(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(Lease { link, key, shared }) = self.lease.take()
        {
            let egress = Egress(shared);
            egress.0.pool.put(key, link, &egress.handle());
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let frame = std::task::ready!(Pin::new(&mut self.incoming).poll_frame(context));
        match &frame {
            Some(Err(_)) => self.lease = None,
            Some(Ok(_)) | None => self.keep_if_done(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| Failure::of(&error, true))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
