//! Who looks at the page.

use std::sync::Arc;

use http::HeaderMap;
use http::header::HOST;
use url::Url;

use super::super::App;
use crate::audit::Event;
use crate::audit::event::{Reason, Who};
use crate::auth::browser::{Browser, Forged};
use crate::config::address::BaseUrl;
use crate::http::address;
use crate::peer::Peer;
use crate::principal::Principal;

/// Somebody who looks at the page.
pub(super) enum Visitor {
    /// Nobody has logged in.
    Stranger,
    /// A person who may try tools.
    Known(Box<Person>),
}

/// A person who may try tools: one who has logged in, or anybody where nobody has to.
pub(super) struct Person(Browser);

impl Visitor {
    /// Finds out who sent a request. Where that cannot be found out, it is a stranger: the page itself is for everybody.
    pub(super) async fn of(app: &App, peer: &Peer, headers: &HeaderMap) -> Self {
        if !is_at_home(headers, &app.server.base_url) {
            return Self::Stranger;
        }
        match app.auth.browser(peer, headers).await {
            Ok(Some(browser)) => Self::Known(Box::new(Person(browser))),
            Ok(None) | Err(_) => Self::Stranger,
        }
    }

    /// The person, if it is not a stranger.
    pub(super) fn person(&self) -> Option<&Person> {
        match self {
            Self::Stranger => None,
            Self::Known(person) => Some(person),
        }
    }

    /// Tells the audit of a POST that may be forged.
    pub(super) fn tell_of_forged(&self, app: &App, peer: &Peer, headers: &HeaderMap) {
        let known = self.person().filter(|person| person.0.is_logged_in());
        let who = known.map(|person| Who::of(person.principal()));
        let from = Some(address::of(peer, headers, &app.server.trusted_proxies));
        let refusal = Event::Refusal { reason: Reason::ForgedForm, who, client: None, claimed: None, from };
        app.plugins.observers().audit.record(&refusal);
    }
}

impl Person {
    /// Who calls.
    pub(super) fn principal(&self) -> &Arc<Principal> {
        self.0.principal()
    }

    /// The name to show; none where nobody logs in.
    pub(super) fn name(&self) -> Option<String> {
        self.0.is_logged_in().then(|| self.0.name())
    }

    /// Sees the state of plugins, their grants and refusals.
    pub(super) fn is_operator(&self) -> bool {
        self.0.is_operator()
    }

    /// Proves that a request comes from a page that this person was given.
    pub(super) fn token(&self) -> &str {
        self.0.form_token()
    }

    /// Checks that a POST was sent from this person's page.
    ///
    /// # Errors
    /// [`Forged`]: nothing may be done.
    pub(super) fn check_post(
        &self,
        base_url: &BaseUrl,
        headers: &HeaderMap,
        token: Option<&str>,
    ) -> Result<(), Forged> {
        self.0.check_post(base_url, headers, token)
    }
}

/// True for a request by the name in `base_url`. A login is good for that name alone, and so is trying: by another one of
/// the server's names the page is that of strangers, with a link.
pub(super) fn is_at_home(headers: &HeaderMap, base_url: &BaseUrl) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host else { return true };
    let url = Url::parse(&format!("{}://{host}", base_url.scheme()));
    url.is_ok_and(|url| url.origin() == base_url.origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_good_for_one_name_of_the_server() {
        let check = |base_url: &str, host: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            assert_eq!(is_at_home(&headers, &base_url.parse().unwrap()), expected, "{base_url} {host}");
        };
        check("https://mcp.example.com", "mcp.example.com", true);
        check("https://mcp.example.com", "MCP.example.com:443", true);
        check("https://mcp.example.com", "mcp.example.com:8443", false);
        check("https://mcp.example.com", "10.0.0.1", false);
        check("http://localhost:8000", "localhost:8000", true);
        check("http://localhost:8000", "127.0.0.1:8000", false);
    }
}
