//! Browsers of people on this server's own pages: who sits at one, and the checks of every form that it sends.
//!
//! [`login`] logs a person in and out, through the same provider and the same steps as for a client, and [`me`] is their
//! own page; [`operators`] lets operators act, and [`recent`] says how old a login is. A browser is known by a cookie ([`cookie`]) that is good for pages alone: the endpoint takes none.
//!
//! A page gets the browser by `Auth::browser`, puts [`Browser::form_token`] into each of its forms as the field
//! [`FORM_TOKEN`], and lets nothing happen before [`Browser::check_post`] has passed.

pub(in crate::auth) mod cookie;
mod forms;
pub(crate) mod login;
pub(crate) mod me;
pub(crate) mod operators;
pub(in crate::auth) mod recent;

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{ORIGIN, REFERRER_POLICY};
use http::{HeaderMap, HeaderValue};

use super::failures::Failure;
use super::pages::clean_name;
use super::server::AuthorizationServer;
use super::sessions::bearer::BearerError;
use super::sessions::own;
use super::tokens::Family;
use crate::audit::Event;
use crate::audit::event::{Reason, Who};
use crate::clock::now_s;
use crate::config::address::BaseUrl;
use crate::html;
use crate::principal::Principal;
use crate::vault;

/// The field of a form that holds its token, and the name of the header for requests that are no forms.
pub(crate) const FORM_TOKEN: &str = "form_token";

/// The purpose of the key by which the token of forms follows from the cookie.
const FORM_TOKEN_KEY: &str = "tinymcp 2026 form token of a browser";

/// The forms of a server without logins: they have no cookie to follow from. It keeps other sites away together with the
/// check of `Origin`, and nobody on this machine, who may call everything anyway.
static FORMS_OF_ANYBODY: LazyLock<String> = LazyLock::new(|| URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));

/// A browser, and the person at it.
#[derive(Clone)]
pub(crate) struct Browser {
    principal: Arc<Principal>,
    form_token: String,
    /// None where nobody logs in.
    session: Option<Session>,
}

#[derive(Clone)]
struct Session {
    family: Family,
    /// The time from which on the person has shown who they are.
    shown_s: Option<u64>,
    is_operator: bool,
}

/// The reason why a POST is not taken: it may come from a page of another site. The texts are for the log and the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forged {
    /// No `Origin`, or another one than this server's.
    #[error("its `Origin` is not this server's")]
    Origin,
    /// A browser says that it comes from elsewhere.
    #[error("the browser says that another site has sent it (`Sec-Fetch-Site`)")]
    Site,
    /// No token of this browser's forms.
    #[error("it has no token of this browser's forms, or that of an earlier login")]
    Token,
}

impl Browser {
    /// A browser at a server where nobody logs in.
    pub(super) fn of_anybody(anonymous: Arc<Principal>) -> Self {
        Self { principal: anonymous, form_token: FORMS_OF_ANYBODY.clone(), session: None }
    }

    /// The person, as the caller of a tool. They hold every scope that they could hold.
    pub(crate) fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// True for a person who has logged in; false where nobody does.
    pub(crate) fn is_logged_in(&self) -> bool {
        self.session.is_some()
    }

    /// The person's name for pages, or else their address, or the provider's name for them.
    pub(crate) fn name(&self) -> String {
        let Principal { name, email, subject, .. } = &*self.principal;
        clean_name(name.as_ref().or(email.as_ref()).unwrap_or(subject))
    }

    /// True for an operator (`auth.operators`).
    pub(crate) fn is_operator(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_operator)
    }

    /// True if the person has shown the provider within the last ten minutes who they are, as an operator's acts need.
    /// `/login?again&to=…` has them do so.
    pub(crate) fn recent(&self) -> bool {
        self.session.as_ref().is_some_and(|session| recent::is_recent(session.shown_s, now_s()))
    }

    /// The token for this browser's forms, the same for as long as its login lasts: plain ASCII for the field
    /// [`FORM_TOKEN`].
    pub(crate) fn form_token(&self) -> &str {
        &self.form_token
    }

    /// The id by which its session is listed.
    fn session_id(&self) -> Option<String> {
        self.session.as_ref().map(|session| own::id(&session.family))
    }

    /// Checks that a POST was sent from one of this server's own pages in this browser: by its `Origin`, which must be
    /// there, by what the browser says of the site (Fetch Metadata), where it says something, and by the token of its
    /// forms.
    ///
    /// # Errors
    /// [`Forged`]: nothing may be done, and the answer is 403.
    pub(crate) fn check_post(
        &self,
        base_url: &BaseUrl,
        headers: &HeaderMap,
        token: Option<&str>,
    ) -> Result<(), Forged> {
        check_sender(base_url, headers)?;
        let is_ours = vault::is_equal(token.unwrap_or_default().as_bytes(), self.form_token.as_bytes());
        if is_ours { Ok(()) } else { Err(Forged::Token) }
    }
}

