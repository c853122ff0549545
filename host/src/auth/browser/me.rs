//! `/me`: a person's own page.

use askama::Template;
use axum::response::Response;
use http::header::HOST;
use http::{HeaderMap, StatusCode};

use super::{Browser, FORM_TOKEN, with_forms};
use crate::auth::resource;
use crate::auth::server::AuthorizationServer;
use crate::config::address::BaseUrl;
use crate::html::{self, see_other};

#[derive(Template)]
#[template(path = "me.html")]
struct MePage<'a> {
    server: &'a str,
    form_token: Option<(&'static str, &'a str)>,
    name: String,
}

/// `GET /me`: the page of a person, or of somebody who has not logged in.
pub(crate) fn page(server: &AuthorizationServer, headers: &HeaderMap, browser: Option<&Browser>) -> Response {
    let base_url = server.base_url();
    if resource::alias(base_url, headers.get(HOST)).is_some() {
        // Cookies are the host's, and forms are taken from `base_url` alone.
        return see_other(&server.own_url("/me"));
    }
    let page = MePage {
        server: base_url.authority(),
        form_token: browser.map(|browser| (FORM_TOKEN, browser.form_token())),
        name: browser.map(Browser::name).unwrap_or_default(),
    };
    with_forms(html::answer(StatusCode::OK, &page, base_url))
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
