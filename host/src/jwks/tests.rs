use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::algorithms::ALGORITHMS;
use crate::fetch::Document;

const ISSUER: &str = "https://id.example/";

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
}

/// A key of the provider's: it signs, and knows how it looks in a key set.
struct Signer {
    kid: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn new(kid: &'static str, algorithm: Algorithm) -> Self {
        let key = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(include_bytes!("tests/keys/p256.pem")),
            Algorithm::ES384 => EncodingKey::from_ec_pem(include_bytes!("tests/keys/p384.pem")),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(include_bytes!("tests/keys/ed25519.pem")),
            _ => EncodingKey::from_rsa_pem(include_bytes!("tests/keys/rsa.pem")),
        };
        Self { kid, algorithm, key: key.unwrap() }
    }

    fn jwk(&self) -> Value {
        let mut key = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        key["kid"] = self.kid.into();
        key
    }

    fn sign_with(&self, change: impl FnOnce(&mut Header), claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.kid.to_owned());
        change(&mut header);
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with(|_| {}, claims)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "sub": "alice", "aud": "us", "exp": now() + 300, "iat": now() })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn rules() -> Rules {
    Rules {
        algorithms: ALGORITHMS.to_vec(),
        issuer: Issuer::Is(ISSUER.to_owned()),
        audience: Audience::OneOf(vec!["us".to_owned()]),
        types: &["JWT"],
        leeway: Duration::from_secs(60),
        max_bytes: 8 * 1024,
    }
}

fn set(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}

fn keys(keys: &[Value]) -> Keys {
    Keys::of(&set(keys)).unwrap()
}

/// Verifies a token under the usual rules, with the one key that signs in most tests.
fn check(token: &str) -> Result<String, JwtError> {
    let keys = keys(&[Signer::new("k1", Algorithm::ES256).jwk()]);
    keys.verify::<Claims>(token, &rules()).map(|claims| claims.sub)
}

fn check_claims(claims: &Value) -> Result<String, JwtError> {
    check(&Signer::new("k1", Algorithm::ES256).sign(claims))
}

#[test]
fn every_accepted_algorithm_verifies() {
    for algorithm in ALGORITHMS {
        let signer = Signer::new("k", algorithm);
        let verified = keys(&[signer.jwk()]).verify::<Claims>(&signer.sign(&claims()), &rules());
        assert_eq!(verified.unwrap().sub, "alice", "{algorithm:?}");
    }
}

#[test]
fn claims_must_be_there_and_of_their_type() {
    let claims_error = |claim: &str| Err(JwtError::Claims(claim.to_owned()));
    for claim in ["exp", "iss", "sub", "aud"] {
        assert_eq!(check_claims(&without(claim)), claims_error(claim), "{claim}");
    }
    assert_eq!(check_claims(&with("exp", "4102444800")), claims_error("exp"));
    assert_eq!(check_claims(&with("exp", Value::Null)), claims_error("exp"));
    assert_eq!(check_claims(&with("nbf", "0")), claims_error("nbf"));
    assert!(matches!(check_claims(&with("iss", json!([ISSUER]))), Err(JwtError::Claims(_))));
    assert!(matches!(check_claims(&with("sub", 7)), Err(JwtError::Claims(_))));
}

#[test]
fn time_counts_with_some_leeway() {
    assert_eq!(check_claims(&with("exp", now() - 30)), Ok("alice".to_owned()));
    assert_eq!(check_claims(&with("exp", now() - 90)), Err(JwtError::Expired));
    assert_eq!(check_claims(&with("nbf", now() + 30)), Ok("alice".to_owned()));
    assert_eq!(check_claims(&with("nbf", now() + 90)), Err(JwtError::NotYetValid));
}

