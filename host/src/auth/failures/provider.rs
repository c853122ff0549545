//! The failures in which the identity provider has a part.
//!
//! A hint of the provider's data comes first; without one, the codes of RFC 6749 and OpenID Connect choose the words.

use http::StatusCode;
use url::Url;

use super::{Explanation, Failure};
use crate::config::Provider;
use crate::config::provider::{DiscoveryUrl, Hint};
use crate::fetch::FetchError;

/// The longest quote of a provider.
const QUOTE_CHARS_MAX: usize = 500;

/// The reason why nothing is known of the provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::auth) enum DiscoveryError {
    #[error("discovery document {url} cannot be fetched: {cause}{}", cure(cause))]
    Fetch { url: String, cause: FetchError },
    #[error("{url} has no discovery document: status {status}")]
    Missing { url: String, status: u16 },
    #[error("{url} is no discovery document: {reason}")]
    Unreadable { url: String, reason: String },
    #[error("{url} names the issuer {found:?}, expected {expected:?}")]
    Issuer { url: String, found: String, expected: String },
    #[error("{url} names an endpoint without TLS: {member} {endpoint:?}")]
    Plain { url: String, member: &'static str, endpoint: String },
}

fn cure(cause: &FetchError) -> String {
    cause.cure_at_provider().map(|cure| format!(". {cure}")).unwrap_or_default()
}

impl DiscoveryError {
    pub(in crate::auth) fn of(url: &DiscoveryUrl, cause: FetchError) -> Self {
        match cause {
            FetchError::Status(status) if is_an_answer(status) => {
                Self::Missing { url: url.to_string(), status: status.as_u16() }
            }
            cause => Self::Fetch { url: url.to_string(), cause },
        }
    }
}

/// The failures at one provider, for a login that asks it for `scopes`.
#[derive(Clone, Copy)]
pub(in crate::auth) struct ProviderFailures<'a> {
    pub(in crate::auth) provider: &'a Provider,
    /// This server's callback.
    pub(in crate::auth) callback: &'a str,
    pub(in crate::auth) scopes: &'a [String],
}

impl ProviderFailures<'_> {
    /// The explanation that the provider's data has for an error.
    pub(in crate::auth) fn hint(&self, error: &str, description: Option<&str>) -> Option<Explanation> {
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

    /// Explains a refusal of this server, by the codes of the standards.
    pub(in crate::auth) fn refused(&self, code: &str) -> Explanation {
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

    /// Explains the lack of an `id_token` that the configuration requires.
    pub(in crate::auth) fn no_id_token(&self) -> Explanation {
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

    /// The failure when nobody can be sent to the provider: its document cannot be fetched, or has not come yet.
    pub(in crate::auth) fn unavailable(&self, error: Option<&DiscoveryError>) -> Failure {
        let cause = error.map_or_else(|| "the provider has not answered yet".to_owned(), ToString::to_string);
        Failure::provider_unavailable(self.discovery(error), cause)
    }

    /// Explains the lack of a discovery document. Without an error, the provider has not answered yet.
    pub(in crate::auth) fn discovery(&self, error: Option<&DiscoveryError>) -> Explanation {
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
pub(in crate::auth) fn quote(error: &str, description: Option<&str>) -> String {
    let words = match description {
        Some(description) if !description.is_empty() => format!("{error}: {description}"),
        _ => error.to_owned(),
    };
    let words = words.chars().filter(|letter| !letter.is_control());
    words.take(QUOTE_CHARS_MAX).collect()
}

/// Tells a status that is final from one that may be another in a moment.
fn is_an_answer(status: StatusCode) -> bool {
    (status.is_client_error() || status.is_redirection()) && status != StatusCode::TOO_MANY_REQUESTS
}
