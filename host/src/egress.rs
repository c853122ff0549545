//! The way out: requests and sockets that plugins were granted, to addresses that were judged first.
//!
//! Everything here is decided in [`grants`](crate::grants) before it comes here; this room looks up a name once, judges
//! all of its answers, and dials one of those that were admitted. It knows nothing of plugins, of WebAssembly or of the
//! configuration.
//!
//! - `resolver`: from a name to addresses. `own`: what this server knows of itself and its network.

mod own;
pub mod resolver;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use self::resolver::Resolve;
use crate::grants::address::{AddressRefusal, Reach, Surroundings};
use crate::grants::host::Host;

/// Time for one look-up. The system's resolver gives up after about as long, and asks again.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// The addresses of `localhost` and of names below it, which nobody is asked for (RFC 6761 §6.3).
const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// The way out, as the operator has set it up. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Egress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    resolver: Arc<dyn Resolve>,
    surroundings: Surroundings,
    /// Time for one look-up.
    look_up_timeout: Duration,
}

impl Egress {
    /// A way out of these surroundings.
    pub fn new(surroundings: Surroundings, resolver: Arc<dyn Resolve>) -> Self {
        Self(Arc::new(Shared { resolver, surroundings, look_up_timeout: LOOK_UP_TIMEOUT }))
    }

    /// Finds the addresses behind a granted host: one look-up, of which every answer is judged. Any of the addresses may
    /// be dialled on this port, and no other.
    ///
    /// # Errors
    /// There is no address, or one of them may not be dialled.
    pub async fn look_up(&self, host: &Host, port: u16, reach: Reach<'_>) -> Result<Vec<SocketAddr>, AddressRefusal> {
        self.0.surroundings.expect_foreign(host, port)?;
        let answers = self.answers(host).await?;
        self.admit(host, &answers, port, reach)
    }

    /// The first half of [`Self::look_up`], for a host with several entries: one look-up for all of them, of which
    /// nothing may be dialled before [`Self::admit`].
    ///
    /// # Errors
    /// There is no address.
    pub async fn answers(&self, host: &Host) -> Result<Vec<IpAddr>, AddressRefusal> {
        match host {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(_) if host.is_loopback() => Ok(LOCALHOST.to_vec()),
            Host::Name(name) => self.resolve(name).await,
        }
    }

    /// Judges all answers for a host by one of its entries.
    ///
    /// # Errors
    /// One of them may not be dialled.
    pub fn admit(
        &self,
        host: &Host,
        answers: &[IpAddr],
        port: u16,
        reach: Reach<'_>,
    ) -> Result<Vec<SocketAddr>, AddressRefusal> {
        self.0.surroundings.expect_foreign(host, port)?;
        own::admit(&self.0.surroundings, answers, port, reach)
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, AddressRefusal> {
        match tokio::time::timeout(self.0.look_up_timeout, self.0.resolver.resolve(name)).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a name was not found");
                Err(AddressRefusal::None)
            }
            Err(_elapsed) => Err(AddressRefusal::Unanswered),
        }
    }
}

#[cfg(test)]
mod tests;
