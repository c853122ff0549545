//! Authentication: the authorization server of our clients, and the bearer tokens that it gives out.
//!
//! The endpoints, each with its RFC: [`wellknown`], [`clients::registration`], [`authorize`], [`consent`],
//! [`callback`], [`token`], [`revoke`], [`backchannel`]. They share [`server`], and tell people of [`failures`] on [`pages`]. A login
//! under way is a [`transaction`]; afterwards it is one of the [`sessions`], in [`tokens`] and a row of the store.
//! [`machines`] are callers that are no person, [`mod@device`] a login for a device without a browser; [`offers`] says which
//! of these there are.
//! People log in on this server's own pages too: [`browser`].
//! [`upstream`] is the identity provider, and the only module that talks to it. [`people`] has the rules for persons
//! and scopes.
//!
//! Nothing here knows of plugins: a request leaves this module with a [`Principal`].

pub(crate) mod authorize;
pub(crate) mod backchannel;
pub(crate) mod browser;
pub(crate) mod callback;
mod client_auth;
pub mod clients;
pub(crate) mod consent;
mod cookies;
pub mod desk;
pub(crate) mod device;
mod elsewhere;
mod errors;
mod failures;
mod form;
mod holder;
mod identity;
mod key_source;
mod limits;
pub(crate) mod local;
pub mod machines;
mod offers;
mod pages;
mod parameters;
mod people;
mod refused;
pub(crate) mod register;
mod resource;
pub(crate) mod revoke;
mod sender;
mod server;
mod sessions;
pub(crate) mod token;
mod tokens;
mod told;
mod transaction;
pub mod upstream;
pub(crate) mod wellknown;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::watch;

pub(crate) use self::browser::Browser;
pub use self::server::{AuthorizationServer, ServerParts};
use self::sessions::bearer::BearerError;
pub use self::tokens::LastToken;
pub(crate) use self::wellknown::Challenge;
use crate::audit::event::Reason;
use crate::log_limiter::LogLimiter;
use crate::loopback::is_loopback;
use crate::peer::Peer;
use crate::principal::Principal;
use crate::view::View;

/// Headers by which a proxy says that it forwards somebody else's request.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

static FOREIGN_TOKENS: LogLimiter = LogLimiter::new("bearer tokens that are none of this server");
static ENDED_TOKENS: LogLimiter =
    LogLimiter::new("bearer tokens whose session has ended, or that were revoked or replaced");
static LOOPING_CLIENTS: LogLimiter = LogLimiter::new("clients that log in for another part of this server");
static UNCHECKED: LogLimiter = LogLimiter::new("bearer tokens that could not be checked, since the store failed");
static TURNED_AWAY: LogLimiter =
    LogLimiter::new("bearer tokens of people or clients that `[auth]` or the operator turns away");

/// The interval at which the token of an open stream is checked again.
const STREAM_CHECK: Duration = Duration::from_secs(10);

/// The time for which a stream goes on after its token has expired, so that a call under way can finish.
const STREAM_GRACE: Duration = Duration::from_secs(15);

/// The ways to tell callers apart.
pub enum Auth {
    /// `auth.provider = "none"`: everybody on this machine is the same anonymous person.
    None(Arc<Principal>),
    /// People who have logged in.
    Login(Arc<AuthorizationServer>),
}

/// The reason why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Anybody could log in, and the caller is on another machine.
    #[error("with this login (`auth.provider` is `none` or `local`) the server serves its own machine only")]
    NotLocal,
    /// Anybody could log in, and a proxy may be forwarding a stranger.
    #[error(
        "with this login (`auth.provider` is `none` or `local`) the server takes no request that a proxy has forwarded"
    )]
    Forwarded,
    /// There is no bearer token.
    #[error("log in first: this server's authorization server is named in its protected resource metadata")]
    NoToken,
    /// There are two `Authorization` headers.
    #[error("more than one Authorization header")]
    TwoTokens,
    /// The bearer token is not taken.
    #[error("the access token is not valid or not any more")]
    InvalidToken,
    /// The bearer token is for another view.
    #[error("the access token is for another part of this server than this URL: log in for this one")]
    Elsewhere,
    /// The same once more: the client does not say where it logs in for.
    #[error(
        "the access token is for another part of this server than this URL, and so was the one before: this client does not name the URL when it logs in (`resource`, RFC 8707), so that another login changes nothing. Give it the URL that ends in `/mcp`, or use a client that names it"
    )]
    ElsewhereAgain,
    /// The store cannot be read.
    #[error("tokens cannot be checked at the moment: try again")]
    Unavailable,
}

impl Auth {
    /// Serves everybody on this machine, without a login.
    pub fn none() -> Self {
        Self::None(Arc::new(Principal::anonymous()))
    }

    /// The authorization server, if people log in.
    pub fn server(&self) -> Option<&Arc<AuthorizationServer>> {
        match self {
            Self::None(_) => None,
            Self::Login(server) => Some(server),
        }
    }

