//! Errors of the provider, and who has to act: the person, the operator, or nobody but time.
//!
//! A provider's own words are matched against the hints of its data first; the others are told apart by the codes
//! of RFC 6749 and OpenID Connect.

use http::StatusCode;

use super::breaker::Down;
use super::inquiry::IdentityError;
use super::messages::{Alike, LoginError, RefreshError, Unusable};
use super::notes::Notes;
use super::token::TokenError;
use crate::auth::failures::provider::{ProviderFailures, quote};

/// Answers by which a provider ends a session: the person has to log in again.
const ENDED: [&str; 4] = ["invalid_grant", "interaction_required", "login_required", "consent_required"];

/// The answer to a refresh that is about this server, and not about anybody's token.
const OURS: &str = "invalid_client";

/// Answers to a refresh that are about this server by the standards. Some providers use them for one person who is
/// blocked, or has lost a scope: they count as this server's only if others get them too.
const MAYBE_OURS: [&str; 3] = ["unauthorized_client", "unsupported_grant_type", "invalid_scope"];

/// Errors that go away by themselves.
const PASSING: [&str; 2] = ["server_error", "temporarily_unavailable"];

/// Errors for which the person, or the provider's policy for them, is the reason.
const DENIED: [&str; 5] =
    ["access_denied", "login_required", "interaction_required", "consent_required", "account_selection_required"];

/// Decides what an error of the provider's means, and for whom.
pub(super) struct Faults<'a> {
    pub(super) failures: ProviderFailures<'a>,
    pub(super) notes: &'a Notes,
}

impl Faults<'_> {
    /// Judges an error with which the provider has sent the person back.
    pub(super) fn callback(&self, error: &str, description: Option<&str>) -> LoginError {
        if let Some(explanation) = self.failures.hint(error, description) {
            return LoginError::Operator(explanation);
        }
        let words = || quote(error, description);
        match error {
            _ if DENIED.contains(&error) => LoginError::Denied { description: words() },
            _ if PASSING.contains(&error) => LoginError::Temporary { cause: words() },
            _ => LoginError::Operator(self.failures.refused(error).quoting(words())),
        }
    }

    /// Judges an error of the token endpoint for a code.
    pub(super) fn exchange(&self, error: TokenError) -> LoginError {
        match error {
            TokenError::Down(down) => down_at_login(down),
            TokenError::Garbage(cause) => {
                LoginError::Broken { kind: Unusable::Tokens, cause: format!("token endpoint: {cause}") }
            }
            // Without any words, it can only be about who asks.
            TokenError::Silent { status: StatusCode::UNAUTHORIZED, cause } => {
                LoginError::Operator(self.failures.refused("invalid_client").quoting(cause))
            }
            TokenError::Silent { cause, .. } => {
                LoginError::Broken { kind: Unusable::Tokens, cause: format!("token endpoint: {cause}") }
            }
            TokenError::Refused { error, description } => {
                let description = description.as_deref();
                if let Some(explanation) = self.failures.hint(&error, description) {
                    return LoginError::Operator(explanation);
                }
                let words = quote(&error, description);
                match self.failures.provider.standard_error(&error) {
                    code if PASSING.contains(&code) => LoginError::Temporary { cause: words },
                    // The code has expired or was used, which nobody but the browser can have done.
                    "invalid_grant" => LoginError::Broken { kind: Unusable::Tokens, cause: words },
                    code => LoginError::Operator(self.failures.refused(code).quoting(words)),
                }
            }
        }
    }

    /// Judges a failure to find out who the person is.
    pub(super) fn identity(&self, error: IdentityError) -> LoginError {
        match error {
            IdentityError::Down(down) => down_at_login(down),
            IdentityError::NoIdToken => LoginError::Operator(self.failures.no_id_token()),
            IdentityError::Token(kind, cause) => LoginError::Broken { kind, cause },
            IdentityError::SomebodyElse(cause) => LoginError::Broken { kind: Unusable::Foreign, cause },
            IdentityError::NotAccepted | IdentityError::Forbidden(_) | IdentityError::Wrong(_) => {
                LoginError::Broken { kind: Unusable::Person, cause: error.to_string() }
            }
        }
    }

    /// Judges an error of the token endpoint for a refresh token. `alike` tells who else gets the same code.
    ///
    /// Only an error that is known to mean a dead token ends the session. An error about this server is for its
    /// operator, and any other may be about the person.
    pub(super) fn refresh(&self, error: TokenError, alike: impl FnOnce(&str) -> Alike) -> RefreshError {
        let name = self.failures.provider.name();
        let (code, words) = match error {
            TokenError::Refused { error, description } => {
                let description = description.as_deref();
                let words = quote(&error, description);
                if self.is_ended(&error, description) {
                    tracing::info!("provider `{name}` has ended a session: {words}");
                    return RefreshError::Ended;
                }
                match self.failures.provider.standard_error(&error) {
                    OURS => return self.refresh_is_ours(&words),
                    code if PASSING.contains(&code) => {
                        tracing::warn!("provider `{name}` cannot renew sessions: {words}");
                        return RefreshError::Temporary { retry_after: None };
                    }
                    _ => {}
                }
                (error, words)
            }
            TokenError::Silent { status: StatusCode::UNAUTHORIZED, cause } => return self.refresh_is_ours(&cause),
            TokenError::Silent { status, cause } => (format!("status {}", status.as_u16()), cause),
            TokenError::Down(Down { cause, retry_after, .. }) => {
                tracing::warn!("provider `{name}` cannot renew sessions: {cause}");
                return RefreshError::Temporary { retry_after };
            }
            TokenError::Garbage(cause) => {
                tracing::warn!("provider `{name}` cannot renew sessions: {cause}");
                return RefreshError::Temporary { retry_after: None };
            }
        };
        let alike = alike(&code);
        if alike != Alike::Nobody || MAYBE_OURS.contains(&self.failures.provider.standard_error(&code)) {
            self.notes.refresh(Some(&words));
        }
        if alike == Alike::Nobody {
            tracing::warn!(
                "provider `{name}` refuses to renew one person's session, and does not say that it has ended: {words}"
            );
        } else {
            tracing::error!("provider `{name}` refuses to renew sessions, of more than one person: {words}");
            self.notes.refused_alike();
        }
        RefreshError::Refused(alike)
    }

    /// Notes that the provider refuses this server, whose operator has to act.
    fn refresh_is_ours(&self, words: &str) -> RefreshError {
        let name = self.failures.provider.name();
        tracing::error!(
            "provider `{name}` refuses to renew sessions, since it does not take this server's request: {words}"
        );
        self.notes.refresh(Some(words));
        RefreshError::Temporary { retry_after: None }
    }

    /// True if an answer means that the refresh token is dead, by the standards or by the provider's data.
    fn is_ended(&self, error: &str, description: Option<&str>) -> bool {
        let description = description.unwrap_or_default().to_lowercase();
        let is_known = self.failures.provider.refresh_ended_by.iter().any(|answer| match answer.split_once(':') {
            None => answer == error,
            Some((code, words)) => code == error && description.contains(&words.trim().to_lowercase()),
        });
        is_known || ENDED.contains(&self.failures.provider.standard_error(error))
    }
}

fn down_at_login(Down { cause, is_too_large, .. }: Down) -> LoginError {
    if is_too_large {
        return LoginError::Broken { kind: Unusable::Large, cause };
    }
    LoginError::Temporary { cause }
}

#[cfg(test)]
mod tests;
