//! HTTP: every route, and the layers around them. This is the only module that mounts routes.
//!
//! A request passes, from the outside in: CORS, the checks of Host and Origin, its route; at `/mcp` also
//! [`crate::auth`], which identifies the caller. A message of a client at `/mcp` passes the same checks without the
//! router, see [`Routes::answer`]. `/mcp/NAME` is the same for the view of that name, see [`place`].

mod active_request;
pub(crate) mod address;
mod approval;
mod arguments;
mod body;
mod browser;
mod connection;
mod descriptions;
mod guard;
mod health;
pub mod limits;
mod login;
pub mod metrics;
mod missing;
mod page;
mod pages;
mod place;
mod places;
mod rendered;
mod reply;
pub mod server;
mod stopping;
mod tally;
mod transport;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use futures::{FutureExt as _, StreamExt as _};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_http::catch_panic::CatchPanicLayer;

use self::active_request::ActiveRequest;
use self::guard::Guard;
use self::place::{Lack, Place};
pub use self::rendered::RenderedPages;
use crate::audit::Event;
use crate::audit::event::{Client, Reason, Who};
use crate::auth::{Auth, Refusal};
use crate::config::{About, Config, Server};
use crate::mcp::{self, Endpoint, ScopesNeeded};
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::plugins::Plugins;
use crate::principal::Principal;
use crate::replicas::Replicas;

/// The parts of the server that the routes serve from.
pub struct App {
    /// The tools.
    pub plugins: Plugins,
    /// The MCP endpoint.
    pub endpoint: Endpoint,
    /// Tokens and logins.
    pub auth: Auth,
    /// `[server]` of the configuration.
    pub server: Server,
    /// All of it, as it is now.
    pub config: watch::Receiver<Arc<Config>>,
    /// What this server says of itself.
    pub about: watch::Receiver<Arc<About>>,
    /// Cancelled when the server is told to stop; it may serve on for a while.
    pub leaving: CancellationToken,
    /// Cancelled when the server begins to stop.
    pub draining: CancellationToken,
    /// The other servers of a store.
    pub replicas: Replicas,
    /// Pages that were rendered.
    pub pages: RenderedPages,
}

const NOTHING_HERE: &str = "there is nothing here: the MCP endpoint is `/mcp`";

/// All routes, with CORS and without.
#[derive(Clone)]
pub struct Routes {
    plain: Router,
    /// The same with CORS.
    of_pages: Router,
    guard: Arc<Guard>,
    app: Arc<App>,
}

