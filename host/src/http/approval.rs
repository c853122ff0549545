//! `/approval/NAME`: what waits of a plugin for an operator's approval, and the approval itself.
//!
//! The page has the same lines as `tinymcp approve NAME`, and no script. Its form names what was shown by its reference, the
//! digest of file and lists, and nothing else is approved: if either has changed, the registry says so. Who may see the
//! page, and what a form must have, is decided in [`crate::auth::browser::operators`].

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::StatusCode;

use super::App;
use super::browser::PageRequest;
use crate::audit::Event;
use crate::audit::event::{Operator, Who};
use crate::auth::Browser;
use crate::auth::browser::operators::OperatorRequest;
use crate::auth::browser::{FORM_TOKEN, login, with_forms};
use crate::config::names::snake;
use crate::html::{self, see_other};
use crate::peer::Peer;
use crate::plugins::approval::reference::Reference;
use crate::plugins::approval::request::{self, ApprovalRequest, DifferenceError, WaitingPlugin};
use crate::sanitize;

/// The field with the reference of what was shown.
const REFERENCE: &str = "reference";

/// What was done, in the page's address.
const APPROVED: &str = "done=approved";

/// The page of what waits.
#[derive(Template)]
#[template(path = "approval.html")]
struct ApprovalPage<'a> {
    server: &'a str,
    plugin: &'a str,
    what: &'a str,
    /// An HTTP date.
    since: String,
    is_serving: bool,
    lines: Vec<Line>,
    reference: &'a str,
    path: &'a str,
    field: &'static str,
    token: &'a str,
    /// True if the operator may approve without another login.
    is_recent: bool,
}

/// A line of a difference.
struct Line {
    class: &'static str,
    text: String,
}

/// The page of a plugin of which nothing waits, or nothing that was shown.
#[derive(Template)]
#[template(path = "approval_none.html")]
struct NonePage<'a> {
    server: &'a str,
    plugin: &'a str,
    path: &'a str,
    title: &'static str,
    /// Why there is nothing to approve, as a sentence.
    why: String,
    /// It was refused, and something may wait.
    is_refusal: bool,
    state: Option<StateView>,
}

/// The plugin as it is now.
struct StateView {
    /// Digest and HTTP date of the version that is served.
    served: Option<(String, String)>,
    problem: Option<String>,
}

/// `GET /approval/{plugin}`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(plugin): Path<String>,
    request: Request<Body>,
) -> Response {
    let (path, mut page) = match of_plugin(&app, &peer, &plugin, request).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let browser = page.browser.take();
    match operator_request(&page, &path).admit(browser) {
        Ok(browser) => shown(&app, &browser, &plugin, &path, &page.query).await,
        Err(answer) => *answer,
    }
}

/// `POST /approval/{plugin}`
pub(super) async fn approve(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(plugin): Path<String>,
    request: Request<Body>,
) -> Response {
    let (path, mut page) = match of_plugin(&app, &peer, &plugin, request).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let (browser, body) = (page.browser.take(), std::mem::take(&mut page.body));
    let asked = operator_request(&page, &path);
    let (browser, reference) = match asked.act(browser, body, REFERENCE).await {
        Ok(act) => act,
        Err(answer) => return *answer,
    };
    // The page's own form names the page's own plugin.
    let is_of_page = |reference: &Reference| reference.plugin == snake(&plugin);
    let Some(reference) = reference.parse().ok().filter(is_of_page).map(|reference| reference.to_string()) else {
        return asked.broken("it does not name what was shown on this page");
    };
    let by = format!("person {} on the page", browser.principal().label());
    let request = ApprovalRequest::Approve { reference: reference.clone(), by };
    // Nothing is approved that could not be written down where that is demanded.
    let leave = match app.plugins.observers().audit.admit() {
        Ok(leave) => leave,
        Err(unwritable) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return nothing(&app, (&plugin, &path), "Nothing was approved", &unwritable.to_string(), Some(status));
        }
    };
    let answer = app.plugins.approvals().ask(request).await;
    leave.record(&Event::Operator {
        act: "approve",
        about: Some(&reference),
        whom: None,
        by: Operator::Person(Who::of(browser.principal())),
        outcome: if answer.is_ok() { "ok" } else { "failed" },
    });
    match answer {
        Ok(_) => see_other(&format!("{}{path}?{APPROVED}", app.server.base_url.as_str())),
        Err(why) => nothing(&app, (&plugin, &path), "Nothing was approved", &why, Some(StatusCode::CONFLICT)),
    }
}

