//! `/local/authorize`: the built-in login for development. It asks for a name and believes it.
//!
//! To the rest of the login it is a provider like any other: it gets a state, a PKCE challenge and a nonce, and sends
//! the browser to `/auth/callback` with a code. Nothing is stored: the code is sealed, and says who logged in, for
//! which login, and until when. It is good once, since the state that it is bound to is.
//!
//! Whoever mounts it makes sure that only this computer reaches it.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use crate::auth::identity::{Identity, Membership};
use crate::auth::pages::clean_name;
use crate::auth::parameters::Parameters;
use crate::auth::upstream::messages::{Callback, Login, LoginError, Unusable, UpstreamRequest, UpstreamTokens};
use crate::clock;
use crate::config::address::BaseUrl;
use crate::vault::Vault;

/// Life of a code: it is redeemed by the request that follows at once.
const CODE_TTL: Duration = Duration::from_secs(60);

/// The longest name: it stands in logs and on pages.
const MAX_NAME_CHARS: usize = 64;

/// The longest state and nonce that are taken. Ours are far shorter; this bounds what a stranger has sealed.
const MAX_VALUE_BYTES: usize = 256;

/// The purpose of a code's seal.
const CODE_CONTEXT: &[u8] = b"code";

/// Everybody who logs in here holds every scope.
const EVERY_SCOPE: &str = "*";

/// The built-in login.
#[derive(Debug)]
pub struct Local {
    base_url: BaseUrl,
    vault: Vault,
}

/// The content of a code.
#[derive(Serialize, Deserialize)]
struct LoginCode {
    name: String,
    state: String,
    code_challenge: String,
    nonce: String,
    redirect_uri: String,
    expires: SystemTime,
}

/// An authentication request (OpenID Connect Core §3.1.2.1): the parameters that differ from login to login.
pub(in crate::auth) struct LoginRequest {
    pub(in crate::auth) state: String,
    pub(in crate::auth) code_challenge: String,
    pub(in crate::auth) nonce: String,
}

/// The form that asks for a name.
pub(in crate::auth) struct NameForm {
    pub(in crate::auth) request: LoginRequest,
    /// The name that was not taken; empty at first.
    pub(in crate::auth) name: String,
    /// The reason why it was not.
    pub(in crate::auth) problem: Option<String>,
}

/// The result of a form that was sent.
pub(in crate::auth) enum Submission {
    /// The form again.
    Form(NameForm),
    /// The callback, with a code or an error.
    Callback(Url),
}

/// The issuer of people that log in at the server with this URL.
pub fn issuer(base_url: &BaseUrl) -> String {
    format!("{}/local", base_url.as_str())
}

impl Local {
    /// The login of one server. The vault's purpose belongs to it alone.
    pub fn new(base_url: &BaseUrl, vault: Vault) -> Self {
        Self { base_url: base_url.clone(), vault }
    }

    /// The issuer of people that log in here.
    pub fn issuer(&self) -> String {
        issuer(&self.base_url)
    }

    /// The URL at which a person logs in.
    pub fn authorize_url(&self, request: &UpstreamRequest) -> Url {
        let mut url: Url = (*self.base_url).clone();
        url.set_path("/local/authorize");
        url.query_pairs_mut()
            .append_pair("state", &request.state)
            .append_pair("code_challenge", &s256(&request.verifier))
            .append_pair("nonce", &request.nonce);
        url
    }

    /// The form for a request; none for one that is not of this server.
    pub(in crate::auth) fn form(&self, query: &Parameters) -> Option<NameForm> {
        Some(NameForm { request: LoginRequest::of(query)?, name: String::new(), problem: None })
    }

    /// Takes a form that was sent; none where its request is not of this server.
    pub(in crate::auth) fn submit(&self, form: &Parameters) -> Option<Submission> {
        self.submit_at(form, clock::now())
    }

    fn submit_at(&self, form: &Parameters, now: SystemTime) -> Option<Submission> {
        let request = LoginRequest::of(form)?;
        if form.one("decision").ok()? == Some("cancel") {
            return Some(Submission::Callback(self.callback_url(&request, "error", "access_denied")));
        }
        let name = clean_name(form.one("name").ok()?.unwrap_or_default());
        let problem = match name.chars().count() {
            0 => Some("Enter a name: any will do.".to_owned()),
            chars if chars > MAX_NAME_CHARS => Some(format!("Enter at most {MAX_NAME_CHARS} characters.")),
            _ => None,
        };
        if problem.is_some() {
            return Some(Submission::Form(NameForm { request, name, problem }));
        }
        let code = self.seal(&request, name, now);
        Some(Submission::Callback(self.callback_url(&request, "code", &code)))
    }

