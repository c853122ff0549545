//! `/local/authorize`: the built-in login's page, see [`super::upstream::local`].

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::explain::Explanation;
use super::form::{self, Parameters};
use super::server::{AuthorizationServer, Failure};
use super::upstream::Upstream;
use super::upstream::local::Local;

/// Asks for a name. None where somebody else logs people in.
pub(crate) fn page(server: &Arc<AuthorizationServer>, headers: &HeaderMap, raw_query: &str) -> Option<Response> {
    let page = local(server)?.page(&Parameters::parse(raw_query.as_bytes()));
    Some(page.unwrap_or_else(|explanation| refused(server, headers, explanation)))
}

/// Takes the name.
pub(crate) async fn submit(server: &Arc<AuthorizationServer>, headers: &HeaderMap, body: Body) -> Option<Response> {
    let local = local(server)?;
    let form = form::read_form(headers, body).await.unwrap_or_default();
    Some(local.submit(&form).unwrap_or_else(|explanation| refused(server, headers, explanation)))
}

fn local(server: &AuthorizationServer) -> Option<&Local> {
    match &*server.upstream {
        Upstream::Local(local) => Some(local),
        Upstream::Remote(_) => None,
    }
}

fn refused(server: &AuthorizationServer, headers: &HeaderMap, explanation: Explanation) -> Response {
    let cause = "the built-in login was visited without a login under way";
    server.page(headers, Failure::here(StatusCode::BAD_REQUEST, "invalid_request", explanation, cause))
}
