//! One request and its answer, over a connection that was kept or a new one.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dial::Stream;
use super::failure::Failure;
use super::hold::Hold;
use super::places::{Place, Places};
use super::pool::{Key, Link, Pool, Sender, SentBody};
use super::upkeep::{Allowance, Interim, Weighed};
use crate::grants::credentials::Fingerprint;
use crate::grants::in_force::CallGrants;
use crate::grants::target::Target;
use crate::grants::{Grants, HttpGrant};

/// The largest head of an answer. Servers and proxies send 8 KiB, rarely 16.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes that the other side of an HTTP/2 connection may send before somebody reads: of one answer, and of all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Time for a connection that was kept to take the next request: the last bit of the answer before is on its way.
const READY_TIMEOUT: Duration = Duration::from_millis(50);

/// Interval between looks for a connection that can give way to one that waits for a place.
const ROOM_INTERVAL: Duration = Duration::from_millis(250);

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
    /// Ends it before its time.
    pub hold: Hold,
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

/// The connections of this server.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pub(super) pool: Arc<Pool>,
    /// A place for each connection that is open.
    pub(super) places: Arc<Places>,
    /// The threads of the server: guests compute on others, which have no time for connections.
    pub(super) handle: Option<Handle>,
}

impl Connections {
    /// Sends a request over a connection that was kept, or over one that `dial` makes: bytes, and whether they are
    /// HTTP/2.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) async fn send(
        &self,
        order: &Order,
        parts: Parts,
        path: &str,
        body: SentBody,
        dial: impl Future<Output = Result<(Stream, bool), Failure>>,
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
        let deadline = Instant::now() + order.connect_timeout;
        let place = match tokio::time::timeout_at(deadline, self.place(&order.owner)).await {
            Ok(place) => place,
            Err(_elapsed) => return Err(Failure::TooManyConnections),
        };
        let link = match tokio::time::timeout_at(deadline, self.connect(order, &key, place, dial)).await {
            Ok(link) => link?,
            Err(_elapsed) => return Err(Failure::ConnectTimeout),
        };
        self.send_over(link, &key, order, request, path).await.unwrap_or(Err(Failure::Ended))
    }

    /// A connection that was kept, and takes a request.
    async fn kept(&self, key: &Key) -> Option<Link> {
        loop {
            let mut link = self.pool.take(key)?;
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
        order.hold.over(&link.ended, is_h2);
        link.allowance.refill();
        let interim = Interim::default();
        let sent = async {
            match &mut link.sender {
                Sender::One(sender) => {
                    interim.count(&mut request, &link.ended);
                    sender.try_send_request(request).await
                }
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
            Err(_) if interim.are_too_many() => {
                return Ok(Err(Failure::Protocol("interim answers, and no end of them".to_owned())));
            }
            Err(mut error) => {
                return match error.take_message() {
                    Some(request) => Err(request),
                    None => Ok(Err(Failure::of(error.error(), false))),
                };
            }
        };
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Err(Failure::Protocol("nobody asked for another protocol".to_owned())));
        }
        // A connection for many requests is kept already.
        let lease =
            (!is_h2).then(|| Lease { link, key: key.clone(), hold: order.hold.clone(), connections: self.clone() });
        Ok(Ok(answer.map(|incoming| Received::new(incoming, lease))))
    }

    async fn connect(
        &self,
        order: &Order,
        key: &Key,
        place: Place,
        dial: impl Future<Output = Result<(Stream, bool), Failure>>,
    ) -> Result<Link, Failure> {
        let (stream, is_h2) = dial.await?;
        let ended = CancellationToken::new();
        let began = |error: hyper::Error| Failure::of(&error, false);
        let allowance = Allowance::full();
        let driver = Driver { pool: Arc::downgrade(&self.pool), order: order.clone(), key: key.clone(), place };
        if is_h2 {
            let mut builder = http2::Builder::new(Tasks { handle: self.handle(), ended: ended.clone() });
            builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
            builder.max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
            let io = TokioIo::new(Weighed::frames(stream, allowance.clone()));
            let (sender, connection) = builder.handshake(io).await.map_err(began)?;
            self.handle().spawn(driver.drive(async { drop(connection.await) }, ended.clone()));
            let link = Link { sender: Sender::Many(sender), ended, allowance };
            if let Some(shared) = link.shared() {
                self.pool.put(key.clone(), shared, &self.handle());
            }
            return Ok(link);
        }
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX);
        let io = TokioIo::new(Weighed::bytes(stream, allowance.clone()));
        let (sender, connection) = builder.handshake(io).await.map_err(began)?;
        self.handle().spawn(driver.drive(async { drop(connection.await) }, ended.clone()));
        Ok(Link { sender: Sender::One(sender), ended, allowance })
    }

    /// A place among the connections of this server, for a plugin. One that is kept for nobody gives way.
    async fn place(&self, plugin: &Arc<str>) -> Place {
        if let Some(place) = self.places.take(plugin) {
            return place;
        }
        if !self.make_room(plugin) {
            self.places.tell(plugin);
        }
        loop {
            if let Ok(place) = tokio::time::timeout(ROOM_INTERVAL, self.places.wait(plugin)).await {
                return place;
            }
            // Connections that were in use may be kept for nobody by now.
            self.make_room(plugin);
        }
    }

    /// Lets go of a connection that is kept for nobody: one of the plugin, or else of any. False if there is none.
    pub(super) fn make_room(&self, plugin: &str) -> bool {
        self.pool.drop_oldest_of(plugin) || self.pool.drop_oldest()
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone().unwrap_or_else(Handle::current)
    }
}

/// Looks after a connection until it ends.
struct Driver {
    /// What is kept must not keep what keeps it.
    pool: Weak<Pool>,
    order: Order,
    key: Key,
    place: Place,
}

impl Driver {
    /// Until it ends by itself, its grant is withdrawn, or a request that was alone on it is cut. Then it is dropped as it
    /// is: whoever waits for the other side has no say in it, and a body that is cut off has no end that looks like one.
    async fn drive(self, connection: impl Future<Output = ()>, ended: CancellationToken) {
        let Self { pool, order, key, place } = self;
        let is_withdrawn = tokio::select! {
            () = connection => return drop(place),
            () = order.grants.withdrawn(|grants| order.is_granted(grants)) => true,
            () = ended.cancelled() => false,
        };
        ended.cancel();
        if is_withdrawn && let Some(pool) = pool.upgrade() {
            pool.forget(&key);
        }
        drop(place);
    }
}

/// The tasks of an HTTP/2 connection, which end with it.
#[derive(Clone)]
struct Tasks {
    handle: Handle,
    ended: CancellationToken,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let ended = self.ended.clone();
        self.handle.spawn(async move { ended.run_until_cancelled_owned(task).await.map(drop) });
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

/// A connection in use, and the place where it is kept afterwards.
struct Lease {
    link: Link,
    key: Key,
    hold: Hold,
    connections: Connections,
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
            && let Some(Lease { link, key, hold, connections }) = self.lease.take()
            && hold.release()
        {
            connections.pool.put(key, link, &connections.handle());
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
            Some(Ok(piece)) => {
                if let (Some(lease), Some(data)) = (&self.lease, piece.data_ref()) {
                    lease.link.allowance.give_for_piece(data.len());
                }
                self.keep_if_done();
            }
            None => self.keep_if_done(),
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