/// The checks of a POST that need no browser's session.
pub(crate) fn check_sender(base_url: &BaseUrl, headers: &HeaderMap) -> Result<(), Forged> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let own = base_url.origin().ascii_serialization();
    if !(origins.next().is_some_and(|origin| origin.as_bytes() == own.as_bytes()) && origins.next().is_none()) {
        return Err(Forged::Origin);
    }
    match headers.get("sec-fetch-site").is_none_or(|site| site.as_bytes() == b"same-origin") {
        true => Ok(()),
        false => Err(Forged::Site),
    }
}

/// Lets browsers say the `Origin` of a page's forms, which under the policy of other pages is `null`, and send them to this
/// server alone.
pub(crate) fn with_forms(mut page: Response) -> Response {
    page.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    html::keep_forms_here(&mut page);
    page
}

impl AuthorizationServer {
    /// The browser that sent a request; none without a login, or if that has ended.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) async fn browser(&self, headers: &HeaderMap) -> Result<Option<Browser>, BearerError> {
        let Some(cookie) = self.browser_cookie.get(headers) else { return Ok(None) };
        let live = match self.sessions.browser(cookie).await {
            Ok(live) => live,
            Err(BearerError::Unavailable) => return Err(BearerError::Unavailable),
            Err(BearerError::Foreign | BearerError::Ended | BearerError::TurnedAway | BearerError::Expired) => {
                return Ok(None);
            }
        };
        let form_token = blake3::derive_key(FORM_TOKEN_KEY, cookie.as_bytes());
        let session = Session {
            family: live.family,
            shown_s: live.shown_s,
            is_operator: self.people().is_operator(&live.identity),
        };
        Ok(Some(Browser {
            principal: live.principal,
            form_token: URL_SAFE_NO_PAD.encode(form_token),
            session: Some(session),
        }))
    }

    /// Notes the address from which a browser was used.
    pub(crate) fn note_browser(&self, browser: &Browser, from: IpAddr) {
        if let Some(session) = &browser.session {
            self.sessions.note_browser(session.family, from);
        }
    }

    /// The page for a POST that may be forged, which the audit is told of.
    fn refuse_forged(
        &self,
        headers: &HeaderMap,
        (browser, from): (Option<&Browser>, IpAddr),
        forged: Forged,
    ) -> Response {
        let who = browser.map(|browser| Who::of(&browser.principal));
        let (reason, client, claimed) = (Reason::ForgedForm, None, None);
        self.audit.record(&Event::Refusal { reason, who, client, claimed, from: Some(from) });
        self.page(headers, Failure::forged(&forged.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_of_our_own_page_with_its_token_or_refused() {
        let browser = Browser::of_anybody(Arc::new(Principal::anonymous()));
        let own = browser.form_token().to_owned();
        let (ours, other) = ("https://mcp.example", "https://evil.example");
        for (origins, site, token, expected) in [
            (&[ours][..], Some("same-origin"), Some(own.as_str()), Ok(())),
            (&[ours], None, Some(&own), Ok(())),
            (&[], Some("same-origin"), Some(&own), Err(Forged::Origin)),
            (&["null"], Some("same-origin"), Some(&own), Err(Forged::Origin)),
            (&[other], Some("same-origin"), Some(&own), Err(Forged::Origin)),
            (&["https://mcp.example:8443"], Some("same-origin"), Some(&own), Err(Forged::Origin)),
            (&["http://mcp.example"], Some("same-origin"), Some(&own), Err(Forged::Origin)),
            (&[ours, ours], Some("same-origin"), Some(&own), Err(Forged::Origin)),
            (&[ours], Some("same-site"), Some(&own), Err(Forged::Site)),
            (&[ours], Some("cross-site"), Some(&own), Err(Forged::Site)),
            (&[ours], Some("none"), Some(&own), Err(Forged::Site)),
            (&[ours], Some("same-origin"), None, Err(Forged::Token)),
            (&[ours], Some("same-origin"), Some(""), Err(Forged::Token)),
            (&[ours], Some("same-origin"), Some("x"), Err(Forged::Token)),
        ] {
            let mut headers = HeaderMap::new();
            for origin in origins {
                headers.append(ORIGIN, origin.parse().unwrap());
            }
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            let base_url = ours.parse().unwrap();
            assert_eq!(browser.check_post(&base_url, &headers, token), expected, "{origins:?} {site:?} {token:?}");
        }
    }

    #[test]
    fn nobody_without_a_login_is_an_operator() {
        let browser = Browser::of_anybody(Arc::new(Principal::anonymous()));
        assert!(!browser.is_operator() && !browser.recent() && !browser.is_logged_in());
    }
}
