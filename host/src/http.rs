//! HTTP: every route, and what surrounds them. This is the only module that mounts routes.
//!
//! A request passes, from the outside in: CORS, the checks of Host and Origin, its route; at `/mcp` also
//! [`crate::auth`], which says who is calling.

mod guard;
mod health;
pub mod html;
mod pages;
pub mod server;

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use self::guard::Guard;
use self::server::Peer;
use crate::auth::Auth;
use crate::config::Server;
use crate::mcp::{self, Endpoint};
use crate::plugins::Plugins;

/// What the routes serve from.
pub struct App {
    /// The tools.
    pub plugins: Plugins,
    /// The MCP endpoint.
    pub endpoint: Endpoint,
    /// Who may call it.
    pub auth: Auth,
    /// `[server]` of the configuration.
    pub server: Server,
    /// Cancelled when the server begins to stop.
    pub draining: CancellationToken,
}

/// All routes, in two wrappings.
#[derive(Clone)]
pub struct Routes {
    plain: Router,
    /// The same with CORS.
    of_pages: Router,
}

impl Routes {
    /// Mounts the routes.
    pub fn new(app: App) -> Self {
        let guard = Arc::new(Guard::new(&app.server));
        // One layer of several, since each costs every request an allocation.
        let layers = ServiceBuilder::new()
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn_with_state(Arc::clone(&guard), guard::check));
        let plain = Router::new()
            .route("/mcp", any(serve_mcp))
            .route("/mcp/", any(serve_mcp))
            .route("/", get(pages::landing))
            .route("/llms.txt", get(pages::llms_txt))
            .route("/healthz", get(health::live))
            .route("/readyz", get(health::ready))
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(Arc::new(app))
            .layer(layers);
        let of_pages = plain.clone().layer(guard.cors());
        Self { plain, of_pages }
    }

    /// The routes for a request with these headers: only pages of browsers say which origin they are.
    pub fn for_request(&self, headers: &HeaderMap) -> Router {
        if headers.contains_key(ORIGIN) { self.of_pages.clone() } else { self.plain.clone() }
    }
}

/// `/mcp`: a person's browser gets the landing page, everything else is for the protocol.
async fn serve_mcp(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    mut request: Request<Body>,
) -> Response {
    if pages::is_wanted(request.method(), request.headers()) {
        return pages::landing(State(app)).await.into_response();
    }
    match app.auth.authenticate(&peer, request.headers()) {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            app.endpoint.serve(request).await
        }
        Err(refusal) => mcp::error_response(StatusCode::FORBIDDEN, &refusal.to_string()),
    }
}

/// An error outside of the protocol, as JSON.
fn error(status: StatusCode, error: &str, message: &str) -> Response {
    json_response(status, &json!({ "error": error, "message": message }))
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "not_found", "there is nothing here: the MCP endpoint is `/mcp`")
}

async fn method_not_allowed() -> Response {
    error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use GET")
}

/// A bug of ours costs the request that met it, nothing else.
fn panicked(_panic: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    error(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the server failed on this request")
}
