//! `/authorize`: the authorization endpoint (RFC 6749 §3.1, RFC 7636 §4.3, RFC 8707 §2).
//!
//! The client and its redirect URI are proved first; until then a failure is a page, since nobody knows where a
//! redirect would lead. Then every other check can answer to the client: through the person, unless the operator has
//! declared the client, since a redirect to whatever a stranger has registered would lend it this server's name
//! (RFC 9700 §4.11.2). A request that passes becomes the consent page, and writes nothing.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::HeaderMap;
use http::header::HOST;
use serde_json::json;

use super::clients::{Client, UnknownClient};
use super::cookies::Cookie;
use super::failures::Failure;
use super::pages::{ConsentPage, clean_name};
use super::parameters::{self, FORM_BYTES_MAX, Parameters};
use super::people::People;
use super::resource;
use super::server::{AuthorizationServer, Back};
use super::transaction::{Form, FreshForm, ValidatedRequest};
use crate::audit::event::Reason;
use crate::config::address::BaseUrl;
use crate::html::see_other;

/// Longest request that is sent on to the server's own name: it becomes a URL, of which 16 KiB are taken.
const ALIAS_QUERY_BYTES_MAX: usize = 8 * 1024;

/// Longest `state`, as JSON has it. It comes back to the client in a URL, and waits in the store for a person who has
/// approved and may never log in; those of real clients have a few hundred bytes, and some put a small document there.
const STATE_BYTES_MAX: usize = 4 * 1024;

/// Serves the authorization endpoint to somebody at an address. `raw_query` is the query, or the body of a form.
pub(crate) async fn authorize(
    server: &Arc<AuthorizationServer>,
    asker: IpAddr,
    headers: &HeaderMap,
    raw_query: &str,
) -> Response {
    let raw = Parameters::parse(raw_query.as_bytes());
    if resource::alias(server.base_url(), headers.get(HOST)).is_some() && raw_query.len() <= ALIAS_QUERY_BYTES_MAX {
        // Cookies are the host's, and the provider sends people back to `base_url`.
        return see_other(&format!("{}/authorize?{}", server.base_url().as_str(), raw.encode()));
    }
    let (client, redirect_uri) = match proved_client(server, asker, &raw).await {
        Ok(proved) => proved,
        Err(failure) => return server.page(headers, failure),
    };
    let back = Back {
        redirect_uri: &redirect_uri,
        state: raw.one("state").ok().flatten(),
        client: client.name.as_deref().unwrap_or("the client"),
        is_approved: server.clients.is_declared(&client.id),
    };
    if let Err(unavailable) = server.upstream.ready().await {
        return server.page_and_back(headers, unavailable, Some(back));
    }
    match validate(&raw, &client, &redirect_uri, server.base_url(), server.people()) {
        Ok(request) => ask(server, headers, &client, request),
        Err((error, description)) => server.send_error(&back, error, description),
    }
}

/// Serves the authorization endpoint with the parameters in a form (RFC 6749 §3.1).
pub(crate) async fn authorize_by_form(
    server: &Arc<AuthorizationServer>,
    asker: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let is_form = parameters::is_form(headers);
    let body = parameters::read(body, FORM_BYTES_MAX).await;
    let raw = body.ok().filter(|_| is_form).and_then(|body| String::from_utf8(body.to_vec()).ok());
    authorize(server, asker, headers, raw.as_deref().unwrap_or_default()).await
}

/// The client, and a redirect URI that is its own.
async fn proved_client(
    server: &AuthorizationServer,
    asker: IpAddr,
    raw: &Parameters,
) -> Result<(Client, String), Failure> {
    let endpoint = server.base_url().endpoint();
    let id = raw.one("client_id").map_err(|_| Failure::repeated_parameter("client_id"))?;
    let id = id.ok_or_else(|| Failure::no_client(&endpoint))?;
    let client = server.clients.find(id, asker).await.inspect_err(|_| {
        server.refused(Reason::UnknownClient, Some(id), Some(asker));
    });
    let client = client.map_err(|unknown| match unknown {
        UnknownClient::NotRegistered => Failure::client_not_registered(&endpoint),
        UnknownClient::OwnIdAtProvider => Failure::own_id_at_provider(id, server.upstream.display_name(), &endpoint),
        UnknownClient::Url(rule) => Failure::client_url(id, rule, &endpoint),
        UnknownClient::Document(error) => Failure::client_document(id, &error.outward(), error.to_string()),
    })?;
    let redirect_uri = raw.one("redirect_uri").map_err(|_| Failure::repeated_parameter("redirect_uri"))?;
    let redirect_uri = redirect_uri.ok_or_else(Failure::no_redirect_uri)?;
    if !server.clients.may_send(&client, redirect_uri) {
        let reason = match server.clients.accept(redirect_uri) {
            Err(unacceptable) => format!("It cannot be used by any client: {unacceptable}."),
            Ok(_) => format!("The client registered {}.", listed(client.redirect_uris())),
        };
        return Err(Failure::foreign_redirect_uri(redirect_uri, &reason));
    }
    Ok((client, redirect_uri.to_owned()))
}

