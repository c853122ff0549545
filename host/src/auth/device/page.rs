//! `/device`: the page on which a person types the code of a device (RFC 8628 §3.3), and the consent that follows it.
//!
//! The form has a cookie of its own, so that nobody else sends it; the consent's form goes to `/consent`, as every other
//! does. Neither page has a script.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::HOST;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::codes::UserCode;
use super::row::{self, Device};
use crate::audit::Event;
use crate::audit::event::{Client, DeviceStep, Reason};
use crate::auth::consent::is_from_our_page;
use crate::auth::cookies::Cookie;
use crate::auth::failures::Failure;
use crate::auth::parameters;
use crate::auth::resource;
use crate::auth::server::AuthorizationServer;
use crate::auth::tokens::Family;
use crate::auth::transaction::{Form, FreshForm, LIFE_S, TransactionId, ValidatedRequest};
use crate::clock::now_s;
use crate::html::{self, see_other};
use crate::vault::Vault;

/// The purpose of the form's seal.
const FORM: &[u8] = b"device form";

/// A visit of the page, sealed into its form.
#[derive(Serialize, Deserialize)]
struct Visit {
    id: TransactionId,
    /// The hash of the cookie that was set with the form.
    csrf: [u8; 32],
    expires_s: u64,
}

impl Visit {
    /// A visit that begins, and the value of its cookie.
    fn begin() -> (Self, String) {
        let now_s = now_s();
        let csrf = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let hash = *blake3::hash(csrf.as_bytes()).as_bytes();
        (Self { id: TransactionId::new(now_s), csrf: hash, expires_s: now_s + LIFE_S }, csrf)
    }

    fn seal(&self, vault: &Vault) -> String {
        URL_SAFE_NO_PAD.encode(vault.seal(FORM, &serde_json::to_vec(self).expect("a visit is JSON")))
    }

    fn open(vault: &Vault, sealed: &str) -> Option<Self> {
        let plain = vault.open(FORM, &URL_SAFE_NO_PAD.decode(sealed).ok()?)?;
        let visit: Self = serde_json::from_slice(&plain).ok()?;
        (visit.expires_s > now_s()).then_some(visit)
    }

    fn belongs_to(&self, cookie: &str) -> bool {
        blake3::hash(cookie.as_bytes()) == blake3::Hash::from_bytes(self.csrf)
    }
}

/// The form for a code.
#[derive(Template)]
#[template(path = "device.html")]
struct CodeView<'a> {
    server: &'a str,
    sealed_visit: String,
    problem: Option<String>,
}

/// The consent for a device.
#[derive(Template)]
#[template(path = "device_consent.html")]
struct DeviceConsentView<'a> {
    server: &'a str,
    client: &'a str,
    /// The address that the device's request came from.
    address: String,
    minutes: u64,
    /// The view that it asks for; none for `/mcp`.
    part: Option<&'a str>,
    scopes: Vec<(String, String)>,
    provider: &'a str,
    provider_scopes: Vec<String>,
    sealed_request: String,
}

/// Asks for a code.
pub(crate) fn page(server: &Arc<AuthorizationServer>, headers: &HeaderMap) -> Response {
    if resource::alias(server.base_url(), headers.get(HOST)).is_some() {
        // Cookies are the host's, and the provider sends people back to `base_url`.
        return see_other(&format!("{}/device", server.base_url().as_str()));
    }
    let (visit, csrf) = Visit::begin();
    let mut response = ask(server, &visit, None);
    server.cookies.make_room(headers, &mut response);
    server.cookies.set(&mut response, Cookie::Csrf, &visit.id, &csrf);
    response
}

