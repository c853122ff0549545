//! Refusals outside of the protocol, as pages for people in browsers. Clients get the same as JSON.

use askama::Template;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::reply;
use crate::config::address::BaseUrl;
use crate::html;

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage<'a> {
    title: &'a str,
    message: &'a str,
    /// The server's own page, for whom it can help.
    home: Option<&'a str>,
}

/// A refusal: its code for programs, its title for people, and what to do about it.
pub(super) struct Refusal<'a> {
    pub(super) status: StatusCode,
    pub(super) error: &'a str,
    pub(super) title: &'a str,
    pub(super) message: &'a str,
    pub(super) leads_home: bool,
}

impl Refusal<'_> {
    /// The answer: a page for those who prefer one by name, and else JSON.
    pub(super) fn answer(&self, headers: &HeaderMap, base_url: &BaseUrl) -> Response {
        let Self { status, error, title, message, leads_home } = *self;
        if !html::is_preferred(headers) {
            return reply::error(status, error, message);
        }
        let page = RefusedPage { title, message, home: leads_home.then(|| base_url.as_str()) };
        html::answer(status, &page, base_url)
    }
}
