//! The [`Identity`] behind tokens, from the `id_token` and the provider's other endpoints.

use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use url::Url;

use super::breaker::Down;
use super::claims::{find, text};
use super::discovery::ProviderMetadata;
use super::id_token::{self, Expectations, fits_template};
use super::messages::{AuthTime, Unusable, UpstreamTokens};
use super::person::{self, Evidence, combined, names_client, overage};
use super::token::{TokenEndpoint, TokenError};
use crate::auth::identity::{Identity, Membership};
use crate::config::Provider;
use crate::config::provider::Method;
use crate::jwks::{Audience, Issuer, JwtError, Rules};

/// The reason why it is not known who a person is. The texts are for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum IdentityError {
    /// The provider cannot be reached, or is busy.
    #[error("{}", .0.cause)]
    Down(Down),
    /// The provider does not take the token any more.
    #[error("the provider does not take its own access token")]
    NotAccepted,
    /// The token is good, and not for this endpoint, which answered with this status.
    #[error("the provider does not say who the person is: status {0}")]
    Forbidden(u16),
    /// An `id_token` is required, and there is none.
    #[error("there is no id_token, and one is required")]
    NoIdToken,
    /// The answer is another person's, another application's or another issuer's, or was made up.
    #[error("{0}")]
    SomebodyElse(String),
    /// An `id_token` that cannot be read, or not be verified now.
    #[error("{1}")]
    Token(Unusable, String),
    /// The answer cannot be understood, or names nobody.
    #[error("{0}")]
    Wrong(String),
}

/// The largest `id_token`: those of people in many groups have tens of kilobytes.
const ID_TOKEN_BYTES_MAX: usize = 256 * 1024;

/// The longest name of a provider's own session that is kept.
const SID_BYTES_MAX: usize = 512;

impl From<Down> for IdentityError {
    fn from(down: Down) -> Self {
        Self::Down(down)
    }
}

/// Asks a provider about its tokens.
pub(super) struct Inquiry<'a> {
    pub(super) endpoint: &'a TokenEndpoint<'a>,
    pub(super) tokens: &'a UpstreamTokens,
}

