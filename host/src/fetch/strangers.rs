//! Fetching documents from URLs that strangers name.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use reqwest::Client;
use reqwest::header::ACCEPT;
use url::{Host, Url};

use super::gate::Gate;
use super::resolver::PublicOnly;
use super::{Document, Fetch, FetchError, STRANGER_CONNECT_TIMEOUT, answer, builder, built};
use crate::peer::network;

/// Size of a client metadata document or of a client's key set. Real documents are a few kilobytes.
const MAX_BYTES: usize = 64 * 1024;

/// Fetches client metadata documents and clients' keys: https on port 443, public addresses only, no redirects,
/// no proxy, bounded in size, time and number.
#[derive(Clone, Default)]
pub struct Strangers {
    /// Made for the first fetch: it reads the system's certificates, which takes a while, and a machine that never
    /// fetches anything may have none.
    client: Arc<OnceLock<Result<Client, FetchError>>>,
    gate: Arc<Gate>,
}

impl Strangers {
    /// The client. It keeps no connections: each new one goes to an address that was just checked.
    fn client(&self) -> Result<Client, FetchError> {
        let made = self.client.get_or_init(|| {
            let client = builder(STRANGER_CONNECT_TIMEOUT).https_only(true);
            built(client.pool_max_idle_per_host(0).dns_resolver(PublicOnly))
        });
        made.clone()
    }
}

#[async_trait::async_trait]
impl Fetch for Strangers {
    /// Fetches one document. Concurrent calls for one URL share a fetch. Any answer but 200 is an error.
    async fn fetch(&self, url: &Url) -> Result<Document, FetchError> {
        self.fetch_in_turn(None, url).await
    }

    async fn fetch_for(&self, asker: IpAddr, url: &Url) -> Result<Document, FetchError> {
        self.fetch_in_turn(Some(network(asker)), url).await
    }
}

impl Strangers {
    async fn fetch_in_turn(&self, asker: Option<IpAddr>, url: &Url) -> Result<Document, FetchError> {
        let host = public_host(url)?;
        let client = self.client()?;
        let fetch = || fetch(client, url.clone()).boxed();
        self.gate.join(url.as_str(), host, asker, fetch)?.await
    }
}

async fn fetch(client: Client, url: Url) -> Result<Document, FetchError> {
    let request = client.get(url).header(ACCEPT, "application/json");
    Document::of(answer(request.send().await.map_err(FetchError::of)?, MAX_BYTES).await?)
}

/// The host of a URL that may be fetched for a stranger.
///
/// Addresses that are written into the URL are refused here, since they never get to the resolver. The URL parser has
/// turned every spelling of one (`0x7f.1`, `2130706433`, full-width digits) into an address.
///
/// # Errors
/// [`FetchError::Refused`] with the rule.
pub(super) fn public_host(url: &Url) -> Result<&str, FetchError> {
    if url.scheme() != "https" {
        return Err(FetchError::Refused("only https"));
    }
    if url.port().is_some() {
        return Err(FetchError::Refused("only port 443"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Refused("no user name or password"));
    }
    match url.host() {
        Some(Host::Domain(host)) => Ok(host),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => Err(FetchError::Refused("only host names, no addresses")),
    }
}
