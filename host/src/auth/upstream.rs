//! Logging people in at the provider: the one module that talks to it.
//!
//! - [`remote`]: a provider elsewhere, by its data. [`local`]: the built-in login, for development.
//! - [`messages`]: requests to the provider and their results, as data.
//! - `discovery`: the provider's metadata. `breaker`: requests to it, and none while it is down.
//! - `authorization`: the request that a person is sent with. `token`: codes and refresh tokens for tokens, by way of
//!   the `oauth2` crate. `adapter`, `answer`: that crate's HTTP client.
//! - `logout`: the provider's word that it has ended a session of its own.
//! - `inquiry`: the person behind tokens. `id_token`: its checks. `person`, `claims`: an identity out of claims.
//! - `faults`: the meaning of its errors, and who has to act. `refusals`: those of one person, or of everybody.
//! - `notes`: its last failures, for `tinymcp doctor`. [`checkup`]: the check of the configuration, for the same.

mod adapter;
mod answer;
mod authorization;
mod breaker;
pub mod checkup;
mod claims;
mod discovery;
mod faults;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod id_token;
mod inquiry;
pub mod local;
mod logout;
pub mod messages;
mod notes;
mod person;
mod refusals;
pub mod remote;
mod token;

use futures::future::BoxFuture;
use url::Url;

use self::local::Local;
use self::messages::{
    Callback, Login, LoginError, Logout, LogoutError, RefreshError, RefreshOutcome, UpstreamRequest, UpstreamTokens,
};
use self::remote::Remote;
use super::failures::Failure;
use super::identity::Identity;
use crate::config::Provider;

/// The scopes that a configuration asks of a provider, before anything is known of it.
pub fn configured_scopes(provider: &Provider) -> Vec<String> {
    authorization::scopes(provider, None)
}

/// The provider through which people log in.
pub enum Upstream {
    /// A provider elsewhere.
    Remote(Remote),
    /// The built-in login page.
    Local(Local),
}

impl Upstream {
    /// The provider's name in the configuration, such as `auth0`.
    pub fn name(&self) -> &str {
        match self {
            Self::Remote(remote) => remote.name(),
            Self::Local(_) => "local",
        }
    }

    /// Its name for people, such as `Auth0`.
    pub fn display_name(&self) -> &str {
        match self {
            Self::Remote(remote) => remote.display_name(),
            Self::Local(_) => "the built-in login",
        }
    }

