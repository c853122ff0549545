//! Parameters of OAuth requests, which strangers write, and the answers that carry them back.

use std::sync::LazyLock;

use url::Url;

use super::validate;
use crate::auth::clients::Client;
use crate::auth::clients::redirect::with_answer;
use crate::auth::parameters::Parameters;
use crate::auth::people::People;
use crate::auth::tokens::{Token, TokenKind};
use crate::auth::transaction::Form;
use crate::config::Config;
use crate::config::address::BaseUrl;
use crate::vault::Vault;

/// The redirect URI of the client. Its query has a member that stays.
const REDIRECT: &str = "https://app.example/cb?kept=1";

/// The parameters that are read anywhere.
const NAMES: [&str; 14] = [
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
    "response_type",
    "scope",
    "state",
    "token",
    "token_type_hint",
];

static PEOPLE: LazyLock<People> = LazyLock::new(|| People::fixed(Config::default(), false));

/// A query, or the body of a form.
pub(crate) fn oauth_parameters(bytes: &[u8]) {
    let raw = Parameters::parse(bytes);
    let written = raw.encode();
    let again = Parameters::parse(written.as_bytes());
    assert_eq!(again.encode(), written, "written anew, it is something else");
    let is_single = raw.expect_single(&[]).is_ok();
    for name in NAMES {
        assert_eq!(raw.one(name), again.one(name));
        let count = raw.all(name).count();
        assert_eq!(raw.one(name).is_err(), count > 1, "`{name}` came {count} times");
        assert!(count <= 1 || !is_single);
    }
    tokens_of_strangers(&raw);
    authorize(&raw);
}

/// No text is a token unless this server made it.
fn tokens_of_strangers(raw: &Parameters) {
    let vault = Vault::for_tests(1);
    for name in ["code", "refresh_token", "token"] {
        for text in raw.all(name) {
            for kind in [TokenKind::Access, TokenKind::Refresh, TokenKind::Code] {
                assert!(Token::open(&vault, kind, text).is_none(), "`{text}` is a token");
            }
        }
    }
}

fn authorize(raw: &Parameters) {
    let base_url: BaseUrl = "https://mcp.example".parse().expect("it is a URL");
    let client = Client::for_tests("c", &[REDIRECT]);
    let Ok(request) = validate(raw, &client, REDIRECT, &base_url, &PEOPLE) else { return };
    assert_eq!(raw.one("response_type"), Ok(Some("code")));
    assert_eq!(raw.one("code_challenge_method"), Ok(Some("S256")));
    assert_eq!(raw.one("code_challenge"), Ok(Some(request.code_challenge.as_str())));
    assert!(request.code_challenge.len() == 43);
    assert_eq!(request.state.as_deref(), raw.one("state").expect("it is single"));
    for resource in raw.all("resource").filter(|resource| !resource.is_empty()) {
        let url = Url::parse(resource).expect("an accepted resource is a URL");
        let names_us = url.scheme() == "https" && url.host_str() == Some("mcp.example");
        assert!(names_us && url.port_or_known_default() == Some(443), "{resource}");
    }

    // What the client sent comes back, and nothing of it changes the place.
    let mut answer = vec![("code", "it")];
    answer.extend(request.state.as_deref().map(|state| ("state", state)));
    let back = Url::parse(&with_answer(REDIRECT, &answer)).expect("a redirect URI with an answer is a URL");
    assert!(back.as_str().starts_with(REDIRECT) && back.fragment().is_none(), "{back}");
    let mut pairs: Vec<(String, String)> = back.query_pairs().into_owned().collect();
    assert_eq!(pairs.remove(0), ("kept".to_owned(), "1".to_owned()));
    let expected = answer.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    assert!(pairs.into_iter().eq(expected), "{back}");

    let vault = Vault::for_tests(1);
    let fresh = Form::fresh(request.clone(), &vault);
    let sealed = fresh.form.seal(&vault);
    let form = Form::open(&vault, &sealed).expect("it is ours");
    assert_eq!(form.request.state, request.state);
    assert_eq!(form.request.scopes, request.scopes);
    assert!(form.belongs_to(&fresh.csrf) && !form.belongs_to(""));
    let text = request.state.as_deref().unwrap_or_default();
    assert!(Form::open(&vault, text).is_none() && Form::open(&Vault::for_tests(2), &sealed).is_none());
}
