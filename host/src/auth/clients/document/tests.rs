use std::collections::HashMap;

use http::StatusCode;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::fetch::Document;

const CLIENT: &str = "https://app.example/oauth/client.json";
const ASKER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const KEYS: &str = "https://app.example/oauth/jwks.json";
const ISSUER: &str = "https://mcp.example";

/// The web, as far as there is one, and how often each page was asked for.
#[derive(Clone, Default)]
struct Web(Arc<Mutex<HashMap<String, Page>>>);

#[derive(Clone)]
struct Page {
    answer: Result<Document, FetchError>,
    fetches: usize,
}

impl Web {
    fn with(url: &str, page: &Value) -> (Self, Documents<Self>) {
        let web = Self::default();
        web.serve(url, page);
        (web.clone(), Documents::new(web))
    }

    fn serve(&self, url: &str, page: &Value) {
        self.answer(url, Ok(Document { body: page.to_string().into(), max_age: None }));
    }

    fn answer(&self, url: &str, answer: Result<Document, FetchError>) {
        let mut pages = self.0.lock().unwrap();
        let fetches = pages.get(url).map_or(0, |page| page.fetches);
        pages.insert(url.to_owned(), Page { answer, fetches });
    }

    fn fetches(&self, url: &str) -> usize {
        self.0.lock().unwrap().get(url).map_or(0, |page| page.fetches)
    }
}

#[async_trait::async_trait]
impl Fetch for Web {
    async fn fetch(&self, url: &Url) -> Result<Document, FetchError> {
        let mut pages = self.0.lock().unwrap();
        let not_there = || Page { answer: Err(FetchError::Timeout), fetches: 0 };
        let page = pages.entry(url.as_str().to_owned()).or_insert_with(not_there);
        page.fetches += 1;
        page.answer.clone()
    }
}

impl<F> Documents<F> {
    fn age(&self, time: Duration) {
        self.cache.lock().unwrap().age(time);
    }
}

fn document() -> Value {
    json!({
        "client_id": CLIENT,
        "client_name": "App",
        "redirect_uris": ["http://127.0.0.1/callback", "https://app.example/callback"],
    })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut document = document();
    document[name] = value.into();
    document
}