/// Every check of a request whose client and redirect URI are proved, in one list. An error is a code and its
/// description, for the client.
fn validate(
    raw: &Parameters,
    client: &Client,
    redirect_uri: &str,
    base_url: &BaseUrl,
    people: &People,
) -> Result<ValidatedRequest, (&'static str, &'static str)> {
    let once = |name: &str| raw.one(name).map_err(|_| ("invalid_request", "a parameter is given more than once"));
    // Two resources, and a prompt that differs, have answers of their own below.
    raw.expect_single(&["resource", "prompt"])
        .map_err(|_| ("invalid_request", "a parameter is given more than once"))?;
    let state = once("state")?;
    if state.is_some_and(|state| state.contains(char::REPLACEMENT_CHARACTER)) {
        return Err(("invalid_request", "state is not UTF-8, so it could not be given back as it came"));
    }
    if state.is_some_and(|state| json!(state).to_string().len() > STATE_BYTES_MAX) {
        return Err(("invalid_request", "state is longer than the 4 KiB that can be given back"));
    }
    match once("response_type")? {
        Some("code") => {}
        Some(_) => return Err(("unsupported_response_type", "response_type must be code")),
        None => return Err(("invalid_request", "response_type is missing: it must be code")),
    }
    let Some(challenge) = once("code_challenge")? else {
        return Err(("invalid_request", "code_challenge is missing: PKCE with S256 is required"));
    };
    if once("code_challenge_method")? != Some("S256") {
        return Err(("invalid_request", "code_challenge_method must be S256"));
    }
    if challenge.len() != 43 || !challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err(("invalid_request", "code_challenge must be 43 characters of base64url"));
    }
    let foreign = ("invalid_target", "resource must be this server's MCP endpoint");
    // Whoever names the whole server, or nothing, means the endpoint.
    let view = resource::named(base_url, raw.all("resource")).and_then(|named| people.wanted(named));
    let view = view.map_err(|_| foreign)?;
    let mut prompts = raw.all("prompt");
    let prompt = prompts.next();
    if prompts.any(|other| Some(other) != prompt) {
        return Err(("invalid_request", "prompt is given more than once"));
    }
    if prompt.is_some_and(|prompt| prompt.split(' ').any(|value| value == "none")) {
        return Err(("interaction_required", "a person has to approve every login here"));
    }
    Ok(ValidatedRequest {
        client_id: client.id.clone(),
        client_name: client.name.as_deref().map_or_else(|| "the client".to_owned(), clean_name),
        redirect_uri: redirect_uri.to_owned(),
        state: state.map(str::to_owned),
        code_challenge: challenge.to_owned(),
        scopes: people.requested(once("scope")?, client.scope.as_deref(), &view),
        view,
        device: None,
    })
}

/// The consent page, with the request in its form and a cookie that goes with it.
fn ask(server: &AuthorizationServer, headers: &HeaderMap, client: &Client, request: ValidatedRequest) -> Response {
    let scopes = request.scopes.iter().map(|scope| (scope.clone(), server.people().describe(scope))).collect();
    let redirect_uri = request.redirect_uri.clone();
    let view = request.view.name().map(str::to_owned);
    let loops_at = server.elsewhere.loops_at(&request.client_id).filter(|at| *at != request.view);
    let loops_at = loops_at.map(|at| format!("{}{at}", server.base_url().as_str()));
    let FreshForm { form, csrf } = Form::fresh(request, &server.requests);
    let page = ConsentPage {
        sealed_request: form.seal(&server.requests),
        client: client.asking(),
        redirect_uri,
        view,
        loops_at,
        scopes,
        provider: server.upstream.display_name().to_owned(),
        provider_scopes: server.upstream.scopes(),
    };
    let mut response = page.response(server.base_url());
    server.cookies.make_room(headers, &mut response);
    server.cookies.set(&mut response, Cookie::Csrf, &form.id, &csrf);
    response
}

fn listed(uris: &[String]) -> String {
    let uris: Vec<String> = uris.iter().map(|uri| format!("`{uri}`")).collect();
    if uris.is_empty() { "no address".to_owned() } else { uris.join(", ") }
}

#[cfg(test)]
mod tests;
