//! What went wrong at the provider, and who has to act: the person, the operator, or nobody but time.
//!
//! A provider's own words are matched against the hints of its data first; what they do not know is told by the codes
//! of RFC 6749 and OpenID Connect.

use http::StatusCode;
use url::Url;

use super::breaker::Down;
use super::discovery::DiscoveryError;
use super::identity::IdentityError;
use super::notes::Notes;
use super::token::TokenError;
use crate::auth::explain::Explanation;
use crate::auth::upstream::messages::LoginError;
use crate::auth::upstream::messages::{Alike, RefreshError, Unavailable, Unusable};
use crate::config::Provider;
use crate::config::provider::Hint;
use crate::fetch::FetchError;

/// Answers by which a provider ends a session: the person has to log in again.
const ENDED: [&str; 4] = ["invalid_grant", "interaction_required", "login_required", "consent_required"];

/// The answer to a refresh that is about this server, and not about anybody's token.
const OURS: &str = "invalid_client";

/// Answers to a refresh that are about this server by the standards. Some providers say them of one person who is blocked,
/// or has lost a scope: they count as this server's only if others get them too.
const MAYBE_OURS: [&str; 3] = ["unauthorized_client", "unsupported_grant_type", "invalid_scope"];

/// Errors that go away by themselves.
const PASSING: [&str; 2] = ["server_error", "temporarily_unavailable"];

/// Errors for which the person, or the provider's policy for them, is the reason.
const DENIED: [&str; 5] =
    ["access_denied", "login_required", "interaction_required", "consent_required", "account_selection_required"];

/// The longest quote of a provider.
const QUOTE_CHARS_MAX: usize = 500;

/// Explains a provider's errors.
pub(super) struct Faults<'a> {
    pub(super) provider: &'a Provider,
    /// This server's callback.
    pub(super) callback: &'a str,
    pub(super) scopes: &'a [String],
    pub(super) notes: &'a Notes,
}

