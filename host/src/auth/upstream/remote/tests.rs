//! Whole logins, against a provider on loopback that says what each test wants.

use std::collections::HashMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::jwks::half_hash;

/// The fake's answer at each path: status and body.
type Answers = Arc<Mutex<HashMap<String, (u16, Value)>>>;

struct Fake {
    url: String,
    answers: Answers,
    /// Head and body of every request.
    requests: Arc<Mutex<Vec<String>>>,
    key: EncodingKey,
}

impl Fake {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answers, requests) = (Answers::default(), Arc::<Mutex<Vec<String>>>::default());
        let (serving, noting) = (Arc::clone(&answers), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&serving), Arc::clone(&noting)));
            }
        });
        let key = EncodingKey::from_ec_pem(include_bytes!("../../../jwks/tests/keys/p256.pem")).unwrap();
        let fake = Self { url, answers, requests, key };
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&fake.key, Algorithm::ES256).unwrap()).unwrap();
        jwk["kid"] = "1".into();
        fake.says("/keys", 200, json!({ "keys": [jwk] }));
        fake.says("/.well-known/openid-configuration", 200, fake.document());
        fake
    }

    fn document(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.url);
        json!({
            "issuer": at("/"), "authorization_endpoint": at("/authorize?tenant=a"), "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"), "introspection_endpoint": at("/introspect"),
            "revocation_endpoint": at("/revoke"), "jwks_uri": at("/keys"),
            "scopes_supported": ["openid", "offline_access"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    fn says(&self, path: &str, status: u16, body: Value) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body));
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("1".to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    fn id_token(&self, further: &Value) -> String {
        let mut claims = json!({
            "iss": format!("{}/", self.url), "sub": "alice", "aud": "us", "exp": now_s() + 300, "iat": now_s(), "nonce": "n",
            "email": "alice@example.com", "email_verified": true, "name": "Alice",
        });
        claims.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        self.sign(&claims)
    }

    /// The token endpoint gives these members, besides an access token.
    fn gives(&self, further: &Value) {
        let mut answer = json!({ "access_token": "opaque", "token_type": "Bearer" });
        answer.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        self.says("/token", 200, answer);
    }

    /// A provider of one's own at this fake; further keys go into its table.
    async fn remote(&self, further: &str) -> Remote {
        let text = format!(
            "auth.provider = 'acme'\n[auth.providers.acme]\ndiscovery = '{}'\nclient_id = 'us'\nclient_secret = 'hunter2'\nscopes = ['openid', 'email']\n{further}",
            self.url
        );
        self.start_remote(Provider::for_tests(&text, &[])).await
    }

    async fn start_remote(&self, provider: Provider) -> Remote {
        let base_url = BaseUrl::localhost(8000);
        let remote =
            Remote::start(provider, &base_url, &Egress::default(), None, &TaskTracker::new(), CancellationToken::new())
                .unwrap();
        let mut knowledge = remote.0.knowledge.clone();
        let _ = knowledge.wait_for(|knowledge| !matches!(knowledge, Knowledge::Looking)).await;
        remote
    }

    fn callback(&self) -> Callback {
        Callback { code: Some("code".to_owned()), iss: Some(format!("{}/", self.url)), ..Callback::default() }
    }

    async fn log_in(&self, remote: &Remote) -> Result<Login, LoginError> {
        remote.log_in(&self.callback(), &request()).await
    }

    /// The requests to a path.
    fn requests(&self, path: &str) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let at = format!(" {path} ");
        requests.iter().filter(|request| request.lines().next().unwrap_or_default().contains(&at)).cloned().collect()
    }
}

async fn answer(mut stream: TcpStream, answers: Answers, requests: Arc<Mutex<Vec<String>>>) {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .split_once("content-length: ")
                .map_or(0, |(_, rest)| rest.lines().next().and_then(|length| length.trim().parse().ok()).unwrap_or(0));
            if body.len() >= length {
                let path =
                    text.split(' ').nth(1).and_then(|path| path.split('?').next()).unwrap_or_default().to_owned();
                let found = answers.lock().unwrap().get(&path).cloned();
                requests.lock().unwrap().push(text);
                let (status, body) = found.unwrap_or((404, json!({})));
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                return;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    }
}

fn request() -> UpstreamRequest {
    UpstreamRequest {
        state: "s".to_owned(),
        verifier: "v".repeat(43),
        nonce: "n".to_owned(),
        redirect_uri: "http://localhost:8000/auth/callback".to_owned(),
    }
}

