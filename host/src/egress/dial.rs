//! From an admitted place to a connection: TCP, the tunnel of a proxy, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::failure::Failure;
use crate::grants::host::Host;

/// The head start of an address before the next one is tried beside it (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// A connection, whatever it goes through.
pub(super) type Stream = Box<dyn Duplex>;

/// Bytes in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Duplex for T {}

/// The trust of this machine, read when it is first needed: a server whose plugins use no TLS needs none.
pub(super) struct Trust {
    authorities: Option<Vec<u8>>,
    made: OnceLock<Result<[TlsConnector; 2], String>>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trust(..)")
    }
}

impl Trust {
    /// The authorities of the system, and these (PEM) beside them.
    pub(super) fn new(authorities: Option<Vec<u8>>) -> Self {
        Self { authorities, made: OnceLock::new() }
    }

    /// Begins TLS. True if both speak HTTP/2, which is only asked for where `may_be_h2`.
    ///
    /// # Errors
    /// [`Failure::Certificate`], or [`Failure::Tls`] for everything else.
    pub(super) async fn secure(&self, stream: Stream, host: &Host, may_be_h2: bool) -> Result<(Stream, bool), Failure> {
        let made = self.made.get_or_init(|| connectors(self.authorities.as_deref()));
        let [with_h2, without] = made.as_ref().map_err(|reason| Failure::Tls(reason.clone()))?;
        let connector = if may_be_h2 { with_h2 } else { without };
        let name = match host {
            Host::Address(address) => ServerName::IpAddress((*address).into()),
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_| Failure::Tls(format!("no certificate can be for `{name}`")))?,
        };
        let secured = connector.connect(name, stream).await.map_err(|error| Failure::of_tls(&error))?;
        let is_h2 = secured.get_ref().1.alpn_protocol() == Some(H2);
        Ok((Box::new(secured), is_h2))
    }
}

/// No session is resumed: a ticket of one plugin or credential would tell the other side that it is the same server for
/// another. So there is no early data either.
fn connectors(authorities: Option<&[u8]>) -> Result<[TlsConnector; 2], String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pem = authorities.unwrap_or_default();
    let further: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let verifier = Verifier::new_with_extra_roots(further, Arc::clone(&provider)).map_err(|error| error.to_string())?;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    // The platform's own verifier is no less careful than the one that it takes the place of.
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    let mut with_h2 = config.clone();
    with_h2.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok([with_h2, config].map(|config| TlsConnector::from(Arc::new(config))))
}

/// Connects to one of these places: to the first that takes it, with a head start for each before the next.
///
/// # Errors
/// The last place's error, if none does.
pub(super) async fn connect(places: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut waiting = alternating(places).into_iter().take(ADDRESSES_MAX);
    let mut tried = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = waiting.next();
        let is_last = next.is_none();
        tried.extend(next.map(TcpStream::connect));
        if tried.is_empty() {
            return Err(Failure::Unreachable(last));
        }
        let head_start =
            async { if is_last { std::future::pending().await } else { tokio::time::sleep(HEAD_START).await } };
        tokio::select! {
            biased;
            outcome = tried.next() => match outcome {
                Some(Ok(stream)) => {
                    // Small requests are not held back; without it they are late, and nothing else.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Some(Err(error)) => last = error,
                None => {}
            },
            () = head_start => {}
        }
    }
}

/// The places in their order, the families taking turns: one that does not work costs one head start.
fn alternating(places: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first = |place: &SocketAddr| places.first().is_some_and(|first| first.is_ipv4() == place.is_ipv4());
    let (mut of_first, mut others): (Vec<SocketAddr>, Vec<SocketAddr>) = places.iter().partition(|it| is_first(it));
    of_first.reverse();
    others.reverse();
    let mut order = Vec::with_capacity(places.len());
    while !(of_first.is_empty() && others.is_empty()) {
        order.extend(of_first.pop());
        order.extend(others.pop());
    }
    order
}

/// The place as a proxy is asked for it.
pub(super) fn authority(host: &Host, port: u16) -> String {
    format!("{host}:{port}")
}

/// The same of an address.
pub(super) fn of_address(address: IpAddr, port: u16) -> String {
    authority(&Host::Address(address), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let places = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = places(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(alternating(&mixed), places(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
        assert!(alternating(&[]).is_empty());
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        assert_eq!(connect(&[closed, open]).await.unwrap().peer_addr().unwrap(), open);
        assert!(matches!(connect(&[closed]).await, Err(Failure::Unreachable(_))));
        assert!(matches!(connect(&[]).await, Err(Failure::Unreachable(_))));
    }
}
