//! The pages of a login.
//!
//! No page has a script. The words of clients and providers are shown as text, freed of invisible characters,
//! and as the claims that they are; hosts are shown in ASCII.

mod names;
mod place;

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use url::Url;

pub(super) use self::names::clean_name;
use self::names::mixes_scripts;
use self::place::{Destination, Place};
use super::failures::{Explanation, Failure};
use crate::config::address::BaseUrl;
use crate::html;
use crate::sanitize::{clean, cut};

/// The longest quote of a provider's words.
const MAX_QUOTE_BYTES: usize = 1 << 10;

/// Asks whether a client may have access. The answer is a form that is sent to `/consent`, with the fields `request`
/// and `decision` (`approve` or `deny`).
#[derive(Debug)]
pub(super) struct ConsentPage {
    /// The validated request, sealed; it comes back with the answer.
    pub(super) sealed_request: String,
    pub(super) client: Applicant,
    /// The client's redirect URI, as it was written.
    pub(super) redirect_uri: String,
    /// The view that it asks for; none for `/mcp`.
    pub(super) view: Option<String>,
    /// The URL of the view at which the client was refused after it had logged in like this, twice.
    pub(super) loops_at: Option<String>,
    /// The scopes asked for, each with a description.
    pub(super) scopes: Vec<(String, String)>,
    pub(super) provider: String,
    /// The scopes that the provider is asked for.
    pub(super) provider_scopes: Vec<String>,
}

/// A client that asks for access, with the source of its name.
#[derive(Debug)]
pub(super) enum Applicant {
    /// A client that registered itself: the name is its own claim.
    Registered {
        /// The name that it gives itself.
        name: Option<String>,
    },
    /// A client whose id is the URL of a document.
    Document {
        client_id: String,
        /// The name in the document.
        name: Option<String>,
    },
    Declared {
        /// The name that the operator gives it, or else its id.
        name: String,
    },
}

/// Tells a person of a failure.
#[derive(Debug)]
pub(super) struct MessagePage {
    pub(super) failure: Failure,
    /// The reference by which the cause is found in the log.
    pub(super) reference: String,
    /// The way back to the client, if it is to learn of the failure.
    pub(super) forward: Option<Forward>,
}

/// The way back to a client that is to learn of an error, too.
#[derive(Debug)]
pub(super) struct Forward {
    /// The client's validated redirect URI, with the error in its query.
    pub(super) url: String,
    pub(super) client: String,
    /// Seconds until the browser goes on by itself; without it, only a click leads there.
    pub(super) after_s: Option<u32>,
}

/// The last step of a login where a redirect will not do. An application that is opened by a scheme of its own, such as
/// `cursor:`, gets one since browsers follow such redirects unreliably and without a word. And a client that nobody
/// knows, or that nobody has approved, is to have the browser by a person's click alone (RFC 9700 §4.11.2).
#[derive(Debug)]
pub(super) struct ReturnPage {
    /// The status: 400 for a bad request, on a page too.
    pub(super) status: StatusCode,
    /// The client's validated redirect URI, with the answer in its query.
    pub(super) url: String,
    /// The result that the client is told.
    pub(super) outcome: Outcome,
    /// The step that takes the browser there.
    pub(super) going: Continuation,
}

/// The step that takes a browser on from a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuation {
    /// None: the browser goes at once.
    ByItself,
    /// A click of the person.
    ByClick,
    /// A click of a person who has not approved the client.
    Unapproved,
}

/// The end of a login whose client has everything already, for a browser that comes back to it.
#[derive(Debug)]
pub(super) struct LoggedInPage {
    pub(super) client: String,
    pub(super) person: Option<String>,
}

/// The result of a login.
#[derive(Debug)]
pub(super) enum Outcome {
    LoggedIn {
        person: Option<String>,
    },
    Denied,
    Failed {
        /// The text for the client, with a reference to the log where that says more.
        why: String,
    },
}

impl ConsentPage {
    pub(super) fn response(&self, base_url: &BaseUrl) -> Response {
        html::answer(StatusCode::OK, &self.view(base_url), base_url)
    }

    fn view<'a>(&'a self, base_url: &'a BaseUrl) -> ConsentView<'a> {
        let (name, vouched_by) = match &self.client {
            Applicant::Registered { name } => (name.as_deref(), VouchedBy::Nobody),
            Applicant::Document { client_id, name } => (name.as_deref(), VouchedBy::Domain(host_of(client_id))),
            Applicant::Declared { name } => (Some(name.as_str()), VouchedBy::Operator),
        };
        let name = name.map(clean_name).filter(|name| !name.is_empty());
        let heading = match (&name, &vouched_by) {
            (Some(name), _) => format!("“{name}”"),
            (None, VouchedBy::Domain(host)) => host.clone(),
            (None, VouchedBy::Nobody | VouchedBy::Operator) => "an application".to_owned(),
        };
        ConsentView {
            server: base_url.authority(),
            heading,
            is_mixed: name.as_deref().is_some_and(mixes_scripts),
            name,
            vouched_by,
            destination: Destination::of(&self.redirect_uri),
            view: self.view.as_deref(),
            loops_at: self.loops_at.as_deref(),
            endpoint: base_url.endpoint(),
            scopes: &self.scopes,
            provider: &self.provider,
            provider_scopes: &self.provider_scopes,
            sealed_request: &self.sealed_request,
        }
    }
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentView<'a> {
    server: &'a str,
    heading: String,
    is_mixed: bool,
    name: Option<String>,
    vouched_by: VouchedBy,
    destination: Destination,
    view: Option<&'a str>,
    loops_at: Option<&'a str>,
    endpoint: String,
    scopes: &'a [(String, String)],
    provider: &'a str,
    provider_scopes: &'a [String],
    sealed_request: &'a str,
}

