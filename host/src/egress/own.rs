//! What this server knows of itself: the places that nobody is led to.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use crate::grants::address::{AddressRefusal, Reach, Surroundings};
use crate::grants::host::Host;

/// Judges the answers of one look-up as [`Surroundings::admit`] does. Where a listener of this server has all addresses
/// of this machine, the answers are compared with those that the machine has now: interfaces come and go.
///
/// # Errors
/// The first answer that may not be dialled.
pub(super) fn admit(
    surroundings: &Surroundings,
    answers: &[IpAddr],
    port: u16,
    reach: Reach<'_>,
) -> Result<Vec<SocketAddr>, AddressRefusal> {
    let could_be_own = |own: &SocketAddr| own.ip().to_canonical().is_unspecified() && own.port() == port;
    if !surroundings.own.iter().any(could_be_own) {
        return surroundings.admit(answers, port, reach);
    }
    let machine = answers.iter().map(IpAddr::to_canonical).filter(|address| is_of_this_machine(*address)).collect();
    Surroundings { machine, ..surroundings.clone() }.admit(answers, port, reach)
}

/// The address of the operator's proxy, where it is written or this machine. On this machine it is all of its addresses:
/// nobody knows here on which of them the proxy listens. A proxy elsewhere that has a name is known by that.
pub(super) fn of_proxy((host, port): (Host, u16)) -> Option<SocketAddr> {
    match host {
        Host::Address(address) if !is_of_this_machine(address) => Some(SocketAddr::new(address.to_canonical(), port)),
        Host::Name(_) if !host.is_loopback() => None,
        Host::Address(_) | Host::Name(_) => Some(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)),
    }
}

/// True for an address of this machine: one that a socket can have. Nothing is sent for it. A system that lets sockets
/// have any address makes all of them its own, on the ports of this server alone.
fn is_of_this_machine(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::AddrNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_told_from_others() {
        assert!(is_of_this_machine("127.0.0.1".parse().unwrap()));
        assert!(!is_of_this_machine("8.8.8.8".parse().unwrap()));
        assert!(!is_of_this_machine("198.51.100.7".parse().unwrap()));
    }

    #[test]
    fn a_proxy_on_this_machine_is_all_of_its_addresses() {
        for (proxy, expected) in [
            ("127.0.0.1", Some("0.0.0.0:3128")),
            ("[::1]", Some("0.0.0.0:3128")),
            ("localhost", Some("0.0.0.0:3128")),
            ("198.51.100.7", Some("198.51.100.7:3128")),
            ("proxy.example.com", None),
        ] {
            let place = of_proxy((Host::parse(proxy).unwrap(), 3128));
            assert_eq!(place, expected.map(|place| place.parse().unwrap()), "{proxy}");
        }
    }
}
