//! `/healthz` and `/readyz`, for supervisors and load balancers: JSON, without login, by whatever name they call.
//!
//! The bodies are constants, since any web page may read them by pointing a name of its own here.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::{App, reply};

/// `/healthz`: the process serves requests.
pub(super) async fn live() -> Response {
    reply::json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// `/readyz`: 200 once the first scan of the plugins is done and the identity provider is known; 503 before that, and
/// while the server stops. Broken plugins do not count: the working ones are served.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    match !app.draining.is_cancelled() && app.plugins.is_ready() && app.auth.is_ready() {
        true => reply::json(StatusCode::OK, &json!({ "status": "ready" })),
        false => reply::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not ready" })),
    }
}
