//! `POST /try`: a call of a tool from the page.
//!
//! The body is the message that a client would send to the endpoint, and it goes there by the same way: limits, scopes,
//! rates and the gate are those of any call, and its person is the one of the page's login. What a cookie stands for
//! comes in here alone, and only for a request that a page of this server has made ([`Visitor`]); `/mcp` takes no cookie.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::super::App;
use super::visitor::Visitor;
use super::{results, tools};
use crate::auth::browser::{Forged, check_sender};
use crate::http::active_request::ActiveRequest;
use crate::http::reply;
use crate::mcp::ScopesNeeded;
use crate::peer::Peer;

/// The header with the token of the page.
const TOKEN: &str = "x-page-token";

/// The version of the protocol that the page speaks, which is without sessions.
const VERSION: HeaderValue = HeaderValue::from_static("2026-07-28");

/// The interval at which the login behind a call under way is looked at: whoever is out is out within two seconds.
const LOGIN_CHECK: Duration = Duration::from_millis(1500);

/// The query: which tool, and if the person has confirmed the call of one that may destroy something.
struct Wanted {
    tool: String,
    is_confirmed: bool,
}

impl Wanted {
    fn read(query: &str) -> Option<Self> {
        let (mut tool, mut is_confirmed) = (None, false);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "tool" => tool = Some(value.into_owned()),
                "confirmed" => is_confirmed = value == "yes",
                _ => {}
            }
        }
        Some(Self { tool: tool?, is_confirmed })
    }
}

/// `POST /try`
pub(in crate::http) async fn try_tool(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(active): Extension<Arc<ActiveRequest>>,
    request: Request<Body>,
) -> Response {
    let refuse = |status, error, message: &str| reply::error(status, error, message);
    let visitor = Visitor::of(&app, &peer, request.headers()).await;
    let forged = |forged: &Forged| {
        visitor.tell_of_forged(&app, &peer, request.headers());
        let message = format!("only this server's own page may try tools: {forged}. Load the page again");
        refuse(StatusCode::FORBIDDEN, "forged", &message)
    };
    // A form of another site comes without a cookie, and is one all the same.
    if let Err(found) = check_sender(&app.server.base_url, request.headers()) {
        return forged(&found);
    }
    let Some(person) = visitor.person() else {
        return refuse(StatusCode::UNAUTHORIZED, "logged_out", "you are not logged in, or not any more: log in again");
    };
    let token = request.headers().get(TOKEN).and_then(|token| token.to_str().ok());
    if let Err(found) = person.check_post(&app.server.base_url, request.headers(), token) {
        return forged(&found);
    }
    active.identify(person.principal().person());
    let Some(wanted) = Wanted::read(request.uri().query().unwrap_or_default()) else {
        return refuse(StatusCode::BAD_REQUEST, "no_tool", "the query names no tool");
    };
    let Ok(name) = HeaderValue::from_str(&wanted.tool) else {
        return refuse(StatusCode::BAD_REQUEST, "no_tool", "no tool has such a name");
    };
    // By the catalog of now: what the page has shown may be older.
    let is_destructive = app.plugins.catalog().tool(&wanted.tool).is_some_and(|tool| tools::is_destructive(tool));
    if is_destructive && !wanted.is_confirmed {
        let message = "its author says that this tool may delete or overwrite: confirm the call";
        return refuse(StatusCode::CONFLICT, "unconfirmed", message);
    }
    let (mut parts, body) = request.into_parts();
    let of_page = std::mem::take(&mut parts.headers);
    parts.headers = headers(&of_page, name);
    // A task in the background keeps the request's head, and must not keep this in it.
    parts.extensions.remove::<Arc<ActiveRequest>>();
    match app.endpoint.serve(person.principal(), Request::from_parts(parts, body)).await {
        Ok(response) => end_with_login(&app, peer, of_page, results::answer(response).await),
        Err(ScopesNeeded(scopes)) => {
            let scopes: Vec<String> = scopes.into_iter().collect();
            let message = format!("this tool needs scopes that your login lacks: {}", scopes.join(" "));
            refuse(StatusCode::FORBIDDEN, "scopes", &message)
        }
    }
}

/// Ends a stream with the login that it was opened by, however that ends.
fn end_with_login(app: &Arc<App>, peer: Peer, headers: HeaderMap, response: Response) -> Response {
    let content_type = response.headers().get(CONTENT_TYPE);
    if !content_type.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream")) || app.auth.server().is_none() {
        return response;
    }
    let app = Arc::clone(app);
    let ended = async move {
        while Visitor::of(&app, &peer, &headers).await.person().is_some() {
            tokio::time::sleep(LOGIN_CHECK).await;
        }
    };
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(ended))))
}

/// The headers of a client's call: what the page sends beyond them, cookies above all, ends here.
fn headers(of_page: &HeaderMap, tool: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in of_page.iter().filter(|(name, _)| name.as_str().starts_with("mcp-param-")) {
        headers.append(name, value.clone());
    }
    headers.extend(of_page.get(HOST).map(|host| (HOST, host.clone())));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert("mcp-protocol-version", VERSION);
    // The endpoint refuses a message that says something else than these.
    headers.insert("mcp-method", HeaderValue::from_static("tools/call"));
    headers.insert(HeaderName::from_static("mcp-name"), tool);
    headers
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, COOKIE};

    use super::*;

    #[test]
    fn no_cookie_and_no_token_goes_on_to_the_endpoint() {
        let mut of_page = HeaderMap::new();
        for (name, value) in
            [(COOKIE, "a=b"), (AUTHORIZATION, "Bearer x"), (HeaderName::from_static("mcp-session-id"), "y")]
        {
            of_page.insert(name, value.parse().unwrap());
        }
        of_page.insert("mcp-param-region", "eu".parse().unwrap());
        let mut names: Vec<String> =
            headers(&of_page, HeaderValue::from_static("add")).keys().map(ToString::to_string).collect();
        names.sort();
        let expected = ["accept", "content-type", "mcp-method", "mcp-name", "mcp-param-region", "mcp-protocol-version"];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_call_names_its_tool() {
        assert!(Wanted::read("confirmed=yes").is_none());
        let wanted = Wanted::read("tool=add&confirmed=no").unwrap();
        assert!(wanted.tool == "add" && !wanted.is_confirmed);
        assert!(Wanted::read("tool=a+b&confirmed=yes").unwrap().is_confirmed);
    }
}
