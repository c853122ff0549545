//! Logging people in at the provider: the one module that talks to it.
//!
//! - [`remote`]: a provider elsewhere, as its data says. [`local`]: the built-in page, for development.
//! - `discovery`: how the provider describes itself; `breaker`: what is sent there, and when nothing is.
//! - `token`, `answer`: codes and refresh tokens for tokens. `id_token`, `claims`, `identity`: whose tokens they are.
//! - `refusals`: whether it refuses one person, or everybody. `notes`: what went wrong lately, for `tinymcp doctor`.
//! - `faults`: what went wrong there, for whom. [`checkup`]: whether the configuration fits it, for `tinymcp doctor`.

mod answer;
mod breaker;
pub mod checkup;
mod claims;
mod discovery;
mod faults;
mod id_token;
mod identity;
pub mod local;
mod notes;
mod refusals;
pub mod remote;
mod token;

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use url::Url;

use self::local::Local;
use self::remote::Remote;
use super::explain::Explanation;

/// The provider through which people log in.
pub enum Upstream {
    /// A provider elsewhere.
    Remote(Remote),
    /// The built-in login page.
    Local(Local),
}

/// What ties a login at the provider to one transaction here. All of it is derived from that.
pub struct UpstreamRequest {
    /// `state`, which the provider hands back.
    pub state: String,
    /// The verifier (RFC 7636) of this login.
    pub verifier: String,
    /// `nonce`, which the `id_token` must carry.
    pub nonce: String,
    /// This server's callback.
    pub redirect_uri: String,
}

/// What came back to the callback; none of it is verified.
#[derive(Default)]
pub struct Callback {
    /// The code.
    pub code: Option<String>,
    /// The error's code, in place of a code.
    pub error: Option<String>,
    /// The error in words.
    pub error_description: Option<String>,
    /// Who answers (RFC 9207).
    pub iss: Option<String>,
}

impl Callback {
    /// Tells an address of which the answer was cut off.
    pub fn is_empty(&self) -> bool {
        self.code.is_none() && self.error.is_none()
    }
}

/// A login that has worked.
#[derive(Debug)]
pub struct Login {
    /// Who logged in.
    pub identity: Identity,
    /// What the provider gave for later.
    pub tokens: UpstreamTokens,
}

/// Who a person is, as the provider says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Who says so.
    pub issuer: String,
    /// The provider's name for the person, which never changes.
    pub subject: String,
    /// Their address.
    pub email: Option<String>,
    /// Whether the provider has verified it. An address that was not verified may be somebody else's.
    pub email_verified: bool,
    /// What they are called.
    pub name: Option<String>,
    /// What they belong to.
    pub organizations: Vec<String>,
    /// Whether that is all of it. Sessions that an earlier version has kept do not say so.
    #[serde(default)]
    pub membership: Membership,
    /// Further addresses, verified or not: by these nobody is let in, and somebody may be turned away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_emails: Vec<String>,
    /// The scopes, permissions and roles that the provider's token carries.
    pub scopes: Vec<String>,
}

/// How much is known of what a person belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// The provider has said all of it.
    Whole,
    /// The provider has said nothing about it, or it was not kept.
    #[default]
    Unknown,
    /// There is more than the provider, or this server, puts into a list.
    Overflowed,
}

/// The provider's tokens for one session. They are kept sealed, and go nowhere but to the provider.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTokens {
    /// The access token.
    pub access_token: String,
    /// The refresh token, if there is one.
    pub refresh_token: Option<String>,
    /// The `id_token` that came with them. It is looked at once and not kept: that of somebody in many groups is large.
    #[serde(skip)]
    pub id_token: Option<String>,
    /// When the access token ends, in seconds since 1970, if the provider says so.
    pub expires_at: Option<u64>,
    /// The scopes that were granted.
    pub scope: Vec<String>,
    /// When the provider last said that all is well, in seconds since 1970.
    pub checked_at: u64,
}

impl fmt::Debug for UpstreamTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamTokens(..)")
    }
}