    /// A signal that changes with the rules of `[auth]`; never where there are none.
    pub fn rules(&self) -> watch::Receiver<()> {
        self.server().map_or_else(|| watch::channel(()).1, |server| server.people().changes())
    }

    /// True if logins are possible, or nobody has to log in.
    pub fn is_ready(&self) -> bool {
        self.server().is_none_or(|server| server.is_ready())
    }

    /// Turns strangers away, where anybody could log in.
    ///
    /// # Errors
    /// [`Refusal::NotLocal`] or [`Refusal::Forwarded`].
    pub fn admit(&self, peer: &Peer, headers: &HeaderMap) -> Result<(), Refusal> {
        let is_for_this_machine = match self {
            Self::None(_) => true,
            Self::Login(server) => server.is_local(),
        };
        if !is_for_this_machine {
            return Ok(());
        }
        if !is_loopback(peer.address.ip()) {
            return Err(Refusal::NotLocal);
        }
        if FORWARDED.iter().any(|name| headers.contains_key(*name)) {
            return Err(Refusal::Forwarded);
        }
        Ok(())
    }

    /// Finds out who sent a request for a view. Its address, past trusted proxies, is asked for where a use is noted.
    ///
    /// # Errors
    /// [`Refusal`]: the request must not be served.
    pub async fn authenticate(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        last: &LastToken,
        view: &View,
        from: impl Fn() -> Option<IpAddr> + Send + Sync,
    ) -> Result<Arc<Principal>, Refusal> {
        self.admit(peer, headers)?;
        match self {
            Self::None(anonymous) if view.is_main() => Ok(Arc::clone(anonymous)),
            Self::None(_) => Ok(Arc::new(Principal::anonymous().at(view))),
            Self::Login(server) => match bearer(headers).and_then(|token| token.ok_or(Refusal::NoToken)) {
                Ok(token) => {
                    let principal = server.authenticate(token, last, &from).await.map_err(|error| {
                        server.refused_token(reason(error), token, last, from());
                        refused(error)
                    })?;
                    if principal.view() != view {
                        server.refused(Reason::OtherView, principal.client.as_deref(), from());
                        return Err(elsewhere(server, &principal, token, view));
                    }
                    if !view.is_main() {
                        server.elsewhere.forget(&principal);
                    }
                    Ok(principal)
                }
                Err(refusal) => {
                    let reason = if refusal == Refusal::TwoTokens { Reason::TwoTokens } else { Reason::NoToken };
                    server.refused(reason, None, from());
                    Err(refusal)
                }
            },
        }
    }

    /// Finds the browser that sent a request to one of this server's own pages, and the person at it; none if nobody has
    /// logged in there, or if that login has ended.
    ///
    /// # Errors
    /// [`Refusal`]: the request must not be served.
    pub(crate) async fn browser(&self, peer: &Peer, headers: &HeaderMap) -> Result<Option<Browser>, Refusal> {
        self.admit(peer, headers)?;
        match self {
            Self::None(anonymous) => Ok(Some(Browser::of_anybody(Arc::clone(anonymous)))),
            Self::Login(server) => server.browser(headers).await.map_err(|_| Refusal::Unavailable),
        }
    }

    /// Waits until the token of a request is no longer good, for streams that outlast the request.
    pub async fn ended(&self, authorization: Option<HeaderValue>) {
        let Self::Login(server) = self else { return std::future::pending().await };
        let mut headers = HeaderMap::new();
        headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
        let Ok(Some(token)) = bearer(&headers) else { return };
        let (mut rules, last) = (server.people().changes(), LastToken::default());
        // The end of the session is not waited for, once it is known which.
        let mut principal = server.authenticate(token, &last, || None).await.ok();
        loop {
            let turned_away = async {
                match &principal {
                    Some(principal) => principal.turned_away(&[]).await,
                    None => std::future::pending().await,
                }
            };
            // Neither is a change of the rules.
            tokio::select! {
                () = turned_away => {}
                Ok(()) = rules.changed() => {}
                () = tokio::time::sleep(STREAM_CHECK) => {}
            }
            match server.authenticate(token, &last, || None).await {
                Ok(found) => principal = Some(found),
                // Without a store nothing tells what has ended: look again later.
                Err(BearerError::Unavailable) => principal = None,
                Err(BearerError::Expired) => return tokio::time::sleep(STREAM_GRACE).await,
                Err(BearerError::Foreign | BearerError::Ended | BearerError::TurnedAway) => return,
            }
        }
    }