/// Takes a code from somebody at an address.
pub(crate) async fn submit(
    server: &Arc<AuthorizationServer>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let parameters = match parameters::read_form(headers, body).await {
        Ok(parameters) => parameters,
        Err(error) => return server.page(headers, Failure::broken_form(error.status(), error.message())),
    };
    let sealed = parameters.one("visit").ok().flatten().unwrap_or_default();
    let Some(visit) = Visit::open(&server.requests, sealed) else {
        return server.page(headers, Failure::device_page_over());
    };
    let csrf = server.cookies.get(headers, Cookie::Csrf, &visit.id);
    if !is_from_our_page(headers, server.base_url().as_str()) || !csrf.is_some_and(|cookie| visit.belongs_to(cookie)) {
        server.refused(Reason::ForgedForm, None, Some(address));
        return server
            .page(headers, Failure::other_browser("a device's code came without its cookie, or from another site"));
    }
    let (id, now, tries) = (visit.id.to_string(), Instant::now(), &server.devices.tries);
    if !tries.may_try(&id, address, now) {
        server.refused(Reason::TooMany, None, Some(address));
        return server.page(headers, Failure::too_many_device_codes());
    }
    let typed = parameters.one("code").ok().flatten().and_then(UserCode::read);
    let found = match typed {
        None => Ok(None),
        Some(code) => row::by_user_code(&server.store, &server.requests, &code).await,
    };
    match found {
        Err(error) => server.page(headers, Failure::store(error.to_string())),
        Ok(Some((family, device))) => {
            if let Err(unavailable) = server.upstream.ready().await {
                return server.page(headers, unavailable);
            }
            server.audit.record(&Event::Device {
                what: DeviceStep::Entered,
                client: Client { id: &device.client_id, name: Some(&device.client_name) },
                from: address,
            });
            consent(server, headers, family, &device)
        }
        Ok(None) => match wrong(server, &id, address, now) {
            0 => server.page(headers, Failure::too_many_device_codes()),
            left => {
                let tries = if left == 1 { "one more try" } else { "a few more tries" };
                ask(
                    server,
                    &visit,
                    Some(format!(
                        "No device waits with this code: compare it with the device. It may be over by now. You have {tries}."
                    )),
                )
            }
        },
    }
}

/// Counts a wrong code. Returns how many more the visit has.
fn wrong(server: &AuthorizationServer, visit: &str, address: IpAddr, now: Instant) -> u32 {
    server.refused(Reason::WrongCode, None, Some(address));
    server.devices.tries.wrong(visit, address, now)
}

fn ask(server: &AuthorizationServer, visit: &Visit, problem: Option<String>) -> Response {
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let sealed_visit = visit.seal(&server.requests);
    let view = CodeView { server: server.base_url().authority(), sealed_visit, problem };
    html::answer(status, &view, server.base_url())
}

/// The consent page for a device, with the request in its form and a cookie that goes with it.
fn consent(server: &AuthorizationServer, headers: &HeaderMap, family: Family, device: &Device) -> Response {
    let request = ValidatedRequest {
        client_id: device.client_id.clone(),
        client_name: device.client_name.clone(),
        // Nobody is sent anywhere: the device asks by itself.
        redirect_uri: String::new(),
        state: None,
        code_challenge: row::challenge(&server.requests, &family),
        scopes: device.scopes.clone(),
        view: device.view.clone(),
        device: Some(family),
    };
    let scopes = device.scopes.iter().map(|scope| (scope.clone(), server.people().describe(scope))).collect();
    let FreshForm { form, csrf } = Form::fresh(request, &server.requests);
    let view = DeviceConsentView {
        server: server.base_url().authority(),
        client: &device.client_name,
        address: device.address.to_canonical().to_string(),
        minutes: now_s().saturating_sub(device.created_s) / 60,
        part: device.view.name(),
        scopes,
        provider: server.upstream.display_name(),
        provider_scopes: server.upstream.scopes(),
        sealed_request: form.seal(&server.requests),
    };
    let mut response = html::answer(StatusCode::OK, &view, server.base_url());
    server.cookies.make_room(headers, &mut response);
    server.cookies.set(&mut response, Cookie::Csrf, &form.id, &csrf);
    response
}