impl Inquiry<'_> {
    /// Finds the person behind the tokens. The nonce is that of the login; a refresh has none.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub(super) async fn identity(&self, nonce: Option<&str>) -> Result<Identity, IdentityError> {
        self.identity_and_time(nonce).await.map(|(identity, _)| identity)
    }

    /// The same, and the time at which the person has shown the provider who they are, if the `id_token` says it.
    pub(super) async fn identity_and_time(
        &self,
        nonce: Option<&str>,
    ) -> Result<(Identity, Option<AuthTime>), IdentityError> {
        let mut evidence = Evidence::default();
        let id_claims = self.id_token(nonce).await?;
        let is_verified = id_claims.is_some();
        let issuer = id_claims.as_ref().and_then(|claims| self.issuer_of(claims));
        let auth_time = id_claims.as_ref().and_then(|claims| self.auth_time(claims));
        let sid = id_claims.as_ref().and_then(|claims| text(claims, "sid")).filter(|sid| sid.len() <= SID_BYTES_MAX);
        match id_claims {
            Some(claims) => {
                evidence.tokens.push(claims.clone());
                evidence.person = claims;
                self.complete(&mut evidence).await?;
            }
            None => self.ask(&mut evidence).await?,
        }
        self.check_whose_token(&mut evidence, is_verified).await?;
        evidence.tokens.extend(self.access_token().await?);
        self.fetch_documents(&mut evidence).await?;
        self.check_paths(&evidence)?;
        let issuer = issuer.unwrap_or_else(|| self.known().issuer.clone());
        let identity = person::identity(self.provider(), issuer, &self.tokens.scope, &evidence);
        let identity = Identity { sid, ..identity.map_err(IdentityError::Wrong)? };
        if identity.membership == Membership::Overflowed {
            tracing::warn!("{}", overage(self.provider(), &evidence.person));
        }
        Ok((identity, auth_time))
    }

    fn auth_time(&self, claims: &Map<String, Value>) -> Option<AuthTime> {
        let at_s = id_token::auth_time(claims)?;
        Some(AuthTime { at_s, leeway_s: self.provider().verify.leeway.duration().as_secs() })
    }

    /// True if an inquiry now would find all that the login found. Where an `id_token` said it, another one
    /// must: the other endpoints know nothing of organizations, say.
    pub(super) fn says_all(&self) -> bool {
        let by_id_token = self.provider().verify.method == Method::Auto && self.asked_for("openid");
        self.tokens.id_token.is_some() || !by_id_token
    }

    fn provider(&self) -> &Provider {
        self.endpoint.provider
    }

    fn known(&self) -> &ProviderMetadata {
        self.endpoint.known
    }

    fn asked_for(&self, scope: &str) -> bool {
        self.endpoint.scopes.iter().any(|asked| asked == scope)
    }

    /// The claims of the `id_token`, verified; none where people are identified in another way.
    async fn id_token(&self, nonce: Option<&str>) -> Result<Option<Map<String, Value>>, IdentityError> {
        let verify = &self.provider().verify;
        // A refresh need not bring one (OpenID Connect Core 1.0 §12.2).
        let is_required = verify.id_token && nonce.is_some();
        let id_token =
            self.tokens.id_token.as_ref().filter(|_| verify.method == Method::Auto && self.asked_for("openid"));
        let Some(id_token) = id_token else {
            return match is_required {
                true => Err(IdentityError::NoIdToken),
                false => Ok(None),
            };
        };
        let Some(keys) = &self.known().keys else {
            return Err(IdentityError::Wrong("there is an id_token, and no `jwks_uri` to verify it with".to_owned()));
        };
        let rules = self.rules(Audience::OneOf(vec![self.provider().client_id.clone()]));
        let claims: Map<String, Value> =
            keys.verify(id_token, &rules).await.map_err(|error| not_verified("id_token", &error))?;
        let template = self.provider().issuer_template.as_deref().filter(|_| self.known().has_tenants);
        let expected = Expectations {
            client_id: &self.provider().client_id,
            nonce: nonce.map(|nonce| (nonce, self.provider().nonce)),
            access_token: &self.tokens.access_token,
            issuer_template: template,
        };
        id_token::check(id_token, &claims, &expected).map_err(IdentityError::SomebodyElse)?;
        Ok(Some(claims))
    }

    fn rules(&self, audience: Audience) -> Rules {
        rules(self.provider(), self.known(), audience, ID_TOKEN_BYTES_MAX)
    }

    /// The issuer that names the person: a tenant's own, and otherwise the one name of the provider.
    fn issuer_of(&self, claims: &Map<String, Value>) -> Option<String> {
        text(claims, "iss").filter(|_| self.known().has_tenants)
    }

    /// The claims of the access token, if it is a JWT that this server can verify. Nobody promises that: it is
    /// meant for an API, and often opaque.
    async fn access_token(&self) -> Result<Option<Map<String, Value>>, IdentityError> {
        let token = &self.tokens.access_token;
        let Some(keys) = self.known().keys.as_ref().filter(|_| token.split('.').count() == 3) else { return Ok(None) };
        let audience = match &self.provider().audience {
            Some(audience) => Audience::OneOf(vec![audience.clone()]),
            None => Audience::Unchecked,
        };
        let claims: Map<String, Value> = match keys.verify(token, &self.rules(audience)).await {
            Ok(claims) => claims,
            Err(error) if error.is_temporary() => return Err(not_verified("access token", &error)),
            Err(error) => {
                tracing::debug!("the access token is not looked into: {error}");
                return Ok(None);
            }
        };
        let is_ours = self.provider().audience.is_some() || names_client(&claims, &self.provider().client_id);
        Ok(Some(claims).filter(|_| is_ours))
    }

    /// Asks who the person is, where no `id_token` says so.
    async fn ask(&self, evidence: &mut Evidence) -> Result<(), IdentityError> {
        let method = self.provider().verify.method;
        let userinfo = self.known().userinfo_endpoint.as_ref();
        let introspection = self.known().introspection_endpoint.as_ref();
        let token_info = self.provider().token_info_endpoint.as_ref();
        match (method, userinfo, introspection, token_info) {
            (Method::Auto | Method::Userinfo, Some(url), ..) => {
                let (headers, claims) = self.get(url).await?;
                evidence.header_scopes = self.header_scopes(&headers);
                evidence.person = claims;
            }
            (Method::Auto | Method::Introspection, _, Some(url), _) => {
                evidence.person = self.introspection(url).await?
            }
            (Method::Auto | Method::TokenInfo, _, _, Some(url)) => evidence.person = self.token_info(url.url()).await?,
            _ => {
                let cause = "there is no id_token, and no endpoint that says whose a token is".to_owned();
                return Err(IdentityError::Wrong(cause));
            }
        }
        Ok(())
    }

    /// Many providers leave address and name out of the `id_token` and have them at the userinfo endpoint only
    /// (OpenID Connect Core 1.0 §5.4).
    async fn complete(&self, evidence: &mut Evidence) -> Result<(), IdentityError> {
        let claims = &self.provider().claims;
        let has = |path: &String| !find(&evidence.person, path).is_empty();
        let (has_email, has_name) = (has(&claims.email), claims.name.iter().any(has));
        let url = self.known().userinfo_endpoint.as_ref();
        let Some(url) = url.filter(|_| !has_email || !has_name) else { return Ok(()) };
        let (headers, userinfo) = match self.get(url).await {
            Ok(answer) => answer,
            Err(IdentityError::NotAccepted | IdentityError::Forbidden(_)) => {
                tracing::warn!(
                    "the userinfo endpoint does not take the access token; the person has no more than the id_token says"
                );
                return Ok(());
            }
            // A name is nice to have.
            Err(IdentityError::Down(_)) if has_email => return Ok(()),
            Err(error) => return Err(error),
        };
        let path = &self.provider().verify.subject_path;
        if text(&userinfo, path) != text(&evidence.person, path) {
            return Err(IdentityError::SomebodyElse(
                "the userinfo endpoint speaks of another person than the id_token".to_owned(),
            ));
        }
        evidence.header_scopes = self.header_scopes(&headers);
        evidence.person =
            combined(std::mem::take(&mut evidence.person), userinfo, &claims.email, &claims.email_verified);
        Ok(())
    }

    /// An access token of another application must not log anybody in here.
    async fn check_whose_token(&self, evidence: &mut Evidence, is_verified: bool) -> Result<(), IdentityError> {
        let own = &self.provider().client_id;
        if let Some(url) = self.known().introspection_endpoint.as_ref().filter(|_| self.provider().verify.introspect) {
            let claims = self.introspection(url).await?;
            if !names_client(&claims, own) {
                return Err(IdentityError::SomebodyElse("the access token is one of another application".to_owned()));
            }
            evidence.tokens.push(claims);
        }
        if let Some(url) = self.provider().token_info_endpoint.as_ref().filter(|_| !is_verified) {
            let claims = self.token_info(url.url()).await?;
            if !names_client(&claims, own) {
                return Err(IdentityError::SomebodyElse("the access token is one of another application".to_owned()));
            }
            evidence.tokens.push(claims);
        }
        Ok(())
    }

    async fn introspection(&self, url: &Url) -> Result<Map<String, Value>, IdentityError> {
        let claims = self.endpoint.introspect(url, &self.tokens.access_token).await.map_err(|error| match error {
            TokenError::Down(down) => IdentityError::Down(down),
            TokenError::Garbage(cause) | TokenError::Silent { cause, .. } => IdentityError::Wrong(cause),
            TokenError::Refused { error, .. } => IdentityError::Wrong(error),
        })?;
        if claims.get("active") != Some(&Value::Bool(true)) {
            return Err(IdentityError::NotAccepted);
        }
        Ok(claims)
    }

    async fn token_info(&self, url: &Url) -> Result<Map<String, Value>, IdentityError> {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("access_token", &self.tokens.access_token);
        Ok(self.get(&url).await?.1)
    }

    fn header_scopes(&self, headers: &HeaderMap) -> Vec<String> {
        let name = self.provider().verify.scopes_header.as_deref();
        let value = name.and_then(|name| headers.get(name)?.to_str().ok()).unwrap_or_default();
        value.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    async fn fetch_documents(&self, evidence: &mut Evidence) -> Result<(), IdentityError> {
        for (name, document) in &self.provider().documents {
            if document.for_scope.as_ref().is_some_and(|scope| !self.asked_for(scope)) {
                continue;
            }
            match self.get_any(document.url.url()).await {
                Ok((_, value)) => {
                    evidence.person.insert(name.clone(), value);
                }
                // The person may have granted less than was asked for.
                Err(IdentityError::NotAccepted | IdentityError::Forbidden(_)) => {
                    tracing::debug!("document `{name}` is not for this token")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn check_paths(&self, evidence: &Evidence) -> Result<(), IdentityError> {
        for (path, expected) in &self.provider().verify.check_paths {
            if text(&evidence.person, path).as_ref() != Some(expected) {
                return Err(IdentityError::Wrong(format!("`{path}` is not what `check_paths` wants")));
            }
        }
        Ok(())
    }

    async fn get(&self, url: &Url) -> Result<(HeaderMap, Map<String, Value>), IdentityError> {
        match self.get_any(url).await? {
            (headers, Value::Object(claims)) => Ok((headers, claims)),
            _ => Err(IdentityError::Wrong(format!("{}: no JSON object", url.path()))),
        }
    }

    /// Fetches a JSON document with the access token.
    async fn get_any(&self, url: &Url) -> Result<(HeaderMap, Value), IdentityError> {
        let mut request = Request::new(Vec::new());
        *request.uri_mut() =
            url.as_str().parse().map_err(|_| IdentityError::Wrong("an endpoint is no URL".to_owned()))?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.tokens.access_token))
            .map_err(|_| IdentityError::Wrong("the access token fits into no header".to_owned()))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.endpoint.wire.send(request).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Err(IdentityError::NotAccepted),
            // Rates are limited with 403 as well.
            status @ (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => {
                return Err(IdentityError::Forbidden(status.as_u16()));
            }
            status => return Err(IdentityError::Wrong(format!("{}: status {}", url.path(), status.as_u16()))),
        }
        let value = serde_json::from_slice(answer.body())
            .map_err(|error| IdentityError::Wrong(format!("{}: no JSON: {error}", url.path())))?;
        Ok((answer.headers().clone(), value))
    }
}

/// The rules for every token that the provider has signed.
pub(super) fn rules(provider: &Provider, known: &ProviderMetadata, audience: Audience, max_bytes: usize) -> Rules {
    let (own, further) = (known.issuer.clone(), provider.issuers.clone());
    let template = provider.issuer_template.clone().filter(|_| known.has_tenants);
    Rules {
        algorithms: provider.verify.algorithms.iter().filter_map(|name| name.parse::<Algorithm>().ok()).collect(),
        issuer: Issuer::Where(Box::new(move |issuer| is_one_of(issuer, &own, &further, template.as_deref()))),
        audience,
        types: &[],
        leeway: provider.verify.leeway.duration(),
        max_bytes,
    }
}

/// True for an issuer by which the provider names itself.
pub(super) fn names_provider(provider: &Provider, known: &ProviderMetadata, issuer: &str) -> bool {
    let template = provider.issuer_template.as_deref().filter(|_| known.has_tenants);
    is_one_of(issuer, &known.issuer, &provider.issuers, template)
}

fn is_one_of(issuer: &str, own: &str, further: &[String], template: Option<&str>) -> bool {
    match template {
        Some(template) => fits_template(issuer, template),
        None => issuer == own || further.iter().any(|other| other == issuer),
    }
}

fn not_verified(what: &str, error: &JwtError) -> IdentityError {
    let cause = format!("the {what} cannot be verified: {error}");
    match error {
        _ if error.is_temporary() => IdentityError::Down(Down::new(cause)),
        JwtError::Header(_)
        | JwtError::Algorithm
        | JwtError::Signature
        | JwtError::Issuer(_)
        | JwtError::Audience
        | JwtError::Claims(_) => IdentityError::SomebodyElse(cause),
        JwtError::TooLarge => {
            IdentityError::Token(Unusable::TooLarge, format!("{cause}: more than {ID_TOKEN_BYTES_MAX} bytes"))
        }
        JwtError::Expired | JwtError::NotYetValid => IdentityError::Token(Unusable::Time, cause),
        // Keys rotate, and what is no token at all says nothing of anybody.
        _ => IdentityError::Token(Unusable::Unverified, cause),
    }
}
