//! The pages at which a person's way for a device ends: nobody is sent anywhere from there.

use askama::Template;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use crate::auth::failures::Failure;
use crate::auth::pages::clean_name;
use crate::auth::server::AuthorizationServer;
use crate::auth::transaction::{self, Ending, ValidatedRequest};
use crate::html;

/// The device has what it needs, or never will.
#[derive(Template)]
#[template(path = "device_end.html")]
struct EndView<'a> {
    server: &'a str,
    client: String,
    person: Option<String>,
    is_denied: bool,
}

/// Answers the browser with the result of a login for a device.
pub(in crate::auth) fn show(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    request: &ValidatedRequest,
    ending: Ending,
) -> Response {
    match ending {
        Ending::LoggedIn { code: _, person } => end(server, &request.client_name, person.as_deref(), false),
        Ending::Error { error, description: _ } if error == "access_denied" => denied(server, request),
        Ending::Error { error: _, description } => server.page(headers, Failure::device_not_logged_in(&description)),
        Ending::Page { status, error, explanation, cause, is_for_client: _ } => {
            server.page(headers, transaction::failure(status, &error, explanation, cause))
        }
    }
}

/// Tells that the device gets nothing.
pub(in crate::auth) fn denied(server: &AuthorizationServer, request: &ValidatedRequest) -> Response {
    end(server, &request.client_name, None, true)
}

fn end(server: &AuthorizationServer, client: &str, person: Option<&str>, is_denied: bool) -> Response {
    let (client, person) = (clean_name(client), person.map(clean_name));
    let view = EndView { server: server.base_url().authority(), client, person, is_denied };
    html::answer(StatusCode::OK, &view, server.base_url())
}
