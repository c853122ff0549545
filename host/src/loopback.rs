//! Loopback: the addresses and names by which a machine means itself (RFC 6890 §2.2.2, RFC 6761 §6.3).
//!
//! `http/guard.rs` has a stricter rule of its own, for names and addresses as they are written in a request's head.

use std::net::IpAddr;

use url::{Host, Url};

/// The hosts under which a person and a client on one machine find this server, as URLs write them (RFC 8252 §7.3).
pub(crate) const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// True for an address of 127.0.0.0/8, also mapped to IPv6, and for ::1.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// True for a URL of this machine: `localhost` or a loopback address. Other names are never looked up.
pub(crate) fn is_loopback_url(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => is_loopback(address.into()),
        Some(Host::Ipv6(address)) => is_loopback(address.into()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_by_name_and_by_address() {
        let check = |url: &str, expected| assert_eq!(is_loopback_url(&url.parse().unwrap()), expected, "{url}");
        check("http://localhost:8000/x", true);
        check("http://127.8.9.1/", true);
        check("http://[::1]/", true);
        check("http://[::ffff:127.0.0.1]/", true);
        check("http://localhost.example.com/", false);
        check("http://x.localhost/", false);
        check("http://[::ffff:10.0.0.1]/", false);
        check("http://0.0.0.0/", false);
        check("file:///x", false);
    }
}