#[test]
fn issuer_and_audience_are_compared_byte_for_byte() {
    assert_eq!(check_claims(&with("aud", json!(["others", "us"]))), Ok("alice".to_owned()));
    assert_eq!(check_claims(&with("aud", "US")), Err(JwtError::Audience));
    assert_eq!(check_claims(&with("aud", json!([]))), Err(JwtError::Audience));
    let issuer = "https://id.example";
    assert_eq!(check_claims(&with("iss", issuer)), Err(JwtError::Issuer(issuer.to_owned())));

    let signer = Signer::new("k1", Algorithm::ES256);
    let rules = Rules {
        issuer: Issuer::Where(Box::new(|issuer| issuer.starts_with("https://id.example/"))),
        audience: Audience::Unchecked,
        ..rules()
    };
    let verify = |claims: &Value| keys(&[signer.jwk()]).verify::<Claims>(&signer.sign(claims), &rules).is_ok();
    let mut tenant = without("aud");
    assert!(verify(&tenant));
    tenant["iss"] = "https://id.example/tenant".into();
    assert!(verify(&tenant));
    tenant["iss"] = "https://mallory.example/".into();
    assert!(!verify(&tenant));
}

#[test]
fn a_token_must_be_whole_and_small() {
    let token = Signer::new("k1", Algorithm::ES256).sign(&claims());
    let (head, signature) = token.rsplit_once('.').unwrap();
    assert_eq!(check(&format!("{head}.{}", signature.replace(&signature[..4], "AAAA"))), Err(JwtError::Signature));
    assert_eq!(check(&format!("{head}.")), Err(JwtError::Signature));
    for broken in ["", ".", "..", "...", "a.b.c", head, &format!("{token}.x"), &format!(" {token}")] {
        assert_eq!(check(broken), Err(JwtError::Malformed), "{broken}");
    }
    assert_eq!(check(&"a".repeat(8 * 1024 + 1)), Err(JwtError::TooLarge));
}

#[test]
fn the_header_decides_nothing() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let rest = signer.sign(&claims()).split_once('.').unwrap().1.to_owned();
    let with_header = |header: Value| check(&format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string())));
    for name in ["crit", "jku", "jwk", "x5u", "x5c", "b64"] {
        let found = with_header(json!({ "alg": "ES256", "kid": "k1", name: null }));
        assert_eq!(found, Err(JwtError::Header(name)));
    }
    for algorithm in [json!("none"), json!("HS256"), json!("None"), json!("es256"), json!(["ES256"]), Value::Null] {
        assert_eq!(with_header(json!({ "alg": algorithm, "kid": "k1" })), Err(JwtError::Algorithm), "{algorithm}");
    }
    assert_eq!(with_header(json!({ "kid": "k1" })), Err(JwtError::Algorithm));
    assert_eq!(with_header(json!({ "alg": "ES256", "kid": 1 })), Err(JwtError::Header("kid")));
    assert_eq!(with_header(json!({ "alg": "ES256", "kid": "k".repeat(257) })), Err(JwtError::Header("kid")));
    assert_eq!(with_header(json!({ "alg": "ES384", "kid": "k1" })), Err(JwtError::UnknownKey));
    assert_eq!(with_header(json!({ "alg": "ES256", "kid": "k2" })), Err(JwtError::UnknownKey));
    assert_eq!(with_header(json!({ "alg": "ES256", "kid": "k1", "typ": "at+jwt" })), Err(JwtError::Header("typ")));
}

#[test]
fn a_symmetric_algorithm_is_refused_even_if_it_is_configured() {
    let secret = EncodingKey::from_secret(b"the public key, as bytes");
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &secret).unwrap();
    let rules = Rules { algorithms: vec![Algorithm::HS256, Algorithm::ES256], ..rules() };
    let keys = keys(&[Signer::new("k1", Algorithm::ES256).jwk()]);
    assert_eq!(keys.verify::<Claims>(&token, &rules).unwrap_err(), JwtError::Algorithm);
}

#[test]
fn types_are_compared_as_media_types() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let typed = |typ: Option<&str>| check(&signer.sign_with(|header| header.typ = typ.map(str::to_owned), &claims()));
    for typ in [None, Some("JWT"), Some("jwt"), Some("application/jwt"), Some("Application/JWT")] {
        assert!(typed(typ).is_ok(), "{typ:?}");
    }
    for typ in ["at+jwt", "", "application/", "JWT ", "éééééééééééé"] {
        assert_eq!(typed(Some(typ)), Err(JwtError::Header("typ")), "{typ}");
    }
}