fn read(document: &Value) -> Result<Metadata, DocumentError> {
    Metadata::read(CLIENT, document.to_string().as_bytes())
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

#[test]
fn a_client_id_is_a_document_if_it_is_a_plain_https_url() {
    for url in [
        CLIENT,
        "https://claude.ai/oauth/claude-code-client-metadata",
        "https://xn--bcher-kva.example/c",
        "https://app.example/c?version=2",
        "https://app.example/%7Ec",
        "https://app.example//",
    ] {
        assert!(Documents::is_document_url(url), "{url}");
    }
    let long = format!("https://app.example/{}", "c".repeat(2048));
    for no_url in [
        "",
        "app",
        "tmcp_c1_abc",
        "http://app.example/c",
        "HTTPS://app.example/c",
        "https://app.example",
        "https://app.example/",
        "https://app.example/?c",
        "https://APP.example/c",
        "https://bücher.example/c",
        "https://app.example:443/c",
        "https://app.example:8443/c",
        "https://user@app.example/c",
        "https://:pw@app.example/c",
        "https://app.example/c#",
        "https://app.example/c#fragment",
        "https://app.example/a/../c",
        "https://app.example/./c",
        "https://app.example/a/%2e%2e/c",
        "https://app.example/a\\c",
        "https://app.example/ c",
        "https://app.example/c\n",
        " https://app.example/c",
        "https:/app.example/c",
        "https:app.example/c",
        "https://127.0.0.1/c",
        "https://8.8.8.8/c",
        "https://0x7f.1/c",
        "https://[::1]/c",
        "javascript:alert(1)",
        &long,
    ] {
        assert!(!Documents::is_document_url(no_url), "{no_url}");
    }
}

#[test]
fn a_url_is_told_the_rule_that_it_breaks() {
    for (id, expected) in [
        ("https://app.example/", "path"),
        ("https://app.example", "path"),
        ("https://app.example:22/c", "port"),
        ("https://127.0.0.1/c", "address"),
        ("https://[::1]/c", "address"),
        ("http://app.example/c", "https://"),
        ("https://user@app.example/c", "user name"),
        ("https://app.example/c#f", "fragment"),
        ("https://APP.example/c", "normal form"),
        ("https://app.example:443/c", "normal form"),
        ("https://app.example/a/../c", "normal form"),
        ("https://:/c", "valid"),
    ] {
        let rule = Documents::broken_rule(id).unwrap();
        assert!(rule.contains(expected), "{id}: {rule}");
    }
    for id in [CLIENT, "", "app", "tmcp1.a.b", "javascript:alert(1)"] {
        assert_eq!(Documents::broken_rule(id), None, "{id}");
    }
}

#[test]
fn a_document_is_about_its_own_url() {
    assert!(read(&document()).is_ok());
    for other in
        [json!("https://app.example/oauth/client.json/"), json!("https://APP.example/oauth/client.json"), json!(7)]
    {
        assert!(matches!(read(&with("client_id", other)), Err(DocumentError::Invalid(_))));
    }
    for no_document in ["", "<html>", "[]", "\"text\"", "{"] {
        assert_eq!(Metadata::read(CLIENT, no_document.as_bytes()).unwrap_err(), DocumentError::NotJson);
    }
}

#[test]
fn redirect_uris_are_needed_and_have_no_wildcards() {
    let redirects = |uris: Value| read(&with("redirect_uris", uris)).map(|metadata| metadata.redirect_uris);
    let refused = Err(DocumentError::Invalid("it has no usable `redirect_uris`"));
    for none in
        [json!([]), json!(null), json!("https://app.example/cb"), json!([7]), json!(["https://*.app.example/cb"])]
    {
        assert_eq!(redirects(none.clone()), refused, "{none}");
    }
    let mixed = json!(["https://app.example/*", "cursor://callback", null, "c".repeat(2049)]);
    assert_eq!(redirects(mixed), Ok(vec!["cursor://callback".to_owned()]));
    assert!(redirects(json!(vec!["https://app.example/cb"; 51])).is_err());
}

#[test]
fn a_public_document_has_no_secrets() {
    for secret in [with("client_secret", "s3cret"), with("client_secret_expires_at", 0)] {
        assert!(matches!(read(&secret), Err(DocumentError::Invalid(why)) if why.contains("secret")));
    }
    assert!(read(&with("client_secret", Value::Null)).is_ok());
    for method in
        ["client_secret_basic", "client_secret_post", "client_secret_jwt", "tls_client_auth", "private_key_jwt"]
    {
        assert!(
            matches!(read(&with("token_endpoint_auth_method", method)), Err(DocumentError::Invalid(_))),
            "{method}"
        );
    }
    assert!(!read(&with("token_endpoint_auth_method", "none")).unwrap().needs_assertion);
}

#[test]
fn what_is_not_known_is_ignored() {
    let mut document = document();
    document["grant_types"] = json!(["authorization_code", "urn:ietf:params:oauth:grant-type:device_code", 7]);
    document["response_types"] = json!("whatever");
    document["logo_uri"] = json!({ "not": "a URL" });
    document["client_name"] = json!(["not text"]);
    document["future"] = json!([[[]]]);
    assert_eq!(read(&document).unwrap().name, None);
}

#[test]
fn a_client_with_keys_must_use_them_unless_it_says_otherwise() {
    let mut document = with("token_endpoint_auth_method", "private_key_jwt");
    document["jwks_uri"] = KEYS.into();
    assert!(read(&document).unwrap().needs_assertion);
    document["jwks_uri"] = "http://app.example/jwks.json".into();
    assert!(read(&document).is_err());
    document["jwks"] = json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] });
    assert!(read(&document).is_err());
    document["jwks"] = json!({ "keys": [jwk()] });
    assert!(read(&document).unwrap().needs_assertion);
    document["token_endpoint_auth_methods_supported"] = json!(["none", "private_key_jwt"]);
    let metadata = read(&document).unwrap();
    assert!(!metadata.needs_assertion && metadata.keys.is_some());
}

#[tokio::test]
async fn a_document_is_fetched_once_in_a_while() {
    let (web, documents) = Web::with(CLIENT, &document());
    for _ in 0..3 {
        let client = documents.client(CLIENT, ASKER).await.unwrap();
        assert_eq!((client.client_id.as_str(), client.name.as_deref()), (CLIENT, Some("App")));
    }
    documents.age(HOUR - MINUTE);
    documents.client(CLIENT, ASKER).await.unwrap();
    assert_eq!(web.fetches(CLIENT), 1);

    web.serve(CLIENT, &with("client_name", "Renamed"));
    documents.age(MINUTE);
    assert_eq!(documents.client(CLIENT, ASKER).await.unwrap().name.as_deref(), Some("Renamed"));
    assert_eq!(web.fetches(CLIENT), 2);
}

#[tokio::test]
async fn a_documents_age_is_bounded_on_both_sides() {
    for (max_age, kept, too_long) in [(0, 4 * MINUTE, 5 * MINUTE), (u64::MAX, 23 * HOUR, 24 * HOUR)] {
        let (web, documents) = Web::with(CLIENT, &document());
        let max_age = Some(Duration::from_secs(max_age));
        web.answer(CLIENT, Ok(Document { body: document().to_string().into(), max_age }));
        documents.client(CLIENT, ASKER).await.unwrap();
        documents.age(kept);
        documents.client(CLIENT, ASKER).await.unwrap();
        assert_eq!(web.fetches(CLIENT), 1);
        documents.age(too_long - kept);
        documents.client(CLIENT, ASKER).await.unwrap();
        assert_eq!(web.fetches(CLIENT), 2);
    }
}

