//! Requests to registries: their URLs, logins and redirects.
//!
//! A registry says how it wants to be asked (401), and is asked again with what it may have. Redirects are followed for what is
//! read, five at most, each after a check, and credentials go no further than to the server that they are for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, StatusCode};
use serde::Deserialize;
use url::Url;

use super::challenge::{self, Challenge};
use super::credentials::{Credential, Credentials};
use super::error::OciError;
use super::reference::Repository;
use super::registries::{Registries, is_same_server};
use crate::fetch::{FetchError, RegistryAnswer, RegistryHttp};
use crate::sanitize;
use crate::secret::Secret;

/// Redirects of one request.
const MAX_REDIRECTS: usize = 5;

/// Bytes of the answer of a token service.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// Bytes of an answer that says why something failed.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// Bytes of a registry's own words that are shown.
const MAX_SAID_BYTES: usize = 200;

/// A client of all registries.
pub(crate) struct Client {
    http: RegistryHttp,
    pub(super) registries: Registries,
    credentials: Credentials,
    /// `Authorization` by the registry and what is done there.
    logins: Mutex<HashMap<(String, String), Secret>>,
}

/// What is done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Pull,
    Push,
}

/// One request to a repository.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Behind `/v2/NAME/`.
    pub(super) path: String,
    pub(super) accept: &'a [&'a str],
    pub(super) content_type: Option<&'a str>,
    pub(super) body: Bytes,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Faults {
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

impl Action {
    fn scope(self, repository: &str) -> String {
        let actions = match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        };
        format!("repository:{repository}:{actions}")
    }
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: String, accept: &'a [&'a str]) -> Self {
        Self { method: Method::GET, path, accept, content_type: None, body: Bytes::new() }
    }
}

impl Client {
    pub(crate) fn new(http: RegistryHttp, registries: Registries, credentials: Credentials) -> Self {
        Self { http, registries, credentials, logins: Mutex::default() }
    }

    /// Asks a registry for something of a repository. Every status below 400 is an answer.
    pub(super) async fn ask(
        &self,
        host: &str,
        repository: &Repository,
        action: Action,
        ask: &Ask<'_>,
    ) -> Result<RegistryAnswer, OciError> {
        let url = self.registries.url(host, &format!("/v2/{}/{}", repository.name, ask.path))?;
        self.ask_at(host, repository, action, url, ask).await
    }

