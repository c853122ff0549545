//! A device that asks for its tokens (RFC 8628 §3.4, §3.5).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::row::{self, State};
use crate::auth::clients::Client;
use crate::auth::errors::OAuthError;
use crate::auth::server::AuthorizationServer;
use crate::auth::sessions::{Answer, Redemption, StartTime};
use crate::auth::tokens::{Token, TokenKind};
use crate::clock::now_s;
use crate::config::machines::ClientGrant;
use crate::view::View;

const BAD_CODE: OAuthError =
    OAuthError::InvalidGrant("the device code was not given out here, or belongs to another client");

/// The tokens of a device whose person has logged in.
///
/// # Errors
/// `authorization_pending` and `slow_down` until then, `access_denied` or `expired_token` if there will be none.
pub(in crate::auth) async fn poll(
    server: &Arc<AuthorizationServer>,
    raw_code: &str,
    (client, view): (&Client, Option<View>),
    from: IpAddr,
    began: StartTime,
) -> Result<Answer, OAuthError> {
    if !server.clients.declared().may(&client.id, ClientGrant::DeviceCode) {
        return Err(OAuthError::UnauthorizedClient);
    }
    let code = Token::open(&server.tokens, TokenKind::Device, raw_code).ok_or(BAD_CODE)?;
    // It was given out here, and its row is gone.
    let found = row::load(&server.store, &code.family).await?.ok_or(OAuthError::ExpiredToken)?;
    let device = found.device;
    if device.hash != code.hash() || device.client_id != client.id {
        return Err(BAD_CODE);
    }
    match device.state {
        State::LoggedIn { code: authorization_code } => {
            let redemption = Redemption {
                code: authorization_code,
                client_id: client.id.clone(),
                redirect_uri: None,
                verifier: row::verifier(&server.requests, &code.family),
                view,
                began,
            };
            server.sessions.note_use(TokenKind::Code, &redemption.code, from);
            server.sessions.redeem(redemption).await
        }
        State::Denied => Err(OAuthError::AccessDenied),
        State::Waiting | State::Claimed { .. } if device.expires_s <= now_s() => Err(OAuthError::ExpiredToken),
        State::Waiting | State::Claimed { .. } => match server.devices.pace.ask(code.family, Instant::now()) {
            true => Err(OAuthError::AuthorizationPending),
            false => Err(OAuthError::PollSlowly),
        },
    }
}
