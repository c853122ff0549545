//! `POST /token`: the token endpoint (RFC 6749 §3.2), for authorization codes and refresh tokens, device codes, and machines.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::client_auth;
use super::device;
use super::errors::{self, OAuthError};
use super::form::{missing, read};
use super::limits::Bucket;
use super::machines::exchange;
use super::offers::{self, CLIENT_CREDENTIALS, DEVICE_CODE, JWT_BEARER, Offer};
use super::resource;
use super::sender::Sender;
use super::server::AuthorizationServer;
use super::sessions::{Answer, Redemption, StartTime};
use super::tokens::TokenKind;
use crate::audit::event::Reason;
use crate::clock::now_s;

/// Serves the token endpoint.
pub(crate) async fn token(
    server: &Arc<AuthorizationServer>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let (began, sender) = (StartTime::now(), Sender::at(address));
    if server.audit.admit().is_err() {
        server.refused_sender(Reason::Unaudited, &sender);
        return OAuthError::Unaudited.response();
    }
    match answer(server, &sender, headers, body, began).await {
        Ok(answer) => errors::json(StatusCode::OK, &answer),
        Err(error) => {
            tracing::debug!(?error, "a token request was refused");
            server.refused_client(&error, &sender);
            error.response()
        }
    }
}

async fn answer(
    server: &Arc<AuthorizationServer>,
    sender: &Sender,
    headers: &HeaderMap,
    body: Body,
    began: StartTime,
) -> Result<Value, OAuthError> {
    let (form, address) = (read(headers, body).await?, sender.address);
    sender.claims(client_auth::claimed_id(headers, &form));
    let grant_type = form.one("grant_type")?.ok_or_else(|| missing("grant_type"))?;
    let bucket = if grant_type == "refresh_token" { Bucket::Refresh } else { Bucket::Token };
    server.limits.count(bucket, address)?;
    match grant_type {
        "authorization_code" => {
            let client = client_auth::authenticate(server, sender, headers, &form).await?;
            let view = resource::named(server.base_url(), form.all("resource"))?;
            let redemption = Redemption {
                code: form.one("code")?.ok_or_else(|| missing("code"))?.to_owned(),
                client_id: client.id,
                redirect_uri: form.one("redirect_uri")?.map(str::to_owned),
                verifier: form.one("code_verifier")?.ok_or_else(|| missing("code_verifier"))?.to_owned(),
                view,
                began,
            };
            server.sessions.note_use(TokenKind::Code, &redemption.code, address);
            server.sessions.redeem(redemption).await.map(|answer| written(server, &answer))
        }
        "refresh_token" => {
            let client = client_auth::authenticate(server, sender, headers, &form).await?;
            let view = resource::named(server.base_url(), form.all("resource"))?;
            let token = form.one("refresh_token")?.ok_or_else(|| missing("refresh_token"))?;
            server.sessions.note_use(TokenKind::Refresh, token, address);
            let answer = server.sessions.refresh(token, &client.id, form.one("scope")?, view).await?;
            Ok(written(server, &answer))
        }
        CLIENT_CREDENTIALS if server.offers(Offer::ClientCredentials) => {
            exchange::client_credentials(server, sender, headers, &form).await
        }
        JWT_BEARER if server.offers(Offer::Workloads) => exchange::jwt_bearer(server, &form).await,
        DEVICE_CODE if server.offers(Offer::DeviceFlow) => {
            let client = client_auth::authenticate(server, sender, headers, &form).await?;
            let view = resource::named(server.base_url(), form.all("resource"))?;
            let code = form.one("device_code")?.ok_or_else(|| missing("device_code"))?;
            let answer = device::poll::poll(server, code, (&client, view), address, began).await?;
            Ok(written(server, &answer))
        }
        _ => Err(OAuthError::UnsupportedGrantType { offered: offers::grant_types(&server.config()) }),
    }
}

fn written(server: &AuthorizationServer, answer: &Answer) -> Value {
    answer.json(now_s(), !server.people().all_scopes().is_empty())
}
