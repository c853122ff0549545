//! `/local/authorize`: the built-in login for development. It asks for a name and believes it.
//!
//! To the rest of the login it is a provider like any other: it gets a state, a PKCE challenge and a nonce, and sends
//! the browser to `/auth/callback` with a code. Nothing is stored: the code is sealed, and says who logged in, for
//! which login, and until when. It is good once, since the state that it is bound to is.
//!
//! Whoever mounts it makes sure that only this computer reaches it.

use std::time::{Duration, SystemTime};

use askama::Template;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use crate::auth::explain::Explanation;
use crate::auth::form::Parameters;
use crate::auth::identity::{Identity, Membership};
use crate::auth::pages::clean_name;
use crate::auth::upstream::messages::{Callback, Login, LoginError, Unusable, UpstreamRequest, UpstreamTokens};
use crate::clock;
use crate::config::address::BaseUrl;
use crate::html;
use crate::html::see_other;
use crate::vault::Vault;

/// Life of a code: it is redeemed by the request that follows at once.
const CODE_TTL: Duration = Duration::from_secs(60);

/// The longest name: it stands in logs and on pages.
const MAX_NAME_CHARS: usize = 64;

/// The longest state and nonce that are taken. Ours are far shorter; this bounds what a stranger has sealed.
const MAX_VALUE_BYTES: usize = 256;

/// What codes are sealed for.
const CODE_CONTEXT: &[u8] = b"code";

/// Everybody who logs in here holds every scope.
const EVERY_SCOPE: &str = "*";

/// The built-in login.
#[derive(Debug)]
pub struct Local {
    base_url: BaseUrl,
    vault: Vault,
}

/// What a code says.
#[derive(Serialize, Deserialize)]
struct Code {
    name: String,
    state: String,
    code_challenge: String,
    nonce: String,
    redirect_uri: String,
    expires: SystemTime,
}

/// An authentication request (OpenID Connect Core §3.1.2.1), as far as it is not the same every time.
struct LoginRequest<'p> {
    state: &'p str,
    code_challenge: &'p str,
    nonce: &'p str,
}

#[derive(Template)]
#[template(path = "local.html")]
struct LocalPage<'a> {
    server: &'a str,
    request: &'a LoginRequest<'a>,
    name: &'a str,
    problem: Option<String>,
}

impl Local {
    /// The login of one server. The vault's purpose belongs to it alone.
    pub fn new(base_url: &BaseUrl, vault: Vault) -> Self {
        Self { base_url: base_url.clone(), vault }
    }

    /// Who vouches for people that log in here.
    pub fn issuer(&self) -> String {
        format!("{}/local", self.base_url.as_str())
    }

    /// Where a person is sent to log in.
    pub fn authorize_url(&self, request: &UpstreamRequest) -> Url {
        let mut url: Url = (*self.base_url).clone();
        url.set_path("/local/authorize");
        url.query_pairs_mut()
            .append_pair("state", &request.state)
            .append_pair("code_challenge", &s256(&request.verifier))
            .append_pair("nonce", &request.nonce);
        url
    }

    /// `GET /local/authorize`: asks for a name.
    ///
    /// # Errors
    /// The explanation, with status 400, when the request is not one of this server's.
    pub(in crate::auth) fn page(&self, query: &Parameters) -> Result<Response, Explanation> {
        let request = LoginRequest::of(query)?;
        Ok(self.form(&request, "", None))
    }

    /// `POST /local/authorize`: sends the browser on with a code, or asks again.
    ///
    /// # Errors
    /// As of [`Self::page`].
    pub(in crate::auth) fn submit(&self, form: &Parameters) -> Result<Response, Explanation> {
        self.submit_at(form, clock::now())
    }

    fn submit_at(&self, form: &Parameters, now: SystemTime) -> Result<Response, Explanation> {
        let request = LoginRequest::of(form)?;
        if one(form, "decision")? == Some("cancel") {
            return Ok(see_other(self.callback_url(&request, "error", "access_denied").as_str()));
        }
        let raw_name = one(form, "name")?.unwrap_or_default();
        let name = clean_name(raw_name);
        let problem = match name.chars().count() {
            0 => Some("Enter a name: any will do.".to_owned()),
            chars if chars > MAX_NAME_CHARS => Some(format!("Enter at most {MAX_NAME_CHARS} characters.")),
            _ => None,
        };
        if problem.is_some() {
            return Ok(self.form(&request, &name, problem));
        }
        let code = self.seal(&request, name, now);
        Ok(see_other(self.callback_url(&request, "code", &code).as_str()))
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
        Login { identity, tokens }
    }

    fn form(&self, request: &LoginRequest<'_>, name: &str, problem: Option<String>) -> Response {
        let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        let page = LocalPage { server: self.base_url.authority(), request, name, problem };
        html::answer(status, &page, &self.base_url)
    }

    fn redirect_uri(&self) -> String {
        self.base_url.callback()
    }

    fn callback_url(&self, request: &LoginRequest<'_>, answer: &str, value: &str) -> Url {
        let mut url: Url = self.redirect_uri().parse().expect("a base URL with a path is a URL");
        url.query_pairs_mut()
            .append_pair(answer, value)
            .append_pair("state", request.state)
            .append_pair("iss", &self.issuer());
        url
    }

    fn seal(&self, request: &LoginRequest<'_>, name: String, now: SystemTime) -> String {
        let code = Code {
            name,
            state: request.state.to_owned(),
            code_challenge: request.code_challenge.to_owned(),
            nonce: request.nonce.to_owned(),
            redirect_uri: self.redirect_uri(),
            expires: now + CODE_TTL,
        };
        let code = serde_json::to_vec(&code).expect("texts and a time after 1970 are JSON");
        URL_SAFE_NO_PAD.encode(self.vault.seal(CODE_CONTEXT, &code))
    }

    fn open(&self, code: &str) -> Option<Code> {
        let code = self.vault.open(CODE_CONTEXT, &URL_SAFE_NO_PAD.decode(code).ok()?)?;
        serde_json::from_slice(&code).ok()
    }
}

impl Code {
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

impl<'p> LoginRequest<'p> {
    fn of(parameters: &'p Parameters) -> Result<Self, Explanation> {
        let value = |name| one(parameters, name)?.filter(|value| is_plain(value)).ok_or_else(not_ours);
        let request = Self { state: value("state")?, code_challenge: value("code_challenge")?, nonce: value("nonce")? };
        // A SHA-256 in base64url (RFC 7636 §4.2).
        if request.code_challenge.len() == 43 { Ok(request) } else { Err(not_ours()) }
    }
}

/// Whether a value is made of what this server makes its own of: base64url.
fn is_plain(value: &str) -> bool {
    value.len() <= MAX_VALUE_BYTES && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

fn one<'p>(parameters: &'p Parameters, name: &str) -> Result<Option<&'p str>, Explanation> {
    parameters.one(name).map_err(|_| not_ours())
}

fn not_ours() -> Explanation {
    Explanation {
        title: "This is not a login under way".to_owned(),
        happened: "The built-in login is opened by this server, as a part of connecting an application. This link is \
                   not one of its own, or it is not complete."
            .to_owned(),
        steps: vec!["Start again in the application that you want to connect.".to_owned()],
        quote: None,
    }
}

/// The challenge of a PKCE verifier (RFC 7636 §4.2).
fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests;
