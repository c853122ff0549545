//! An OAuth client of the server under test, as editors bring one: it discovers, registers, authorizes with PKCE, and renews.

use std::collections::HashMap;

use serde_json::{Value, json};
use url::Url;

use crate::browser::{Browser, Landing};
use crate::encoding::{random, sha256_base64url};
use crate::http::{Answer, Request};

/// The clients that people use: their registrations, and their redirect URIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Three URIs in one registration, the first of a private scheme.
    Cursor,
    /// Loopback with a port that changes.
    ClaudeCode,
    /// Two https and two loopback URIs.
    VsCode,
    /// An empty `scope`.
    Gemini,
    /// The Inspector.
    Inspector,
    /// From the cloud.
    ClaudeAi,
    /// Loopback with a path of its own.
    Codex,
    /// A secret in the body.
    Confidential,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Cursor,
        Self::ClaudeCode,
        Self::VsCode,
        Self::Gemini,
        Self::Inspector,
        Self::ClaudeAi,
        Self::Codex,
        Self::Confidential,
    ];

    /// The body of its registration.
    pub fn registration(self) -> Value {
        let grants = json!(["authorization_code", "refresh_token"]);
        match self {
            Self::Cursor => json!({
                "client_name": "Cursor", "token_endpoint_auth_method": "none", "application_type": "web",
                "grant_types": grants, "response_types": ["code"],
                "redirect_uris": [
                    "cursor://anysphere.cursor-mcp/oauth/callback",
                    "https://www.cursor.com/agents/mcp/oauth/callback",
                    "http://localhost:8787/callback",
                ],
            }),
            Self::ClaudeCode => json!({
                "client_name": "Claude Code (tests)", "token_endpoint_auth_method": "none",
                "grant_types": grants, "response_types": ["code"],
                "redirect_uris": ["http://localhost:3118/callback"],
            }),
            Self::VsCode => json!({
                "client_name": "Visual Studio Code", "client_uri": "https://code.visualstudio.com",
                "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
                "response_types": ["code"], "token_endpoint_auth_method": "none", "application_type": "native",
                "redirect_uris": [
                    "https://insiders.vscode.dev/redirect", "https://vscode.dev/redirect",
                    "http://127.0.0.1/", "http://127.0.0.1:33418/",
                ],
            }),
            Self::Gemini => json!({
                "client_name": "Gemini CLI MCP Client", "scope": "", "token_endpoint_auth_method": "none",
                "grant_types": grants, "response_types": ["code"],
                "redirect_uris": ["http://localhost:7777/oauth/callback"],
            }),
            Self::Inspector => json!({
                "client_name": "MCP Inspector", "client_uri": "https://github.com/modelcontextprotocol/inspector",
                "token_endpoint_auth_method": "none", "grant_types": grants, "response_types": ["code"],
                "redirect_uris": ["http://localhost:6274/oauth/callback"],
            }),
            Self::ClaudeAi => json!({
                "client_name": "claude.ai", "scope": "openid offline_access", "token_endpoint_auth_method": "none",
                "grant_types": grants, "response_types": ["code"],
                "redirect_uris": ["https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"],
            }),
            Self::Codex => json!({
                "client_name": "Codex", "token_endpoint_auth_method": "none",
                "grant_types": grants, "response_types": ["code"],
                "redirect_uris": ["http://127.0.0.1:41234/callback/abc"],
            }),
            Self::Confidential => json!({
                "client_name": "A service", "token_endpoint_auth_method": "client_secret_post",
                "redirect_uris": ["https://service.example/callback"],
            }),
        }
    }

    /// The URI at which it waits: the port is not always the registered one.
    pub fn redirect_uri(self) -> &'static str {
        match self {
            Self::Cursor => "cursor://anysphere.cursor-mcp/oauth/callback",
            Self::ClaudeCode => "http://127.0.0.1:50123/callback",
            Self::VsCode => "http://127.0.0.1:50124/",
            Self::Gemini => "http://localhost:50125/oauth/callback",
            Self::Inspector => "http://localhost:6274/oauth/callback",
            Self::ClaudeAi => "https://claude.ai/api/mcp/auth_callback",
            Self::Codex => "http://127.0.0.1:50126/callback/abc",
            Self::Confidential => "https://service.example/callback",
        }
    }
}

