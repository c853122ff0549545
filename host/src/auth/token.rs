//! `POST /token`: the token endpoint (RFC 6749 §3.2), for authorization codes and refresh tokens.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::client_auth;
use super::errors::{self, OAuthError};
use super::limits::Bucket;
use super::parameters::{self, BodyError, FORM_BYTES_MAX, Parameters};
use super::resource;
use super::server::AuthorizationServer;
use super::sessions::{Answer, Redemption, StartTime};
use super::tokens::TokenKind;
use crate::clock::now_s;

/// Serves the token endpoint.
pub(crate) async fn token(
    server: &Arc<AuthorizationServer>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let began = StartTime::now();
    match answer(server, address, headers, body, began).await {
        Ok(answer) => {
            let are_there_scopes = !server.people().all_scopes().is_empty();
            errors::json(StatusCode::OK, &answer.json(now_s(), are_there_scopes))
        }
        Err(error) => {
            tracing::debug!(?error, "a token request was refused");
            error.response()
        }
    }
}

async fn answer(
    server: &Arc<AuthorizationServer>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
    began: StartTime,
) -> Result<Answer, OAuthError> {
    let form = read(headers, body).await?;
    let grant_type = form.one("grant_type")?.ok_or_else(|| missing("grant_type"))?;
    let bucket = if grant_type == "refresh_token" { Bucket::Refresh } else { Bucket::Token };
    server.limits.count(bucket, address)?;
    match grant_type {
        "authorization_code" => {
            let client = client_auth::authenticate(server, address, headers, &form).await?;
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
            server.sessions.redeem(redemption).await
        }
        "refresh_token" => {
            let client = client_auth::authenticate(server, address, headers, &form).await?;
            let view = resource::named(server.base_url(), form.all("resource"))?;
            let token = form.one("refresh_token")?.ok_or_else(|| missing("refresh_token"))?;
            server.sessions.note_use(TokenKind::Refresh, token, address);
            server.sessions.refresh(token, &client.id, form.one("scope")?, view).await
        }
        _ => Err(OAuthError::UnsupportedGrantType),
    }
}

/// The parameters of a request to one of the endpoints for clients.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Parameters, OAuthError> {
    let form = parameters::read_form(headers, body).await.map_err(|error| match error {
        BodyError::TooLarge => OAuthError::TooLarge { max_bytes: FORM_BYTES_MAX },
        BodyError::Overload => OAuthError::unavailable(),
        BodyError::Incomplete | BodyError::NotAForm => OAuthError::InvalidRequest(error.message().to_owned()),
    })?;
    // Two resources are an error of their own (RFC 8707 §2).
    form.expect_single(&["resource"])?;
    Ok(form)
}

pub(super) fn missing(name: &str) -> OAuthError {
    OAuthError::InvalidRequest(format!("parameter `{name}` is missing"))
}
