//! `POST /device_authorization`: a device begins (RFC 8628 §3.1, §3.2).
//!
//! There is no `verification_uri_complete`: a link that has the code in it is how people are made to log in for others
//! (RFC 8628 §5.4).

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::codes::UserCode;
use super::pace::INTERVAL;
use super::row::{self, LIFE_S, NewDevice};
use crate::audit::Event;
use crate::audit::event::{Client, DeviceStep};
use crate::auth::client_auth;
use crate::auth::errors::{self, OAuthError};
use crate::auth::form::read;
use crate::auth::limits::Bucket;
use crate::auth::pages::clean_name;
use crate::auth::resource;
use crate::auth::sender::Sender;
use crate::auth::server::AuthorizationServer;
use crate::auth::tokens::{Token, TokenKind};
use crate::clock::now_s;
use crate::config::machines::ClientGrant;
use crate::log_limiter::LogLimiter;
use crate::store::Committed;

/// User codes that are tried: one is taken already once in some million times.
const TRIES: usize = 4;

static GAVE_WAY: LogLimiter = LogLimiter::new("devices that gave way to others");

/// Serves the device authorization endpoint.
pub(crate) async fn begin(
    server: &Arc<AuthorizationServer>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let sender = Sender::at(address);
    match answer(server, &sender, headers, body).await {
        Ok(answer) => errors::json(StatusCode::OK, &answer),
        Err(error) => {
            server.refused_client(&error, &sender);
            error.response()
        }
    }
}

async fn answer(
    server: &AuthorizationServer,
    sender: &Sender,
    headers: &HeaderMap,
    body: Body,
) -> Result<Value, OAuthError> {
    let address = sender.address;
    server.limits.count(Bucket::Token, address)?;
    let form = read(headers, body).await?;
    sender.claims(client_auth::claimed_id(headers, &form));
    let client = client_auth::authenticate(server, sender, headers, &form).await?;
    if !server.clients.declared().may(&client.id, ClientGrant::DeviceCode) {
        return Err(OAuthError::UnauthorizedClient);
    }
    let view = server.people().wanted(resource::named(server.base_url(), form.all("resource"))?)?;
    let scopes = server.people().requested(form.one("scope")?, client.scope.as_deref(), &view);
    let client_name = clean_name(client.name.as_deref().unwrap_or(&client.id));
    for _ in 0..TRIES {
        let code = UserCode::new();
        let family = row::beside(&server.requests, &code);
        let device_code = Token::new(&server.tokens, TokenKind::Device, family);
        let new = NewDevice {
            hash: device_code.hash(),
            client_id: client.id.clone(),
            client_name: client_name.clone(),
            scopes: scopes.clone(),
            view: view.clone(),
            address,
            now_s: now_s(),
        };
        if row::insert(&server.store, &server.requests, &family, &code, new).await? == Committed::Conflict {
            continue;
        }
        let gone = server.devices.waiting.begin(row::key(&family), address);
        if !gone.is_empty() {
            GAVE_WAY.log(|| tracing::warn!(%address, "devices that wait for a login give way to others: very many began, and were not finished"));
            row::remove(&server.store, gone).await?;
        }
        server.audit.record(&Event::Device {
            what: DeviceStep::Begun,
            client: Client { id: &client.id, name: client.name.as_deref() },
            from: address,
        });
        return Ok(json!({
            "device_code": device_code.text(),
            "user_code": code.shown(),
            "verification_uri": format!("{}/device", server.base_url().as_str()),
            "expires_in": LIFE_S,
            "interval": INTERVAL.as_secs(),
        }));
    }
    Err(OAuthError::unavailable())
}