/// The party whose word a client's name is.
enum VouchedBy {
    Nobody,
    Domain(String),
    Operator,
}

impl MessagePage {
    /// The page for a browser, and the same as JSON for everybody else.
    pub(super) fn respond(&self, headers: &HeaderMap, base_url: &BaseUrl) -> Response {
        if html::is_preferred(headers) { self.response(base_url) } else { self.json() }
    }

    pub(super) fn response(&self, base_url: &BaseUrl) -> Response {
        html::answer(self.failure.status, &self.view(base_url), base_url)
    }

    fn view<'a>(&'a self, base_url: &'a BaseUrl) -> MessageView<'a> {
        let Explanation { title, happened, steps, quote } = &self.failure.explanation;
        MessageView {
            server: base_url.authority(),
            title: clean(title),
            happened: passages(happened),
            steps: steps.iter().map(|step| passages(step)).collect(),
            quote: quote.as_deref().map(|quote| cut(clean(quote).trim(), MAX_QUOTE_BYTES)),
            reference: &self.reference,
            forward: self.forward.as_ref().map(ForwardView::of),
        }
    }

    fn json(&self) -> Response {
        let Explanation { title, happened, steps, quote: _ } = &self.failure.explanation;
        let description = clean(&format!("{title}: {happened} {}", steps.join(" ")));
        let body = json!({
            "error": self.failure.error,
            "error_description": description.trim_end(),
            "reference": self.reference,
        });
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (VARY, HeaderValue::from_static("accept")),
        ];
        (self.failure.status, headers, body.to_string()).into_response()
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessageView<'a> {
    server: &'a str,
    title: String,
    happened: Vec<Passage>,
    steps: Vec<Vec<Passage>>,
    quote: Option<String>,
    reference: &'a str,
    forward: Option<ForwardView<'a>>,
}

struct ForwardView<'a> {
    url: &'a str,
    client: String,
    place: Place,
    after_s: Option<u32>,
}

impl<'a> ForwardView<'a> {
    fn of(Forward { url, client, after_s }: &'a Forward) -> Self {
        Self { url, client: clean_name(client), place: Destination::of(url).place, after_s: *after_s }
    }
}

/// A piece of a text.
enum Passage {
    Plain(String),
    Code(String),
    /// Code of several lines.
    Block(String),
}

/// Splits a text at its backticks.
fn passages(text: &str) -> Vec<Passage> {
    let passage = |(place, piece): (usize, &str)| match place % 2 {
        0 => Passage::Plain(clean(piece)),
        _ if piece.contains('\n') => Passage::Block(clean(piece)),
        _ => Passage::Code(clean(piece)),
    };
    text.split('`').enumerate().map(passage).collect()
}

impl ReturnPage {
    pub(super) fn response(&self, base_url: &BaseUrl) -> Response {
        html::answer(self.status, &self.view(base_url), base_url)
    }

    fn view<'a>(&'a self, base_url: &'a BaseUrl) -> ReturnView<'a> {
        ReturnView {
            server: base_url.authority(),
            url: &self.url,
            place: Destination::of(&self.url).place,
            outcome: &self.outcome,
            going: self.going,
        }
    }
}

#[derive(Template)]
#[template(path = "return.html")]
struct ReturnView<'a> {
    server: &'a str,
    url: &'a str,
    place: Place,
    outcome: &'a Outcome,
    going: Continuation,
}

/// The form of the built-in login, which asks for a name.
#[derive(Template)]
#[template(path = "local.html")]
pub(super) struct NamePage<'a> {
    pub(super) server: &'a str,
    pub(super) state: &'a str,
    pub(super) code_challenge: &'a str,
    pub(super) nonce: &'a str,
    pub(super) name: &'a str,
    /// The reason why the name before this one was not taken.
    pub(super) problem: Option<&'a str>,
}

impl NamePage<'_> {
    pub(super) fn response(&self, base_url: &BaseUrl) -> Response {
        let status = if self.problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        html::answer(status, self, base_url)
    }
}

impl LoggedInPage {
    pub(super) fn response(&self, base_url: &BaseUrl) -> Response {
        html::answer(StatusCode::OK, &self.view(base_url), base_url)
    }

    fn view<'a>(&'a self, base_url: &'a BaseUrl) -> LoggedInView<'a> {
        let person = self.person.as_deref().map(clean_name);
        LoggedInView { server: base_url.authority(), client: clean_name(&self.client), person }
    }
}

#[derive(Template)]
#[template(path = "logged_in.html")]
struct LoggedInView<'a> {
    server: &'a str,
    client: String,
    person: Option<String>,
}

/// The place of a client by its redirect URI, in words that it cannot choose.
pub(super) fn place_of(redirect_uri: &str) -> String {
    match Destination::of(redirect_uri).place {
        Place::Host(host) => host,
        Place::ThisComputer => "on the computer where it was connected".to_owned(),
        Place::App(app) => format!("the application {app}"),
        Place::OtherApp(scheme) => format!("an application that opens {scheme}:"),
    }
}

/// The host of a URL, in ASCII; the URL itself where it has none.
pub(super) fn host_of(url: &str) -> String {
    match Url::parse(url) {
        Ok(parsed) => parsed.host_str().unwrap_or(url).to_owned(),
        Err(_) => clean_name(url),
    }
}

#[cfg(test)]
mod tests;
