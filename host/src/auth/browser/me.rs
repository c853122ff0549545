//! `/me`: a person's own page, with the applications and browsers that are logged in for them, each of which they can end.
//!
//! It is a page without a script. Whatever is ended is named by its session's id, and only a session of the same person
//! ends by it.

use std::net::IpAddr;

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::header::HOST;
use http::{HeaderMap, StatusCode};

use super::{Browser, FORM_TOKEN, forms, with_forms};
use crate::auth::failures::Failure;
use crate::auth::pages::clean_name;
use crate::auth::parameters::Parameters;
use crate::auth::resource;
use crate::auth::server::AuthorizationServer;
use crate::auth::sessions::browser::CLIENT;
use crate::auth::sessions::listed::ListedSession;
use crate::clock::now_s;
use crate::config::address::BaseUrl;
use crate::html::{self, see_other};
use crate::principal::Principal;
use crate::store::{Key, StoreError};

/// What was done, by the word in the page's address. Nothing else of an address is shown.
const DONE: [(&str, &str); 3] = [
    ("ended", "It is ended, and has to ask you again."),
    ("gone", "It had ended already."),
    ("all", "Everything is ended, and you are logged out here too."),
];

#[derive(Template)]
#[template(path = "me.html")]
struct MePage<'a> {
    server: &'a str,
    provider: &'a str,
    done: Option<&'static str>,
    /// None for somebody who has not logged in.
    view: Option<View<'a>>,
}

struct View<'a> {
    name: String,
    provider: &'a str,
    is_operator: bool,
    /// True if an operator may act without another login.
    is_recent: bool,
    field: &'static str,
    token: &'a str,
    applications: Vec<Entry>,
    browsers: Vec<Entry>,
}

/// One session.
struct Entry {
    id: String,
    name: String,
    /// The place that it is at, in words that the client cannot choose.
    place: Option<String>,
    /// The path of the view that it is for; none of a session for all of the server.
    view: Option<String>,
    is_this: bool,
    since: String,
    since_date: String,
    used: Option<String>,
    used_date: String,
    scopes: Vec<String>,
}

/// `GET /me`: the page of a person, or of somebody who has not logged in.
pub(crate) async fn page(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    browser: Option<&Browser>,
    raw_query: &str,
) -> Response {
    let base_url = server.base_url();
    if resource::alias(base_url, headers.get(HOST)).is_some() {
        // Cookies are the host's, and forms are taken from `base_url` alone.
        return see_other(&server.own_url("/me"));
    }
    let view = match browser.filter(|browser| browser.is_logged_in()).map(|browser| view(server, browser)) {
        None => None,
        Some(view) => match view.await {
            Ok(view) => Some(view),
            Err(error) => return server.page(headers, Failure::store(error.to_string())),
        },
    };
    let query = Parameters::parse(raw_query.as_bytes());
    let done = query.one("done").ok().flatten();
    let done = DONE.iter().find(|(word, _)| Some(*word) == done).map(|(_, text)| *text);
    let page = MePage { server: base_url.authority(), provider: server.provider(), done, view };
    with_forms(html::answer(StatusCode::OK, &page, base_url))
}

async fn view<'a>(server: &'a AuthorizationServer, browser: &'a Browser) -> Result<View<'a>, StoreError> {
    let mut sessions = server.sessions.of_person(browser.principal()).await?;
    sessions.sort_by_key(|session| std::cmp::Reverse(session.used_s.unwrap_or(session.since_s)));
    let now_s = now_s();
    let own = browser.session_id();
    let entries = sessions.into_iter().map(|session| {
        let is_browser = session.client_id == CLIENT;
        (is_browser, entry(server, session, own.as_deref(), now_s))
    });
    let (browsers, applications): (Vec<_>, Vec<_>) = entries.partition(|(is_browser, _)| *is_browser);
    let only = |entries: Vec<(bool, Entry)>| entries.into_iter().map(|(_, entry)| entry).collect();
    Ok(View {
        name: browser.name(),
        provider: server.provider(),
        is_operator: browser.is_operator(),
        is_recent: browser.recent(),
        field: FORM_TOKEN,
        token: browser.form_token(),
        applications: only(applications),
        browsers: only(browsers),
    })
}

