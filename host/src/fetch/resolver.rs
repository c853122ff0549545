//! The only way from a stranger's host name to an address: the connection goes to the address that was checked.

use std::io;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address;

/// An answer of the DNS with an address that is not global unicast.
#[derive(Debug, thiserror::Error)]
#[error("the host has an address that is not public")]
pub(super) struct NotPublic;

/// Resolves host names with the system's resolver, and refuses names that lead anywhere but to public servers.
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is the URL's in the end, which is the default one.
            let addresses = tokio::net::lookup_host((name.as_str(), 443)).await?.collect();
            let addresses = public(addresses)?.ok_or(io::ErrorKind::NotFound).map_err(io::Error::from)?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// All of these addresses, or an error if one of them is not public: a mixed answer is how a name is made to mean one
/// thing when it is checked and another when it is used. `None` for an empty answer.
fn public(addresses: Vec<SocketAddr>) -> Result<Option<Vec<SocketAddr>>, NotPublic> {
    if addresses.iter().any(|address| !address::is_global(address.ip())) {
        return Err(NotPublic);
    }
    Ok((!addresses.is_empty()).then_some(addresses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_address_refuses_the_answer() {
        let answer = |addresses: &[&str]| {
            public(addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 443)).collect())
        };
        assert_eq!(answer(&["8.8.8.8", "2606:4700::1111"]).unwrap().unwrap().len(), 2);
        assert!(answer(&["8.8.8.8", "127.0.0.1"]).is_err());
        assert!(answer(&["2606:4700::1111", "::ffff:10.0.0.1", "8.8.8.8"]).is_err());
        assert!(answer(&[]).unwrap().is_none());
    }
}