    /// Exchanges a code for the person who logged in.
    ///
    /// # Errors
    /// [`LoginError::Denied`] when the person chose to cancel; [`LoginError::Broken`] when the code is not from here,
    /// is older than a minute, or belongs to another login.
    pub fn log_in(&self, callback: &Callback, request: &UpstreamRequest) -> Result<Login, LoginError> {
        self.log_in_at(callback, request, clock::now())
    }

    fn log_in_at(&self, callback: &Callback, request: &UpstreamRequest, now: SystemTime) -> Result<Login, LoginError> {
        let broken = |cause: &str| LoginError::Broken { kind: Unusable::Callback, cause: cause.to_owned() };
        if callback.iss.as_deref() != Some(self.issuer().as_str()) {
            return Err(broken("the answer is not from the built-in login"));
        }
        match (&callback.error, &callback.code) {
            (Some(_), _) => Err(LoginError::Denied { description: "the person cancelled the login".to_owned() }),
            (None, None) => Err(broken("the answer has no code")),
            (None, Some(code)) => {
                let code = self.open(code).ok_or_else(|| broken("the code is not from here"))?;
                code.check(request, now).map_err(broken)?;
                Ok(self.login(code.name))
            }
        }
    }

    fn login(&self, name: String) -> Login {
        let identity = Identity {
            issuer: self.issuer(),
            subject: name.to_lowercase(),
            email: None,
            email_verified: false,
            name: Some(name),
            organizations: Vec::new(),
            membership: Membership::Whole,
            further_emails: Vec::new(),
            scopes: vec![EVERY_SCOPE.to_owned()],
            sid: None,
        };
        // There is nothing to renew or to revoke later.
        let tokens = UpstreamTokens {
            access_token: String::new(),
            refresh_token: None,
            id_token: None,
            expires_at: None,
            scope: Vec::new(),
            checked_at: 0,
        };
        Login { identity, tokens, auth_time: None }
    }

    fn redirect_uri(&self) -> String {
        self.base_url.callback()
    }

    fn callback_url(&self, request: &LoginRequest, answer: &str, value: &str) -> Url {
        let mut url: Url = self.redirect_uri().parse().expect("a base URL with a path is a URL");
        url.query_pairs_mut()
            .append_pair(answer, value)
            .append_pair("state", &request.state)
            .append_pair("iss", &self.issuer());
        url
    }

    fn seal(&self, request: &LoginRequest, name: String, now: SystemTime) -> String {
        let code = LoginCode {
            name,
            state: request.state.clone(),
            code_challenge: request.code_challenge.clone(),
            nonce: request.nonce.clone(),
            redirect_uri: self.redirect_uri(),
            expires: now + CODE_TTL,
        };
        let code = serde_json::to_vec(&code).expect("texts and a time after 1970 are JSON");
        URL_SAFE_NO_PAD.encode(self.vault.seal(CODE_CONTEXT, &code))
    }

    fn open(&self, code: &str) -> Option<LoginCode> {
        let code = self.vault.open(CODE_CONTEXT, &URL_SAFE_NO_PAD.decode(code).ok()?)?;
        serde_json::from_slice(&code).ok()
    }
}

impl LoginCode {
    fn check(&self, request: &UpstreamRequest, now: SystemTime) -> Result<(), &'static str> {
        if self.expires <= now {
            return Err("the code is older than a minute");
        }
        if self.state != request.state {
            return Err("the code belongs to another state");
        }
        if self.code_challenge != s256(&request.verifier) {
            return Err("the verifier does not fit the code");
        }
        if self.nonce != request.nonce {
            return Err("the code belongs to another nonce");
        }
        if self.redirect_uri != request.redirect_uri {
            return Err("the code was sent to another redirect URI");
        }
        Ok(())
    }
}

impl LoginRequest {
    fn of(parameters: &Parameters) -> Option<Self> {
        let value = |name| parameters.one(name).ok()?.filter(|value| is_plain(value)).map(str::to_owned);
        let request = Self { state: value("state")?, code_challenge: value("code_challenge")?, nonce: value("nonce")? };
        // A SHA-256 in base64url (RFC 7636 §4.2).
        (request.code_challenge.len() == 43).then_some(request)
    }
}

/// True for base64url, which all that this server sends itself is written in.
fn is_plain(value: &str) -> bool {
    value.len() <= MAX_VALUE_BYTES && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

/// The challenge of a PKCE verifier (RFC 7636 §4.2).
fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests;
