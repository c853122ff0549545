//! The provider's token endpoint (RFC 6749 §4.1.3, §6), and the endpoints for introspection and revocation, which take
//! the same authentication.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthorizationCode, Client, ClientId, ClientSecret, ExtraTokenFields, PkceCodeVerifier, RedirectUrl,
    RefreshToken, RequestTokenError, StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::adapter::{Adapter, ExchangeError, basic};
use super::breaker::{Down, Wire};
use super::discovery::ProviderMetadata;
use super::messages::UpstreamRequest;
use crate::config::Provider;
use crate::config::provider::{BasicEncoding, ClientAuth};

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer of the token endpoint.
pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    pub(super) id_token: Option<String>,
    pub(super) expires_in: Option<Duration>,
    /// The scopes that were granted, if they are not those that were asked for.
    pub(super) scope: Option<Vec<String>>,
}

/// A request to the token endpoint.
pub(super) enum Grant<'a> {
    /// Tokens for a code.
    Code { code: &'a str, request: &'a UpstreamRequest },
    /// New tokens for a refresh token.
    Refresh(&'a str),
}

/// The reason why there are no tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// The endpoint cannot be reached, or is busy.
    Down(Down),
    /// The endpoint refuses, in the words of RFC 6749 §5.2.
    Refused { error: String, description: Option<String> },
    /// The endpoint refuses by a status alone.
    Silent { status: StatusCode, cause: String },
    /// The answer makes no sense.
    Garbage(String),
}

/// The members of an answer beyond RFC 6749.
#[derive(Debug, Serialize, Deserialize)]
struct OpenId {
    id_token: Option<String>,
}

impl ExtraTokenFields for OpenId {}

type TokenClient = Client<
    BasicErrorResponse,
    StandardTokenResponse<OpenId, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

/// The ways of this server to authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthMethod {
    Basic,
    Post,
}

/// The method that the provider was found to take, where its metadata leaves two.
pub(super) type Preference = OnceLock<AuthMethod>;

/// The token endpoint of a provider.
pub(super) struct TokenEndpoint<'a> {
    pub(super) provider: &'a Provider,
    pub(super) known: &'a ProviderMetadata,
    pub(super) wire: &'a Wire,
    pub(super) preference: &'a Preference,
    /// The scopes of the login.
    pub(super) scopes: &'a [String],
}

