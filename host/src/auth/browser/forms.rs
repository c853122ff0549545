//! Forms of this server's own pages.

use std::net::IpAddr;

use axum::body::Body;
use axum::response::Response;
use http::HeaderMap;

use super::{Browser, FORM_TOKEN, check_sender};
use crate::auth::failures::Failure;
use crate::auth::parameters::{self, Parameters};
use crate::auth::server::AuthorizationServer;

/// Reads a form that was sent from a page of this server in this browser, by the address that it came from.
///
/// # Errors
/// The answer for a form that may be forged, or cannot be read.
pub(super) async fn read(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    (browser, from): (&Browser, IpAddr),
    body: Body,
) -> Result<Parameters, Box<Response>> {
    let refuse = |forged| Box::new(server.refuse_forged(headers, (Some(browser), from), forged));
    // Before anything is read of it.
    check_sender(server.base_url(), headers).map_err(refuse)?;
    let form = parameters::read_form(headers, body)
        .await
        .map_err(|error| Box::new(server.page(headers, Failure::broken_own_form(error.status(), error.message()))))?;
    let token = form.one(FORM_TOKEN).ok().flatten();
    match browser.check_post(server.base_url(), headers, token) {
        Ok(()) => Ok(form),
        Err(forged) => Err(refuse(forged)),
    }
}
