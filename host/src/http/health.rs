//! `/healthz` and `/readyz`, for supervisors and load balancers: JSON, without login.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::{App, json_response};

/// `/healthz`: the process serves requests.
pub(super) async fn live() -> Response {
    json_response(StatusCode::OK, &json!({ "status": "ok" }))
}

/// `/readyz`: 200 once the first scan of the plugins is done and the identity provider is known, 503 before that and
/// while the server stops.
/// Broken plugins do not hold it: the working ones are served.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let (status, text) = if app.draining.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if !app.plugins.is_ready() {
        (StatusCode::SERVICE_UNAVAILABLE, "loading plugins")
    } else if !app.auth.is_ready() {
        (StatusCode::SERVICE_UNAVAILABLE, "the identity provider is not known yet")
    } else {
        (StatusCode::OK, "ready")
    };
    json_response(status, &json!({ "status": text }))
}