/// A client that has an id.
#[derive(Clone, Debug)]
pub struct OAuthClient {
    /// Scheme, host and port of the server.
    pub base: Url,
    /// Its id.
    pub id: String,
    /// Its secret, sent in the body.
    pub secret: Option<String>,
    /// Its redirect URI.
    pub redirect_uri: String,
}

/// An authorization that is asked for: the parameters, and what stays with the client.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// The parameters, which may be changed before they are sent.
    pub parameters: Vec<(String, String)>,
    /// The PKCE verifier.
    pub verifier: String,
    /// The state.
    pub state: String,
    base: Url,
}

/// A code that came back.
#[derive(Clone, Debug)]
pub struct Code {
    /// The code.
    pub code: String,
    /// The verifier of its challenge.
    pub verifier: String,
    /// Everything that the client was told.
    pub told: HashMap<String, String>,
}

/// Tokens as they were given.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// For `/mcp`.
    pub access: String,
    /// For more of them.
    pub refresh: String,
    /// The scopes, split.
    pub scopes: Vec<String>,
    /// The whole answer.
    pub answer: Value,
}

impl Authorization {
    /// Sets a parameter, in place of one that is there.
    #[must_use]
    pub fn set(self, name: &str, value: &str) -> Self {
        self.without(name).also(name, value)
    }

    /// Adds a parameter, though it is there.
    #[must_use]
    pub fn also(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a parameter away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(key, _)| key != name);
        self
    }

    /// The URL to which the person is sent.
    pub fn url(&self) -> String {
        let mut url = self.base.join("/authorize").expect("a path of ours");
        url.query_pairs_mut().extend_pairs(&self.parameters);
        url.into()
    }
}

impl OAuthClient {
    /// A client with an id that it has from somewhere.
    pub fn known(base: &Url, id: &str, redirect_uri: &str) -> Self {
        Self { base: base.clone(), id: id.to_owned(), secret: None, redirect_uri: redirect_uri.to_owned() }
    }

    /// The same client, whose requests take the way to another server of the same store.
    #[must_use]
    pub fn through(&self, base: &Url) -> Self {
        Self {
            base: base.clone(),
            id: self.id.clone(),
            secret: self.secret.clone(),
            redirect_uri: self.redirect_uri.clone(),
        }
    }

    /// Registers a client (RFC 7591).
    ///
    /// # Panics
    /// When it is refused.
    pub async fn register(base: &Url, kind: Kind) -> Self {
        let answer = register(base, &kind.registration()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let answer = answer.json();
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        Self {
            base: base.clone(),
            id: text("client_id").expect("a client has an id"),
            secret: text("client_secret"),
            redirect_uri: kind.redirect_uri().to_owned(),
        }
    }

    /// An authorization with everything that a good client sends.
    pub fn authorization(&self) -> Authorization {
        let (verifier, state) = (random("verifier-of-this-client"), random("state"));
        let parameters = [
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", &self.redirect_uri),
            ("state", &state),
            ("code_challenge", &sha256_base64url(&verifier)),
            ("code_challenge_method", "S256"),
            ("resource", &self.resource()),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Authorization { parameters, verifier, state, base: self.base.clone() }
    }

    /// The resource that it wants to call.
    pub fn resource(&self) -> String {
        format!("{}mcp", self.base)
    }

    /// Sends a person through an authorization, and takes the code.
    pub async fn code(&self, person: &mut Browser) -> Code {
        self.code_of(self.authorization(), person).await
    }

    /// Sends a person through this authorization, and takes the code.
    pub async fn code_of(&self, authorization: Authorization, person: &mut Browser) -> Code {
        let landing = person.walk(&authorization.url()).await;
        Self::take(&authorization, landing)
    }

    /// Takes the code that a person brings, as a strict client does.
    ///
    /// # Panics
    /// When there is none, or `state` or `iss` are not right.
    pub fn take(authorization: &Authorization, landing: Landing) -> Code {
        let told = landing.told();
        let has_state = authorization.parameters.iter().any(|(name, _)| name == "state");
        assert_eq!(told.get("state"), has_state.then_some(&authorization.state), "{told:?}");
        let issuer = authorization.base.as_str().trim_end_matches('/');
        assert_eq!(told.get("iss").map(String::as_str), Some(issuer), "{told:?}");
        let code = told.get("code").unwrap_or_else(|| panic!("no code: {told:?}")).clone();
        Code { code, verifier: authorization.verifier.clone(), told }
    }

    /// The whole login.
    pub async fn log_in(&self, person: &mut Browser) -> Tokens {
        let code = self.code(person).await;
        self.redeem(&code).await
    }

    /// The parameters that redeem a code, to be changed.
    pub fn redemption<'a>(&'a self, code: &'a Code) -> Vec<(&'a str, &'a str)> {
        vec![
            ("grant_type", "authorization_code"),
            ("code", &code.code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &code.verifier),
        ]
    }

    /// The parameters that renew tokens, to be changed.
    pub fn renewal<'a>(&self, refresh_token: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)]
    }