#[test]
fn unusable_keys_are_left_out() {
    let good = Signer::new("k", Algorithm::RS256).jwk();
    let modulus = |bytes: usize| json!(URL_SAFE_NO_PAD.encode(vec![0xff; bytes]));
    let changed = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    assert!(Keys::of(&set(&[changed("use", json!("sig"))])).is_some());
    assert!(Keys::of(&set(&[changed("key_ops", json!(["verify"]))])).is_some());
    for unusable in [
        changed("use", json!("enc")),
        changed("key_ops", json!(["encrypt"])),
        changed("alg", json!("RSA-OAEP")),
        changed("alg", json!("HS256")),
        changed("alg", json!("ES256")),
        changed("kty", json!("oct")),
        changed("kty", json!("XYZ")),
        changed("d", json!("AQAB")),
        changed("n", modulus(255)),
        changed("n", modulus(1025)),
        changed("n", json!("not base64!")),
        changed("n", Value::Null),
        json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "k" }),
        json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }),
        json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }),
        json!("text"),
    ] {
        assert!(Keys::of(&set(std::slice::from_ref(&unusable))).is_none(), "{unusable}");
        assert!(Keys::of(&set(&[unusable, good.clone()])).is_some());
    }
    for no_set in ["", "[]", "{}", "{\"keys\":{}}", "<html>"] {
        assert!(Keys::read(no_set.as_bytes()).is_none(), "{no_set}");
    }
    let padded = format!("{}{}", set(&[good]), " ".repeat(64 * 1024));
    assert!(Keys::read(padded.as_bytes()).is_none());
}

#[test]
fn keys_with_one_kid_are_told_apart() {
    let signers = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256].map(|algorithm| Signer::new("k", algorithm));
    let both = keys(&signers.each_ref().map(Signer::jwk));
    for signer in &signers {
        assert!(both.verify::<Claims>(&signer.sign(&claims()), &rules()).is_ok());
    }
    // An RSA key that is for RS256 does not verify PS256.
    let rs256 = keys(&[signers[0].jwk()]);
    assert_eq!(rs256.verify::<Claims>(&signers[1].sign(&claims()), &rules()).unwrap_err(), JwtError::UnknownKey);

    // Two keys of one type under one `kid`: either may have signed.
    let (one, mut other) = (Signer::new("k", Algorithm::RS256), Signer::new("k", Algorithm::RS256).jwk());
    other["n"] = json!(URL_SAFE_NO_PAD.encode([0xff; 256]));
    let twice = keys(&[other, one.jwk()]);
    assert!(twice.verify::<Claims>(&one.sign(&claims()), &rules()).is_ok());
}

#[test]
fn half_hashes_are_those_of_the_specification() {
    // OpenID Connect Core 1.0, appendix A.3: RS256.
    let token = Signer::new("k", Algorithm::RS256).sign(&claims());
    let access_token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    assert_eq!(half_hash(&token, access_token).as_deref(), Some("77QmUPtjPfzWtF2AnpK9RQ"));
    assert_eq!(half_hash(&Signer::new("k", Algorithm::ES384).sign(&claims()), "x").unwrap().len(), 32);
    assert_eq!(half_hash("no token", "x"), None);
}

/// A key set's server, whose answer the test changes.
#[derive(Clone)]
struct Server {
    answer: Arc<Mutex<Result<Value, FetchError>>>,
    fetches: Arc<AtomicUsize>,
    /// Set while the server does not answer.
    stuck: Arc<Mutex<Option<Arc<Notify>>>>,
}

impl Server {
    fn new(keys: &[Value]) -> (Self, KeySet<Self>) {
        let server =
            Self { answer: Arc::new(Mutex::new(Ok(set(keys)))), fetches: Arc::default(), stuck: Arc::default() };
        let url = Url::parse("https://id.example/keys").unwrap();
        (server.clone(), KeySet::new(url, server))
    }

    fn answers(&self, answer: Result<Value, FetchError>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

#[async_trait::async_trait]
impl Fetch for Server {
    async fn fetch(&self, _: &Url) -> Result<Document, FetchError> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let stuck = self.stuck.lock().unwrap().clone();
        if let Some(stuck) = stuck {
            stuck.notified().await;
        }
        let answer = self.answer.lock().unwrap().clone();
        answer.map(|set| Document { body: set.to_string().into(), max_age: None })
    }
}

impl<F: Fetch> KeySet<F> {
    /// Makes everything that it knows older.
    fn age(&self, time: Duration) {
        let mut state = self.state();
        if let Some((_, fetched)) = &mut state.keys {
            *fetched -= time;
        }
        if let Some((end, _)) = &mut state.last {
            *end -= time;
        }
    }