    /// The id under which it knows this server; clients must not use it as theirs.
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::Remote(remote) => Some(remote.client_id()),
            Self::Local(_) => None,
        }
    }

    /// True if people can be sent there: its discovery document has been read, now or in an earlier run.
    pub fn is_known(&self) -> bool {
        match self {
            Self::Remote(remote) => remote.is_known(),
            Self::Local(_) => true,
        }
    }

    /// The scopes that are asked for there.
    pub fn scopes(&self) -> Vec<String> {
        match self {
            Self::Remote(remote) => remote.scopes(),
            Self::Local(_) => Vec::new(),
        }
    }

    /// Tells whether somebody has logged in by this provider: another provider's people are not this one's, whatever
    /// they are called.
    pub fn vouches_for(&self, provider: &str, identity: &Identity) -> bool {
        provider == self.name()
            && match self {
                Self::Remote(remote) => remote.issues(&identity.issuer),
                Self::Local(local) => identity.issuer == local.issuer(),
            }
    }

    /// Waits until people can be sent there.
    ///
    /// # Errors
    /// [`Failure`] after ten seconds at most, while nothing is known of the provider.
    pub async fn ready(&self) -> Result<(), Failure> {
        match self {
            Self::Remote(remote) => remote.ready().await.map(drop),
            Self::Local(_) => Ok(()),
        }
    }

    /// The URL at which a person logs in.
    ///
    /// # Errors
    /// [`Failure`] after ten seconds at most, while nothing is known of the provider.
    pub async fn authorize_url(&self, request: &UpstreamRequest) -> Result<Url, Failure> {
        match self {
            Self::Remote(remote) => remote.authorize_url(request).await,
            Self::Local(local) => Ok(local.authorize_url(request)),
        }
    }

    /// The same URL for somebody who is logged in already and is to log in once more: a provider that knows OpenID Connect
    /// asks them, unless they have logged in there within these seconds (OpenID Connect Core 1.0 §3.1.2.1).
    pub fn again(&self, mut url: Url, max_age_s: u64) -> Url {
        if !self.tells_auth_time() {
            return url;
        }
        let all: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let (said, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| name == "max_age");
        if !said.is_empty() {
            url.query_pairs_mut().clear().extend_pairs(others);
        }
        // The configuration may ask for a younger login, and not for an older one.
        let said = said.iter().filter_map(|(_, age)| age.parse().ok()).min();
        let max_age_s = said.unwrap_or(max_age_s).min(max_age_s);
        url.query_pairs_mut().append_pair("max_age", &max_age_s.to_string());
        url
    }

    /// True for a provider that knows OpenID Connect: asked for a login of a certain age, it says how old one is.
    pub fn tells_auth_time(&self) -> bool {
        self.scopes().iter().any(|scope| scope == "openid")
    }

    /// Finishes a login with what came back to the callback.
    ///
    /// # Errors
    /// [`LoginError`], which says who has to act.
    pub fn log_in<'a>(
        &'a self,
        callback: &'a Callback,
        request: &'a UpstreamRequest,
    ) -> BoxFuture<'a, Result<Login, LoginError>> {
        Box::pin(async move {
            match self {
                Self::Remote(remote) => remote.log_in(callback, request).await,
                Self::Local(local) => local.log_in(callback, request),
            }
        })
    }

    /// The access token of a session, for services that take the provider's tokens; none of the built-in login, whose
    /// tokens nobody takes.
    pub fn access_token<'a>(&self, tokens: &'a UpstreamTokens) -> Option<&'a str> {
        match self {
            Self::Remote(_) => Some(&tokens.access_token),
            Self::Local(_) => None,
        }
    }

    /// True if a session has to be renewed upstream before it goes on.
    pub fn is_due(&self, tokens: &UpstreamTokens) -> bool {
        match self {
            Self::Remote(remote) => remote.is_due(tokens),
            Self::Local(_) => false,
        }
    }

    /// True if the provider can be asked about a person by these tokens.
    pub fn can_ask(&self, tokens: &UpstreamTokens) -> bool {
        match self {
            Self::Remote(_) => tokens.refresh_token.is_some() || !tokens.is_over(),
            Self::Local(_) => false,
        }
    }

    /// Renews a session upstream whether that is due or not, or has its token checked if it is one that is never renewed.
    /// The caller sees to it that one session is renewed once at a time.
    ///
    /// # Errors
    /// [`RefreshError`].
    pub fn ask<'a>(
        &'a self,
        tokens: &'a UpstreamTokens,
        person: &'a Identity,
    ) -> BoxFuture<'a, Result<RefreshOutcome, RefreshError>> {
        Box::pin(async move {
            match self {
                Self::Remote(remote) => remote.ask(tokens, &person.subject).await,
                Self::Local(_) => Ok(RefreshOutcome::NotNeeded),
            }
        })
    }

    /// Renews a session upstream. The caller sees to it that one session is renewed once at a time.
    ///
    /// # Errors
    /// [`RefreshError`].
    pub fn refresh<'a>(
        &'a self,
        tokens: &'a UpstreamTokens,
        person: &'a Identity,
    ) -> BoxFuture<'a, Result<RefreshOutcome, RefreshError>> {
        Box::pin(async move {
            match self {
                Self::Remote(remote) => remote.refresh(tokens, &person.subject).await,
                Self::Local(_) => Ok(RefreshOutcome::NotNeeded),
            }
        })
    }

    /// Reads the provider's word that it has ended one of its own sessions (OpenID Connect Back-Channel Logout 1.0 §2.6).
    ///
    /// # Errors
    /// [`LogoutError`]: nobody may be logged out by it.
    pub fn logout<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Logout, LogoutError>> {
        Box::pin(async move {
            match self {
                Self::Remote(remote) => remote.logout(token).await,
                Self::Local(_) => Err(LogoutError::NotOffered("the built-in login")),
            }
        })
    }

    /// Gets rid of the tokens of a login that comes to nothing, where that costs the person nothing else.
    pub fn discard(&self, tokens: UpstreamTokens) {
        match self {
            Self::Remote(remote) => remote.discard(tokens),
            Self::Local(_) => {}
        }
    }

    /// Ends a session upstream, if the provider has a way for it and can be reached.
    pub fn revoke<'a>(&'a self, tokens: &'a UpstreamTokens) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            match self {
                Self::Remote(remote) => remote.revoke(tokens).await,
                Self::Local(_) => {}
            }
        })
    }
}
