//! Tests of the stand-in's strictness.

use super::settings::{Account, Settings};
use super::*;
use crate::browser::{Browser, Landing};
use crate::encoding::sha256_base64url;
use crate::http::{Answer, Request};

const CALLBACK: &str = "http://127.0.0.1:1/callback";
const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more";

async fn start(settings: Settings) -> Provider {
    Provider::start(Settings { redirect_uris: vec![CALLBACK.to_owned()], ..settings }).await
}

fn authorize(provider: &Provider, path: &str, more: &[(&str, &str)]) -> String {
    let mut url = url::Url::parse(&provider.url).unwrap().join(path).unwrap();
    let parameters = [
        ("response_type", "code"),
        ("client_id", "upstream-client-id"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid email offline_access"),
        ("state", "state-1"),
        ("code_challenge", &sha256_base64url(VERIFIER)),
        ("code_challenge_method", "S256"),
    ];
    let parameters = parameters.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| name != other));
    url.query_pairs_mut().extend_pairs(parameters).extend_pairs(more.iter().filter(|(_, value)| !value.is_empty()));
    url.into()
}

async fn code(provider: &Provider, path: &str, more: &[(&str, &str)]) -> String {
    let told = Browser::of("alice").walk(&authorize(provider, path, more)).await.told();
    assert_eq!(told["state"], "state-1");
    told.get("code").unwrap_or_else(|| panic!("{told:?}")).clone()
}

async fn token(provider: &Provider, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let secret = ("client_secret", "upstream/secret+with:odd characters");
    let client = [("client_id", "upstream-client-id"), secret];
    let sent = client.into_iter().filter(|(name, _)| parameters.iter().all(|(other, _)| name != other));
    let all: Vec<_> = sent.chain(parameters.iter().copied()).collect();
    Request::to(&format!("{}{path}", provider.url).parse().unwrap(), "POST").form(&all).send().await
}

fn exchange<'a>(code: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let parameters =
        [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
    let rest = parameters.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| name != other));
    rest.chain(more.iter().copied()).collect()
}

#[tokio::test]
async fn codes_are_good_once_and_with_their_verifier_and_uri_only() {
    let provider = start(Settings::oidc()).await;
    let wrong =
        [("code_verifier", "another-verifier-of-forty-three-characters"), ("redirect_uri", "http://127.0.0.1:1/other")];
    for wrong in wrong {
        let code = code(&provider, "/authorize", &[]).await;
        assert_eq!(token(&provider, "/token", &exchange(&code, &[wrong])).await.oauth_error().1, "invalid_grant");
    }
    let code = code(&provider, "/authorize", &[]).await;
    let tokens = token(&provider, "/token", &exchange(&code, &[])).await.json();
    assert!(tokens["id_token"].is_string() && tokens["refresh_token"].is_string(), "{tokens}");
    assert_eq!(token(&provider, "/token", &exchange(&code, &[])).await.oauth_error().1, "invalid_grant");
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let renewal = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    assert_eq!(token(&provider, "/token", &renewal).await.status, 400, "the replay ended it");
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_its_family() {
    let provider = start(Settings::auth0()).await;
    let code = code(&provider, "/authorize", &[("audience", "https://api.example")]).await;
    let tokens = token(&provider, "/oauth/token", &exchange(&code, &[])).await.json();
    assert!(tokens["access_token"].as_str().unwrap().starts_with("eyJ"), "{tokens}");
    let renew = async |token_: &str| {
        token(&provider, "/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token_)]).await
    };
    let first = tokens["refresh_token"].as_str().unwrap();
    let second = renew(first).await.json();
    assert_eq!(renew(first).await.oauth_error(), (403, "invalid_grant".to_owned()));
    assert_eq!(renew(second["refresh_token"].as_str().unwrap()).await.status, 403);
}

#[tokio::test]
async fn clients_prove_who_they_are() {
    let provider = start(Settings::auth0()).await;
    let code = code(&provider, "/authorize", &[]).await;
    let refused = token(&provider, "/oauth/token", &exchange(&code, &[("client_secret", "wrong")])).await;
    assert_eq!(refused.oauth_error(), (401, "access_denied".to_owned()));
    let page = Browser::of("alice")
        .open(&authorize(&provider, "/authorize", &[("redirect_uri", "http://127.0.0.1:1/x")]))
        .await;
    assert_eq!(page.page().status, 403);
}

#[tokio::test]
async fn what_is_asked_for_must_be_known() {
    let provider = start(Settings::auth0()).await;
    let told = Browser::of("alice").open(&authorize(&provider, "/authorize", &[("audience", "x")])).await.told();
    assert_eq!((told["error"].as_str(), told["error_description"].as_str()), ("access_denied", "Service not found: x"));
    let provider = start(Settings::clerk()).await;
    let told = Browser::of("alice").open(&authorize(&provider, "/oauth/authorize", &[])).await.told();
    assert_eq!(told["error"], "invalid_scope");
    assert!(told["error_description"].ends_with("not allowed to request scope 'openid'."), "{told:?}");
}

#[tokio::test]
async fn github_speaks_its_own_language() {
    let provider = start(Settings::github()).await;
    let code = code(&provider, "/login/oauth/authorize", &[("scope", "read:user user:email")]).await;
    let answer = token(&provider, "/login/oauth/access_token", &exchange(&code, &[])).await;
    assert!(answer.text().starts_with("access_token=upstream-at-"), "{answer:?}");
    let access = answer.text().split(['=', '&']).nth(1).unwrap().to_owned();
    let get = async |path: &str| {
        Request::to(&format!("{}{path}", provider.url).parse().unwrap(), "GET").bearer(&access).send().await.json()
    };
    assert!(get("/user").await["id"].is_u64());
    assert_eq!(get("/user/emails").await[1]["email"], "alice@example.com");
    let again = token(&provider, "/login/oauth/access_token", &exchange(&code, &[])).await;
    assert_eq!(again.oauth_error(), (200, "bad_verification_code".to_owned()));
}

#[tokio::test]
async fn faults_happen_and_end() {
    let provider = start(Settings::oidc()).await;
    let get = async || Request::to(&provider.discovery().parse().unwrap(), "GET").try_send().await;
    provider.fail("/.well-known", Fault::TooMany);
    assert_eq!(get().await.unwrap().status, 429);
    provider.mend();
    assert_eq!(get().await.unwrap().json()["issuer"], provider.url);
    provider.go_down();
    assert!(get().await.is_err());
    provider.mend();
    assert_eq!(get().await.unwrap().status, 200);
    assert_eq!(provider.sent("/.well-known").len(), 3);
}

#[tokio::test]
async fn people_differ() {
    let provider = start(Settings::oidc()).await;
    provider.change(|settings| {
        settings.accounts.insert("bob".to_owned(), Account::of("bob").unverified());
    });
    let mut cancelling = Browser::of("bob");
    cancelling.logs_in = false;
    let told = cancelling.walk(&authorize(&provider, "/authorize", &[])).await.told();
    assert_eq!(told["error"], "access_denied");
    let landing = Browser::of("bob").walk(&authorize(&provider, "/authorize", &[])).await;
    assert!(matches!(landing, Landing::Client(_)));
}
