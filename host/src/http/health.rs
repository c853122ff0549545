//! `/healthz` and `/readyz`, for supervisors and load balancers: JSON, without login, by whatever name they call.
//!
//! The bodies are constants, since any web page may read them by pointing a name of its own here.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::{App, reply};
use crate::replicas::{Format, Peer};

/// `/healthz`: the process serves requests.
pub(super) async fn live() -> Response {
    reply::json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// `/readyz`: 200 once the first scan of the plugins is done and the identity provider is known; 503 before that, while
/// the server is about to stop, when the store that it shares has been away for so long that no token is honoured any more, or is
/// written by later versions in a way that this one does not read, and when others of that store serve plugins that this one has
/// not been able to get for `plugins.update_wait`, or not since its start, or that its lock lacked at its start. Broken plugins
/// do not count: the working ones are served.
///
/// With `?details`, called by an address: how this server and others of one store differ, how they write, and who is ahead with
/// plugins. No web page can ask that: by an
/// address it gets no answer of another origin, and names get the constants.
pub(super) async fn ready(State(app): State<Arc<App>>, request: Request) -> Response {
    let (stale, update_wait) = {
        let config = app.config.borrow();
        (config.state.stale.duration(), config.plugins.update_wait.duration())
    };
    let has_store = !app.replicas.is_away_for_more_than(stale);
    let is_begun = app.plugins.is_ready() && app.auth.is_ready();
    let ahead = app.replicas.ahead(update_wait);
    let (status, word) = match !app.leaving.is_cancelled() && is_begun && has_store && ahead.is_none() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let mut answer = json!({ "status": word });
    if request.uri().query() == Some("details") && is_by_address(request.headers()) {
        let other = |peer: &Peer| json!({ "name": peer.about.name, "version": peer.about.version });
        answer["others"] = app.replicas.peers().iter().map(other).collect();
        answer["store"] = app.replicas.hearing().word().into();
        if let Some(Format { written, latest, held_back_by }) = app.replicas.format() {
            answer["format"] = json!({ "written": written, "latest": latest, "held_back_by": held_back_by });
        }
        answer["differences"] = app.replicas.differences().into();
        answer["ahead"] = ahead.unwrap_or_default().into();
    }
    reply::json(status, &answer)
}

/// True for a `Host` that is an address, with or without a port.
fn is_by_address(headers: &HeaderMap) -> bool {
    let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    host.parse::<SocketAddr>().is_ok() || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}