    /// The same at a URL that was checked to be this registry's.
    pub(super) async fn ask_at(
        &self,
        host: &str,
        repository: &Repository,
        action: Action,
        url: Url,
        ask: &Ask<'_>,
    ) -> Result<RegistryAnswer, OciError> {
        let scope = action.scope(&repository.name);
        let key = (host.to_owned(), scope.clone());
        let known = self.logins.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let answer = self.follow(host, url.clone(), ask, known.as_ref()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return self.accepted(host, repository, ask, answer).await;
        }
        let challenge = challenge_of(host, &answer)?;
        let Some(login) = self.log_in(host, challenge, &scope).await? else {
            return Err(OciError::Unauthorized { host: host.to_owned(), said: said(answer).await });
        };
        let answer = self.follow(host, url, ask, Some(&login)).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.logins.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            return Err(OciError::Unauthorized { host: host.to_owned(), said: said(answer).await });
        }
        self.logins.lock().unwrap_or_else(PoisonError::into_inner).insert(key, login);
        self.accepted(host, repository, ask, answer).await
    }

    /// Fetches a document of a host without any login.
    pub(super) async fn document(&self, host: &str, path: &str, max_bytes: usize) -> Result<Bytes, OciError> {
        let url = self.registries.url(host, path)?;
        let ask = Ask::get(String::new(), &["application/json"]);
        let answer = self.follow(host, url, &ask, None).await?;
        if answer.status() != StatusCode::OK {
            let status = answer.status();
            return Err(OciError::Status { host: host.to_owned(), status, said: String::new() });
        }
        self.whole(host, answer, max_bytes).await
    }

    /// The whole body of an answer.
    pub(super) async fn whole(&self, host: &str, answer: RegistryAnswer, max_bytes: usize) -> Result<Bytes, OciError> {
        answer.whole(max_bytes).await.map_err(|source| match source {
            FetchError::TooLarge => OciError::Manifest(format!("the answer of `{host}` is too large")),
            source => unreachable(host, source),
        })
    }

    /// Sends a request, and follows where it is led.
    async fn follow(
        &self,
        host: &str,
        mut url: Url,
        ask: &Ask<'_>,
        login: Option<&Secret>,
    ) -> Result<RegistryAnswer, OciError> {
        let first = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let login = login.filter(|_| is_same_server(&first, &url));
            let request = request(host, &url, ask, login)?;
            let answer = self.http.send(request).await.map_err(|source| unreachable(host, source))?;
            let is_read = matches!(ask.method, Method::GET | Method::HEAD);
            if !is_read || !answer.status().is_redirection() {
                return Ok(answer);
            }
            let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| url.join(to).ok());
            let Some(to) = to else {
                return Err(OciError::Status { host: host.to_owned(), status: answer.status(), said: String::new() });
            };
            self.registries.check_redirect(host, &url, &to)?;
            url = to;
        }
        let to = url.host_str().unwrap_or_default().to_owned();
        Err(OciError::Redirect { host: host.to_owned(), to, why: "and from there on and on" })
    }

    async fn accepted(
        &self,
        host: &str,
        repository: &Repository,
        ask: &Ask<'_>,
        answer: RegistryAnswer,
    ) -> Result<RegistryAnswer, OciError> {
        let (status, host) = (answer.status(), host.to_owned());
        match status {
            status if status.is_success() => Ok(answer),
            StatusCode::NOT_FOUND => {
                let what = ask.path.rsplit('/').next().unwrap_or_default().to_owned();
                Err(OciError::NotFound { repository: repository.to_string(), what })
            }
            StatusCode::FORBIDDEN => Err(OciError::Forbidden { host, said: said(answer).await }),
            status => Err(OciError::Status { host, status, said: said(answer).await }),
        }
    }

    /// The `Authorization` by which a registry lets this operator in; none if it needs a login that is not there.
    async fn log_in(&self, host: &str, challenge: Challenge, scope: &str) -> Result<Option<Secret>, OciError> {
        let credential = self.credentials.of(host).await.map_err(OciError::Credentials)?;
        match challenge {
            Challenge::Basic => {
                let Some(credential) = credential else { return Ok(None) };
                let url = self.registries.url(host, "/")?;
                if url.scheme() != "https" && !crate::loopback::is_loopback_url(&url) {
                    return Err(OciError::PlainLogin { host: host.to_owned() });
                }
                match credential {
                    Credential::Password { user, password } => Ok(Some(basic(&user, &password))),
                    Credential::IdentityToken(_) => Err(OciError::Challenge {
                        host: host.to_owned(),
                        said: "a name and a password, and the login that is kept is a token".to_owned(),
                    }),
                }
            }
            Challenge::Bearer { realm, service, scope: asked } => {
                let unknown = |said: &str| OciError::Challenge { host: host.to_owned(), said: said.to_owned() };
                let mut url: Url = realm.parse().map_err(|_| unknown("a realm that is no URL"))?;
                self.registries.check_realm(host, &url)?;
                // What is done here, or what the registry says that it takes, such as another spelling of the repository.
                let scope = asked.filter(|asked| asked.len() <= 1024).unwrap_or_else(|| scope.to_owned());
                let mut fields = vec![("scope", scope)];
                fields.extend(service.map(|service| ("service", service)));
                let request = match &credential {
                    Some(Credential::IdentityToken(token)) => {
                        let grant = [("grant_type", "refresh_token"), ("client_id", env!("CARGO_PKG_NAME"))];
                        fields.extend(grant.map(|(name, value)| (name, value.to_owned())));
                        fields.push(("refresh_token", token.reveal().to_owned()));
                        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
                        let form_type = Some("application/x-www-form-urlencoded");
                        let ask = Ask { content_type: form_type, ..Ask::get(String::new(), &["application/json"]) };
                        request(host, &url, &Ask { method: Method::POST, body: Bytes::from(form), ..ask }, None)?
                    }
                    other => {
                        url.query_pairs_mut().extend_pairs(&fields);
                        let login = match other {
                            Some(Credential::Password { user, password }) => Some(basic(user, password)),
                            _ => None,
                        };
                        request(host, &url, &Ask::get(String::new(), &["application/json"]), login.as_ref())?
                    }
                };
                self.token(host, request, credential.is_some()).await
            }
        }
    }

    /// Fetches a token. A redirect of a realm is followed nowhere.
    async fn token(&self, host: &str, request: Request<Bytes>, has_login: bool) -> Result<Option<Secret>, OciError> {
        let answer = self.http.send(request).await.map_err(|source| unreachable(host, source))?;
        let status = answer.status();
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST if !has_login => {
                return Ok(None);
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                let said = ", and does not take the login that is kept".to_owned();
                return Err(OciError::Unauthorized { host: host.to_owned(), said });
            }
            status => {
                let said = ", where it takes logins".to_owned();
                return Err(OciError::Status { host: host.to_owned(), status, said });
            }
        }
        let body = self.whole(host, answer, MAX_TOKEN_BYTES).await?;
        let token: Option<Token> = serde_json::from_slice(&body).ok();
        let token = token.and_then(|token| token.token.or(token.access_token)).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| OciError::Challenge {
            host: host.to_owned(),
            said: "its token service answered without a token".to_owned(),
        })?;
        Ok(Some(Secret::new(format!("Bearer {token}"))))
    }
}

