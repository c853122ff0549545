//! Answers in HTML: one style sheet, and headers under which a page can run nothing, load nothing and be framed by
//! nobody.

use std::sync::LazyLock;

use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use crate::config::address::BaseUrl;

/// The style sheet that every page includes.
const STYLE: &str = include_str!("../templates/style.css");

/// The content security policy: a page may load the style sheet, named by its hash, and nothing else.
///
/// There is no `form-action`: browsers apply it to every redirect that follows a form, and the way back to a client
/// leads to hosts that are not ours.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    // The hash covers the text between the tags: the template engine leaves out the newline at a file's end.
    let hash = STANDARD.encode(Sha256::digest(STYLE.trim_end()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("ASCII is a header value")
});

/// The same for a page whose forms lead to this server and no further.
static POLICY_OF_OWN_FORMS: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!("{}; form-action 'self'", POLICY.to_str().expect("the policy is ASCII"));
    HeaderValue::from_str(&policy).expect("ASCII is a header value")
});

/// A year in which browsers reach this server by https only.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Answers with a page.
pub(crate) fn answer(status: StatusCode, page: &impl Template, base_url: &BaseUrl) -> Response {
    let Ok(body) = page.render() else {
        tracing::error!("a page could not be rendered");
        return (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be rendered").into_response();
    };
    answer_body(status, body.into(), base_url)
}

/// The same for a page that is rendered already. Its policy allows no script; a page that has one sets its own.
pub(crate) fn answer_body(status: StatusCode, page: Body, base_url: &BaseUrl) -> Response {
    let mut response = (status, page).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    if base_url.is_https() {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
    response
}

/// Has browsers send the forms of a page to this server alone.
pub(crate) fn keep_forms_here(page: &mut Response) {
    page.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY_OF_OWN_FORMS.clone());
}

/// True for a browser that shows pages: it asks for HTML by name, and for JSON less, later or not at all.
pub(crate) fn is_preferred(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    // A range that only says `*/*` asks for nothing by name.
    let weight_of = |wanted: &str| {
        accept.split(',').enumerate().find_map(|(place, range)| {
            let mut parts = range.split(';').map(str::trim);
            let is_wanted = parts.next()?.eq_ignore_ascii_case(wanted);
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            (is_wanted && quality > 0.0).then_some((quality, place))
        })
    };
    match (weight_of("text/html"), weight_of("application/json")) {
        (Some((html, html_place)), Some((json, json_place))) => html > json || html == json && html_place < json_place,
        (html, _) => html.is_some(),
    }
}

/// A redirect after which a POST is not repeated (RFC 9700 §4.12).
pub(crate) fn see_other(url: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    match HeaderValue::from_str(url) {
        Ok(url) => {
            headers.insert(LOCATION, url);
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Template)]
    #[template(source = "{% extends \"page.html\" %}", ext = "html")]
    struct EmptyPage {
        server: &'static str,
    }

    fn answered(base_url: &str) -> Response {
        answer(StatusCode::OK, &EmptyPage { server: "a" }, &base_url.parse().unwrap())
    }

    #[test]
    fn the_policy_names_the_style_that_pages_have() {
        let page = EmptyPage { server: "a" }.render().unwrap();
        let (_, rest) = page.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        let hash = STANDARD.encode(Sha256::digest(style));
        let response = answered("http://localhost:8000");
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains(&format!("style-src 'sha256-{hash}';")), "{policy}");
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("form-action"), "{policy}");
        let mut with_forms = answered("http://localhost:8000");
        keep_forms_here(&mut with_forms);
        let own = with_forms.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert_eq!(own, format!("{policy}; form-action 'self'"));
    }

    #[test]
    fn only_a_server_with_https_is_bound_to_it() {
        assert!(!answered("http://localhost:8000").headers().contains_key(STRICT_TRANSPORT_SECURITY));
        assert_eq!(answered("https://mcp.example.com").headers()[STRICT_TRANSPORT_SECURITY], "max-age=31536000");
    }

    #[test]
    fn pages_are_for_those_who_ask_for_them_by_name() {
        let check = |accept: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(is_preferred(&headers), expected, "{accept}");
        };
        check("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true);
        check("application/xhtml+xml, text/html;q=0.9, */*;q=0.1", true);
        check("text/html, application/json", true);
        check("application/json, text/html", false);
        check("application/json;q=0.5, text/html", true);
        check("text/html;q=0, */*", false);
        check("application/json, text/event-stream", false);
        check("*/*", false);
        assert!(!is_preferred(&HeaderMap::new()));
    }
}
