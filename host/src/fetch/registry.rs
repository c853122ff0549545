//! Talking to registries of plugins that the operator has named, by the way of `[egress]`.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::Client;

use super::provider::client_builder;
use super::{FetchError, built};
use crate::config::Egress;

/// Time for a whole answer: a component of the largest size over a slow line.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(600);

/// Time in which something must arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends requests to registries. No redirect is followed, and nothing is unpacked. Whom to send what is decided by who uses it.
#[derive(Clone)]
pub struct RegistryHttp {
    client: Client,
    has_proxy: bool,
}

/// The head of an answer, whose body is still to be read.
pub struct RegistryAnswer(reqwest::Response);

impl RegistryHttp {
    /// Makes a client with the proxy and the authorities of `[egress]`.
    ///
    /// # Errors
    /// [`FetchError::Setup`] if there is no TLS to be had.
    pub fn through(egress: &Egress) -> Result<Self, FetchError> {
        let builder = client_builder(egress)?.timeout(TOTAL_TIMEOUT).read_timeout(READ_TIMEOUT);
        Ok(Self { client: built(builder)?, has_proxy: egress.proxy.is_some() })
    }

    /// Sends a request. Every status is an answer.
    ///
    /// # Errors
    /// [`FetchError`] if there is none.
    pub async fn send(&self, request: http::Request<Bytes>) -> Result<RegistryAnswer, FetchError> {
        let request = reqwest::Request::try_from(request).map_err(FetchError::of)?;
        let answered = self.client.execute(request).await.map_err(FetchError::of)?;
        if self.has_proxy && answered.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(FetchError::ProxyRefused);
        }
        Ok(RegistryAnswer(answered))
    }
}

impl RegistryAnswer {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The next bytes of its body; none at the end.
    ///
    /// # Errors
    /// It broke off, or took too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        self.0.chunk().await.map_err(FetchError::of)
    }

    /// The whole body.
    ///
    /// # Errors
    /// The same, and [`FetchError::TooLarge`].
    pub async fn whole(mut self, max_bytes: usize) -> Result<Bytes, FetchError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > max_bytes {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}