/// The request with the path of a plugin's page; the answer where there can be none, or nobody logs in.
async fn of_plugin(
    app: &Arc<App>,
    peer: &Peer,
    plugin: &str,
    request: Request<Body>,
) -> Result<(String, PageRequest), Response> {
    let Some(path) = login::approval_page(plugin) else {
        return Err(super::nothing_here(State(Arc::clone(app)), request.headers().clone()).await);
    };
    Ok((path, PageRequest::new(app, peer, request).await?))
}

fn operator_request<'a>(page: &'a PageRequest, path: &'a str) -> OperatorRequest<'a> {
    OperatorRequest { server: &page.server, headers: &page.headers, address: page.address, path }
}

async fn shown(app: &App, browser: &Browser, plugin: &str, path: &str, query: &str) -> Response {
    let approvals = app.plugins.approvals();
    match request::difference(plugin, |request| approvals.ask(request)).await {
        Ok((waiting, lines)) => difference(app, browser, path, &waiting, lines),
        Err(DifferenceError::Asking(why)) => {
            let is_there = app.plugins.catalog().plugins().iter().any(|status| status.name == snake(plugin));
            let title = if query == APPROVED && is_there { "It is approved" } else { "Nothing to approve" };
            nothing(app, (plugin, path), title, &why, None)
        }
        Err(DifferenceError::Changed | DifferenceError::Unexpected) => {
            let why = "it changed while it was shown";
            nothing(app, (plugin, path), "Look once more", why, Some(StatusCode::SERVICE_UNAVAILABLE))
        }
    }
}

fn difference(app: &App, browser: &Browser, path: &str, waiting: &WaitingPlugin, lines: Vec<String>) -> Response {
    let base_url = &app.server.base_url;
    let since = std::time::UNIX_EPOCH + std::time::Duration::from_secs(waiting.since);
    let page = ApprovalPage {
        server: base_url.authority(),
        plugin: &waiting.plugin,
        what: &waiting.what,
        since: httpdate::fmt_http_date(since),
        is_serving: waiting.is_serving,
        lines: lines.into_iter().map(line).collect(),
        reference: &waiting.reference,
        path,
        field: FORM_TOKEN,
        token: browser.form_token(),
        is_recent: browser.recent(),
    };
    with_forms(html::answer(StatusCode::OK, &page, base_url))
}

fn line(text: String) -> Line {
    let class = match request::sign(&text) {
        Some('+') => "new",
        Some('-') => "gone",
        Some(_) => "other",
        None => "same",
    };
    Line { class, text }
}

/// The page for what cannot be approved: with a status, for an approval that was refused.
fn nothing(
    app: &App,
    (plugin, path): (&str, &str),
    title: &'static str,
    why: &str,
    refused: Option<StatusCode>,
) -> Response {
    let catalog = app.plugins.catalog();
    let status = catalog.plugins().iter().find(|status| status.name == snake(plugin));
    let state = status.map(|status| StateView {
        served: status
            .serving
            .as_ref()
            .map(|serving| (serving.digest.to_string(), httpdate::fmt_http_date(serving.since))),
        problem: status.problem.as_deref().map(sanitize::escape_lines),
    });
    let code = refused.unwrap_or(if state.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND });
    let base_url = &app.server.base_url;
    let (server, is_refusal) = (base_url.authority(), refused.is_some());
    let page = NonePage { server, plugin, path, title, why: sentence(why), is_refusal, state };
    with_forms(html::answer(code, &page, base_url))
}

/// A reason of the registry's as a sentence.
fn sentence(why: &str) -> String {
    let mut chars = why.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_says_is_text() {
        let page = ApprovalPage {
            server: "localhost:8000",
            plugin: "greeter",
            what: "a new plugin",
            since: String::new(),
            is_serving: false,
            lines: ["+ tool `x`", "    + description: </span></pre><script>", "    - x: \"><b>"]
                .map(str::to_owned)
                .map(line)
                .into(),
            reference: "greeter@sha256:0",
            path: "/approval/greeter",
            field: FORM_TOKEN,
            token: "t",
            is_recent: true,
        };
        let html = page.render().unwrap();
        for markup in ["<script", "<b>", "</span></pre><"] {
            assert!(!html.contains(markup), "{markup}: {html}");
        }
        assert!(
            html.contains(
                "<span class=\"new\">    + description: &#60;/span&#62;&#60;/pre&#62;&#60;script&#62;</span>"
            ),
            "{html}"
        );
        assert!(html.contains("<span class=\"gone\">    - x:"), "{html}");
    }

    #[test]
    fn a_reason_is_read_as_a_sentence() {
        assert_eq!(sentence("nothing of plugin `x` waits"), "Nothing of plugin `x` waits.");
        assert_eq!(sentence(""), ".");
    }
}
