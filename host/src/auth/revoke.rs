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
use super::server::AuthorizationServer;

/// Serves the revocation endpoint: 200 for a token that was revoked, and for one that there never was (RFC 7009 §2.2).
pub(crate) async fn revoke(
    server: &Arc<AuthorizationServer>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    match answer(server, address, headers, body).await {
        Ok(()) => errors::json(StatusCode::OK, &json!({})),
        Err(error) => {
            if let Some(reason) = error.reason() {
                server.refused(reason, None, Some(address));
            }
            error.response()
        }
    }
}

async fn answer(
    server: &Arc<AuthorizationServer>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), OAuthError> {
    server.limits.count(Bucket::Token, address)?;
    let form = read(headers, body).await?;
    let client = client_auth::authenticate(server, address, headers, &form).await?;
    let token = form.one("token")?.ok_or_else(|| missing("token"))?;
    server.machines.revoke(token, &client.id).await?;
    server.sessions.revoke(token, &client.id).await
}
