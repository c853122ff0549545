//! `/authorize`: the authorization endpoint (RFC 6749 §3.1, RFC 7636 §4.3, RFC 8707 §2).
//!
//! The client and its redirect URI are proved first; until then a failure is a page, since nobody knows where a
//! redirect would lead. Then every other check can answer to the client: through the person, unless the operator has
//! declared the client, since a redirect to whatever a stranger has registered would lend it this server's name
//! (RFC 9700 §4.11.2). A request that passes becomes the consent page, and writes nothing.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::HOST;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::clients::{Client, Clients, UnknownClient};
use super::cookies::Cookie;
use super::explain::Explanation;
use super::form::{self, FORM_BYTES_MAX, Parameters};
use super::pages::{ConsentPage, clean_name};
use super::people::People;
use super::request::{Form, FreshForm, ValidatedRequest};
use super::resource;
use super::server::{AuthorizationServer, Back, Failure};
use crate::auth::upstream::messages::Unavailable;
use crate::config::address::BaseUrl;
use crate::html::see_other;

/// Longest request that is sent on to the server's own name: it becomes a URL, of which 16 KiB are taken.
const ALIAS_QUERY_BYTES_MAX: usize = 8 * 1024;

/// Longest `state`, as JSON has it. It comes back to the client in a URL, and waits in the store for a person who has
/// approved and may never log in; those of real clients have a few hundred bytes, and some put a small document there.
const STATE_BYTES_MAX: usize = 4 * 1024;

/// Serves the authorization endpoint. `raw_query` is the query, or the body of a form.
pub(crate) async fn authorize(server: &Arc<AuthorizationServer>, headers: &HeaderMap, raw_query: &str) -> Response {
    let raw = Parameters::parse(raw_query.as_bytes());
    if resource::alias(server.base_url(), headers.get(HOST)).is_some() && raw_query.len() <= ALIAS_QUERY_BYTES_MAX {
        // Cookies are the host's, and the provider sends people back to `base_url`.
        return see_other(&format!("{}/authorize?{}", server.base_url().as_str(), raw.encode()));
    }
    let (client, redirect_uri) = match proved_client(&server.clients, &raw).await {
        Ok(proved) => proved,
        Err(failure) => return server.page(headers, failure.into_failure(server)),
    };
    let back = Back {
        redirect_uri: &redirect_uri,
        state: raw.one("state").ok().flatten(),
        client: client.name.as_deref().unwrap_or("the client"),
        is_approved: server.clients.is_declared(&client.id),
    };
    if let Err(unavailable) = server.upstream.ready().await {
        return server.page(headers, provider_unavailable(unavailable, back));
    }
    match validate(&raw, &client, &redirect_uri, server.base_url(), server.people()) {
        Ok(request) => ask(server, headers, &client, request),
        Err(Refused { error, description }) => server.send_error(&back, error, description),
    }
}

/// The same with the parameters in a form (RFC 6749 §3.1).
pub(crate) async fn authorize_by_form(server: &Arc<AuthorizationServer>, headers: &HeaderMap, body: Body) -> Response {
    let is_form = form::is_form(headers);
    let body = form::read(body, FORM_BYTES_MAX).await;
    let raw = body.ok().filter(|_| is_form).and_then(|body| String::from_utf8(body.to_vec()).ok());
    authorize(server, headers, raw.as_deref().unwrap_or_default()).await
}

