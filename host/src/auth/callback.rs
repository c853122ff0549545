//! `/auth/callback`: the provider's answer (RFC 6749 §4.1.2, RFC 9207 §2.4).
//!
//! The transaction is used up before anything else happens, whatever the answer says; then the browser must be the one
//! that approved. Only then is the provider asked anything, and only then does the client hear anything.

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::consent::{expired, other_browser, store_failed, use_up};
use super::cookies::Cookie;
use super::explain::Explanation;
use super::form::Parameters;
use super::pages::Outcome;
use super::request::{self, TransactionId, ValidatedRequest};
use super::server::{AuthorizationServer, Back, Failure, reference};
use super::sessions::NewSession;
use super::upstream::{Callback, Identity, Login, LoginError, Membership, Unusable};

/// Takes the provider's answer.
pub(crate) async fn callback(server: &Arc<AuthorizationServer>, headers: &HeaderMap, raw_query: &str) -> Response {
    let raw = Parameters::parse(raw_query.as_bytes());
    let Ok(Some(state)) = raw.one("state") else { return server.page(headers, expired()) };
    let (id, request) = match use_up(server, state).await {
        Ok(Some(taken)) => taken,
        Ok(None) => return server.page(headers, expired()),
        Err(error) => return server.page(headers, store_failed(&error, None)),
    };
    let binding = request::binding(&server.requests, &id);
    let cookie = server.cookies.get(headers, Cookie::Login, &id).unwrap_or_default();
    let mut response = if blake3::hash(cookie.as_bytes()) == blake3::hash(binding.as_bytes()) {
        finish(server, headers, &raw, &id, request).await
    } else {
        server.page(headers, other_browser("the provider's answer came without the cookie of its login"))
    };
    server.cookies.clear(&mut response, &id);
    response
}

async fn finish(
    server: &Arc<AuthorizationServer>,
    headers: &HeaderMap,
    raw: &Parameters,
    id: &TransactionId,
    request: ValidatedRequest,
) -> Response {
    let back = Back::approved(&request);
    // Somebody who answers with two codes is not the provider.
    let [Ok(code), Ok(error), Ok(error_description), Ok(iss)] =
        ["code", "error", "error_description", "iss"].map(|name| raw.one(name).map(|value| value.map(str::to_owned)))
    else {
        let what = "the provider's answer was not usable: it gives a parameter more than once";
        return temporary(server, &back, "server_error", what, what);
    };
    let answer = Callback { code, error, error_description, iss };
    let upstream = request::upstream_request(&server.requests, id, server.callback_url());
    let provider = Arc::clone(&server.upstream);
    // A browser that goes away must not leave the provider's tokens with nobody.
    let logging_in = server.tasks.spawn(async move { provider.log_in(&answer, &upstream).await });
    let outcome = logging_in
        .await
        .unwrap_or_else(|_| Err(LoginError::Broken { kind: Unusable::Host, cause: "the login panicked".to_owned() }));
    let Login { identity, tokens } = match outcome {
        Ok(login) => login,
        Err(error) => return failed(server, headers, back, error),
    };
    if !server.people().admits(&identity) {
        return server.page(headers, not_allowed(server, back, &identity));
    }
    let person = identity.name.clone().or_else(|| identity.email.clone());
    tracing::info!(provider = server.upstream.name(), client = request.client_name, "somebody has logged in");
    let session = NewSession {
        identity,
        upstream: tokens,
        client_id: request.client_id.clone(),
        approved: request.scopes.clone(),
        redirect_uri: request.redirect_uri.clone(),
        challenge: request.code_challenge.clone(),
    };
    match server.sessions.begin(session).await {
        Ok(code) => server.send_back(&back, &[("code", &code)], Outcome::LoggedIn { person }),
        Err(error) => server.page(headers, store_failed(&error, Some(back))),
    }
}

/// What failed at the provider, told to whom it concerns: the client always learns of it.
fn failed(server: &AuthorizationServer, headers: &HeaderMap, back: Back<'_>, error: LoginError) -> Response {
    match error {
        LoginError::Denied { description } => server.send_error(&back, "access_denied", &description),
        LoginError::Operator(explanation) => {
            let cause = explanation.quote.clone().unwrap_or_else(|| explanation.happened.clone());
            let status = StatusCode::BAD_GATEWAY;
            server.page(headers, Failure { status, error: "server_error", explanation, cause, back: Some(back) })
        }
        LoginError::Temporary { cause } => {
            temporary(server, &back, "temporarily_unavailable", "the provider cannot be reached", &cause)
        }
        LoginError::Broken { kind, cause } => {
            temporary(server, &back, "server_error", &format!("the provider's answer was not usable: {kind}"), &cause)
        }
    }
}

/// Tells the client alone, with a reference to the log.
fn temporary(server: &AuthorizationServer, back: &Back<'_>, error: &str, what: &str, cause: &str) -> Response {
    let reference = reference();
    tracing::warn!(%reference, provider = server.upstream.name(), cause, "a login failed at the provider");
    server.send_error(back, error, &format!("{what}; reference {reference}"))
}

/// The person is known to the provider, and not meant to use this server.
fn not_allowed<'r>(server: &AuthorizationServer, back: Back<'r>, identity: &Identity) -> Failure<'r> {
    let who = match (&identity.email, identity.email_verified) {
        (Some(email), true) => format!("as `{email}`"),
        (Some(email), false) => format!("as `{email}`, an address that has not been verified"),
        (None, _) => format!("as `{}`", identity.subject),
    };
    let provider = server.upstream.display_name();
    let mut explanation = Explanation::new(
        "You may not use this server",
        format!("{provider} knows you {who}. The operator of this server has not allowed you to log in."),
        &[
            "If you have another account, log out there and begin again in your client.",
            "Otherwise ask whoever runs this server to let you in: `[auth]` in `tinymcp.toml` says who may log in.",
        ],
    );
    if identity.email.is_some() && !identity.email_verified {
        explanation.steps.insert(0, format!("Have your address verified at {provider}, then log in again: one that is not verified counts for nothing."));
    }
    let mut cause = "the person is not among those of `auth.allow`, or is among those of `auth.deny`".to_owned();
    if server.people().lacks_organizations(identity) {
        let why = match identity.membership {
            Membership::Overflowed => "does not list all the groups that you are in, since they are too many",
            Membership::Unknown | Membership::Whole => "does not say which organizations you belong to",
        };
        explanation.steps.push(format!("{provider} {why}: whoever runs this server may have to change that there."));
        cause.push_str("; the provider ");
        cause.push_str(why);
    }
    Failure { status: StatusCode::FORBIDDEN, error: "access_denied", explanation, cause, back: Some(back) }
}
