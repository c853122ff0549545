//! `/login` and `/logout`: a person's login on this server's own pages.
//!
//! The steps are those of a client's login but for the consent: there is no client, and nothing leaves the server. The
//! login is bound to this browser by its cookie, as every login is, so that nobody can finish theirs in somebody else's
//! browser; the session's cookie is a new one each time, and the one before it ends.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::HeaderMap;
use http::header::HOST;

use super::recent::RECENT_S;
use super::{Browser, forms};
use crate::auth::cookies::Cookie;
use crate::auth::failures::Failure;
use crate::auth::parameters::Parameters;
use crate::auth::resource;
use crate::auth::server::AuthorizationServer;
use crate::auth::sessions::bearer::BearerError;
use crate::auth::transaction::{self, BrowserLogin, Ending, Purpose, TransactionId};
use crate::clock::now_s;
use crate::html::see_other;

/// Pages that may come after a login. Nothing else is taken from a link, so that no link leads elsewhere.
const PAGES: [&str; 2] = ["/", "/me"];

/// The pages of what waits for approval, which go on with the name of a plugin.
const APPROVALS: &str = "/approval/";

/// The page after a login that asked for none.
const HOME: &str = "/me";

/// `GET /login`: sends the browser to the provider. `to` is the page after it; with `again`, a browser that is logged in
/// logs in once more.
pub(crate) async fn start(
    server: &Arc<AuthorizationServer>,
    asker: IpAddr,
    headers: &HeaderMap,
    raw_query: &str,
) -> Response {
    let raw = Parameters::parse(raw_query.as_bytes());
    let to = page_after(raw.one("to").ok().flatten());
    let is_again = raw.all("again").next().is_some();
    let login = server.login_url();
    if resource::alias(server.base_url(), headers.get(HOST)).is_some() {
        // Cookies are the host's, and the provider sends people back to `base_url`.
        let again = if is_again { "&again" } else { "" };
        // Neither has anything in it that would have to be escaped.
        return see_other(&format!("{login}?to={to}{again}"));
    }
    if headers.get("sec-fetch-dest").is_some_and(|destination| destination != "document") {
        return server.page(headers, Failure::login_not_visited(&login));
    }
    match server.browser(headers).await {
        Ok(Some(_)) if !is_again => return see_other(&server.own_url(&to)),
        Ok(_) => {}
        Err(_) => return server.page(headers, Failure::store("the store failed at a login".to_owned())),
    }
    let id = TransactionId::new(now_s());
    let upstream = transaction::upstream_request(&server.requests, &id, server.callback_url());
    let url = match server.upstream.authorize_url(&upstream).await {
        Ok(url) if is_again => server.upstream.again(url, RECENT_S),
        Ok(url) => url,
        Err(unavailable) => return server.page(headers, unavailable),
    };
    let purpose = Purpose::Browser(BrowserLogin { to, is_again });
    let begun = transaction::begin(&server.store, &server.unfinished, asker, &upstream.state, &id, &purpose);
    match begun.await {
        Ok(true) => {}
        Ok(false) => return server.page(headers, Failure::browser_login_over(&login)),
        Err(error) => return server.page(headers, Failure::store(error.to_string())),
    }
    let mut response = see_other(url.as_str());
    server.cookies.make_room(headers, &mut response);
    server.cookies.set(&mut response, Cookie::Login, &id, &transaction::binding(&server.requests, &id));
    response
}

/// The end of a login: the browser gets its session's cookie, or a page that says why not. Loads of the callback again
/// get the same.
pub(in crate::auth) async fn finish(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    login: &BrowserLogin,
    ending: Ending,
) -> Response {
    let login_url = server.login_url();
    match ending {
        Ending::LoggedIn { code: cookie, person: _ } => {
            match server.sessions.browser(&cookie).await {
                Ok(_) => {}
                Err(BearerError::Unavailable) => {
                    return server.page(headers, Failure::store("the store failed at a login".to_owned()));
                }
                Err(_) => return server.page(headers, Failure::browser_login_over(&login_url)),
            }
            if let Some(before) = server.browser_cookie.get(headers).filter(|before| *before != cookie)
                && let Err(error) = server.sessions.end_browser(before).await
            {
                tracing::warn!(%error, "the login of a browser before this one could not be ended; it ends by itself");
            }
            let mut response = see_other(&server.own_url(&page_after(Some(&login.to))));
            server.browser_cookie.set(&mut response, &cookie);
            response
        }
        Ending::Error { error, description } => {
            let known = ["access_denied", "temporarily_unavailable"];
            let error = known.into_iter().find(|known| *known == error).unwrap_or("server_error");
            server.page(headers, Failure::browser_not_logged_in(error, &description, &login_url))
        }
        Ending::Page { status, error, explanation, cause, is_for_client: _ } => {
            server.page(headers, transaction::failure(status, &error, explanation, cause))
        }
    }
}

/// `POST /logout`: ends the session of this browser.
pub(crate) async fn logout(
    server: &Arc<AuthorizationServer>,
    headers: &HeaderMap,
    (browser, from): (Option<Browser>, IpAddr),
    body: Body,
) -> Response {
    // Whoever is logged out already is where they want to be.
    let Some(browser) = browser else { return see_other(&server.own_url(HOME)) };
    if let Err(refusal) = forms::read(server, headers, (&browser, from), body).await {
        return *refusal;
    }
    let cookie = server.browser_cookie.get(headers).unwrap_or_default();
    if let Err(error) = server.sessions.end_browser(cookie).await {
        return server.page(headers, Failure::store(error.to_string()));
    }
    let mut response = see_other(&server.own_url(HOME));
    server.browser_cookie.clear(&mut response);
    response
}

/// The page that a link asks for, if it is one of this server's own.
fn page_after(to: Option<&str>) -> String {
    let to = to.unwrap_or(HOME);
    let is_ours = PAGES.contains(&to) || to.strip_prefix(APPROVALS).is_some_and(is_plugin_name);
    if is_ours { to.to_owned() } else { HOME.to_owned() }
}

/// The path of the page of what waits of a plugin; none for what is no plugin's name.
pub(crate) fn approval_page(plugin: &str) -> Option<String> {
    is_plugin_name(plugin).then(|| format!("{APPROVALS}{plugin}"))
}

fn is_plugin_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

impl AuthorizationServer {
    /// The URL at which a person logs in on this server's own pages.
    pub(in crate::auth) fn login_url(&self) -> String {
        self.own_url("/login")
    }

    /// The URL of a page of this server.
    pub(in crate::auth) fn own_url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_leads_elsewhere_after_a_login() {
        for (to, expected) in [
            (None, "/me"),
            (Some("/"), "/"),
            (Some("/me"), "/me"),
            (Some("//evil.example"), "/me"),
            (Some("/\\evil.example"), "/me"),
            (Some("https://evil.example/me"), "/me"),
            (Some("/me/../mcp"), "/me"),
            (Some("/me?x"), "/me"),
            (Some("javascript:alert(1)"), "/me"),
            (Some("/approval/my_tool-2"), "/approval/my_tool-2"),
            (Some("/approval/"), "/me"),
            (Some("/approval/../mcp"), "/me"),
            (Some("/approval/a?b"), "/me"),
            (Some("/approval/a%2fb"), "/me"),
            (Some("/approval/ä"), "/me"),
            (Some("//approval/a"), "/me"),
        ] {
            assert_eq!(page_after(to), expected, "{to:?}");
        }
    }
}
