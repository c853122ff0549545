//! Who looks at the page, and if a request comes from it.

use std::sync::{Arc, LazyLock};

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use url::Url;

use super::super::App;
use crate::auth::{Auth, LastToken};
use crate::config::address::BaseUrl;
use crate::peer::Peer;
use crate::principal::Principal;

/// Somebody who looks at the page.
pub(super) enum Visitor {
    /// Nobody has logged in.
    Stranger,
    /// A person of whom the server knows.
    Known(Box<Person>),
}

/// A person who may try tools.
pub(super) struct Person {
    /// Who calls.
    pub(super) principal: Arc<Principal>,
    /// The name to show; none where nobody logs in.
    pub(super) name: Option<String>,
    /// Sees the state of plugins, their grants and refusals.
    pub(super) is_operator: bool,
    /// Proves that a request comes from a page that this person was given.
    pub(super) token: String,
}

/// The token of pages where nobody logs in. It changes with the process.
static ANONYMOUS: LazyLock<String> = LazyLock::new(|| format!("{:032x}", rand::random::<u128>()));

impl Visitor {
    /// Finds out who sent a request.
    pub(super) async fn of(app: &App, peer: &Peer, headers: &HeaderMap) -> Self {
        match &app.auth {
            Auth::None(_) => match app.auth.authenticate(peer, headers, &LastToken::default()).await {
                Ok(principal) => {
                    let token = ANONYMOUS.clone();
                    Self::Known(Box::new(Person { principal, name: None, is_operator: false, token }))
                }
                Err(_) => Self::Stranger,
            },
            Auth::Login(_) => Self::Stranger,
        }
    }

    /// The person, if it is not a stranger.
    pub(super) fn person(&self) -> Option<&Person> {
        match self {
            Self::Stranger => None,
            Self::Known(person) => Some(person),
        }
    }
}

impl Person {
    /// True for the token that this person's page has. Its time tells nothing of how much of it is right.
    pub(super) fn has_token(&self, token: &str) -> bool {
        blake3::hash(self.token.as_bytes()) == blake3::hash(token.as_bytes())
    }
}

/// True for a request that a page of this very server has made: by its Origin (RFC 6454), and by what the browser says of
/// its own (Fetch Metadata), where it does.
pub(super) fn is_from_own_page(headers: &HeaderMap, base_url: &BaseUrl) -> bool {
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).and_then(|origin| Url::parse(origin).ok());
    let Some(origin) = origin else { return false };
    if origin.origin() == base_url.origin() {
        return true;
    }
    // Another of its names, by which the request itself has come; the guard has checked that it is one.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_same = host.is_some_and(|host| Url::parse(&format!("{}://{host}", base_url.scheme())).is_ok_and(|url| url.origin() == origin.origin()));
    is_same && origin.scheme() == base_url.scheme()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_pages_own_by_its_origin_and_by_what_the_browser_says() {
        let base_url: BaseUrl = "https://mcp.example.com".parse().unwrap();
        let check = |origin: Option<&str>, site: Option<&str>, host: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            origin.map(|origin| headers.insert(ORIGIN, origin.parse().unwrap()));
            site.map(|site| headers.insert("sec-fetch-site", site.parse().unwrap()));
            assert_eq!(is_from_own_page(&headers, &base_url), expected, "{origin:?} {site:?} {host}");
        };
        let own = "https://mcp.example.com";
        check(Some(own), Some("same-origin"), "mcp.example.com", true);
        check(Some(own), None, "mcp.example.com", true);
        check(Some("https://other.example"), Some("same-origin"), "other.example", true);
        check(Some(own), Some("same-site"), "mcp.example.com", false);
        check(Some(own), Some("none"), "mcp.example.com", false);
        check(Some("http://mcp.example.com"), None, "mcp.example.com", false);
        check(Some("https://mcp.example.com:8443"), None, "mcp.example.com", false);
        check(Some("https://evil.example"), None, "mcp.example.com", false);
        check(Some("null"), None, "mcp.example.com", false);
        check(None, Some("same-origin"), "mcp.example.com", false);
    }
}