/// The login that an answer asks for.
fn challenge_of(host: &str, answer: &RegistryAnswer) -> Result<Challenge, OciError> {
    let headers = answer.headers().get_all(WWW_AUTHENTICATE).iter();
    let texts: Vec<&str> = headers.filter_map(|header| header.to_str().ok()).collect();
    texts.iter().find_map(|text| challenge::read(text)).ok_or_else(|| {
        let said = sanitize::cut(&sanitize::escape(&texts.join(", ")), MAX_SAID_BYTES);
        OciError::Challenge { host: host.to_owned(), said }
    })
}

fn basic(user: &str, password: &Secret) -> Secret {
    Secret::new(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))))
}

fn request(host: &str, url: &Url, ask: &Ask<'_>, login: Option<&Secret>) -> Result<Request<Bytes>, OciError> {
    let wrong = |_| OciError::Challenge { host: host.to_owned(), said: "a login that no header can hold".to_owned() };
    let mut request = Request::new(ask.body.clone());
    *request.method_mut() = ask.method.clone();
    *request.uri_mut() = url.as_str().parse().map_err(|_| OciError::Redirect {
        host: host.to_owned(),
        to: url.host_str().unwrap_or_default().to_owned(),
        why: "with a URL that cannot be asked for",
    })?;
    let headers = request.headers_mut();
    for accept in ask.accept {
        if let Ok(accept) = HeaderValue::from_str(accept) {
            headers.append(ACCEPT, accept);
        }
    }
    if let Some(of) = ask.content_type.and_then(|of| HeaderValue::from_str(of).ok()) {
        headers.insert(CONTENT_TYPE, of);
    }
    if !matches!(ask.method, Method::GET | Method::HEAD) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(ask.body.len()));
    }
    if let Some(login) = login {
        let mut value = HeaderValue::from_str(login.reveal()).map_err(wrong)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(request)
}

pub(super) fn unreachable(host: &str, source: FetchError) -> OciError {
    OciError::Unreachable { host: host.to_owned(), source }
}

/// The registry's own words for an error, as the end of a sentence.
async fn said(answer: RegistryAnswer) -> String {
    let Ok(body) = answer.whole(MAX_ERROR_BYTES).await else { return String::new() };
    let faults: Option<Faults> = serde_json::from_slice(&body).ok();
    let Some(fault) = faults.and_then(|faults| faults.errors.into_iter().next()) else { return String::new() };
    let message = fault.message.unwrap_or_default();
    let words = sanitize::cut(&sanitize::escape(format!("{} {message}", fault.code).trim()), MAX_SAID_BYTES);
    if words.is_empty() { words } else { format!(" ({words})") }
}
