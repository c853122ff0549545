//! Fetching the keys of issuers that the operator has declared, and the documents that name them.

use reqwest::Client;
use url::{Host, Url};

use super::provider::client_builder;
use super::resolver::PublicOnly;
use super::{Document, Fetch, FetchError, answer, authorities, built};
use crate::config::Egress;
use crate::loopback::is_loopback_url;

/// Size of a document: discovery documents and key sets have some kilobytes.
const MAX_BYTES: usize = 256 * 1024;

/// Sends requests to one issuer: to public addresses alone, unless the operator has said that it is in a network of one's
/// own. Its discovery document names further URLs, which are no more trusted than that.
///
/// Where there is a proxy it looks names up, and what they resolve to is its matter.
#[derive(Clone)]
pub struct IssuerHttp {
    client: Client,
    is_private: bool,
    allow_plain_loopback: bool,
}

impl IssuerHttp {
    /// Makes the client, with further authorities (PEM) to trust. `allow_plain_loopback` is for a server whose own
    /// `base_url` is on loopback.
    ///
    /// # Errors
    /// [`FetchError::Setup`] if there is no TLS to be had.
    pub fn new(
        egress: &Egress,
        ca: Option<&[u8]>,
        is_private: bool,
        allow_plain_loopback: bool,
    ) -> Result<Self, FetchError> {
        // What may be at a public address only is not looked for beside the proxy.
        let public = Egress { no_proxy: None, ..egress.clone() };
        let mut builder = client_builder(if is_private { egress } else { &public })?;
        if let Some(pem) = ca {
            builder = builder.tls_certs_merge(authorities(pem).map_err(FetchError::Setup)?);
        }
        if !is_private && egress.proxy.is_none() {
            builder = builder.dns_resolver(PublicOnly);
        }
        Ok(Self { client: built(builder)?, is_private, allow_plain_loopback })
    }

    fn check(&self, url: &Url) -> Result<(), FetchError> {
        match url.scheme() {
            "https" => {}
            "http" if self.is_private && self.allow_plain_loopback && is_loopback_url(url) => {}
            "http" => {
                return Err(FetchError::Refused("plain http only where issuer and base_url are both on loopback"));
            }
            _ => return Err(FetchError::Refused("only https")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Refused("no user name or password"));
        }
        match url.host() {
            // An address in a URL never gets to the resolver.
            Some(Host::Ipv4(_) | Host::Ipv6(_)) if !self.is_private => {
                Err(FetchError::Refused("only host names, no addresses, without `private = true`"))
            }
            Some(_) => Ok(()),
            None => Err(FetchError::Refused("only URLs with a host")),
        }
    }
}

#[async_trait::async_trait]
impl Fetch for IssuerHttp {
    async fn fetch(&self, url: &Url) -> Result<Document, FetchError> {
        self.check(url)?;
        let request = self.client.get(url.clone()).header(http::header::ACCEPT, "application/json");
        Document::of(answer(request.send().await.map_err(FetchError::of)?, MAX_BYTES).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_private_issuer_may_be_in_ones_own_network() {
        let http = |is_private| IssuerHttp::new(&Egress::default(), None, is_private, true).unwrap();
        for url in [
            "https://127.0.0.1:1/x",
            "https://[::1]:1/x",
            "https://10.0.0.1/x",
            "http://127.0.0.1:1/x",
            "https://localhost:1/x",
        ] {
            let refused = http(false).fetch(&url.parse().unwrap()).await.unwrap_err();
            assert!(matches!(refused, FetchError::Refused(_)), "{url}: {refused}");
        }
        for url in ["https://127.0.0.1:1/x", "http://127.0.0.1:1/x"] {
            let tried = http(true).fetch(&url.parse().unwrap()).await.unwrap_err();
            assert!(matches!(tried, FetchError::Unreachable(_)), "{url}: {tried}");
        }
        for url in ["http://issuer.example/x", "ftp://issuer.example/x", "https://user@issuer.example/x"] {
            let refused = http(true).fetch(&url.parse().unwrap()).await.unwrap_err();
            assert!(matches!(refused, FetchError::Refused(_)), "{url}: {refused}");
        }
    }
}