/// Nobody can be sent to the provider at the moment.
pub(super) fn provider_unavailable(unavailable: Unavailable, back: Back<'_>) -> Failure<'_> {
    let Unavailable { explanation, cause } = unavailable;
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Failure { status, error: "temporarily_unavailable", explanation, cause, back: Some(back) }
}

/// Why a request cannot even be answered to its client.
enum Unproved {
    Repeated(&'static str),
    NoClient,
    Unknown { id: String, why: UnknownClient },
    NoRedirect,
    OtherRedirect { client: Client, offered: String },
}

/// The client, and a redirect URI that is its own.
async fn proved_client(clients: &Clients, raw: &Parameters) -> Result<(Client, String), Unproved> {
    let id = raw.one("client_id").map_err(|_| Unproved::Repeated("client_id"))?.ok_or(Unproved::NoClient)?;
    let client = clients.find(id).await.map_err(|why| Unproved::Unknown { id: id.to_owned(), why })?;
    let redirect_uri = raw.one("redirect_uri").map_err(|_| Unproved::Repeated("redirect_uri"))?;
    let redirect_uri = redirect_uri.ok_or(Unproved::NoRedirect)?;
    if !clients.may_send(&client, redirect_uri) {
        return Err(Unproved::OtherRedirect { client, offered: redirect_uri.to_owned() });
    }
    Ok((client, redirect_uri.to_owned()))
}

/// A refusal that goes back to the client.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    error: &'static str,
    description: &'static str,
}

/// Every check of a request whose client and redirect URI are proved, in one list.
fn validate(
    raw: &Parameters,
    client: &Client,
    redirect_uri: &str,
    base_url: &BaseUrl,
    people: &People,
) -> Result<ValidatedRequest, Refused> {
    let refused = |error, description| Refused { error, description };
    let once =
        |name: &str| raw.one(name).map_err(|_| refused("invalid_request", "a parameter is given more than once"));
    // Two resources, and a prompt that differs, have answers of their own below.
    raw.expect_single(&["resource", "prompt"])
        .map_err(|_| refused("invalid_request", "a parameter is given more than once"))?;
    let state = once("state")?;
    if state.is_some_and(|state| state.contains(char::REPLACEMENT_CHARACTER)) {
        return Err(refused("invalid_request", "state is not UTF-8, so it could not be given back as it came"));
    }
    if state.is_some_and(|state| json!(state).to_string().len() > STATE_BYTES_MAX) {
        return Err(refused("invalid_request", "state is longer than the 4 KiB that can be given back"));
    }
    match once("response_type")? {
        Some("code") => {}
        Some(_) => return Err(refused("unsupported_response_type", "response_type must be code")),
        None => return Err(refused("invalid_request", "response_type is missing: it must be code")),
    }
    let Some(challenge) = once("code_challenge")? else {
        return Err(refused("invalid_request", "code_challenge is missing: PKCE with S256 is required"));
    };
    if once("code_challenge_method")? != Some("S256") {
        return Err(refused("invalid_request", "code_challenge_method must be S256"));
    }
    if challenge.len() != 43 || !challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err(refused("invalid_request", "code_challenge must be 43 characters of base64url"));
    }
    resource::accept(base_url, raw.all("resource"))
        .map_err(|_| refused("invalid_target", "resource must be this server's MCP endpoint"))?;
    let mut prompts = raw.all("prompt");
    let prompt = prompts.next();
    if prompts.any(|other| Some(other) != prompt) {
        return Err(refused("invalid_request", "prompt is given more than once"));
    }
    if prompt.is_some_and(|prompt| prompt.split(' ').any(|value| value == "none")) {
        return Err(refused("interaction_required", "a person has to approve every login here"));
    }
    Ok(ValidatedRequest {
        client_id: client.id.clone(),
        client_name: client.name.as_deref().map_or_else(|| "the client".to_owned(), clean_name),
        redirect_uri: redirect_uri.to_owned(),
        state: state.map(str::to_owned),
        code_challenge: challenge.to_owned(),
        scopes: people.requested(once("scope")?, client.scope.as_deref()),
    })
}

/// The consent page, with the request in its form and a cookie that goes with it.
fn ask(server: &AuthorizationServer, headers: &HeaderMap, client: &Client, request: ValidatedRequest) -> Response {
    let scopes = request.scopes.iter().map(|scope| (scope.clone(), server.people().describe(scope))).collect();
    let redirect_uri = request.redirect_uri.clone();
    let FreshForm { form, csrf } = Form::fresh(request);
    let page = ConsentPage {
        sealed_request: form.seal(&server.requests),
        client: client.asking(),
        redirect_uri,
        scopes,
        provider: server.upstream.display_name().to_owned(),
        provider_scopes: server.upstream.scopes(),
    };
    let mut response = page.response(server.base_url());
    server.cookies.make_room(headers, &mut response);
    server.cookies.set(&mut response, Cookie::Csrf, &form.id, &csrf);
    response
}

