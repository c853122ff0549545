//! `GET /live`: a stream of events that tells an open page when it shows something old.
//!
//! An event has the digest of the page's large part and nothing of what is in it: the page fetches itself anew. Streams
//! are bounded, in all and for each person, and a page in the background has none.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::App;
use super::front;
use super::visitor::Visitor;
use super::watchers::Place;
use crate::config::Config;
use crate::http::active_request::ActiveRequest;
use crate::peer::Peer;
use crate::plugins::catalog::Catalog;

/// Time after which the stream says that it is there, and looks whether its person still is.
const BEAT: Duration = Duration::from_secs(15);

/// Time in which changes are told together: a directory that is filled changes with every file.
const TOGETHER: Duration = Duration::from_millis(150);

/// One stream under way.
struct Watch {
    app: Arc<App>,
    peer: Peer,
    headers: HeaderMap,
    visitor: Visitor,
    told: Arc<str>,
    catalogs: watch::Receiver<Arc<Catalog>>,
    configs: watch::Receiver<Arc<Config>>,
    next_beat: Instant,
    is_first: bool,
    _place: Place,
}

/// `GET /live`
pub(in crate::http) async fn live(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(active): Extension<Arc<ActiveRequest>>,
    headers: HeaderMap,
) -> Response {
    let visitor = Visitor::of(&app, &peer, &headers).await;
    if !front::shows_tools(&app, &visitor) {
        // A browser that gets 204 does not ask again.
        return StatusCode::NO_CONTENT.into_response();
    }
    let person = visitor.person().map(|person| person.principal().person()).unwrap_or_default();
    if visitor.person().is_some() {
        active.identify(person);
    }
    let Some(place) = app.pages.watchers.enter(person) else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let watch = Watch {
        catalogs: app.plugins.changes(),
        configs: app.config.clone(),
        told: front::of(&app, &visitor).stamp,
        next_beat: Instant::now() + BEAT,
        is_first: true,
        _place: place,
        app,
        peer,
        headers,
        visitor,
    };
    let events = futures::stream::unfold(watch, async |mut watch| {
        let event = watch.next().await?;
        Some((Ok::<_, Infallible>(event), watch))
    });
    let mut response = Body::from_stream(events).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl Watch {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.is_first) {
            // What is shown may be older than this stream.
            return Some(self.event());
        }
        loop {
            let changed = async {
                tokio::select! {
                    changed = self.catalogs.changed() => changed.is_ok(),
                    changed = self.configs.changed() => changed.is_ok(),
                }
            };
            let is_change = tokio::select! {
                () = self.app.draining.cancelled() => return None,
                is_open = changed => { if !is_open { return None; } true }
                () = tokio::time::sleep_until(self.next_beat) => false,
            };
            if is_change {
                tokio::time::sleep(TOGETHER).await;
                self.catalogs.mark_unchanged();
                self.configs.mark_unchanged();
            } else {
                self.next_beat = Instant::now() + BEAT;
            }
            // Whoever is logged out, or may no longer log in, is told nothing more.
            let was_known = self.visitor.person().is_some();
            self.visitor = Visitor::of(&self.app, &self.peer, &self.headers).await;
            if was_known != self.visitor.person().is_some() || !front::shows_tools(&self.app, &self.visitor) {
                return None;
            }
            let stamp = front::of(&self.app, &self.visitor).stamp;
            if stamp != self.told {
                self.told = stamp;
                return Some(self.event());
            }
            if !is_change {
                return Some(Bytes::from_static(b":\n\n"));
            }
        }
    }

    fn event(&self) -> Bytes {
        format!("event: page\ndata: {}\n\n", self.told).into()
    }
}
