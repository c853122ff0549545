//! The check of the provider's login page, as a browser sees it that this server sends there.

use http::StatusCode;
use http::header::LOCATION;
use url::Url;

use super::super::authorization::authorize_url;
use super::super::discovery::ProviderMetadata;
use super::super::messages::LoginError;
use super::{CONNECTION, Checkup, explained};
use crate::diagnosis::Finding;
use crate::fetch::FetchError;

impl Checkup<'_> {
    /// Asks for the page that a browser sees when this server sends it to the provider.
    pub(super) async fn login(&self, known: &ProviderMetadata, asked: &[String]) -> Finding {
        let (subject, name) = ("login page", self.provider.display_name());
        let url = authorize_url(self.provider, known, asked, &self.request());
        let in_browser = || format!("Open this in a browser to see what {name} says: {url}");
        let response = match self.get(&url, "text/html").await {
            Ok(response) => response,
            Err(FetchError::TooLarge) => return Finding::good(subject, format!("{name} shows one")),
            Err(error) => {
                let seen = format!("{} cannot be reached: {error}", known.authorization_endpoint);
                return Finding::bad(subject, seen).step(CONNECTION);
            }
        };
        let status = response.status();
        if status.is_redirection() {
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            return match location.and_then(|location| url.join(location).ok()) {
                Some(location) if location.as_str().starts_with(&self.callback) => self.came_back(&location, asked),
                Some(location) if is_error_page(&location) => {
                    Finding::bad(subject, format!("{name} leads to an error, at {}", without_query(&location)))
                        .step(self.allow_callback())
                        .step(in_browser())
                }
                _ => Finding::good(subject, format!("{name} takes this server's request and leads on to its login")),
            };
        }
        match status {
            _ if status.is_success() => {
                Finding::good(subject, format!("{name} shows a page, status {}", status.as_u16()))
            }
            StatusCode::TOO_MANY_REQUESTS => Finding::note(subject, format!("{name} is busy; try again in a moment")),
            _ if status.is_server_error() => {
                Finding::note(subject, format!("{name} has a fault of its own, status {}", status.as_u16()))
                    .step(in_browser())
            }
            _ => Finding::bad(subject, format!("{name} refuses this server's request, status {}", status.as_u16()))
                .step(self.allow_callback())
                .step(format!("Compare {} with the id of that application.", self.provider.setting("client_id")))
                .step(in_browser()),
        }
    }

    /// The provider sent the browser back at once: with an error, unless it asks nobody anything.
    fn came_back(&self, location: &Url, asked: &[String]) -> Finding {
        let (subject, name) = ("login page", self.provider.display_name());
        let param = |name: &str| {
            let mut params = location.query_pairs();
            params.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        let Some(error) = param("error") else {
            return Finding::good(subject, format!("{name} takes this server's request"));
        };
        match self.faults(asked).callback(&error, param("error_description").as_deref()) {
            LoginError::Operator(explanation) => explained(subject, explanation),
            LoginError::Denied { description: cause }
            | LoginError::Temporary { cause }
            | LoginError::Broken { cause, .. } => Finding::note(subject, format!("{name} says {cause:?}")),
        }
    }
}

/// True for a page about an error, as far as its URL says so, as Google's does.
fn is_error_page(url: &Url) -> bool {
    let says = |text: &str| text.to_ascii_lowercase().contains("error");
    says(url.path()) || url.query_pairs().any(|(name, _)| says(&name))
}

fn without_query(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url
}
