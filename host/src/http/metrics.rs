//! `/metrics` on a listener of its own: the text for Prometheus, without a login, and nothing else.
//!
//! A page in a browser that leads its own name here (DNS rebinding) is turned away by the check of Host: an address or
//! `localhost` is no name of a stranger, and other names are the operator's to list.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use http::uri::Authority;
use http::{HeaderValue, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::reply;
use crate::config::address::AllowedHost;
use crate::metrics::exposition::{CONTENT_TYPE as TEXT, Exposition};

/// Connections at once: a scraper or two, and a person who looks.
const CONNECTIONS: usize = 16;

/// Time for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for a connection, whatever it does. Scrapers begin a new one.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// Pause after the system could not accept a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

struct Metrics {
    exposition: Exposition,
    allowed_hosts: Vec<AllowedHost>,
    /// Scrapes go one after the other: each reads all numbers.
    turn: Semaphore,
}

/// Serves it on these listeners until `stop`.
pub fn serve(
    listeners: Vec<TcpListener>,
    exposition: Exposition,
    allowed_hosts: Vec<AllowedHost>,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) {
    let metrics = Arc::new(Metrics { exposition, allowed_hosts, turn: Semaphore::new(1) });
    let routes = Router::new()
        .route("/metrics", get(answer))
        .fallback(|| async { reply::error(StatusCode::NOT_FOUND, "not_found", "the metrics are at `/metrics`") })
        .with_state(metrics);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    for listener in listeners {
        let accepting = accept(listener, routes.clone(), Arc::clone(&places), tracker.clone(), stop.clone());
        tracker.spawn(accepting);
    }
}

async fn accept(
    listener: TcpListener,
    routes: Router,
    places: Arc<Semaphore>,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let Some(Some((place, accepted))) = stop.run_until_cancelled(next).await else { return };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        let (routes, stop) = (routes.clone(), stop.clone());
        tracker.spawn(async move {
            let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                routes.clone().oneshot(request.map(Body::new))
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A scraper that goes away is no failure of ours.
            let served = tokio::time::timeout(CONNECTION_TIMEOUT, connection);
            let _ = stop.run_until_cancelled(served).await;
            drop(place);
        });
    }
}

async fn answer(State(metrics): State<Arc<Metrics>>, request: Request) -> Response {
    let host = request.headers().get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    if !host.is_some_and(|host| is_ours(&host, &metrics.allowed_hosts)) {
        let message = "this host is none of this server: `metrics.allowed_hosts` lists further ones";
        return reply::error(StatusCode::FORBIDDEN, "host_not_allowed", message);
    }
    let Ok(_turn) = metrics.turn.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let exposition = metrics.exposition.clone();
    // It reads files of the system.
    match tokio::task::spawn_blocking(move || exposition.text()).await {
        Ok(text) => {
            let mut response = text.into_response();
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// True for an address, `localhost`, or a name that the operator lists.
fn is_ours(authority: &Authority, allowed: &[AllowedHost]) -> bool {
    let host = authority.host().to_ascii_lowercase();
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let is_listed = allowed.iter().any(|allowed| match allowed {
        AllowedHost::Name(name) => name.as_str().eq_ignore_ascii_case(&host),
        AllowedHost::Network(network) => address.is_some_and(|address| network.contains(address)),
    });
    !authority.as_str().contains('@') && (host == "localhost" || address.is_some() || is_listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nobody_has_listed_is_a_strangers() {
        let listed: Vec<AllowedHost> = vec!["metrics.internal".parse().unwrap()];
        for (host, expected) in [
            ("127.0.0.1:9464", true),
            ("[::1]:9464", true),
            ("10.1.2.3", true),
            ("localhost:9464", true),
            ("Metrics.internal", true),
            ("evil.example:9464", false),
            ("localhost.evil.example", false),
            ("x@localhost", false),
        ] {
            assert_eq!(is_ours(&host.parse().unwrap(), &listed), expected, "{host}");
        }
    }
}
