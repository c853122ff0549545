//! The headers of the page at `/`: its own script and style and nothing else, which the script cannot go beyond.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::config::address::BaseUrl;
use crate::html;

/// A number that one answer names its script and its style by (Content Security Policy Level 3 §2.3.1).
pub(super) struct Nonce(String);

impl Nonce {
    pub(super) fn new() -> Self {
        Self(STANDARD.encode(rand::random::<[u8; 18]>()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The content security policy.
///
/// The script may talk to this server alone, and make no markup of texts: with Trusted Types and no policy for them, the
/// browser refuses every sink that would. `blob:` is for images of results, of which the server has looked at the bytes;
/// `picture` is the source of the server's own, if that is elsewhere.
fn policy(Nonce(nonce): &Nonce, picture: Option<&str>) -> String {
    let picture = picture.map(|source| format!(" {source}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' blob:{picture}; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'"
    )
}

/// An answer with the page, or with a part of it. `picture` is the source of one that is elsewhere, in ASCII.
pub(super) fn answer(
    status: StatusCode,
    body: Body,
    (nonce, picture): (&Nonce, Option<&str>),
    base_url: &BaseUrl,
) -> Response {
    let policy = HeaderValue::from_str(&policy(nonce, picture)).expect("ASCII is a header value");
    let mut response = html::answer_body(status, body, base_url);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    // The page is another one for each person.
    headers.insert(VARY, HeaderValue::from_static("accept, cookie"));
    // The page has a form, and under the policy of other pages browsers would send `Origin: null` with it.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    for (name, value) in
        [("cross-origin-opener-policy", "same-origin"), ("cross-origin-resource-policy", "same-origin")]
    {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_runs_its_own_script_and_speaks_to_its_own_server() {
        let nonce = Nonce::new();
        let with_picture = policy(&nonce, Some("https://acme.example/icon.png"));
        assert!(with_picture.contains("img-src 'self' blob: https://acme.example/icon.png; "), "{with_picture}");
        let policy = policy(&nonce, None);
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("data:") && !policy.contains('*'), "{policy}");
        assert!(policy.contains("connect-src 'self';") && policy.contains("trusted-types 'none'"), "{policy}");
        assert_ne!(nonce.as_str(), Nonce::new().as_str());
    }
}
