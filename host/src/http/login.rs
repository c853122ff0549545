//! The routes of [`crate::auth`]: each hands its endpoint the parts of the request that it needs, and nothing more.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, HOST};
use http::{Method, StatusCode};

use super::{App, address, not_found, reply};
use crate::auth::{self, AuthorizationServer};
use crate::peer::Peer;
use crate::view::View;

/// A request to one of the routes, and the authorization server that answers it.
struct LoginRequest {
    server: Arc<AuthorizationServer>,
    address: IpAddr,
    request: Request<Body>,
}

impl LoginRequest {
    /// Finds the authorization server. The answer is 404 without one, and 403 for requests that a login without a
    /// question must not serve, see [`crate::auth::Auth::admit`].
    async fn new(app: &App, peer: &Peer, request: Request<Body>) -> Result<Self, Response> {
        let Some(server) = app.auth.server() else { return Err(not_found().await) };
        if let Err(refusal) = app.auth.admit(peer, request.headers()) {
            return Err(reply::error(StatusCode::FORBIDDEN, "access_denied", &refusal.to_string()));
        }
        let address = address::of(peer, request.headers(), &app.server.trusted_proxies);
        Ok(Self { server: Arc::clone(server), address, request })
    }

    fn query(&self) -> &str {
        self.request.uri().query().unwrap_or_default()
    }
}

/// Declares a route: the request's [`LoginRequest`], or the answer that there is none.
macro_rules! route {
    ($(#[$doc:meta])* $name:ident: $login:ident => $answer:expr) => {
        $(#[$doc])*
        pub(super) async fn $name(
            State(app): State<Arc<App>>,
            Extension(peer): Extension<Peer>,
            request: Request<Body>,
        ) -> Response {
            match LoginRequest::new(&app, &peer, request).await {
                Ok($login) => $answer,
                Err(refusal) => refusal,
            }
        }
    };
}

route! {
    /// `/.well-known/oauth-protected-resource`, also with `/mcp` or the path of a view behind it.
    protected_resource: login => {
        let path = login.request.uri().path();
        let of = path.strip_prefix(auth::wellknown::RESOURCE_METADATA).unwrap_or_default();
        let view = match of {
            "" => Some(View::default()),
            path => View::in_path(path).map(|name| name.map_or_else(View::default, View::named)),
        };
        let host = login.request.headers().get(HOST);
        match view.and_then(|view| auth::wellknown::protected_resource(&login.server, host, &view)) {
            Some(metadata) => metadata,
            None => not_found().await,
        }
    }
}
route! {
    /// `/.well-known/oauth-authorization-server`
    authorization_server: login => auth::wellknown::authorization_server(&login.server)
}
route! {
    /// `/register`
    register: login => auth::register::register(&login.server, login.address, login.request.into_body()).await
}
route! {
    /// `/token`
    token: login => {
        let (parts, body) = login.request.into_parts();
        auth::token::token(&login.server, login.address, &parts.headers, body).await
    }
}
route! {
    /// `/revoke`
    revoke: login => {
        let (parts, body) = login.request.into_parts();
        auth::revoke::revoke(&login.server, login.address, &parts.headers, body).await
    }
}
route! {
    /// `/device_authorization`
    device_authorization: login => {
        if !login.server.has_device_flow() {
            return not_found().await;
        }
        let (parts, body) = login.request.into_parts();
        auth::device::authorization::begin(&login.server, login.address, &parts.headers, body).await
    }
}
route! {
    /// `/device`, where a person types the code of a device.
    device: login => {
        if !login.server.has_device_flow() {
            return not_found().await;
        }
        if let Err(slow_down) = login.server.count_authorization(login.address, login.request.headers()) {
            return *slow_down;
        }
        match *login.request.method() {
            Method::POST => {
                let (parts, body) = login.request.into_parts();
                auth::device::page::submit(&login.server, login.address, &parts.headers, body).await
            }
            _ => auth::device::page::page(&login.server, login.request.headers()),
        }
    }
}
route! {
    /// `/authorize`, by GET or with a form (RFC 6749 §3.1).
    authorize: login => {
        if let Err(slow_down) = login.server.count_authorization(login.address, login.request.headers()) {
            return *slow_down;
        }
        match *login.request.method() {
            Method::POST => {
                let (parts, body) = login.request.into_parts();
                auth::authorize::authorize_by_form(&login.server, login.address, &parts.headers, body).await
            }
            _ => auth::authorize::authorize(&login.server, login.address, login.request.headers(), login.query()).await,
        }
    }
}
route! {
    /// `/consent`
    consent: login => {
        if let Err(slow_down) = login.server.count_authorization(login.address, login.request.headers()) {
            return *slow_down;
        }
        let (parts, body) = login.request.into_parts();
        auth::consent::decide(&login.server, login.address, &parts.headers, body).await
    }
}
route! {
    /// `/auth/callback`
    callback: login => {
        // It completes a login, so it is not safe for HEAD (RFC 9110 §9.2.1).
        if *login.request.method() == Method::HEAD {
            return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET")]).into_response();
        }
        if let Err(slow_down) = login.server.count_authorization(login.address, login.request.headers()) {
            return *slow_down;
        }
        auth::callback::callback(&login.server, login.request.headers(), login.query()).await
    }
}
route! {
    /// `/auth/backchannel-logout`
    backchannel_logout: login => {
        let (parts, body) = login.request.into_parts();
        auth::backchannel::logout(&login.server, login.address, &parts.headers, body).await
    }
}
route! {
    /// `/local/authorize`, the page of the built-in login.
    local: login => {
        let page = match *login.request.method() {
            Method::POST => {
                let (parts, body) = login.request.into_parts();
                auth::local::submit(&login.server, &parts.headers, body).await
            }
            _ => auth::local::page(&login.server, login.request.headers(), login.query()),
        };
        match page {
            Some(page) => page,
            None => not_found().await,
        }
    }
}