/// What became of a session upstream.
#[expect(clippy::large_enum_variant, reason = "made once a refresh, and taken apart at once")]
#[derive(Debug)]
pub enum Refreshed {
    /// These tokens are in force from now on, in place of the old ones.
    Tokens {
        /// The tokens.
        tokens: UpstreamTokens,
        /// The person as they are now, if the provider said anything about them.
        identity: Option<Identity>,
    },
    /// There is nothing to renew.
    NotNeeded,
}

/// Who else is refused like one person, since somebody's session was last renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alike {
    /// Nobody, as far as is known.
    Nobody,
    /// Others too.
    Others {
        /// How long ago somebody's session was renewed; none since the server has started.
        renewed_ago: Option<Duration>,
    },
}

/// Why a session could not be renewed upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshError {
    /// The provider has ended it.
    Ended,
    /// The provider refuses this session, in words that do not say that it has ended it.
    Refused(Alike),
    /// The provider cannot tell at the moment; everything stays as it is.
    Temporary {
        /// Seconds after which it may be worth asking again.
        retry_after: Option<u32>,
    },
}

/// Why a login failed.
#[derive(Debug)]
pub enum LoginError {
    /// The person said no, or the provider did for them.
    Denied {
        /// The provider's words.
        description: String,
    },
    /// Something is set up wrong, which only the operator can change.
    Operator(Explanation),
    /// The provider cannot be reached, or is busy.
    Temporary {
        /// For the log.
        cause: String,
    },
    /// What the provider said cannot be trusted, or cannot be understood.
    Broken {
        /// For the person and the client.
        kind: Unusable,
        /// For the log.
        cause: String,
    },
}

/// Which answer of the provider's cannot be used, and why; the cause is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// What came to the callback.
    #[error("the provider sent the browser back without an answer of its own")]
    Callback,
    /// The token endpoint's answer to a code.
    #[error("the provider has not exchanged its code for tokens")]
    Tokens,
    /// An answer, by its size.
    #[error("an answer of the provider's is larger than a megabyte: it may say too much of the person")]
    Large,
    /// Of the `id_token`, the size.
    #[error("the provider's id_token is too large")]
    TooLarge,
    /// Of the `id_token`, its times.
    #[error("the provider's id_token has expired or is not valid yet: clocks may differ")]
    Time,
    /// Of the `id_token`, the signature, or all of it.
    #[error("the provider's id_token cannot be verified")]
    Unverified,
    /// The tokens are not those of this login at this server.
    #[error("the provider's tokens are not for this login: signature, issuer, audience, nonce or person do not fit")]
    Foreign,
    /// What it says of the person.
    #[error("what the provider says of the person cannot be read")]
    Person,
    /// The fault is ours.
    #[error("this server failed with the provider's answer")]
    Host,
}

/// Nobody can be sent to the provider at the moment.
#[derive(Debug)]
pub struct Unavailable {
    /// For the person, who waits in front of a browser.
    pub explanation: Explanation,
    /// For the log.
    pub cause: String,
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

    /// Whether people can be sent there: its discovery document has been read, now or in an earlier run.
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

    /// Whether somebody who logged in earlier did so here: another provider's people are not this one's, whatever they
    /// are called.
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
    /// [`Unavailable`] after ten seconds at most, while nothing is known of the provider.
    pub async fn ready(&self) -> Result<(), Unavailable> {
        match self {
            Self::Remote(remote) => remote.ready().await.map(drop),
            Self::Local(_) => Ok(()),
        }
    }

    /// Where to send a person.
    ///
    /// # Errors
    /// [`Unavailable`] after ten seconds at most, while nothing is known of the provider.
    pub async fn authorize_url(&self, request: &UpstreamRequest) -> Result<Url, Unavailable> {
        match self {
            Self::Remote(remote) => remote.authorize_url(request).await,
            Self::Local(local) => Ok(local.authorize_url(request)),
        }
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

    /// Renews a session upstream. The caller sees to it that one session is renewed once at a time.
    ///
    /// # Errors
    /// [`RefreshError`].
    pub fn refresh<'a>(
        &'a self,
        tokens: &'a UpstreamTokens,
        person: &'a Identity,
    ) -> BoxFuture<'a, Result<Refreshed, RefreshError>> {
        Box::pin(async move {
            match self {
                Self::Remote(remote) => remote.refresh(tokens, &person.subject).await,
                Self::Local(_) => Ok(Refreshed::NotNeeded),
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
