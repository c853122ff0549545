//! Requests to the provider and their results, as data.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::failures::Explanation;
use crate::auth::identity::Identity;
use crate::clock::now_s;

/// Seconds before its end from which on an access token is renewed at the next occasion.
const ENDING_S: u64 = 60;

/// The life of an access token, in seconds, whose provider does not say it.
const LIFE_UNKNOWN_S: u64 = 3600;

/// The values that tie a login at the provider to one transaction here, and are derived from its id.
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

/// The parameters of the callback; none of them is verified.
#[derive(Default)]
pub struct Callback {
    /// The code.
    pub code: Option<String>,
    /// The error's code, in place of a code.
    pub error: Option<String>,
    /// The error in words.
    pub error_description: Option<String>,
    /// The issuer that answers (RFC 9207).
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
    /// The person.
    pub identity: Identity,
    /// The provider's tokens.
    pub tokens: UpstreamTokens,
    /// The time at which the person has shown the provider who they are, if it says so.
    pub auth_time: Option<AuthTime>,
}

/// The provider's word on when a person has shown who they are (`auth_time`, OpenID Connect Core 1.0 §2), which may be long
/// before a login here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthTime {
    /// By the provider's clock, in seconds since 1970.
    pub at_s: u64,
    /// The seconds by which its clock may differ from the one here.
    pub leeway_s: u64,
}

/// The provider's tokens for one session. They are kept sealed, and go nowhere but to the provider; the access token, where
/// a plugin was granted requests with it, to that host.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTokens {
    /// The access token.
    pub access_token: String,
    /// The refresh token, if there is one.
    pub refresh_token: Option<String>,
    /// The `id_token` that came with them. It is looked at once and not kept: that of somebody in many groups is large.
    #[serde(skip)]
    pub id_token: Option<String>,
    /// The end of the access token, in seconds since 1970, if the provider says so.
    pub expires_at: Option<u64>,
    /// The scopes that were granted.
    pub scope: Vec<String>,
    /// The last time that the provider confirmed the tokens, in seconds since 1970.
    pub checked_at: u64,
}

impl UpstreamTokens {
    /// True if the access token has to be renewed. Providers take a refresh token once, and count how often they are
    /// asked, so that is not done before it is due.
    pub fn is_ending(&self) -> bool {
        let ends_at = self.expires_at.unwrap_or(self.checked_at + LIFE_UNKNOWN_S);
        ends_at <= now_s() + ENDING_S
    }

    /// True if the access token is good no more, as far as its provider has said.
    pub fn is_over(&self) -> bool {
        self.expires_at.is_some_and(|ends_at| ends_at <= now_s())
    }
}

impl fmt::Debug for UpstreamTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamTokens(..)")
    }
}

/// The result of renewing a session upstream.
#[expect(clippy::large_enum_variant, reason = "made once a refresh, and taken apart at once")]
#[derive(Debug)]
pub enum RefreshOutcome {
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

/// Other people who are refused like one person, since somebody's session was last renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alike {
    /// Nobody, as far as is known.
    Nobody,
    /// Others too.
    Others {
        /// The time since somebody's session was renewed; none if that was not in this run of the server.
        renewed_ago: Option<Duration>,
    },
}

/// The reason why a session could not be renewed upstream.
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

/// The provider's word that it has ended one of its own sessions, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    /// The issuer, as identities of its people have it.
    pub issuer: String,
    /// The person, as identities have them, if the token says so.
    pub subject: Option<String>,
    /// The provider's own session, if the token says so; without it, all of the person's.
    pub sid: Option<String>,
    /// The token's own name, which is taken once (`jti`).
    pub id: String,
    /// The time, in seconds since 1970, from which on the token is not taken any more.
    pub ends_s: u64,
}

impl Logout {
    /// True for a person whose session here was begun in the one that has ended there. One of which it is not known in
    /// which it was begun counts, if it is this person's.
    pub fn concerns(&self, identity: &Identity) -> bool {
        let is_person = self.subject.as_ref().is_none_or(|subject| *subject == identity.subject);
        self.issuer == identity.issuer
            && is_person
            && match (&self.sid, &identity.sid) {
                (Some(ended), Some(sid)) => ended == sid,
                (Some(_), None) | (None, _) => self.subject.is_some(),
            }
    }
}

/// The reason why a logout token is not taken. The texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoutError {
    /// There are no such tokens of this provider.
    #[error("{0} sends no logout tokens")]
    NotOffered(&'static str),
    /// The provider's keys cannot be had at the moment.
    #[error("the provider's keys are not known at the moment: {0}")]
    Unavailable(String),
    /// The token is none, or not for this server.
    #[error("{0}")]
    Wrong(String),
}

/// The reason why a login failed.
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
    /// The provider's answer cannot be trusted, or cannot be understood.
    Broken {
        /// For the person and the client.
        kind: Unusable,
        /// For the log.
        cause: String,
    },
}

/// An answer of the provider's that cannot be used. The text is for the person and the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The parameters of the callback.
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
    /// The facts about the person.
    #[error("what the provider says of the person cannot be read")]
    Person,
    /// The fault is ours.
    #[error("this server failed with the provider's answer")]
    Host,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::identity::Membership;

    #[test]
    fn a_logout_concerns_its_session_or_all_of_its_person() {
        let identity = |issuer: &str, subject: &str, sid: Option<&str>| Identity {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            email: None,
            email_verified: false,
            name: None,
            organizations: Vec::new(),
            membership: Membership::Whole,
            further_emails: Vec::new(),
            scopes: Vec::new(),
            sid: sid.map(str::to_owned),
        };
        let logout = |subject: Option<&str>, sid: Option<&str>| Logout {
            issuer: "i".to_owned(),
            subject: subject.map(str::to_owned),
            sid: sid.map(str::to_owned),
            id: "1".to_owned(),
            ends_s: 0,
        };
        for (subject, ended, issuer, person, sid, expected) in [
            (Some("alice"), None, "i", "alice", Some("1"), true),
            (Some("alice"), None, "i", "alice", None, true),
            (Some("alice"), None, "i", "bob", Some("1"), false),
            (Some("alice"), None, "other", "alice", Some("1"), false),
            (Some("alice"), Some("1"), "i", "alice", Some("1"), true),
            (Some("alice"), Some("1"), "i", "alice", Some("2"), false),
            (Some("alice"), Some("1"), "i", "bob", Some("1"), false),
            // Begun before this server kept the name of the provider's session.
            (Some("alice"), Some("1"), "i", "alice", None, true),
            (None, Some("1"), "i", "alice", Some("1"), true),
            (None, Some("1"), "i", "bob", Some("2"), false),
            (None, Some("1"), "i", "bob", None, false),
            (None, None, "i", "bob", Some("1"), false),
        ] {
            let found = logout(subject, ended).concerns(&identity(issuer, person, sid));
            assert_eq!(found, expected, "{subject:?} {ended:?} {person} {sid:?}");
        }
    }
}