impl Routes {
    /// Mounts the routes.
    pub fn new(app: App) -> Self {
        let guard = Arc::new(Guard::new(&app.server));
        let app = Arc::new(app);
        // The endpoint, and everything that has nothing to do with logins.
        let mcp = Router::new()
            .route("/mcp", any(mcp))
            .route("/mcp/", any(mcp))
            .route("/mcp/{view}", any(mcp))
            .route("/mcp/{view}/", any(mcp))
            .route("/", get(page::page))
            .route("/llms.txt", get(pages::llms_txt))
            .route("/favicon.ico", get(page::favicon))
            .route("/assets/{version}/{name}", get(page::asset))
            .route("/icon/{digest}", get(page::icon))
            .fallback(nothing_here)
            .method_not_allowed_fallback(method_not_allowed);
        // Requests of clients before and while they log in: JSON that every page may read, since no cookie counts here.
        let clients = Router::new()
            .route("/.well-known/oauth-protected-resource", get(login::protected_resource))
            .route("/.well-known/oauth-protected-resource/mcp", get(login::protected_resource))
            .route("/.well-known/oauth-protected-resource/mcp/{view}", get(login::protected_resource))
            .route("/.well-known/oauth-authorization-server", get(login::authorization_server))
            .route("/.well-known/{*other}", any(not_found))
            .route("/mcp/.well-known/{*other}", any(not_found))
            .route("/mcp/{view}/.well-known/{*other}", any(not_found))
            .route("/register", post(login::register))
            .route("/token", post(login::token))
            .route("/revoke", post(login::revoke))
            .route("/device_authorization", post(login::device_authorization))
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn(guard::open_to_every_page));
        // The same for what is public, with its own headers.
        let public = Router::new()
            .route("/mcp/server-card", get(descriptions::server_card).options(descriptions::server_card))
            .route("/server.json", get(descriptions::server_json).options(descriptions::server_json))
            .method_not_allowed_fallback(method_not_allowed);
        // Pages for people's browsers; no page of another site may read these.
        let people = Router::new()
            .route("/authorize", get(login::authorize).post(login::authorize))
            .route("/consent", post(login::consent))
            .route("/device", get(login::device).post(login::device))
            .route("/auth/callback", get(login::callback))
            .route("/auth/backchannel-logout", post(login::backchannel_logout))
            .route("/local/authorize", get(login::local).post(login::local))
            .route("/login", get(browser::login))
            .route("/logout", post(browser::logout))
            .route("/me", get(browser::me))
            .route("/me/end", post(browser::end))
            .route("/me/end-all", post(browser::end_all))
            .route("/approval/{plugin}", get(approval::show).post(approval::approve))
            .route("/try", post(page::try_tool))
            .route("/live", get(page::live))
            .method_not_allowed_fallback(method_not_allowed);
        // Supervisors may use any address of the server. The answers are no secret.
        let health = Router::new()
            .route("/healthz", get(health::live))
            .route("/readyz", get(health::ready))
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn(guard::mark));
        // One layer of several, since each costs every request an allocation.
        let layers = || {
            ServiceBuilder::new()
                .layer(CatchPanicLayer::custom(panicked))
                .layer(from_fn_with_state(Arc::clone(&guard), guard::check))
        };
        let (mcp, logins) = (mcp.layer(layers()).merge(health), clients.merge(public).merge(people).layer(layers()));
        let plain = mcp.clone().merge(logins.clone()).with_state(Arc::clone(&app));
        let of_pages = mcp.layer(guard.cors()).merge(logins).with_state(Arc::clone(&app));
        Self { plain, of_pages, guard, app }
    }

    /// The metrics of the server.
    fn metrics(&self) -> &Metrics {
        &self.app.plugins.observers().metrics
    }

    /// Answers a request.
    ///
    /// Nearly all are messages of clients at `/mcp`. Router and layers would cost such a request four boxed services,
    /// so it takes the same steps without them. Only pages in browsers send `Origin`, and need CORS.
    async fn answer(self, mut request: Request<Body>, peer: Peer, active: Arc<ActiveRequest>) -> Response {
        let is_of_page = request.headers().contains_key(ORIGIN);
        if !is_of_page && *request.method() == Method::POST && guard::is_mcp(request.uri()) {
            return guard::marked(match (self.guard.refuse(&request), Place::of(&self.app.config, request.uri())) {
                (Some(refusal), _) => refusal,
                (None, None) => not_found().await,
                (None, Some(place)) => {
                    let served = AssertUnwindSafe(serve_mcp(&self.app, place, peer, &active, request)).catch_unwind();
                    served.await.unwrap_or_else(panicked)
                }
            });
        }
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(active);
        let router = if is_of_page { self.of_pages } else { self.plain };
        router.oneshot(request).await.unwrap_or_else(|never| match never {})
    }
}

/// The routes `/mcp` and `/mcp/{view}`.
async fn mcp(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(active): Extension<Arc<ActiveRequest>>,
    mut request: Request<Body>,
) -> Response {
    // A task in the background keeps the request's head, and must not keep this in it.
    request.extensions_mut().remove::<Arc<ActiveRequest>>();
    match Place::of(&app.config, request.uri()) {
        Some(place) => serve_mcp(&app, place, peer, &active, request).await,
        None => nothing_here(State(app), request.headers().clone()).await,
    }
}

/// `/mcp`, or a view: a person's browser gets the page of strangers, every other request is one of the protocol.
async fn serve_mcp(
    app: &Arc<App>,
    place: Place,
    peer: Peer,
    active: &ActiveRequest,
    request: Request<Body>,
) -> Response {
    if request.method() == Method::OPTIONS {
        // Not a browser's preflight, which CORS answers. No request of this kind ever needs a token.
        return (StatusCode::NO_CONTENT, [(ALLOW, "GET, POST, DELETE, OPTIONS")]).into_response();
    }
    if pages::is_wanted(request.method(), request.headers()) {
        return page::for_strangers(app);
    }
    let host = request.headers().get(HOST).cloned();
    let headers = request.headers();
    let from = || Some(address::of(&peer, headers, &app.server.trusted_proxies));
    let principal = match app.auth.authenticate(&peer, headers, active.last_token(), &place.view, from).await {
        Ok(principal) => principal,
        Err(refusal) => return refuse(app, refusal, &place, host.as_ref()),
    };
    active.identify(principal.person());
    if let Some(lack) = place.lack(&principal) {
        return refuse_at_view(app, &place, &principal, host.as_ref(), lack);
    }
    let authorization = request.headers().get(AUTHORIZATION).cloned();
    match app.endpoint.serve(&principal, request).await {
        Ok(response) => end_with_token(app, place, &principal, authorization, response),
        Err(ScopesNeeded(scopes)) => {
            record_lack_of_scopes(app, &principal);
            let message =
                "the access token lacks scopes that this tool needs: log in again with the scopes of the challenge";
            let response = mcp::error_response(StatusCode::FORBIDDEN, message);
            app.auth.refuse_for_scopes((host.as_ref(), &place.view), &scopes, response)
        }
    }
}

