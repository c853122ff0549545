//! Sending telemetry to the endpoint that the operator has configured, by the server's own way out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use reqwest::{Client, NoProxy, Proxy};
use tokio::runtime::Handle;

use super::{FetchError, PROVIDER_CONNECT_TIMEOUT, answer, authorities, builder, built, causes};
use crate::config::Egress;
use crate::log_limiter::LogLimiter;
use crate::secret::Secret;

/// Bytes of an answer: it says which points were not taken, if any.
const MAX_BYTES: usize = 64 * 1024;

static FAILED: LogLimiter = LogLimiter::new("telemetry that could not be sent");

/// The way to the endpoint. Clones are the same.
#[derive(Clone)]
pub struct TelemetryHttp(Arc<Shared>);

struct Shared {
    client: Client,
    headers: HeaderMap,
    /// The runtime that requests run on: whoever sends them has a thread of their own.
    handle: Handle,
    sent: AtomicU64,
    failed: AtomicU64,
}

impl fmt::Debug for TelemetryHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TelemetryHttp(..)")
    }
}

impl TelemetryHttp {
    /// Makes it, with the proxy and the authorities of `[egress]`, for requests with these headers.
    ///
    /// # Errors
    /// [`FetchError::Setup`] if there is no TLS to be had.
    pub fn through(egress: &Egress, headers: &[(HeaderName, Secret)], handle: Handle) -> Result<Self, FetchError> {
        let mut builder = builder(PROVIDER_CONNECT_TIMEOUT);
        if let Some(url) = &egress.proxy {
            let proxy = Proxy::all(url.reveal().clone()).map_err(|error| FetchError::Setup(causes(&error)))?;
            let direct = egress.no_proxy.as_deref().and_then(NoProxy::from_string);
            builder = builder.proxy(proxy.no_proxy(direct));
        }
        if let Some(pem) = &egress.authorities {
            builder = builder.tls_certs_merge(authorities(pem).map_err(FetchError::Setup)?);
        }
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value.reveal())
                .map_err(|_| FetchError::Refused("a header of telemetry cannot be sent"))?;
            value.set_sensitive(true);
            all.insert(name.clone(), value);
        }
        let (sent, failed) = Default::default();
        Ok(Self(Arc::new(Shared { client: built(builder)?, headers: all, handle, sent, failed })))
    }

    /// Requests that were taken, and those that were not.
    pub fn counts(&self) -> (u64, u64) {
        (self.0.sent.load(Ordering::Relaxed), self.0.failed.load(Ordering::Relaxed))
    }
}

impl Shared {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, FetchError> {
        let (parts, body) = request.into_parts();
        let request = self.client.post(parts.uri.to_string()).headers(self.headers.clone()).body(body);
        // Of the library's own headers this one alone: others may come out of its variables.
        let content_type = parts.headers.get(CONTENT_TYPE).cloned();
        let request = match content_type {
            Some(content_type) => request.header(CONTENT_TYPE, content_type),
            None => request,
        };
        answer(request.send().await.map_err(FetchError::of)?, MAX_BYTES).await
    }
}

#[async_trait::async_trait]
impl HttpClient for TelemetryHttp {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let shared = Arc::clone(&self.0);
        let outcome = self.0.handle.spawn(async move { shared.send(request).await }).await;
        let outcome = outcome.unwrap_or_else(|_| Err(FetchError::Refused("the server is stopping")));
        let is_taken = outcome.as_ref().is_ok_and(|response| response.status().is_success());
        let counter = if is_taken { &self.0.sent } else { &self.0.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        match &outcome {
            Ok(_) if is_taken => {}
            Ok(response) => {
                let status = response.status().as_u16();
                FAILED.log(|| {
                    tracing::warn!(status, "telemetry was not taken: the endpoint of `telemetry.otlp` answers {status}")
                });
            }
            Err(error) => {
                FAILED.log(
                    || tracing::warn!(%error, "telemetry was not sent to the endpoint of `telemetry.otlp`: {error}"),
                );
            }
        }
        Ok(outcome?)
    }
}
