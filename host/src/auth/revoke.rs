//! `POST /revoke`: token revocation (RFC 7009).

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::client_auth;
use super::errors::{self, OAuthError};
use super::form::{missing, read};
use super::limits::Bucket;
use super::sender::Sender;
use super::server::AuthorizationServer;

/// Serves the revocation endpoint: 200 for a token that was revoked, and for one that there never was (RFC 7009 §2.2).
pub(crate) async fn revoke(
    server: &Arc<AuthorizationServer>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let sender = Sender::at(address);
    match answer(server, &sender, headers, body).await {
        Ok(()) => errors::json(StatusCode::OK, &json!({})),
        Err(error) => {
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
) -> Result<(), OAuthError> {
    server.limits.count(Bucket::Token, sender.address)?;
    let form = read(headers, body).await?;
    sender.claims(client_auth::claimed_id(headers, &form));
    let client = client_auth::authenticate(server, sender, headers, &form).await?;
    let token = form.one("token")?.ok_or_else(|| missing("token"))?;
    server.machines.revoke(token, &client.id).await?;
    server.sessions.revoke(token, &client.id).await
}