impl Unproved {
    fn into_failure<'r>(self, server: &AuthorizationServer) -> Failure<'r> {
        let bad = StatusCode::BAD_REQUEST;
        let endpoint = server.base_url().endpoint();
        match self {
            Self::Repeated(name) => {
                let explanation = Explanation::new(
                    "The login link is broken",
                    format!("The client's link gives `{name}` more than once."),
                    &["Start the login again in your client; if this page returns, it is the client's fault."],
                );
                Failure::here(bad, "invalid_request", explanation, "a parameter is repeated")
            }
            Self::NoClient => {
                let explanation = Explanation::new(
                    "This is not a page to visit",
                    "This address is where MCP clients begin a login, and the link that led here does not name a client.",
                    &[&format!("Give your client the address `{endpoint}`: it finds everything else by itself.")],
                );
                Failure::here(bad, "invalid_request", explanation, "no client_id")
            }
            Self::Unknown { id, why: UnknownClient::OwnIdAtProvider } => own_id_pasted(server, &id),
            Self::Unknown { id: _, why: UnknownClient::NotRegistered } => not_registered(&endpoint),
            Self::Unknown { id, why: UnknownClient::Document(error) } => {
                let explanation = Explanation::new(
                    "The client's description cannot be used",
                    format!(
                        "The client names itself by the URL `{id}`, and what is there cannot be used: {}.",
                        error.outward()
                    ),
                    &[
                        "Try again in a minute, in case the site could not be reached.",
                        "If it goes on, the client's maker has to mend that document.",
                    ],
                );
                Failure::here(bad, "invalid_client", explanation, error.to_string())
            }
            Self::NoRedirect => {
                let explanation = Explanation::new(
                    "The login link is broken",
                    "The client's link does not say where to send you back to (`redirect_uri`).",
                    &["Start the login again in your client; if this page returns, it is the client's fault."],
                );
                Failure::here(bad, "invalid_request", explanation, "no redirect_uri")
            }
            Self::OtherRedirect { client, offered } => {
                let reason = match server.clients.accept(&offered) {
                    Err(unacceptable) => format!("It cannot be used by any client: {unacceptable}."),
                    Ok(_) => format!("The client registered {}.", listed(client.redirect_uris())),
                };
                let explanation = Explanation::new(
                    "The client may not send you there",
                    format!("The client wants you sent back to `{offered}`. {reason}"),
                    &[
                        "In your client, clear this server's authentication and log in again: it then registers anew.",
                        "For a client declared in `tinymcp.toml`, the server's operator adds the address to `redirect_uris` in its table under `[auth.clients]`.",
                    ],
                );
                Failure::here(bad, "invalid_request", explanation, "the redirect URI is not registered")
            }
        }
    }
}

fn listed(uris: &[String]) -> String {
    let uris: Vec<String> = uris.iter().map(|uri| format!("`{uri}`")).collect();
    if uris.is_empty() { "no address".to_owned() } else { uris.join(", ") }
}

fn not_registered<'r>(endpoint: &str) -> Failure<'r> {
    let explanation = Explanation::new(
        "Client Not Registered",
        "The client presents an id that this server did not give out: it comes from another server, or from before this server's key was replaced.",
        &[
            "Have your client forget this server's authentication and log in again; how depends on the client. Cursor: in Settings, MCP, choose Logout or Clear authentication for this server, and log in again.",
            "Claude Code: type `/mcp`, choose the server and Clear authentication; or run `claude mcp logout NAME`.",
            "VS Code: run the command `Authentication: Remove Dynamic Authentication Providers`, and start the server again.",
            "mcp-remote: delete the folder `~/.mcp-auth`.",
            &format!(
                "The client's configuration needs the address `{endpoint}` and nothing else: no client id, no secret."
            ),
        ],
    );
    Failure::here(StatusCode::BAD_REQUEST, "invalid_client", explanation, "the client id was not given out here")
}

fn own_id_pasted<'r>(server: &AuthorizationServer, id: &str) -> Failure<'r> {
    let provider = server.upstream.display_name();
    let endpoint = server.base_url().endpoint();
    let explanation = Explanation::new(
        &format!("This is your {provider} application's id"),
        format!(
            "The client presents `{id}`, which is this server's own id at {provider} and no client's: here it is \"Client Not Registered\". Clients register with this server and get ids of their own."
        ),
        &[
            "Remove the `auth` block with the client id and secret from the client's configuration.",
            &format!("What remains is `{{\"mcpServers\": {{\"tinymcp\": {{\"url\": \"{endpoint}\"}}}}}}`."),
            "Clear the client's stored authentication for this server, restart the client, and log in again.",
        ],
    );
    Failure::here(StatusCode::BAD_REQUEST, "invalid_client", explanation, "the provider's client id was presented")
}

#[cfg(test)]
mod tests;