#[tokio::test]
async fn a_document_outlives_its_server_by_a_day() {
    let (web, documents) = Web::with(CLIENT, &document());
    documents.client(CLIENT, ASKER).await.unwrap();
    documents.age(HOUR);
    web.answer(CLIENT, Err(FetchError::Timeout));
    documents.client(CLIENT, ASKER).await.unwrap();
    documents.client(CLIENT, ASKER).await.unwrap();
    assert_eq!(web.fetches(CLIENT), 2);
    web.answer(CLIENT, Ok(Document { body: "<html>Are you a robot?</html>".into(), max_age: None }));
    documents.age(5 * MINUTE);
    documents.client(CLIENT, ASKER).await.unwrap();
    assert_eq!(web.fetches(CLIENT), 3);
    documents.age(24 * HOUR);
    assert_eq!(documents.client(CLIENT, ASKER).await, Err(DocumentError::NotJson));
}

#[tokio::test]
async fn a_document_that_was_withdrawn_or_broken_is_not_used_any_more() {
    let gone = |status| Err(FetchError::Status(status));
    let no_redirects = Document { body: with("redirect_uris", json!([])).to_string().into(), max_age: None };
    for end in [gone(StatusCode::NOT_FOUND), gone(StatusCode::GONE), Ok(no_redirects)] {
        let (web, documents) = Web::with(CLIENT, &document());
        documents.client(CLIENT, ASKER).await.unwrap();
        documents.age(HOUR);
        web.answer(CLIENT, end);
        assert!(!documents.client(CLIENT, ASKER).await.unwrap_err().is_temporary());
    }
}

#[tokio::test]
async fn failures_are_remembered_shortly() {
    let web = Web::default();
    let documents = Documents::new(web.clone());
    for _ in 0..3 {
        let error = documents.client(CLIENT, ASKER).await.unwrap_err();
        assert!(error.is_temporary());
        assert_eq!(error.outward(), "client metadata document: the document could not be fetched");
    }
    assert_eq!(web.fetches(CLIENT), 1);
    web.answer(CLIENT, Err(FetchError::Limited));
    documents.age(MINUTE);
    assert!(documents.client(CLIENT, ASKER).await.is_err());
    web.serve(CLIENT, &document());
    assert!(documents.client(CLIENT, ASKER).await.is_ok());
}

#[tokio::test]
async fn names_of_documents_that_are_not_there_push_out_none_that_are() {
    let (web, documents) = Web::with(CLIENT, &document());
    documents.client(CLIENT, ASKER).await.unwrap();
    for number in 0..1000 {
        assert!(documents.client(&format!("https://app.example/{number}"), ASKER).await.is_err());
    }
    assert_eq!(documents.cache.lock().unwrap().len(), 256);
    documents.client(CLIENT, ASKER).await.unwrap();
    assert_eq!(web.fetches(CLIENT), 1);
}

#[tokio::test]
async fn large_documents_push_out_one_another_and_fill_nothing() {
    let (web, documents) = Web::with(CLIENT, &document());
    documents.client(CLIENT, ASKER).await.unwrap();
    for number in 0..200 {
        let id = format!("https://app.example/{number}");
        web.serve(&id, &json!({ "client_id": id, "redirect_uris": ["http://127.0.0.1/"], "x": "x".repeat(60_000) }));
        documents.client(&id, ASKER).await.unwrap();
    }
    assert!((60..75).contains(&documents.cache.lock().unwrap().len()));
}

#[tokio::test]
async fn known_clients_can_log_in_where_there_is_no_way_out() {
    let url = "https://claude.ai/oauth/claude-code-client-metadata";
    let web = Web::default();
    let documents = Documents::new(web.clone());
    for _ in 0..2 {
        let client = documents.client(url, ASKER).await.unwrap();
        assert_eq!(client.redirect_uris, ["http://localhost/callback", "http://127.0.0.1/callback"]);
    }
    assert_eq!(web.fetches(url), 1);
    // The real one counts as soon as it can be had.
    web.serve(url, &json!({ "client_id": url, "redirect_uris": ["http://localhost/new"] }));
    documents.age(5 * MINUTE);
    assert_eq!(documents.client(url, ASKER).await.unwrap().redirect_uris, ["http://localhost/new"]);
}

#[tokio::test]
async fn what_is_no_document_is_not_fetched() {
    let web = Web::default();
    let documents = Documents::new(web.clone());
    let refused = documents.client("http://app.example/c", ASKER).await;
    assert_eq!(refused, Err(DocumentError::Url("it does not begin with `https://`")));
    assert!(web.0.lock().unwrap().is_empty());
}