    /// Completes the answer to a request at a place, by its Host and its view, that is not served: status, and the
    /// challenge that says how to log in.
    pub fn refuse(
        &self,
        refusal: Refusal,
        place: (Option<&HeaderValue>, &View),
        scopes: &BTreeSet<String>,
        mut response: Response,
    ) -> Response {
        let status = match refusal {
            Refusal::NotLocal | Refusal::Forwarded => StatusCode::FORBIDDEN,
            Refusal::NoToken | Refusal::InvalidToken | Refusal::Elsewhere | Refusal::ElsewhereAgain => {
                StatusCode::UNAUTHORIZED
            }
            Refusal::TwoTokens => StatusCode::BAD_REQUEST,
            Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        *response.status_mut() = status;
        if refusal == Refusal::Unavailable {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if let Self::Login(server) = self
            && status == StatusCode::UNAUTHORIZED
        {
            let text = refusal.to_string();
            let challenge = match refusal {
                Refusal::InvalidToken | Refusal::Elsewhere | Refusal::ElsewhereAgain => Challenge::InvalidToken(&text),
                _ => Challenge::NoToken,
            };
            wellknown::challenge(server, place, &mut response, challenge, scopes);
        }
        response
    }

    /// Completes the answer to a call whose token lacks scopes: it names those and the ones that the token has, so that
    /// the client asks for all at once.
    pub fn refuse_for_scopes(
        &self,
        place: (Option<&HeaderValue>, &View),
        scopes: &BTreeSet<String>,
        mut response: Response,
    ) -> Response {
        *response.status_mut() = StatusCode::FORBIDDEN;
        if let Self::Login(server) = self {
            wellknown::challenge(server, place, &mut response, Challenge::InsufficientScope, scopes);
        }
        response
    }
}

/// The bearer token of a request (RFC 6750 §2.1). Other schemes, and other places of a request, are ignored.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::TwoTokens);
    }
    let pair = value.to_str().ok().and_then(|value| value.split_once(' '));
    Ok(pair.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim()))
}

/// The refusal of a token that is for another view.
fn elsewhere(server: &AuthorizationServer, principal: &Principal, token: &str, view: &View) -> Refusal {
    if !server.elsewhere.note(principal, token, view) {
        return Refusal::Elsewhere;
    }
    let (person, own) = (principal.label(), principal.view());
    LOOPING_CLIENTS.log(|| {
        tracing::warn!(
            person,
            "a client was refused at `{view}` again: it logs in for `{own}`, since it sends no `resource` (RFC 8707), and would go on like this; give it the URL of `{own}`, or another client"
        );
    });
    Refusal::ElsewhereAgain
}

fn reason(error: BearerError) -> Reason {
    match error {
        BearerError::Foreign => Reason::ForeignToken,
        BearerError::Ended => Reason::EndedToken,
        BearerError::TurnedAway => Reason::TurnedAway,
        BearerError::Expired => Reason::ExpiredToken,
        BearerError::Unavailable => Reason::Unavailable,
    }
}

/// Logs the inner reason: clients are told the same in each case.
fn refused(error: BearerError) -> Refusal {
    let reference = server::reference();
    match error {
        BearerError::Foreign => FOREIGN_TOKENS.log(|| {
            tracing::info!(%reference, "a bearer token was refused: it is no access token of this server");
        }),
        BearerError::Ended => ENDED_TOKENS.log(|| {
            tracing::info!(%reference, "a bearer token was refused: its session has ended, or it was revoked or replaced");
        }),
        BearerError::TurnedAway => TURNED_AWAY.log(|| {
            tracing::info!(%reference, "a bearer token was refused: its person or client is turned away by `[auth]`, or by the operator");
        }),
        BearerError::Expired => tracing::debug!(%reference, "a bearer token was refused: it has expired"),
        BearerError::Unavailable => {
            UNCHECKED.log(|| tracing::error!(%reference, "a bearer token could not be checked: the store failed"));
            return Refusal::Unavailable;
        }
    }
    Refusal::InvalidToken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_login_only_this_machine_is_served() {
        let peer = |address: &str| Peer { address: address.parse().unwrap() };
        let plain = HeaderMap::new();
        let mut forwarded = HeaderMap::new();
        forwarded.insert("x-forwarded-for", "127.0.0.1".parse().unwrap());
        let auth = Auth::none();
        assert_eq!(auth.admit(&peer("127.0.0.1:1"), &plain), Ok(()));
        assert_eq!(auth.admit(&peer("[::ffff:127.0.0.1]:1"), &plain), Ok(()));
        assert_eq!(auth.admit(&peer("192.0.2.1:1"), &plain), Err(Refusal::NotLocal));
        assert_eq!(auth.admit(&peer("[::1]:1"), &forwarded), Err(Refusal::Forwarded));
    }

    #[test]
    fn a_bearer_token_is_in_its_header_once() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            headers
        };
        assert_eq!(bearer(&headers(&[])), Ok(None));
        assert_eq!(bearer(&headers(&["Basic x"])), Ok(None));
        assert_eq!(bearer(&headers(&["bEaReR x"])), Ok(Some("x")));
        assert_eq!(bearer(&headers(&["Bearer"])), Ok(None));
        assert_eq!(bearer(&headers(&["Bearer x", "Bearer x"])), Err(Refusal::TwoTokens));
    }
}