#[track_caller]
fn broken(outcome: Result<Login, LoginError>, part: &str) {
    match outcome {
        Err(LoginError::Broken { cause, .. }) => assert!(cause.contains(part), "{cause}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_person_is_sent_with_everything_that_binds_the_login() {
    let fake = Fake::start().await;
    let further = "optional_scopes = ['offline_access', 'unknown']\naudience = 'https://api'\nauthorize_params = { state = 'x', prompt = 'login' }";
    let remote = fake.remote(further).await;
    let url = remote.authorize_url(&request()).await.unwrap();
    let params: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest("v".repeat(43)));
    let expected = [
        ("tenant", "a"),
        ("response_type", "code"),
        ("client_id", "us"),
        ("state", "s"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
        ("redirect_uri", "http://localhost:8000/auth/callback"),
        ("scope", "openid email offline_access"),
        ("nonce", "n"),
        ("audience", "https://api"),
        ("prompt", "login"),
    ];
    assert_eq!(params, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_login_gives_identity_and_tokens() {
    let fake = Fake::start().await;
    let remote = fake.remote("verify = { id_token = true }").await;
    let hash = { half_hash(&fake.id_token(&json!({})), "opaque").unwrap() };
    let id_token = fake.id_token(&json!({ "at_hash": hash }));
    fake.gives(&json!({ "id_token": id_token, "refresh_token": "r", "expires_in": "3600", "scope": "openid read:x" }));
    let login = fake.log_in(&remote).await.unwrap();
    assert_eq!((login.identity.subject.as_str(), login.identity.email_verified), ("alice", true));
    assert_eq!(login.identity.issuer, format!("{}/", fake.url));
    assert_eq!(login.identity.scopes, ["openid", "read:x"]);
    assert_eq!(login.tokens.refresh_token.as_deref(), Some("r"));
    assert!(login.tokens.expires_at.unwrap() >= now_s() + 3500);
    let [sent] = &fake.requests("/token")[..] else { panic!("one request") };
    for part in
        ["authorization: Basic dXM6aHVudGVyMg==", "grant_type=authorization_code", "code_verifier=vvv", "code=code"]
    {
        assert!(sent.contains(part), "{part}\nis not in\n{sent}");
    }
    assert!(fake.requests("/userinfo").is_empty(), "the id_token said all");
    assert!(!format!("{login:?}").contains("opaque"));
}

#[tokio::test]
async fn an_id_token_of_another_login_logs_nobody_in() {
    let fake = Fake::start().await;
    let remote = fake.remote("verify = { id_token = true }").await;
    for (claims, part) in [
        (json!({ "nonce": "m" }), "nonce of another login"),
        (json!({ "nonce": null }), "nonce"),
        (json!({ "aud": "them" }), "audience"),
        (json!({ "aud": ["us", "them"] }), "azp"),
        (json!({ "azp": "them" }), "azp"),
        (json!({ "at_hash": "AAAA" }), "at_hash"),
        (json!({ "iss": "https://evil.example" }), "issuer"),
        (json!({ "exp": 1 }), "expired"),
    ] {
        fake.gives(&json!({ "id_token": fake.id_token(&claims) }));
        broken(fake.log_in(&remote).await, part);
    }
    fake.gives(&json!({}));
    let Err(LoginError::Operator(explanation)) = fake.log_in(&remote).await else { panic!("an explanation") };
    assert!(explanation.title.contains("gave no id_token"), "{explanation:?}");
    fake.gives(&json!({ "id_token": fake.id_token(&json!({})) + "x" }));
    broken(fake.log_in(&remote).await, "the id_token cannot be verified");
}

#[tokio::test]
async fn the_callback_must_come_from_the_provider() {
    let fake = Fake::start().await;
    let remote = fake.remote("").await;
    fake.gives(&json!({ "id_token": fake.id_token(&json!({})) }));
    for (iss, part) in [(None, "has no `iss`"), (Some("https://evil.example".to_owned()), "another issuer")] {
        let callback = Callback { iss, ..fake.callback() };
        broken(remote.log_in(&callback, &request()).await, part);
    }
    assert!(fake.requests("/token").is_empty(), "the code went nowhere");
    let error = Callback { error: Some("access_denied".to_owned()), ..Callback::default() };
    assert!(matches!(remote.log_in(&error, &request()).await, Err(LoginError::Denied { .. })));
}

#[tokio::test]
async fn what_the_id_token_lacks_is_at_the_userinfo_endpoint() {
    let fake = Fake::start().await;
    let remote = fake.remote("").await;
    let bare = {
        let claims =
            json!({ "iss": format!("{}/", fake.url), "sub": "alice", "aud": "us", "exp": now_s() + 300, "nonce": "n" });
        fake.sign(&claims)
    };
    fake.gives(&json!({ "id_token": bare }));
    fake.says("/userinfo", 200, json!({ "sub": "alice", "email": "a@example.com", "email_verified": true }));
    let login = fake.log_in(&remote).await.unwrap();
    assert_eq!((login.identity.email.as_deref(), login.identity.email_verified), (Some("a@example.com"), true));
    fake.says("/userinfo", 200, json!({ "sub": "mallory", "email": "m@example.com", "email_verified": true }));
    broken(fake.log_in(&remote).await, "another person");
    fake.says("/userinfo", 401, json!({}));
    assert_eq!(fake.log_in(&remote).await.unwrap().identity.email, None);
}

#[tokio::test]
async fn clerk_is_asked_who_it_is_and_whose_the_token_is() {
    let fake = Fake::start().await;
    let variables =
        [("CLERK_CONFIG_URL", fake.url.as_str()), ("CLERK_CLIENT_ID", "us"), ("CLERK_CLIENT_SECRET", "hunter2")];
    let remote = fake.start_remote(Provider::for_tests("auth.provider = 'clerk'", &variables)).await;
    let url = remote.authorize_url(&request()).await.unwrap();
    assert!(url.query().unwrap().ends_with("&scope=profile+email"), "{url}");
    assert!(!url.query().unwrap().contains("nonce"), "{url}");
    fake.gives(&json!({ "refresh_token": "r" }));
    fake.says("/userinfo", 200, json!({ "sub": "user_1", "email": "a@example.com", "email_verified": true }));
    fake.says("/introspect", 200, json!({ "active": true, "client_id": "us", "scope": "profile email" }));
    let login = fake.log_in(&remote).await.unwrap();
    assert_eq!(login.identity.subject, "user_1");
    assert_eq!(login.identity.scopes, ["profile", "email"]);
    assert!(fake.requests("/introspect")[0].contains("authorization: Basic"));
    fake.says("/introspect", 200, json!({ "active": true, "client_id": "them" }));
    broken(fake.log_in(&remote).await, "another application");
    fake.says("/introspect", 200, json!({ "active": false }));
    broken(fake.log_in(&remote).await, "does not take its own access token");
    fake.says("/userinfo", 401, json!({}));
    broken(fake.log_in(&remote).await, "does not take its own access token");
}

#[tokio::test]
async fn scopes_come_out_of_an_access_token_for_the_audience() {
    let fake = Fake::start().await;
    let remote = fake.remote("audience = 'https://api'").await;
    let access_token = |audience: Value| {
        fake.sign(&json!({
            "iss": format!("{}/", fake.url), "sub": "alice", "aud": audience, "exp": now_s() + 300,
            "scope": "openid read:x", "permissions": ["write:x"],
        }))
    };
    let id_token = fake.id_token(&json!({}));
    for (audience, expected) in [
        (json!(["https://api", "https://id.example/userinfo"]), vec!["openid", "read:x", "write:x"]),
        (json!("https://other"), vec!["openid"]),
    ] {
        fake.gives(&json!({ "id_token": id_token, "access_token": access_token(audience), "scope": "openid" }));
        assert_eq!(fake.log_in(&remote).await.unwrap().identity.scopes, expected);
    }
}

#[tokio::test]
async fn the_other_way_to_authenticate_is_tried() {
    let fake = Fake::start().await;
    let remote = fake.remote("").await;
    fake.says("/token", 401, json!({ "error": "invalid_client" }));
    let outcome = fake.log_in(&remote).await;
    assert!(matches!(outcome, Err(LoginError::Operator(_))), "{outcome:?}");
    let requests = fake.requests("/token");
    assert_eq!(requests.len(), 2);
    assert!(requests[1].contains("client_id=us&client_secret=hunter2"), "{}", requests[1]);
}

#[tokio::test]
async fn a_refresh_keeps_what_the_provider_does_not_replace() {
    let fake = Fake::start().await;
    let remote = fake.remote("").await;
    let old = UpstreamTokens {
        access_token: "old".to_owned(),
        refresh_token: Some("r1".to_owned()),
        id_token: None,
        expires_at: None,
        scope: vec!["openid".to_owned(), "read:x".to_owned()],
        checked_at: 0,
    };
    let id_token = {
        let claims = json!({ "iss": format!("{}/", fake.url), "sub": "alice", "aud": "us", "exp": now_s() + 300, "email": "new@example.com", "name": "A" });
        fake.sign(&claims)
    };
    fake.gives(&json!({ "id_token": id_token }));
    let Ok(RefreshOutcome::Tokens { tokens, identity }) = remote.refresh(&old, "alice").await else { panic!("tokens") };
    assert_eq!((tokens.access_token.as_str(), tokens.refresh_token.as_deref()), ("opaque", Some("r1")));
    assert_eq!(tokens.scope, old.scope);
    assert_eq!(identity.unwrap().email.as_deref(), Some("new@example.com"));
    assert!(
        matches!(remote.refresh(&tokens, "alice").await, Ok(RefreshOutcome::NotNeeded)),
        "an hour is left of these"
    );
    let ended = |tokens: UpstreamTokens| UpstreamTokens { expires_at: Some(now_s()), ..tokens };
    fake.gives(&json!({ "refresh_token": "r2" }));
    let Ok(RefreshOutcome::Tokens { tokens, identity }) = remote.refresh(&ended(tokens), "alice").await else {
        panic!("tokens")
    };
    assert_eq!(tokens.refresh_token.as_deref(), Some("r2"));
    assert_eq!(identity, None, "no id_token, no news");
    assert!(fake.requests("/userinfo").is_empty());
    let tokens = ended(tokens);
    for (status, body, expected) in [
        (403, json!({ "error": "invalid_grant" }), RefreshError::Ended),
        (200, json!({ "error": "invalid_grant" }), RefreshError::Ended),
        (500, json!({ "error": "invalid_grant" }), RefreshError::Ended),
        (503, json!({}), RefreshError::Temporary { retry_after: None }),
        (429, json!({ "error": "invalid_grant" }), RefreshError::Temporary { retry_after: Some(5) }),
        (200, json!("garbage"), RefreshError::Temporary { retry_after: None }),
    ] {
        fake.says("/token", status, body.clone());
        assert_eq!(remote.refresh(&tokens, "alice").await.err(), Some(expected), "{status} {body}");
    }
}

#[tokio::test]
async fn tokens_that_never_end_are_checked_now_and_then() {
    let fake = Fake::start().await;
    let remote = fake.remote("verify = { recheck = '1h', method = 'userinfo' }").await;
    let checked = |checked_at| UpstreamTokens {
        access_token: "opaque".to_owned(),
        refresh_token: None,
        id_token: None,
        expires_at: None,
        scope: Vec::new(),
        checked_at,
    };
    assert!(matches!(remote.refresh(&checked(now_s()), "alice").await, Ok(RefreshOutcome::NotNeeded)));
    fake.says("/userinfo", 200, json!({ "sub": "alice", "email": "a@example.com" }));
    let Ok(RefreshOutcome::Tokens { tokens, identity }) = remote.refresh(&checked(0), "alice").await else {
        panic!("tokens")
    };
    assert_eq!(identity.unwrap().subject, "alice");
    assert!(matches!(remote.refresh(&tokens, "alice").await, Ok(RefreshOutcome::NotNeeded)));
    fake.says("/userinfo", 401, json!({}));
    assert_eq!(remote.refresh(&checked(0), "alice").await.err(), Some(RefreshError::Ended));
    for status in [403, 502] {
        fake.says("/userinfo", status, json!({}));
        assert_eq!(
            remote.refresh(&checked(0), "alice").await.err(),
            Some(RefreshError::Temporary { retry_after: None })
        );
    }
}

#[tokio::test]
async fn a_wrong_domain_is_explained() {
    let fake = Fake::start().await;
    fake.says("/.well-known/openid-configuration", 404, json!({}));
    let domain = fake.url.clone();
    let variables = [("AUTH0_DOMAIN", domain.as_str()), ("AUTH0_CLIENT_ID", "us"), ("AUTH0_CLIENT_SECRET", "hunter2")];
    let remote = fake.start_remote(Provider::for_tests("", &variables)).await;
    assert!(!remote.is_known());
    let unavailable = remote.authorize_url(&request()).await.unwrap_err();
    let words = format!("{:?}", unavailable.explanation);
    assert!(words.contains("AUTH0_DOMAIN") && words.contains("404"), "{words}");
}

#[tokio::test]
async fn revocation_names_the_refresh_token() {
    let fake = Fake::start().await;
    let remote = fake.remote("").await;
    fake.says("/revoke", 200, json!({}));
    fake.gives(&json!({ "id_token": fake.id_token(&json!({})), "refresh_token": "r" }));
    let login = fake.log_in(&remote).await.unwrap();
    remote.revoke(&login.tokens).await;
    assert!(fake.requests("/revoke")[0].contains("token=r&token_type_hint=refresh_token"));
}

#[tokio::test]
async fn github_logs_people_in_without_openid() {
    let fake = Fake::start().await;
    let at = |path: &str| format!("{}{path}", fake.url);
    let text = format!(
        "auth.provider = 'github'\nauth.allow = ['*@example.com']\n[auth.providers.github]\nauthorization_endpoint = '{}'\ntoken_endpoint = '{}'\nuserinfo_endpoint = '{}'\n[auth.providers.github.documents]\nemails = {{ url = '{}' }}\norgs = {{ url = '{}' }}",
        at("/authorize"),
        at("/token"),
        at("/user"),
        at("/user/emails"),
        at("/user/orgs")
    );
    let variables = [("GITHUB_CLIENT_ID", "us"), ("GITHUB_CLIENT_SECRET", "hunter2")];
    let remote = fake.start_remote(Provider::for_tests(&text, &variables)).await;
    assert!(remote.is_known(), "there is nothing to find out");
    fake.gives(&json!({ "scope": "read:user,user:email" }));
    fake.says("/user", 200, json!({ "id": 7, "login": "octocat", "email": null }));
    fake.says("/user/emails", 200, json!([{ "email": "o@example.com", "primary": true, "verified": true }]));
    let callback = Callback { code: Some("code".to_owned()), ..Callback::default() };
    let login = remote.log_in(&callback, &request()).await.unwrap();
    assert_eq!((login.identity.issuer.as_str(), login.identity.subject.as_str()), ("https://github.com", "7"));
    assert_eq!((login.identity.email.as_deref(), login.identity.email_verified), (Some("o@example.com"), true));
    assert_eq!(login.identity.scopes, ["read:user", "user:email"]);
    assert!(fake.requests("/user/orgs").is_empty(), "nobody asked for read:org");
    assert!(fake.requests("/token")[0].contains("client_secret=hunter2"));
    fake.says("/token", 200, json!({ "error": "bad_verification_code", "error_description": "The code is incorrect" }));
    let outcome = remote.log_in(&callback, &request()).await;
    broken(outcome, "bad_verification_code: The code is incorrect");
    fake.says("/token", 200, json!({ "error": "incorrect_client_credentials" }));
    let Err(LoginError::Operator(explanation)) = remote.log_in(&callback, &request()).await else { panic!("a page") };
    assert!(format!("{explanation:?}").contains("GITHUB_CLIENT_SECRET"), "{explanation:?}");
}

#[tokio::test]
async fn a_provider_that_is_down_is_asked_again_later() {
    let fake = Fake::start().await;
    let remote = fake.remote("").await;
    fake.says("/token", 503, json!({}));
    for _ in 0..8 {
        let outcome = fake.log_in(&remote).await;
        assert!(matches!(outcome, Err(LoginError::Temporary { .. })), "{outcome:?}");
    }
    assert!(fake.requests("/token").len() < 8, "not everybody waits for it");
}

#[tokio::test]
async fn a_provider_that_starts_late_becomes_known() {
    let fake = Fake::start().await;
    fake.says("/.well-known/openid-configuration", 503, json!({}));
    let remote = fake.remote("").await;
    assert!(remote.authorize_url(&request()).await.is_err());
    fake.says("/.well-known/openid-configuration", 200, fake.document());
    let mut knowledge = remote.0.knowledge.clone();
    let becomes = knowledge.wait_for(|knowledge| matches!(knowledge, Knowledge::Known(_)));
    assert!(tokio::time::timeout(Duration::from_secs(10), becomes).await.is_ok());
    assert!(remote.authorize_url(&request()).await.is_ok());
}