fn key() -> EncodingKey {
    EncodingKey::from_ec_pem(include_bytes!("../../../jwks/tests/keys/p256.pem")).unwrap()
}

fn jwk() -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key(), Algorithm::ES256).unwrap()).unwrap();
    jwk["kid"] = "k1".into();
    jwk
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn assertion(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({ "iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "exp": now() + 240, "jti": "one" });
    change(&mut claims);
    let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, &claims, &key()).unwrap()
}

fn client_with_keys() -> (Web, Documents<Web>) {
    let mut document = with("token_endpoint_auth_method", "private_key_jwt");
    document["jwks_uri"] = KEYS.into();
    let (web, documents) = Web::with(CLIENT, &document);
    web.serve(KEYS, &json!({ "keys": [jwk()] }));
    (web, documents)
}

async fn verify(documents: &Documents<Web>, assertion: &str) -> Result<Assertion, DocumentError> {
    documents.verify_assertion(CLIENT, assertion, &[ISSUER, "https://mcp.example/token"], ASKER).await
}

#[tokio::test]
async fn an_assertion_is_verified_with_the_keys_of_the_document() {
    let (web, documents) = client_with_keys();
    let good = verify(&documents, &assertion(|_| {})).await.unwrap();
    assert_eq!(good.jti, "one");
    let left = good.expires.duration_since(SystemTime::now()).unwrap();
    assert!((Duration::from_secs(290)..=Duration::from_secs(300)).contains(&left), "{left:?}");
    assert!(
        verify(&documents, &assertion(|claims| claims["aud"] = json!(["x", "https://mcp.example/token"])))
            .await
            .is_ok()
    );

    // The keys are kept when the document is fetched again.
    documents.age(HOUR);
    verify(&documents, &assertion(|_| {})).await.unwrap();
    assert_eq!((web.fetches(CLIENT), web.fetches(KEYS)), (2, 1));
}

#[tokio::test]
async fn keys_can_be_in_the_document() {
    let (_, documents) = Web::with(CLIENT, &with("jwks", json!({ "keys": [jwk()] })));
    assert!(verify(&documents, &assertion(|_| {})).await.is_ok());
    let (_, documents) = Web::with(CLIENT, &document());
    assert_eq!(verify(&documents, &assertion(|_| {})).await, Err(DocumentError::NoKeys));
}

#[tokio::test]
async fn an_assertion_is_the_clients_own_short_lived_and_for_this_server() {
    let (_, documents) = client_with_keys();
    let set = |name: &'static str, value: Value| assertion(move |claims| claims[name] = value);
    let long = json!("j".repeat(257));
    for (bad, why) in [
        (set("iss", json!("https://app.example/other")), "unexpected issuer: \"https://app.example/other\""),
        (set("sub", json!("somebody")), "`sub` is not the client"),
        (set("aud", json!("https://other.example")), "not for this audience"),
        (set("aud", Value::Null), "claims not as expected: aud"),
        (set("exp", json!(now() - 61)), "expired"),
        (set("exp", json!(now() + 3600)), "`exp` is more than five minutes ahead"),
        (set("exp", json!(1e18)), "`exp` is more than five minutes ahead"),
        (set("exp", Value::Null), "claims not as expected: exp"),
        (set("nbf", json!(now() + 120)), "not valid yet: check the clock"),
        (set("jti", Value::Null), "`jti` is missing, empty or too long"),
        (set("jti", json!("")), "`jti` is missing, empty or too long"),
        (set("jti", long), "`jti` is missing, empty or too long"),
    ] {
        let error = verify(&documents, &bad).await.unwrap_err();
        assert_eq!(error.to_string(), format!("client assertion not accepted: {why}"));
        assert_eq!(error.outward(), "client assertion not accepted");
    }
    assert!(verify(&documents, &set("exp", json!(now() as f64 + 100.5))).await.is_ok());
}

#[tokio::test]
async fn the_document_may_name_the_algorithm() {
    for (name, accepted) in [("ES256", true), ("RS256", false), ("HS256", false), ("none", false)] {
        let mut document = with("jwks", json!({ "keys": [jwk()] }));
        document["token_endpoint_auth_signing_alg"] = name.into();
        let (_, documents) = Web::with(CLIENT, &document);
        assert_eq!(verify(&documents, &assertion(|_| {})).await.is_ok(), accepted, "{name}");
    }
}

#[tokio::test]
async fn missing_keys_are_a_passing_trouble() {
    let (web, documents) = client_with_keys();
    web.answer(KEYS, Err(FetchError::Timeout));
    assert!(verify(&documents, &assertion(|_| {})).await.unwrap_err().is_temporary());
}