/// The answer to a caller who lacks scopes of the view: a challenge, if another token could help.
fn refuse_at_view(app: &App, place: &Place, principal: &Principal, host: Option<&HeaderValue>, lack: Lack) -> Response {
    record_lack_of_scopes(app, principal);
    match lack {
        Lack::Token(scopes) => {
            let message = "the access token lacks scopes of this view: log in again with the scopes of the challenge";
            let response = mcp::error_response(StatusCode::FORBIDDEN, message);
            app.auth.refuse_for_scopes((host, &place.view), &scopes, response)
        }
        Lack::Person => {
            let message = "this view needs scopes that you do not have: ask this server's operator";
            mcp::error_response(StatusCode::FORBIDDEN, message)
        }
    }
}

/// Writes down that a caller's token lacks scopes.
fn record_lack_of_scopes(app: &App, principal: &Principal) {
    let (who, client) = (Some(Who::of(principal)), Client::of(principal));
    app.plugins.observers().audit.record(&Event::Refusal {
        reason: Reason::Scopes,
        who,
        client,
        claimed: None,
        from: None,
    });
}

/// The answer to a request at the endpoint without a valid login.
fn refuse(app: &App, refusal: Refusal, place: &Place, host: Option<&HeaderValue>) -> Response {
    // All others are recorded where their reason is known.
    if matches!(refusal, Refusal::NotLocal | Refusal::Forwarded) {
        let (reason, who, client, from) = (Reason::NotLocal, None, None, None);
        app.plugins.observers().audit.record(&Event::Refusal { reason, who, client, claimed: None, from });
    }
    let response = mcp::error_response(StatusCode::UNAUTHORIZED, &refusal.to_string());
    let scopes = match refusal {
        Refusal::NoToken | Refusal::InvalidToken | Refusal::Elsewhere | Refusal::ElsewhereAgain => {
            place.needed_scopes(&app.plugins)
        }
        Refusal::NotLocal | Refusal::Forwarded | Refusal::TwoTokens | Refusal::Unavailable => BTreeSet::new(),
    };
    app.auth.refuse(refusal, (host, &place.view), &scopes, response)
}

/// Ends a stream with the token that it was opened with, and with its view.
fn end_with_token(
    app: &Arc<App>,
    place: Place,
    principal: &Arc<Principal>,
    authorization: Option<HeaderValue>,
    response: Response,
) -> Response {
    let content_type = response.headers().get(CONTENT_TYPE);
    let is_stream = content_type.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream || (app.auth.server().is_none() && place.view.is_main()) {
        return response;
    }
    let (app, principal) = (Arc::clone(app), Arc::clone(principal));
    let ended = async move {
        tokio::select! {
            () = app.auth.ended(authorization) => {}
            () = place.ended(app.config.clone(), &principal) => {}
        }
    };
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(ended))))
}

/// Any path that leads nowhere.
async fn nothing_here(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let refusal = missing::Refusal {
        status: StatusCode::NOT_FOUND,
        error: "not_found",
        title: "There is nothing here",
        message: NOTHING_HERE,
        leads_home: true,
    };
    refusal.answer(&headers, &app.server.base_url)
}

/// The same for paths of clients alone.
async fn not_found() -> Response {
    reply::error(StatusCode::NOT_FOUND, "not_found", NOTHING_HERE)
}

async fn method_not_allowed() -> Response {
    reply::error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the header `Allow` lists the methods")
}

/// Answers for a handler that panicked: a bug costs the request that met it, nothing else.
fn panicked(_panic: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    reply::error(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the server failed on this request")
}