    /// Sends something to an endpoint with this client's id and secret.
    pub async fn post(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        self.posting(path, parameters).send().await
    }

    /// The request of [`OAuthClient::post`].
    pub fn posting(&self, path: &str, parameters: &[(&str, &str)]) -> Request {
        let mut parameters = parameters.to_vec();
        parameters.push(("client_id", &self.id));
        parameters.extend(self.secret.as_deref().map(|secret| ("client_secret", secret)));
        self.request("POST", path).form(&parameters)
    }

    /// A request to the server.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::to(&self.base.join(path).expect("a path of ours"), method)
    }

    /// Redeems a code.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn redeem(&self, code: &Code) -> Tokens {
        Tokens::of(&self.post("/token", &self.redemption(code)).await)
    }

    /// Tries to redeem a code.
    pub async fn try_redeem(&self, code: &Code) -> Answer {
        self.post("/token", &self.redemption(code)).await
    }

    /// Renews tokens.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn renew(&self, refresh_token: &str) -> Tokens {
        Tokens::of(&self.try_renew(refresh_token).await)
    }

    /// Tries to renew tokens.
    pub async fn try_renew(&self, refresh_token: &str) -> Answer {
        self.post("/token", &self.renewal(refresh_token)).await
    }

    /// Revokes a token (RFC 7009).
    pub async fn revoke(&self, token: &str) -> Answer {
        self.post("/revoke", &[("token", token)]).await
    }

    /// Tells whether `/mcp` takes a token, by a request that costs nothing.
    ///
    /// # Panics
    /// When it is neither taken nor refused as it should be.
    pub async fn is_live(&self, token: &str) -> bool {
        let answer =
            self.request("POST", "/mcp").json(&crate::client::initialize("2025-11-25")).bearer(token).send().await;
        match answer.status {
            200 => true,
            401 => {
                assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{answer:?}");
                false
            }
            _ => panic!("{answer:?}"),
        }
    }
}

impl Tokens {
    /// Reads what a client may rely on (RFC 6749 §5.1, and our own promises).
    ///
    /// # Panics
    /// When something is missing.
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(crate::http::content_type(&answer.headers), "application/json", "{answer:?}");
        assert!(answer.header("cache-control").contains("no-store"), "{answer:?}");
        let answer = answer.json();
        assert_eq!(answer["token_type"], "Bearer", "{answer}");
        assert!(answer["expires_in"].as_u64().is_some_and(|seconds| seconds > 0), "{answer}");
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned();
        let scopes = answer["scope"].as_str().unwrap_or_default().split(' ').filter(|scope| !scope.is_empty());
        let scopes = scopes.map(str::to_owned).collect();
        Self { access: text("access_token"), refresh: text("refresh_token"), scopes, answer: answer.clone() }
    }
}

/// Sends a registration.
pub async fn register(base: &Url, body: &Value) -> Answer {
    Request::to(&base.join("/register").expect("a path of ours"), "POST").json(body).send().await
}

/// The members of a challenge (RFC 9110 §11.6.1, as clients read it): `Bearer name="value", …`.
///
/// # Panics
/// When it is spelled otherwise.
pub fn challenge(answer: &Answer) -> HashMap<String, String> {
    let all = answer.all("www-authenticate");
    assert_eq!(all.len(), 1, "{answer:?}");
    let members = all[0].strip_prefix("Bearer ").unwrap_or_else(|| panic!("no `Bearer `: {answer:?}"));
    let members = members.split(", ").map(|member| {
        let (name, value) = member.split_once('=').unwrap_or_else(|| panic!("{member}: {answer:?}"));
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = value.unwrap_or_else(|| panic!("not quoted: {answer:?}"));
        assert!(!value.contains(['"', '\\', ',']), "{answer:?}");
        (name.to_owned(), value.to_owned())
    });
    members.collect()
}
