//! The routes of this server's own pages for people: login, logout, and `/me`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::ALLOW;
use http::{HeaderMap, Method, StatusCode};

use super::{App, address, reply};
use crate::auth::browser::{login, me};
use crate::auth::{AuthorizationServer, Browser, Refusal};
use crate::peer::Peer;

/// A request of a browser at a server where people log in.
pub(super) struct PageRequest {
    pub(super) server: Arc<AuthorizationServer>,
    pub(super) address: IpAddr,
    pub(super) browser: Option<Browser>,
    method: Method,
    pub(super) headers: HeaderMap,
    pub(super) query: String,
    pub(super) body: Body,
}

impl PageRequest {
    /// Finds the browser. The answer is a page where nobody logs in, and an error for requests that may not be served.
    pub(super) async fn new(app: &App, peer: &Peer, request: Request<Body>) -> Result<Self, Response> {
        let refused = |refusal: Refusal| {
            let status = match refusal {
                Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::FORBIDDEN,
            };
            reply::error(status, "access_denied", &refusal.to_string())
        };
        let browser = app.auth.browser(peer, request.headers()).await.map_err(refused)?;
        let Some(server) = app.auth.server() else { return Err(me::nobody_logs_in(&app.server.base_url)) };
        let address = address::of(peer, request.headers(), &app.server.trusted_proxies);
        if let Some(browser) = &browser {
            server.note_browser(browser, address);
        }
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let (server, method, headers) = (Arc::clone(server), parts.method, parts.headers);
        Ok(Self { server, address, browser, method, headers, query, body })
    }
}

/// Declares a route: the request's [`PageRequest`], or the answer that there is none.
macro_rules! route {
    ($(#[$doc:meta])* $name:ident: $page:ident => $answer:expr) => {
        $(#[$doc])*
        pub(super) async fn $name(
            State(app): State<Arc<App>>,
            Extension(peer): Extension<Peer>,
            request: Request<Body>,
        ) -> Response {
            match PageRequest::new(&app, &peer, request).await {
                Ok($page) => $answer,
                Err(answer) => answer,
            }
        }
    };
}

route! {
    /// `GET /login`
    login: page => {
        // It begins a login, so it is not safe for HEAD (RFC 9110 §9.2.1).
        if page.method == Method::HEAD {
            return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET")]).into_response();
        }
        if let Err(slow_down) = page.server.count_authorization(page.address, &page.headers) {
            return *slow_down;
        }
        login::start(&page.server, page.address, &page.headers, &page.query).await
    }
}
route! {
    /// `POST /logout`
    logout: page => login::logout(&page.server, &page.headers, (page.browser, page.address), page.body).await
}
route! {
    /// `GET /me`
    me: page => me::page(&page.server, &page.headers, page.browser.as_ref(), &page.query).await
}
route! {
    /// `POST /me/end`
    end: page => me::end(&page.server, &page.headers, (page.browser, page.address), page.body).await
}
route! {
    /// `POST /me/end-all`
    end_all: page => me::end_all(&page.server, &page.headers, (page.browser, page.address), page.body).await
}
