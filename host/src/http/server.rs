//! The accept loop: connections with a cap, deadlines on what strangers can stretch, and an orderly end.
//!
//! `axum::serve` has none of these: without a timer hyper's header deadline does nothing, and a connection that sends
//! nothing is kept forever.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::Routes;

/// A connection on which no request is under way is closed after so long. Longer than the minute or so that load
/// balancers keep theirs, so that they close first and never send into a connection that is being closed.
const IDLE: Duration = Duration::from_secs(75);

/// Time for the first byte of a connection, if `header_timeout` is not shorter: who connects has something to say.
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// Wait after the system could not accept a connection: it is out of descriptors, and asking at once would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;

/// Size of a request's head. hyper answers 431 beyond it.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Who is on the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The address that the connection comes from.
    pub address: SocketAddr,
}

/// What bounds the accept loop.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections; further ones wait in the system's queue.
    pub connections: usize,
    /// Time for the head of a request.
    pub header_timeout: Duration,
}

/// Listens on all of these addresses.
///
/// # Errors
/// The first address that cannot be had, with what the system says.
pub async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(addresses.len());
    for address in addresses {
        let mut address = *address;
        // With port 0 the system chooses one, and the other addresses follow.
        if let (0, Some(Ok(first))) = (address.port(), listeners.first().map(TcpListener::local_addr)) {
            address.set_port(first.port());
        }
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            // A machine without IPv6 still has the other loopback.
            Err(error) if !listeners.is_empty() && error.kind() == io::ErrorKind::AddrNotAvailable => {}
            Err(error) => return Err((address, error)),
        }
    }
    Ok(listeners)
}

/// Serves connections until `draining`, and lets each finish what it has begun: when the returned future is done,
/// all connections are, unless `closed` ended them.
pub async fn serve(
    listeners: Vec<TcpListener>,
    routes: Routes,
    limits: Limits,
    draining: CancellationToken,
    closed: CancellationToken,
) {
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connection = Connection { routes, limits, draining: draining.clone(), closed };
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(accept(listener, connection.clone(), Arc::clone(&slots), connections.clone()));
    }
    loops.join_all().await;
    connections.close();
    connections.wait().await;
}

async fn accept(listener: TcpListener, connection: Connection, slots: Arc<Semaphore>, connections: TaskTracker) {
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            Some((slot, listener.accept().await))
        };
        let Some(next) = connection.draining.run_until_cancelled(next).await else { return };
        match next {
            Some((slot, Ok((stream, address)))) => {
                connections.spawn(connection.clone().serve(stream, Peer { address }, slot));
            }
            Some((_, Err(error))) => {
                // The client's own doing, and already over.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
            None => return,
        }
    }
}

#[derive(Clone)]
struct Connection {
    routes: Routes,
    limits: Limits,
    draining: CancellationToken,
    closed: CancellationToken,
}

/// Requests under way on one connection.
#[derive(Default)]
struct Activity {
    requests: AtomicUsize,
    has_served: AtomicBool,
    /// Counts requests that ended, so that a busy connection is not taken for an idle one between two looks.
    finished: AtomicUsize,
}

impl Connection {
    async fn serve(self, stream: TcpStream, peer: Peer, slot: OwnedSemaphorePermit) {
        // Without it an answer in two writes waits for the client's delayed acknowledgement, some 40 ms.
        let _ = stream.set_nodelay(true);
        // hyper's own deadline begins with the first byte.
        let mut first = [0];
        let first_byte = tokio::time::timeout(FIRST_BYTE.min(self.limits.header_timeout), stream.peek(&mut first));
        tokio::select! {
            begun = first_byte => {
                if !matches!(begun, Ok(Ok(1..))) {
                    return;
                }
            }
            () = self.draining.cancelled() => return,
        }
        let activity = Arc::new(Activity::default());
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_buf_size(MAX_HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));

        let routes = self.routes;
        let counting = Arc::clone(&activity);
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let router = routes.for_request(request.headers());
            let under_way = UnderWay::new(&counting);
            async move {
                let response = router.oneshot(request).await;
                // A response that streams is under way until its body ends.
                response.map(|response| response.map(|body| Body::new(under_way.keep(body))))
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let is_done = tokio::select! {
            _ = connection.as_mut() => true,
            () = idle(&activity, self.limits.header_timeout) => false,
            () = self.draining.cancelled() => false,
            () = self.closed.cancelled() => true,
        };
        if !is_done {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = connection => {}
                () = self.closed.cancelled() => {}
            }
        }
        drop(slot);
    }
}

/// Returns when a connection has not begun a request in time, or has been idle for too long.
async fn idle(activity: &Activity, first_request_within: Duration) {
    tokio::time::sleep(first_request_within).await;
    if !activity.has_served.load(Ordering::Relaxed) {
        return;
    }
    loop {
        let before = activity.finished.load(Ordering::Relaxed);
        tokio::time::sleep(IDLE).await;
        let is_idle = activity.requests.load(Ordering::Relaxed) == 0;
        if is_idle && activity.finished.load(Ordering::Relaxed) == before {
            return;
        }
    }
}

/// Counts one request for as long as it lives.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.has_served.store(true, Ordering::Relaxed);
        activity.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }

    /// The body, which holds this until it is sent or dropped.
    fn keep(self, body: Body) -> impl http_body::Body<Data = bytes::Bytes, Error = axum::Error> {
        use http_body_util::BodyExt;
        body.map_frame(move |frame| {
            let _under_way = &self;
            frame
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }
}
