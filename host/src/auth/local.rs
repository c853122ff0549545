//! `/local/authorize`: the page of the built-in login, see [`super::upstream::local`].

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::HeaderMap;

use super::failures::Failure;
use super::pages::NamePage;
use super::parameters::{self, Parameters};
use super::server::AuthorizationServer;
use super::upstream::Upstream;
use super::upstream::local::{Local, Submission};
use crate::config::address::BaseUrl;
use crate::html::see_other;

/// Asks for a name. None where somebody else logs people in.
pub(crate) fn page(server: &Arc<AuthorizationServer>, headers: &HeaderMap, raw_query: &str) -> Option<Response> {
    let form = local(server)?.form(&Parameters::parse(raw_query.as_bytes()));
    Some(respond(server, headers, form.map(Submission::Form)))
}

/// Takes the name.
pub(crate) async fn submit(server: &Arc<AuthorizationServer>, headers: &HeaderMap, body: Body) -> Option<Response> {
    let local = local(server)?;
    let form = parameters::read_form(headers, body).await.unwrap_or_default();
    Some(respond(server, headers, local.submit(&form)))
}

fn local(server: &AuthorizationServer) -> Option<&Local> {
    match &*server.upstream {
        Upstream::Local(local) => Some(local),
        Upstream::Remote(_) => None,
    }
}

fn respond(server: &AuthorizationServer, headers: &HeaderMap, submission: Option<Submission>) -> Response {
    match submission {
        Some(submission) => answer(server.base_url(), &submission),
        None => server.page(headers, Failure::no_login_under_way()),
    }
}

pub(super) fn answer(base_url: &BaseUrl, submission: &Submission) -> Response {
    match submission {
        Submission::Form(form) => NamePage {
            server: base_url.authority(),
            state: &form.request.state,
            code_challenge: &form.request.code_challenge,
            nonce: &form.request.nonce,
            name: &form.name,
            problem: form.problem.as_deref(),
        }
        .response(base_url),
        Submission::Callback(url) => see_other(url.as_str()),
    }
}
