//! Forms of this server's own pages.

use std::net::IpAddr;

use axum::body::Body;
use axum::response::Response;
use http::HeaderMap;

use super::{Browser, FORM_TOKEN, check_sender};
use crate::auth::failures::Failure;
use crate::auth::parameters::{self, Parameters};
use crate::auth::server::AuthorizationServer;

/// Reads a form that was sent from a page of this server in this browser.
///
/// # Errors
/// The answer for a form that may be forged, or cannot be read.
pub(super) async fn read(
    server: &AuthorizationServer,
    address: IpAddr,
    headers: &HeaderMap,
    browser: &Browser,
    body: Body,
) -> Result<Parameters, Box<Response>> {
    // Before anything is read of it.
    let forged = |forged| Box::new(server.refuse_forged(address, headers, forged));
    check_sender(server.base_url(), headers).map_err(forged)?;
    let form = parameters::read_form(headers, body)
        .await
        .map_err(|error| Box::new(server.page(headers, Failure::broken_own_form(error.status(), error.message()))))?;
    let token = form.one(FORM_TOKEN).ok().flatten();
    browser.check_post(server.base_url(), headers, token).map_err(forged)?;
    Ok(form)
}
