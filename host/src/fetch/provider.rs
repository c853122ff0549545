//! Talking to the configured provider.

use bytes::Bytes;
use http::StatusCode;
use http::header::ACCEPT;
use reqwest::{Client, ClientBuilder, NoProxy, Proxy};
use url::Url;

use super::{Document, Fetch, FetchError, PROVIDER_CONNECT_TIMEOUT, answer, authorities, builder, built, causes};
use crate::config::Egress;
use crate::loopback::is_loopback_url;

/// Size of a provider's answer: discovery, tokens, claims of a person in many groups.
const MAX_BYTES: usize = 1024 * 1024;

/// Sends requests to the provider that the operator has configured. It may be on a private network. It speaks https,
/// or plain http where both it and this server are on loopback.
#[derive(Clone)]
pub struct ProviderHttp {
    client: Client,
    allow_plain_loopback: bool,
    has_proxy: bool,
}

impl ProviderHttp {
    /// Makes the client. `allow_plain_loopback` is for a server whose own `base_url` is on loopback.
    ///
    /// # Errors
    /// [`FetchError::Setup`] if there is no TLS to be had.
    pub fn new(allow_plain_loopback: bool) -> Result<Self, FetchError> {
        Self::through(&Egress::default(), allow_plain_loopback)
    }

    /// Makes a client with the proxy and the authorities of `[egress]`. A proxy resolves the provider's name.
    ///
    /// # Errors
    /// [`FetchError::Setup`] if there is no TLS to be had.
    pub fn through(egress: &Egress, allow_plain_loopback: bool) -> Result<Self, FetchError> {
        let client = built(client_builder(egress)?)?;
        Ok(Self { client, allow_plain_loopback, has_proxy: egress.proxy.is_some() })
    }

    /// Sends a request. Every status is an answer, redirects too: they are not followed.
    ///
    /// # Errors
    /// [`FetchError`] if there is no answer, or one that is too large.
    pub async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Bytes>, FetchError> {
        let request = reqwest::Request::try_from(request).map_err(FetchError::of)?;
        self.check(request.url())?;
        let answered = self.client.execute(request).await.map_err(FetchError::of)?;
        // Of plain http the proxy answers in the provider's place.
        if self.has_proxy && answered.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(FetchError::ProxyRefused);
        }
        answer(answered, MAX_BYTES).await
    }

    fn check(&self, url: &Url) -> Result<(), FetchError> {
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.allow_plain_loopback && is_loopback_url(url) => Ok(()),
            "http" => Err(FetchError::Refused("plain http only where provider and base_url are both on loopback")),
            _ => Err(FetchError::Refused("only https")),
        }
    }
}

/// The beginning of a client with the proxy and the authorities of `[egress]`.
///
/// # Errors
/// [`FetchError::Setup`] if one of them cannot be used.
pub(super) fn client_builder(egress: &Egress) -> Result<ClientBuilder, FetchError> {
    let mut builder = builder(PROVIDER_CONNECT_TIMEOUT);
    if let Some(url) = &egress.proxy {
        let proxy = Proxy::all(url.reveal().clone()).map_err(|error| FetchError::Setup(causes(&error)))?;
        let direct = egress.no_proxy.as_deref().and_then(NoProxy::from_string);
        builder = builder.proxy(proxy.no_proxy(direct));
    }
    if let Some(pem) = &egress.authorities {
        builder = builder.tls_certs_merge(authorities(pem).map_err(FetchError::Setup)?);
    }
    Ok(builder)
}

#[async_trait::async_trait]
impl Fetch for ProviderHttp {
    async fn fetch(&self, url: &Url) -> Result<Document, FetchError> {
        let request = http::Request::get(url.as_str()).header(ACCEPT, "application/json");
        let request = request.body(Vec::new()).map_err(|_| FetchError::Refused("only URLs"))?;
        Document::of(self.send(request).await?)
    }
}
