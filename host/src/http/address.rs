//! The address that a request comes from, past the proxies that are configured and no others.

use std::net::IpAddr;

use http::HeaderMap;

use crate::config::address::Network;
use crate::peer::Peer;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that counts for limits: the connection's, or, where a trusted proxy holds that, the nearest address in
/// `X-Forwarded-For` that is no trusted proxy. The client may have written the ones before it.
pub(super) fn of(peer: &Peer, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| is_in(address, trusted);
    let mut address = peer.address.ip().to_canonical();
    if !is_trusted(address) {
        return address;
    }
    let lines: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
    let mut hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    while is_trusted(address) {
        let Some(hop) = hops.next().and_then(|hop| hop.trim().parse::<IpAddr>().ok()) else { break };
        address = hop.to_canonical();
    }
    address
}

/// True for an address in one of these networks.
pub(super) fn is_in(address: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("192.0.2.1:1", "198.51.100.1", "192.0.2.1"),
            ("10.0.0.1:1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1:1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("[::ffff:10.0.0.1]:1", "2001:db8::1", "2001:db8::1"),
            ("10.0.0.1:1", "nonsense", "10.0.0.1"),
            ("10.0.0.1:1", "", "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_FOR, forwarded.parse().unwrap());
            let peer = Peer { address: peer.parse().unwrap() };
            assert_eq!(of(&peer, &headers, &trusted).to_string(), expected, "{peer:?} {forwarded}");
        }
    }
}