fn entry(server: &AuthorizationServer, session: ListedSession, own: Option<&str>, now_s: u64) -> Entry {
    let from = session.from.map(|from| format!("from {from}"));
    let (name, place) = if session.client_id == CLIENT {
        ("A browser".to_owned(), from)
    } else {
        let (name, place) = server.clients.called(&session.client_id, session.redirect_uri.as_deref());
        let name = name.map(|name| clean_name(&name)).filter(|name| !name.is_empty());
        let places: Vec<String> = place.into_iter().chain(from).collect();
        (name.unwrap_or_else(|| "An application".to_owned()), Some(places.join(", ")).filter(|it| !it.is_empty()))
    };
    Entry {
        view: (!session.view.is_main()).then(|| session.view.to_string()),
        is_this: own == Some(session.id.as_str()),
        id: session.id,
        name,
        place,
        since: ago(now_s, session.since_s),
        since_date: date(session.since_s),
        used: session.used_s.map(|used_s| ago(now_s, used_s)),
        used_date: session.used_s.map(date).unwrap_or_default(),
        scopes: if session.client_id == CLIENT { Vec::new() } else { session.scopes },
    }
}

/// `POST /me/end`: ends one session of the person, which the field `session` names.
pub(crate) async fn end(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    (browser, from): (Option<Browser>, IpAddr),
    body: Body,
) -> Response {
    let Some(browser) = browser else { return server.page(headers, Failure::login_ended(&server.login_url())) };
    let form = match forms::read(server, headers, (&browser, from), body).await {
        Ok(form) => form,
        Err(refusal) => return *refusal,
    };
    let named = form.one("session").ok().flatten();
    let ended = match named.and_then(Key::from_hex) {
        Some(key) => server.sessions.end_own(key, browser.principal()).await,
        None => Ok(false),
    };
    let done = match ended {
        Ok(true) => "ended",
        // Somebody else's is none of theirs, and no different from one that never was.
        Ok(false) => "gone",
        Err(error) => return server.page(headers, Failure::store(error.to_string())),
    };
    let mut response = see_other(&server.own_url(&format!("/me?done={done}")));
    if done == "ended" && named == browser.session_id().as_deref() {
        server.browser_cookie.clear(&mut response);
    }
    response
}

/// `POST /me/end-all`: ends every session of the person, this browser's last.
pub(crate) async fn end_all(
    server: &AuthorizationServer,
    headers: &HeaderMap,
    (browser, from): (Option<Browser>, IpAddr),
    body: Body,
) -> Response {
    let Some(browser) = browser else { return server.page(headers, Failure::login_ended(&server.login_url())) };
    if let Err(refusal) = forms::read(server, headers, (&browser, from), body).await {
        return *refusal;
    }
    if let Err(error) = end_all_of(server, browser.principal(), browser.session_id().as_deref()).await {
        return server.page(headers, Failure::store(error.to_string()));
    }
    let mut response = see_other(&server.own_url("/me?done=all"));
    server.browser_cookie.clear(&mut response);
    response
}

async fn end_all_of(server: &AuthorizationServer, person: &Principal, own: Option<&str>) -> Result<(), StoreError> {
    let sessions = server.sessions.of_person(person).await?;
    let others = sessions.iter().map(|session| session.id.as_str()).filter(|id| Some(*id) != own);
    // With this browser's last, the person can try again what could not be done.
    for key in others.chain(own).filter_map(Key::from_hex) {
        server.sessions.end_own(key, person).await?;
    }
    Ok(())
}

#[derive(Template)]
#[template(path = "no_login.html")]
struct NoLoginPage<'a> {
    server: &'a str,
    endpoint: String,
}

/// The page of a server where nobody logs in.
pub(crate) fn nobody_logs_in(base_url: &BaseUrl) -> Response {
    let page = NoLoginPage { server: base_url.authority(), endpoint: base_url.endpoint() };
    html::answer(StatusCode::OK, &page, base_url)
}

/// A time in the past, as people say it: it needs no clock of theirs.
fn ago(now_s: u64, then_s: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let passed_s = now_s.saturating_sub(then_s);
    let (unit_s, unit) = match passed_s {
        0..MINUTE => return "just now".to_owned(),
        MINUTE..HOUR => (MINUTE, "minute"),
        HOUR..DAY => (HOUR, "hour"),
        _ => (DAY, "day"),
    };
    let count = passed_s / unit_s;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// The same moment for those who want it exactly, in UTC.
fn date(at_s: u64) -> String {
    httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(at_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_told_in_words() {
        for (passed_s, expected) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (3599, "59 minutes ago"),
            (3600, "1 hour ago"),
            (86_399, "23 hours ago"),
            (86_400, "1 day ago"),
            (100 * 86_400, "100 days ago"),
        ] {
            assert_eq!(ago(1_000_000_000, 1_000_000_000 - passed_s), expected);
        }
        assert_eq!(ago(1, 2), "just now", "a clock that was put back");
    }
}
