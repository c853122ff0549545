//! The HTTP client of the `oauth2` crate: between it and providers that are not quite RFC 6749.
//!
//! The crate carries the flow: the authorization URL, PKCE, the exchange of codes and refresh tokens, and the types of
//! its errors. On the way out this client sets the headers that the crate does not know: those of the configuration,
//! and a Basic header without URL encoding, for which the crate is given no secret. On the way back a foreign answer
//! becomes the one of RFC 6749 §5, see [`answer`].
//!
//! Introspection and revocation cannot go through the crate: it drops claims that it has no members for, and takes
//! revocation endpoints with TLS only, also on this machine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use oauth2::AsyncHttpClient;
use url::form_urlencoded;

use super::answer;
use super::breaker::{Down, Wire};
use crate::config::Provider;
use crate::config::provider::BasicEncoding;

/// An exchange without anything that the crate could look at.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error("{}", .0.cause)]
    Down(Down),
    #[error("{cause}")]
    Silent { status: StatusCode, cause: String },
    #[error("{0}")]
    Garbage(String),
}

/// The crate's HTTP client.
pub(super) struct Adapter<'a> {
    pub(super) provider: &'a Provider,
    pub(super) wire: &'a Wire,
    /// True where the Basic header is not URL-encoded: the crate has set none then.
    pub(super) is_raw: bool,
}

impl<'c> AsyncHttpClient<'c> for Adapter<'_> {
    type Error = ExchangeError;
    type Future = BoxFuture<'c, Result<Response<Vec<u8>>, ExchangeError>>;

    fn call(&'c self, request: Request<Vec<u8>>) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}

impl Adapter<'_> {
    async fn exchange(&self, mut request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ExchangeError> {
        self.complete(request.headers_mut());
        let response = self.wire.send(request).await.map_err(ExchangeError::Down)?;
        let (status, headers, body) = (response.status(), response.headers(), response.body());
        if status.is_client_error() && !answer::has_error(headers, body) {
            let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content");
            let cause = format!("status {}, without an error of OAuth's ({kind})", status.as_u16());
            return Err(ExchangeError::Silent { status, cause });
        }
        answer::normalised(status, headers, body).map_err(ExchangeError::Garbage)
    }

    fn complete(&self, headers: &mut HeaderMap) {
        if self.is_raw {
            headers.insert(AUTHORIZATION, basic(self.provider));
        } else if let Some(credentials) = headers.get_mut(AUTHORIZATION) {
            credentials.set_sensitive(true);
        }
        for (name, value) in &self.provider.token_headers {
            if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::from_str(value.reveal())) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
    }
}

/// The Basic header of this server, encoded as the provider wants it.
pub(super) fn basic(provider: &Provider) -> HeaderValue {
    let encode = |text: &str| match provider.basic_encoding {
        BasicEncoding::Rfc6749 => form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        BasicEncoding::Raw => text.to_owned(),
    };
    let (id, secret) = (&provider.client_id, provider.secret().map_or("", |secret| secret.reveal()));
    let credentials = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
    let mut value = HeaderValue::try_from(format!("Basic {credentials}")).expect("base64 fits into a header");
    value.set_sensitive(true);
    value
}
