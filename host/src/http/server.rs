//! The accept loop: connections that get a place, and an orderly end.
//!
//! `axum::serve` has neither caps nor deadlines: a connection that sends nothing is kept forever.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::limits::Limits;
use super::places::{Party, Places};
use super::{Routes, address};
use crate::config::address::Network;
use crate::descriptors;
use crate::log_limiter::LogLimiter;
use crate::metrics::names;
use crate::peer::{Peer, network};

/// The most connections that wait for a place; further ones wait in the system's queue.
const WAITING: usize = 128;

/// Pause after the system could not accept a connection: it is out of descriptors, and a retry at once would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

static NOT_ACCEPTED: LogLimiter = LogLimiter::new("connections that could not be accepted");

/// Listens on all of these addresses.
///
/// # Errors
/// The first address that cannot be bound, with the system's error.
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

/// Serves connections until `draining`, and lets each finish its requests. The returned future ends with the last
/// connection; `closed` ends them all.
pub async fn serve(
    listeners: Vec<TcpListener>,
    routes: Routes,
    limits: Limits,
    draining: CancellationToken,
    closed: CancellationToken,
) {
    let connections = TaskTracker::new();
    let places = Places::new(limits.connections);
    let counted = Arc::clone(&places);
    routes.metrics().observe(names::CONNECTIONS, move |reading| reading.value(counted.taken() as u64));
    let connection = Connection {
        routes,
        limits: Arc::new(limits),
        strangers: Arc::default(),
        drains: Arc::default(),
        draining,
        closed,
    };
    let waiting = Arc::new(Semaphore::new(WAITING));
    let mut loops = JoinSet::new();
    for listener in listeners {
        let admission = Admission { places: Arc::clone(&places), waiting: Arc::clone(&waiting) };
        loops.spawn(accept(listener, connection.clone(), admission, connections.clone()));
    }
    loops.join_all().await;
    connections.close();
    connections.wait().await;
}

/// The places, and the queue before them.
struct Admission {
    places: Arc<Places>,
    waiting: Arc<Semaphore>,
}

async fn accept(listener: TcpListener, connection: Connection, admission: Admission, connections: TaskTracker) {
    loop {
        let next = async {
            let waiting = Arc::clone(&admission.waiting).acquire_owned().await.ok()?;
            Some((waiting, listener.accept().await))
        };
        let Some(next) = connection.draining.run_until_cancelled(next).await else { return };
        match next {
            Some((waiting, Ok((stream, address)))) => {
                let connection = connection.clone();
                let places = Arc::clone(&admission.places);
                connections.spawn(async move {
                    let party = party(address, &connection.limits.trusted_proxies);
                    let draining = connection.draining.clone();
                    let place = tokio::select! {
                        // Whoever finds one free has come before the end.
                        biased;
                        place = places.enter(party) => place,
                        () = draining.cancelled() => return,
                    };
                    drop(waiting);
                    connection.serve(stream, Peer { address }, place).await;
                });
            }
            Some((_, Err(error))) => {
                // The client's own doing, and already over.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    NOT_ACCEPTED.log(|| {
                        let cure = descriptors::cure(&error);
                        tracing::warn!(%error, "a connection could not be accepted{cure}");
                    });
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
            None => return,
        }
    }
}

/// The party of a connection before it has sent anything.
fn party(address: SocketAddr, trusted_proxies: &[Network]) -> Party {
    match address::is_in(address.ip(), trusted_proxies) {
        true => Party::Proxy,
        false => Party::Network(network(address.ip())),
    }
}