impl Faults<'_> {
    /// The provider has sent the person back with an error.
    pub(super) fn callback(&self, error: &str, description: Option<&str>) -> LoginError {
        if let Some(explanation) = self.hint(error, description) {
            return LoginError::Operator(explanation);
        }
        let words = || quote(error, description);
        match error {
            _ if DENIED.contains(&error) => LoginError::Denied { description: words() },
            _ if PASSING.contains(&error) => LoginError::Temporary { cause: words() },
            _ => LoginError::Operator(self.refused(error).quoting(words())),
        }
    }

    /// The provider has not taken the code.
    pub(super) fn exchange(&self, error: TokenError) -> LoginError {
        match error {
            TokenError::Down(down) => down_at_login(down),
            TokenError::Garbage(cause) => {
                LoginError::Broken { kind: Unusable::Tokens, cause: format!("token endpoint: {cause}") }
            }
            // Without any words, it can only be about who asks.
            TokenError::Silent { status: StatusCode::UNAUTHORIZED, cause } => {
                LoginError::Operator(self.refused("invalid_client").quoting(cause))
            }
            TokenError::Silent { cause, .. } => {
                LoginError::Broken { kind: Unusable::Tokens, cause: format!("token endpoint: {cause}") }
            }
            TokenError::Refused { error, description } => {
                let description = description.as_deref();
                if let Some(explanation) = self.hint(&error, description) {
                    return LoginError::Operator(explanation);
                }
                let words = quote(&error, description);
                match self.provider.standard_error(&error) {
                    code if PASSING.contains(&code) => LoginError::Temporary { cause: words },
                    // The code has expired or was used, which nobody but the browser can have done.
                    "invalid_grant" => LoginError::Broken { kind: Unusable::Tokens, cause: words },
                    code => LoginError::Operator(self.refused(code).quoting(words)),
                }
            }
        }
    }

    /// It is not known who the person is.
    pub(super) fn identity(&self, error: IdentityError) -> LoginError {
        match error {
            IdentityError::Down(down) => down_at_login(down),
            IdentityError::NoIdToken => LoginError::Operator(self.no_id_token()),
            IdentityError::Token(kind, cause) => LoginError::Broken { kind, cause },
            IdentityError::SomebodyElse(cause) => LoginError::Broken { kind: Unusable::Foreign, cause },
            IdentityError::NotAccepted | IdentityError::Forbidden(_) | IdentityError::Wrong(_) => {
                LoginError::Broken { kind: Unusable::Person, cause: error.to_string() }
            }
        }
    }

    /// A session could not be renewed. `alike` says of an error's code who else is refused so.
    ///
    /// Only what is known to mean that the token is dead ends the session. What is about this server is for its
    /// operator, and the rest may be about the person.
    pub(super) fn refresh(&self, error: TokenError, alike: impl FnOnce(&str) -> Alike) -> RefreshError {
        let name = self.provider.name();
        let (code, words) = match error {
            TokenError::Refused { error, description } => {
                let description = description.as_deref();
                let words = quote(&error, description);
                if self.is_ended(&error, description) {
                    tracing::info!("provider `{name}` has ended a session: {words}");
                    return RefreshError::Ended;
                }
                match self.provider.standard_error(&error) {
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
        if alike != Alike::Nobody || MAYBE_OURS.contains(&self.provider.standard_error(&code)) {
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

    /// It refuses this server, whose operator has to act.
    fn refresh_is_ours(&self, words: &str) -> RefreshError {
        let name = self.provider.name();
        tracing::error!(
            "provider `{name}` refuses to renew sessions, since it does not take this server's request: {words}"
        );
        self.notes.refresh(Some(words));
        RefreshError::Temporary { retry_after: None }
    }

    /// Whether an answer says that the refresh token is dead: in the words of the standards, or in those of its data.
    fn is_ended(&self, error: &str, description: Option<&str>) -> bool {
        let description = description.unwrap_or_default().to_lowercase();
        let is_known = self.provider.refresh_ended_by.iter().any(|answer| match answer.split_once(':') {
            None => answer == error,
            Some((code, words)) => code == error && description.contains(&words.trim().to_lowercase()),
        });
        is_known || ENDED.contains(&self.provider.standard_error(error))
    }

    /// What the provider's data says of an error.
    pub(super) fn hint(&self, error: &str, description: Option<&str>) -> Option<Explanation> {
        let words = quote(error, description);
        let lower = words.to_lowercase();
        let hint = self.provider.hints.values().find(|hint| lower.contains(&hint.when.to_lowercase()))?;
        Some(self.filled(hint).quoting(words))
    }

    fn filled(&self, hint: &Hint) -> Explanation {
        // There is nothing to do about an audience that is not asked for.
        let has_audience = self.provider.audience.is_some();
        let steps = hint.steps.iter().filter(|step| has_audience || !step.contains("{audience}"));
        Explanation {
            title: self.fill(&hint.title),
            happened: self.fill(&hint.happened),
            steps: steps.map(|step| self.fill(step)).collect(),
            quote: None,
        }
    }

    fn fill(&self, text: &str) -> String {
        let provider = self.provider;
        let discovery = provider.discovery().map(|discovery| discovery.url().clone());
        let host = discovery.as_ref().and_then(Url::host_str).unwrap_or_else(|| provider.display_name()).to_owned();
        let mut text = text.to_owned();
        for (name, value) in [
            ("audience", provider.audience.clone().unwrap_or_default()),
            ("client_id", provider.client_id.clone()),
            ("scopes", self.scopes.join(" ")),
            ("callback", self.callback.to_owned()),
            ("discovery", discovery.map(String::from).unwrap_or_default()),
            ("provider_host", host),
        ] {
            text = text.replace(&format!("{{{name}}}"), &value);
        }
        for key in ["audience", "client_id", "client_secret", "scopes", "discovery"] {
            text = text.replace(&format!("{{{key}_setting}}"), &provider.setting(key));
        }
        text
    }

    /// The provider refuses this server, by the codes of the standards.
    fn refused(&self, code: &str) -> Explanation {
        let provider = self.provider;
        let name = provider.display_name();
        let restart = |key: &str| format!("Set {} to it and restart the server.", provider.setting(key));
        let (title, happened, steps) = match code {
            "invalid_client" => (
                format!("{name} does not take the client secret"),
                format!(
                    "{name} refuses this server as the application `{}`: its client secret is not right.",
                    provider.client_id
                ),
                vec![
                    format!("Copy the client secret of this very application from {name}'s dashboard."),
                    restart("client_secret"),
                ],
            ),
            "invalid_scope" => (
                format!("{name} refuses a scope"),
                format!(
                    "This server asks {name} for `{}`, and the application `{}` does not have all of them.",
                    self.scopes.join(" "),
                    provider.client_id
                ),
                vec![
                    format!("Switch the scope on for the application in {name}'s dashboard."),
                    format!("Or leave it out of {} and restart the server.", provider.setting("scopes")),
                ],
            ),
            "invalid_target" => (
                format!("{name} does not know the audience"),
                format!(
                    "This server asks {name} for tokens of `{}`.",
                    provider.audience.as_deref().unwrap_or_default()
                ),
                vec![format!("Copy the API's identifier from {name}'s dashboard."), restart("audience")],
            ),
            "redirect_uri_mismatch" => (
                format!("{name} does not know the callback URL"),
                format!("The application `{}` does not allow this server's callback URL.", provider.client_id),
                vec![format!("Add {} to the callback URLs of the application in {name}'s dashboard.", self.callback)],
            ),
            "unauthorized_client" => (
                format!("{name} does not let the application log people in"),
                format!("The application `{}` may not use the authorization code grant.", provider.client_id),
                vec![format!(
                    "In {name}'s dashboard, switch on Authorization Code among the grant types of the application, which must be a web application."
                )],
            ),
            _ => (
                format!("{name} refuses the login"),
                format!("{name} has answered this server's request with an error."),
                vec![
                    format!(
                        "Compare the application `{}` in {name}'s dashboard with this server's settings.",
                        provider.client_id
                    ),
                    format!("Its callback URL is {}.", self.callback),
                ],
            ),
        };
        Explanation { title, happened, steps, quote: None }
    }

    /// This server was told to take nobody without an `id_token`.
    fn no_id_token(&self) -> Explanation {
        let name = self.provider.display_name();
        let (wanted, scopes) = (self.provider.setting("verify.id_token"), self.provider.setting("scopes"));
        let happened =
            format!("This server takes nobody without a verified id_token ({wanted}), and {name} gave none.");
        Explanation {
            title: format!("{name} gave no id_token"),
            happened,
            steps: vec![
                format!(
                    "Switch the scope openid on for the application `{}` in {name}'s dashboard, and add it to {scopes}.",
                    self.provider.client_id
                ),
                format!("Or set {wanted} to false. Then restart the server."),
            ],
            quote: None,
        }
    }

    /// Nothing is known of the provider.
    pub(super) fn unavailable(&self, error: Option<&DiscoveryError>) -> Unavailable {
        let cause = error.map_or_else(|| "the provider has not answered yet".to_owned(), ToString::to_string);
        Unavailable { explanation: self.unknown(error), cause }
    }

    pub(super) fn unknown(&self, error: Option<&DiscoveryError>) -> Explanation {
        let name = self.provider.display_name();
        let setting = self.provider.setting("discovery");
        let retry = "Nothing is lost: who is logged in stays so. Try again in a moment.".to_owned();
        let (title, happened, steps) = match error {
            None | Some(DiscoveryError::Fetch { cause: FetchError::Timeout | FetchError::Status(_), .. }) => (
                format!("{name} does not answer"),
                format!("{name} cannot be reached at the moment, so nobody can log in."),
                vec![retry],
            ),
            Some(DiscoveryError::Fetch { url, .. }) => (
                format!("{name} cannot be reached"),
                format!("This server has no connection to {url}, so nobody can log in at the moment."),
                vec![retry, format!("If it stays like this, the operator compares {setting} with {name}'s dashboard.")],
            ),
            Some(DiscoveryError::Missing { url, status }) => (
                format!("{name} is not at this address"),
                format!("{url} does not exist (status {status}), so {setting} is not the address of {name}."),
                vec![
                    format!("The operator opens {url} in a browser: it must show JSON."),
                    format!(
                        "Copy the domain from {name}'s dashboard into {setting}, without https:// and with its region, such as tenant.us.auth0.com; a custom domain goes there as it is. Then restart the server."
                    ),
                ],
            ),
            Some(DiscoveryError::Unreadable { url, .. }) => (
                format!("{name} is not at this address"),
                format!("{url} shows something else than a provider's description of itself."),
                vec![format!(
                    "The operator compares {setting} with {name}'s dashboard; opened in a browser, the URL must show JSON."
                )],
            ),
            Some(DiscoveryError::Issuer { url, found, expected }) => (
                format!("{name} says that it is somebody else"),
                format!("{url} names the issuer {found}, and this server expects {expected}; it trusts neither."),
                vec![format!(
                    "The operator compares {setting} with {name}'s dashboard. For a custom domain, that domain is the issuer."
                )],
            ),
            Some(DiscoveryError::Plain { url, member, endpoint }) => (
                format!("{name} names an endpoint without TLS"),
                format!("{url} names {endpoint} as its `{member}`. Nothing secret is sent there."),
                vec![format!("The operator sets the provider up with https, or corrects {setting}.")],
            ),
        };
        Explanation { title, happened, steps, quote: None }
    }
}

/// A provider's words, cut where they get long.
fn quote(error: &str, description: Option<&str>) -> String {
    let words = match description {
        Some(description) if !description.is_empty() => format!("{error}: {description}"),
        _ => error.to_owned(),
    };
    let words = words.chars().filter(|letter| !letter.is_control());
    words.take(QUOTE_CHARS_MAX).collect()
}

fn down_at_login(Down { cause, is_too_large, .. }: Down) -> LoginError {
    if is_too_large {
        return LoginError::Broken { kind: Unusable::Large, cause };
    }
    LoginError::Temporary { cause }
}

#[cfg(test)]
mod tests;