impl TokenEndpoint<'_> {
    /// Exchanges a code or a refresh token. Where a provider takes several kinds of authentication, the application
    /// that is registered there may still take only one: the other is tried when the first is refused.
    ///
    /// # Errors
    /// [`TokenError`]; of two refusals of this server itself, the first.
    pub(super) async fn request(&self, grant: &Grant<'_>) -> Result<Tokens, TokenError> {
        let methods = self.methods();
        let mut first = None;
        for method in &methods {
            match self.request_as(*method, grant).await {
                Ok(tokens) => {
                    self.preference.get_or_init(|| *method);
                    return Ok(tokens);
                }
                Err(error) if self.is_about_the_client(&error) => first = first.or(Some(error)),
                // Whatever else it says, it says to an application that it has recognised.
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or_else(|| TokenError::Garbage("no authentication method".to_owned())))
    }

    /// Checks that the endpoint takes this server's credentials, by asking for the tokens of a code that nobody
    /// gave out.
    ///
    /// # Errors
    /// [`TokenError`], for any answer but that the code is not valid.
    pub(super) async fn introduce(&self, request: &UpstreamRequest) -> Result<(), TokenError> {
        match self.request(&Grant::Code { code: "tinymcp-doctor", request }).await {
            Ok(_) => Ok(()),
            Err(TokenError::Refused { error, .. }) if self.provider.standard_error(&error) == "invalid_grant" => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// True if the provider did not take this server's credentials.
    fn is_about_the_client(&self, error: &TokenError) -> bool {
        match error {
            TokenError::Refused { error, .. } => self.provider.standard_error(error) == "invalid_client",
            TokenError::Silent { status, .. } => *status == StatusCode::UNAUTHORIZED,
            TokenError::Down(_) | TokenError::Garbage(_) => false,
        }
    }

    /// The methods to try, in this order.
    fn methods(&self) -> Vec<AuthMethod> {
        if self.provider.secret().is_none() {
            return vec![AuthMethod::Post];
        }
        match (self.provider.client_auth, self.preference.get()) {
            (ClientAuth::Basic, _) => vec![AuthMethod::Basic],
            (ClientAuth::Post | ClientAuth::None, _) => vec![AuthMethod::Post],
            (ClientAuth::Auto, Some(method)) => vec![*method],
            (ClientAuth::Auto, None) => {
                let supported = self.known.auth_methods.as_ref();
                let has = |name: &str| supported.is_none_or(|supported| supported.iter().any(|method| method == name));
                match (has("client_secret_basic"), has("client_secret_post")) {
                    (false, true) => vec![AuthMethod::Post],
                    (true, false) => vec![AuthMethod::Basic],
                    (true, true) | (false, false) => vec![AuthMethod::Basic, AuthMethod::Post],
                }
            }
        }
    }

    async fn request_as(&self, method: AuthMethod, grant: &Grant<'_>) -> Result<Tokens, TokenError> {
        let is_raw = method == AuthMethod::Basic && self.provider.basic_encoding == BasicEncoding::Raw;
        let client: TokenClient = Client::new(ClientId::new(self.provider.client_id.clone()));
        let mut client = client.set_token_uri(TokenUrl::from_url(self.known.token_endpoint.clone()));
        // The crate writes a Basic header in one way; the adapter writes the other, and the crate has no secret then.
        if let Some(secret) = self.provider.secret().filter(|_| !is_raw) {
            client = client.set_client_secret(ClientSecret::new(secret.reveal().to_owned()));
        }
        client = client.set_auth_type(match method {
            AuthMethod::Basic => AuthType::BasicAuth,
            AuthMethod::Post => AuthType::RequestBody,
        });
        let http = Adapter { provider: self.provider, wire: self.wire, is_raw };
        let extra = self.extra_params(grant);
        let answer = match grant {
            Grant::Code { code, request } => {
                let redirect = RedirectUrl::new(request.redirect_uri.clone())
                    .map_err(|error| TokenError::Garbage(error.to_string()))?;
                let mut exchange = client
                    .exchange_code(AuthorizationCode::new((*code).to_owned()))
                    .set_redirect_uri(Cow::Owned(redirect));
                if self.provider.pkce {
                    exchange = exchange.set_pkce_verifier(PkceCodeVerifier::new(request.verifier.clone()));
                }
                for (name, value) in extra {
                    exchange = exchange.add_extra_param(name, value);
                }
                exchange.request_async(&http).await
            }
            Grant::Refresh(token) => {
                let token = RefreshToken::new((*token).to_owned());
                let mut exchange = client.exchange_refresh_token(&token);
                for (name, value) in extra {
                    exchange = exchange.add_extra_param(name, value);
                }
                exchange.request_async(&http).await
            }
        };
        self.tokens(&answer.map_err(TokenError::of)?)
    }

    fn extra_params(&self, grant: &Grant<'_>) -> Vec<(String, String)> {
        let provider = self.provider;
        let params = provider.token_params.iter();
        let mut params: Vec<_> = params.map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect();
        let request = match grant {
            Grant::Code { .. } => {
                params.extend(provider.audience.iter().map(|id| (provider.audience_param.clone(), id.clone())));
                "token"
            }
            Grant::Refresh(_) => "refresh",
        };
        if let Some(audience) = provider.audience.as_ref().filter(|_| provider.send_resource) {
            params.push(("resource".to_owned(), audience.clone()));
        }
        if provider.send_scope_on.has(request) {
            params.push(("scope".to_owned(), self.scopes.join(&provider.scope_separator)));
        }
        params
    }

    fn tokens(&self, answer: &StandardTokenResponse<OpenId, BasicTokenType>) -> Result<Tokens, TokenError> {
        let access_token = answer.access_token().secret().clone();
        // It becomes a header.
        if access_token.is_empty() || !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Garbage("the access token is no text that a header can carry".to_owned()));
        }
        // Providers that separate by something else do so within what spaces separate.
        let separator = self.provider.answer_scope_separator.as_str();
        let scope = answer.scopes().map(|scopes| {
            let words = scopes.iter().flat_map(|scope| scope.split(separator));
            words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
        });
        Ok(Tokens {
            access_token,
            refresh_token: answer.refresh_token().map(|token| token.secret().clone()),
            id_token: answer.extra_fields().id_token.clone(),
            expires_in: answer.expires_in(),
            scope,
        })
    }

    /// Sends a form with this server's authentication to one of the endpoints beside the token endpoint.
    ///
    /// # Errors
    /// [`Down`].
    pub(super) async fn send_form(&self, url: &Url, params: &[(&str, &str)]) -> Result<Response<bytes::Bytes>, Down> {
        let is_basic = self.methods().first() == Some(&AuthMethod::Basic);
        let mut params = params.to_vec();
        if !is_basic {
            params.push(("client_id", self.provider.client_id.as_str()));
            params.extend(self.provider.secret().map(|secret| ("client_secret", secret.reveal())));
        }
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        let mut request = Request::new(form.into_bytes());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = url.as_str().parse().map_err(|_| Down::new("an endpoint is no URL"))?;
        request.headers_mut().insert(CONTENT_TYPE, FORM);
        request.headers_mut().insert(ACCEPT, JSON);
        if is_basic {
            request.headers_mut().insert(AUTHORIZATION, basic(self.provider));
        }
        self.wire.send(request).await
    }

    /// Asks the introspection endpoint about an access token (RFC 7662 §2.2).
    ///
    /// # Errors
    /// [`TokenError::Down`], or [`TokenError::Garbage`] with the reason for the log.
    pub(super) async fn introspect(&self, url: &Url, access_token: &str) -> Result<Map<String, Value>, TokenError> {
        let params = [("token", access_token), ("token_type_hint", "access_token")];
        let answer = self.send_form(url, &params).await.map_err(TokenError::Down)?;
        if !answer.status().is_success() {
            return Err(TokenError::Garbage(format!("introspection: status {}", answer.status().as_u16())));
        }
        serde_json::from_slice(answer.body()).map_err(|error| TokenError::Garbage(format!("introspection: {error}")))
    }
}

impl TokenError {
    fn of(error: RequestTokenError<ExchangeError, BasicErrorResponse>) -> Self {
        match error {
            RequestTokenError::ServerResponse(response) => Self::Refused {
                error: response.error().as_ref().to_owned(),
                description: response.error_description().cloned(),
            },
            RequestTokenError::Request(ExchangeError::Down(down)) => Self::Down(down),
            RequestTokenError::Request(ExchangeError::Silent { status, cause }) => Self::Silent { status, cause },
            RequestTokenError::Request(ExchangeError::Garbage(reason)) => Self::Garbage(reason),
            // The body may hold tokens: it goes nowhere.
            RequestTokenError::Parse(error, _) => Self::Garbage(format!("not as expected at `{}`", error.path())),
            RequestTokenError::Other(reason) => Self::Garbage(reason),
        }
    }
}
