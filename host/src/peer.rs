//! The other end of a connection.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The other end of a connection, which may be a proxy's.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The address that the connection comes from.
    pub address: SocketAddr,
}

/// The address under which several count as one: a whole IPv6 network of 64 bits, which one machine may have to itself.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}
