//! `POST /consent`: a person's decision (MCP Security Best Practices, Confused Deputy).
//!
//! Only here does an authorization leave the browser: it is written down, bound to the browser that approved it by
//! a cookie, and sent to the provider. The same form sent twice gives the same answer twice.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::ORIGIN;
use http::{HeaderMap, StatusCode};

use super::cookies::Cookie;
use super::device;
use super::failures::Failure;
use super::parameters;
use super::server::{AuthorizationServer, Back};
use super::transaction::{self, Form, Purpose};
use crate::audit::Event;
use crate::audit::event::{Client, Reason};
use crate::clock::now_s;
use crate::html::see_other;

/// Takes the consent form of somebody at an address.
pub(crate) async fn decide(
    server: &Arc<AuthorizationServer>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let parameters = match parameters::read_form(headers, body).await {
        Ok(parameters) => parameters,
        Err(error) => return server.page(headers, Failure::broken_form(error.status(), error.message())),
    };
    let sealed = parameters.one("request").ok().flatten().unwrap_or_default();
    let Some(form) = Form::open(&server.requests, sealed) else { return server.page(headers, Failure::expired()) };
    let csrf = server.cookies.get(headers, Cookie::Csrf, &form.id);
    // It is taken away when the browser comes back from the provider.
    if csrf.is_none() && server.is_bound(headers, &form.id) {
        return server.page(headers, Failure::expired());
    }
    if !is_from_our_page(headers, server.base_url().as_str()) || !csrf.is_some_and(|cookie| form.belongs_to(cookie)) {
        server.refused(Reason::ForgedForm, None, Some(address));
        return server
            .page(headers, Failure::other_browser("the consent form came without its cookie, or from another site"));
    }
    match parameters.one("decision").ok().flatten() {
        Some("approve") => approve(server, address, headers, form).await,
        Some("deny") => deny(server, &form).await,
        _ => server.page(headers, Failure::broken_form(StatusCode::BAD_REQUEST, "the form has no decision")),
    }
}

async fn approve(server: &Arc<AuthorizationServer>, address: IpAddr, headers: &HeaderMap, form: Form) -> Response {
    let upstream = transaction::upstream_request(&server.requests, &form.id, server.callback_url());
    // Of a device nobody is sent back.
    let back = Some(Back::approved(&form.request)).filter(|_| form.request.device.is_none());
    let url = match server.upstream.authorize_url(&upstream).await {
        Ok(url) => url,
        Err(unavailable) => return server.page_and_back(headers, unavailable, back),
    };
    if let Some(device) = &form.request.device {
        match device::row::claim(&server.store, device, &form.id, now_s()).await {
            Ok(true) => {}
            Ok(false) => return server.page(headers, Failure::device_page_over()),
            Err(error) => return server.page(headers, Failure::store(error.to_string())),
        }
    }
    let purpose = Purpose::Client(form.request.clone());
    let begun = transaction::begin(&server.store, &server.unfinished, address, &upstream.state, &form.id, &purpose);
    match begun.await {
        Ok(true) => {}
        Ok(false) => return server.page(headers, Failure::expired()),
        Err(error) => return server.page_and_back(headers, Failure::store(error.to_string()), back),
    }
    told(server, Some(address), &form, true);
    let mut response = see_other(url.as_str());
    let binding = transaction::binding(&server.requests, &form.id);
    server.cookies.set(&mut response, Cookie::Login, &form.id, &binding);
    response
}

/// Tells the client. An approval that was given before, in another tab say, is taken back.
async fn deny(server: &AuthorizationServer, form: &Form) -> Response {
    let upstream = transaction::upstream_request(&server.requests, &form.id, server.callback_url());
    if let Err(error) = transaction::take_back(&server.store, &upstream.state).await {
        tracing::warn!(%error, "a login that was denied could not be ended; it ends by itself");
    }
    told(server, None, form, false);
    if let Some(device) = &form.request.device {
        if let Err(error) = device::row::deny(&server.store, device, &form.id).await {
            tracing::warn!(%error, "a device that was denied could not be told; its code ends by itself");
        }
        let mut response = device::ending::denied(server, &form.request);
        server.cookies.clear(&mut response, &form.id);
        return response;
    }
    let is_approved = server.clients.is_declared(&form.request.client_id);
    let back = Back { is_approved, ..Back::approved(&form.request) };
    let mut response = server.send_error(&back, "access_denied", "the person did not approve the login");
    server.cookies.clear(&mut response, &form.id);
    response
}

/// Tells the audit of the decision.
fn told(server: &AuthorizationServer, from: Option<IpAddr>, form: &Form, is_approved: bool) {
    let request = &form.request;
    server.audit.record(&Event::Consent {
        client: Client { id: &request.client_id, name: Some(&request.client_name) },
        from,
        scopes: request.scopes.iter().map(String::as_str).collect(),
        is_approved,
    });
}

/// Tells whether a form was sent from a page of ours, as far as the browser says. With our referrer policy it says
/// `null` for the origin of our own pages, but it also says `same-origin`, which no other site can make it say.
pub(super) fn is_from_our_page(headers: &HeaderMap, base_url: &str) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    match (site, origin) {
        (Some("same-origin"), Some(origin)) => origin == "null" || origin == base_url,
        (Some("same-origin") | None, None) => true,
        (Some(_), _) => false,
        (None, Some(origin)) => origin == "null" || origin == base_url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_other_sites_are_not_taken() {
        for (site, origin, expected) in [
            (None, None, true),
            (Some("same-origin"), Some("null"), true),
            (Some("same-origin"), Some("https://mcp.example"), true),
            (Some("same-origin"), Some("https://evil.example"), false),
            (Some("same-site"), Some("null"), false),
            (Some("cross-site"), Some("null"), false),
            (Some("cross-site"), None, false),
            (Some("none"), None, false),
            (None, Some("https://mcp.example"), true),
            (None, Some("https://evil.example"), false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            assert_eq!(is_from_our_page(&headers, "https://mcp.example"), expected, "{site:?} {origin:?}");
        }
    }
}