    async fn check(&self, token: &str) -> Result<String, JwtError> {
        self.verify::<Claims>(token, &rules()).await.map(|claims| claims.sub)
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_set_is_fetched_once_an_hour() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let (server, set) = Server::new(&[signer.jwk()]);
    let token = signer.sign(&claims());
    for _ in 0..10 {
        set.check(&token).await.unwrap();
    }
    set.age(FRESH - SECOND);
    set.check(&token).await.unwrap();
    assert_eq!(server.fetches(), 1);
    set.age(SECOND);
    set.check(&token).await.unwrap();
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn a_rotated_key_costs_one_fetch_and_no_login() {
    let (old, new) = (Signer::new("k1", Algorithm::ES256), Signer::new("k2", Algorithm::EdDSA));
    let (server, keys) = Server::new(&[old.jwk()]);
    keys.check(&old.sign(&claims())).await.unwrap();
    keys.age(REFRESH_PAUSE);
    server.answers(Ok(set(&[old.jwk(), new.jwk()])));
    keys.check(&new.sign(&claims())).await.unwrap();
    keys.check(&old.sign(&claims())).await.unwrap();
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn made_up_kids_cause_one_fetch_and_hold_up_nobody() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let (server, keys) = Server::new(&[signer.jwk()]);
    let keys = Arc::new(keys);
    let good = signer.sign(&claims());
    keys.check(&good).await.unwrap();
    keys.age(REFRESH_PAUSE);

    let stuck = Arc::new(Notify::new());
    *server.stuck.lock().unwrap() = Some(stuck.clone());
    let made_up = |number: usize| signer.sign_with(|header| header.kid = Some(number.to_string()), &claims());
    let flood: Vec<_> = (0..50)
        .map(|number| {
            let (keys, token) = (keys.clone(), made_up(number));
            tokio::spawn(async move { keys.check(&token).await })
        })
        .collect();
    tokio::task::yield_now().await;
    // The fetch hangs, and the real token does not notice.
    keys.check(&good).await.unwrap();
    stuck.notify_one();
    for made_up in flood {
        assert_eq!(made_up.await.unwrap(), Err(JwtError::UnknownKey));
    }
    assert_eq!(server.fetches(), 2);
    assert_eq!(keys.check(&made_up(51)).await, Err(JwtError::UnknownKey));
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn a_set_outlives_its_server_by_a_day() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let (server, keys) = Server::new(&[signer.jwk()]);
    let token = signer.sign(&claims());
    keys.check(&token).await.unwrap();
    for broken in [Err(FetchError::Timeout), Ok(json!({ "keys": [] })), Ok(json!("<html>"))] {
        server.answers(broken);
        keys.age(FRESH);
        keys.check(&token).await.unwrap();
    }
    assert_eq!(server.fetches(), 4);
    keys.age(STALE);
    assert_eq!(keys.check(&token).await, Err(JwtError::NoUsableKeys));
    server.answers(Err(FetchError::Timeout));
    keys.age(RETRY_PAUSE);
    assert_eq!(keys.check(&token).await, Err(JwtError::NoKeys(FetchError::Timeout)));
    assert!(keys.check(&token).await.unwrap_err().is_temporary());
    assert_eq!(server.fetches(), 6);

    server.answers(Ok(set(&[signer.jwk()])));
    keys.age(RETRY_PAUSE);
    keys.check(&token).await.unwrap();
}

#[tokio::test]
async fn a_fetch_that_was_given_up_is_begun_again() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let (server, keys) = Server::new(&[signer.jwk()]);
    let token = signer.sign(&claims());
    *server.stuck.lock().unwrap() = Some(Arc::default());
    assert!(tokio::time::timeout(Duration::ZERO, keys.check(&token)).await.is_err());
    *server.stuck.lock().unwrap() = None;
    keys.check(&token).await.unwrap();
    assert_eq!(server.fetches(), 2);
}
