//! `POST /auth/backchannel-logout`: the provider says that it has ended one of its own sessions (OpenID Connect
//! Back-Channel Logout 1.0 §2.5 to §2.8).
//!
//! Whatever was begun here in that session ends: clients' sessions and browsers'. A token is taken once, so that nobody
//! who has seen one can log a person out again later.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use super::errors::{self, OAuthError};
use super::form::{missing, read};
use super::limits::Bucket;
use super::server::{AuthorizationServer, reference};
use super::upstream::messages::{Logout, LogoutError};
use crate::log_limiter::LogLimiter;
use crate::store::{Key, StoreError, Table, Write};

static REFUSED: LogLimiter = LogLimiter::new("logout tokens that were refused");

/// The reason why nobody was logged out.
enum Refused {
    /// The request cannot be read, or its sender sends too many.
    Request(OAuthError),
    /// The token is not taken.
    Token(LogoutError),
    /// The token was taken before.
    Replayed,
    /// The sessions cannot be found or ended: the provider may try again.
    Store(StoreError),
}

/// Takes a logout token: 200 once every session that it concerns has ended, were there any or not, and 400 otherwise
/// (§2.8).
pub(crate) async fn logout(
    server: &Arc<AuthorizationServer>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    match answer(server, address, headers, body).await {
        Ok(()) => {
            let mut done = Response::default();
            done.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            done
        }
        Err(Refused::Request(error)) => error.response(),
        Err(refused) => refused.response(server),
    }
}

async fn answer(
    server: &Arc<AuthorizationServer>,
    address: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Refused> {
    server.limits.count(Bucket::Token, address).map_err(Refused::Request)?;
    let form = read(headers, body).await.map_err(Refused::Request)?;
    let token = form.one("logout_token").map_err(|repeated| Refused::Request(repeated.into()))?;
    let token = token.ok_or_else(|| Refused::Request(missing("logout_token")))?;
    let logout = server.upstream.logout(token).await.map_err(Refused::Token)?;
    let once = key(&logout);
    if server.store.get(Table::Once, &once).await.map_err(Refused::Store)?.is_some() {
        return Err(Refused::Replayed);
    }
    let ended = server.sessions.end_by_provider(&logout).await.map_err(Refused::Store)?;
    tracing::info!(provider = server.upstream.name(), sessions = ended, "the provider has logged somebody out");
    // Last, so that a token of which not all could be done is taken again. Who sends it twice at once ends nothing more.
    let (table, value) = (Table::Once, Vec::new());
    let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(logout.ends_s);
    server.store.commit(vec![Write::Insert { table, key: once, value, expires }]).await.map_err(Refused::Store)?;
    Ok(())
}

/// The mark of a token that was taken.
fn key(logout: &Logout) -> Key {
    Key::of(format!("logout\0{}\0{}", logout.issuer, logout.id).as_bytes())
}

impl Refused {
    fn response(self, server: &AuthorizationServer) -> Response {
        let reference = reference();
        let (code, cause) = match &self {
            Self::Token(error @ (LogoutError::Wrong(_) | LogoutError::NotOffered(_))) => {
                ("invalid_request", error.to_string())
            }
            Self::Token(error @ LogoutError::Unavailable(_)) => ("temporarily_unavailable", error.to_string()),
            Self::Replayed => ("invalid_request", "it was taken before".to_owned()),
            Self::Store(error) => ("temporarily_unavailable", error.to_string()),
            Self::Request(_) => ("invalid_request", "the request cannot be read".to_owned()),
        };
        REFUSED.log(|| {
            tracing::warn!(%reference, provider = server.upstream.name(), cause, "a logout token was refused");
        });
        // Its sender may be anybody: the reason is in the log alone.
        let description = format!("the logout token was not taken; reference {reference}");
        errors::json(StatusCode::BAD_REQUEST, &json!({ "error": code, "error_description": description }))
    }
}
