//! Addresses that a grant leads to: all answers of one look-up are judged, and one that may not be dialled refuses all.
//!
//! A mixed answer is how a name is made to mean one thing when it is checked and another when it is used. Literal
//! addresses are judged like answers.

use std::net::{IpAddr, SocketAddr};

use super::host::Host;
use super::origin::HostRule;
use crate::address::{self, Class, Nat64Prefix};

/// What this server knows of its own network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Prefixes of this network's own translators, beside the well-known one.
    pub nat64: Vec<Nat64Prefix>,
    /// Places of this server that nobody is led to: listener, metrics, store, telemetry, proxy. An unspecified address
    /// is all addresses of this machine.
    pub own: Vec<SocketAddr>,
    /// The addresses of this machine.
    pub machine: Vec<IpAddr>,
    /// Host and port of `base_url`.
    pub base_url: Option<(Host, u16)>,
}

/// What an entry says of the addresses behind its host.
#[derive(Debug, Clone, Copy)]
pub struct Reach<'r> {
    /// The host.
    pub host: &'r HostRule,
    /// True if private ones are meant.
    pub is_private: bool,
}

/// The reason that nothing is sent to an address. Guest and caller are not told which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// The name has no address.
    #[error("the name has no address")]
    None,
    /// Nobody could say in time.
    #[error("the look-up of the name was not answered in time")]
    Unanswered,
    /// It is of a kind to which nothing is sent.
    #[error("{address} is {what}, where nothing may be sent")]
    Special {
        /// The address.
        address: IpAddr,
        /// What it is.
        what: &'static str,
    },
    /// It is private, and the entry does not say so.
    #[error("{0} is a private address, and the entry is not `private`")]
    Private(IpAddr),
    /// It is this machine, and the entry does not name it so.
    #[error("{0} is this machine, which an entry must name by address or as `localhost`")]
    Loopback(IpAddr),
    /// It is not in the network, or not the address, that the entry names.
    #[error("{0} is not among the addresses that the entry names")]
    Elsewhere(IpAddr),
    /// It is this server, or the operator's proxy.
    #[error("it leads to this server or its proxy")]
    Own,
}

impl Surroundings {
    /// Refuses the server's own name, before any look-up: on every port, but for names of this machine, which others
    /// share.
    ///
    /// # Errors
    /// [`AddressRefusal::Own`].
    pub fn expect_foreign(&self, host: &Host, port: u16) -> Result<(), AddressRefusal> {
        let is_own = self.base_url.as_ref().is_some_and(|(own, own_port)| {
            let is_same = own == host || (own.is_loopback() && host.is_loopback());
            is_same && (port == *own_port || !own.is_loopback())
        });
        if is_own { Err(AddressRefusal::Own) } else { Ok(()) }
    }

    /// Judges all answers of one look-up, or a literal address. Any of the places that it gives may be dialled, and no
    /// other.
    ///
    /// # Errors
    /// The first answer that may not be dialled, even where others may.
    pub fn admit(&self, answers: &[IpAddr], port: u16, reach: Reach<'_>) -> Result<Vec<SocketAddr>, AddressRefusal> {
        if answers.is_empty() {
            return Err(AddressRefusal::None);
        }
        answers.iter().map(|address| self.admit_one(address.to_canonical(), port, reach)).collect()
    }

    fn admit_one(&self, address: IpAddr, port: u16, reach: Reach<'_>) -> Result<SocketAddr, AddressRefusal> {
        match address::class(address, &self.nat64) {
            Class::Special(what) => return Err(AddressRefusal::Special { address, what }),
            Class::Loopback if !names_loopback(reach.host) => return Err(AddressRefusal::Loopback(address)),
            Class::Private if !reach.is_private => return Err(AddressRefusal::Private(address)),
            Class::Public | Class::Private if is_localhost(reach.host) => {
                return Err(AddressRefusal::Elsewhere(address));
            }
            Class::Public | Class::Private | Class::Loopback => {}
        }
        let is_named = match reach.host {
            HostRule::Host(Host::Address(named)) => *named == address,
            HostRule::Network(network) => network.contains(&address),
            HostRule::Host(Host::Name(_)) | HostRule::Below(_) => true,
        };
        let place = SocketAddr::new(address, port);
        match is_named {
            false => Err(AddressRefusal::Elsewhere(address)),
            true if self.is_own(place) => Err(AddressRefusal::Own),
            true => Ok(place),
        }
    }

    fn is_own(&self, place: SocketAddr) -> bool {
        let is_here = |address: IpAddr| address.is_loopback() || self.machine.contains(&address);
        self.own.iter().any(|own| {
            let listener = own.ip().to_canonical();
            let is_same = if listener.is_unspecified() { is_here(place.ip()) } else { listener == place.ip() };
            is_same && own.port() == place.port()
        })
    }
}

/// True for a host that is this machine by what is written, and not by what the DNS says.
fn names_loopback(host: &HostRule) -> bool {
    match host {
        HostRule::Host(host) => host.is_loopback(),
        HostRule::Network(network) => network.network().is_loopback() && network.broadcast().is_loopback(),
        HostRule::Below(_) => false,
    }
}

fn is_localhost(host: &HostRule) -> bool {
    matches!(host, HostRule::Host(Host::Name(_))) && names_loopback(host)
}

/// The way of a granted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the address that was looked up and admitted here.
    Direct,
    /// Through the proxy, to the address that was looked up and admitted here.
    ProxyToAddress,
    /// Through the proxy, which looks the name up: what it resolves to is the proxy's matter.
    ProxyToName,
}

impl Way {
    /// The way to an entry's host. What stays in this network or machine goes direct; a literal address is admitted
    /// here before the proxy hears of it.
    pub fn of(is_near: bool, host: &Host, has_proxy: bool, proxy_resolves: bool) -> Self {
        match host {
            _ if is_near || !has_proxy => Self::Direct,
            Host::Name(_) if proxy_resolves => Self::ProxyToName,
            Host::Name(_) | Host::Address(_) => Self::ProxyToAddress,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::origin::Origin;

    fn surroundings() -> Surroundings {
        Surroundings {
            nat64: vec!["2a00:64::/96".parse().unwrap()],
            own: vec!["0.0.0.0:8000".parse().unwrap(), "10.0.0.9:6379".parse().unwrap()],
            machine: vec!["10.0.0.5".parse().unwrap(), "198.51.101.5".parse().unwrap()],
            base_url: Some((Host::parse("mcp.example.com").unwrap(), 443)),
        }
    }

    fn check(entry: &str, answers: &[&str], expected: Result<usize, &str>) {
        let (is_private, entry) = entry.strip_prefix("private ").map_or((false, entry), |entry| (true, entry));
        let entry: Origin = entry.parse().unwrap();
        let answers: Vec<IpAddr> = answers.iter().map(|text| text.parse().unwrap()).collect();
        let reach = Reach { host: entry.host(), is_private };
        let found = surroundings().admit(&answers, entry.port(), reach).map_err(|error| error.to_string());
        let count = found.as_ref().map(Vec::len).map_err(String::as_str);
        assert_eq!(count, expected.as_ref().copied().map_err(|text| *text), "{entry} {answers:?}");
    }

    #[test]
    fn a_name_leads_to_public_addresses() {
        let entry = "https://api.example.com";
        check(entry, &["8.8.8.8", "2606:4700::1111"], Ok(2));
        check(entry, &["64:ff9b::8.8.8.8", "2a00:64::8.8.8.8", "64:ff9b:1::8.8.8.8"], Ok(3));
        check(entry, &[], Err("the name has no address"));
        for (address, refusal) in [
            ("10.0.0.1", "10.0.0.1 is a private address, and the entry is not `private`"),
            ("100.64.0.1", "100.64.0.1 is a private address, and the entry is not `private`"),
            ("fd00::1", "fd00::1 is a private address, and the entry is not `private`"),
            ("::ffff:10.0.0.1", "10.0.0.1 is a private address, and the entry is not `private`"),
            ("64:ff9b::10.0.0.1", "64:ff9b::a00:1 is a private address, and the entry is not `private`"),
            ("2a00:64::10.0.0.1", "2a00:64::a00:1 is a private address, and the entry is not `private`"),
            ("127.0.0.1", "127.0.0.1 is this machine, which an entry must name by address or as `localhost`"),
            ("::1", "::1 is this machine, which an entry must name by address or as `localhost`"),
            ("0.0.0.0", "0.0.0.0 is unspecified, where nothing may be sent"),
            ("169.254.169.254", "169.254.169.254 is a cloud's own service for its machines, where nothing may be sent"),
            ("fd00:ec2::254", "fd00:ec2::254 is a cloud's own service for its machines, where nothing may be sent"),
            ("2002:808:808::1", "2002:808:808::1 is 6to4, where nothing may be sent"),
        ] {
            check(entry, &[address], Err(refusal));
            let mut ten = vec!["8.8.8.8"; 9];
            ten.insert(7, address);
            check(entry, &ten, Err(refusal));
        }
    }

    #[test]
    fn private_opens_private_addresses_and_no_others() {
        let entry = "private http://search.internal:9200";
        check(entry, &["10.0.0.1", "fd00::1", "192.168.1.1", "100.64.0.1", "8.8.8.8"], Ok(5));
        for address in ["127.0.0.1", "169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "0.0.0.0"]
        {
            let (entry, answer) = (entry, [address]);
            let origin: Origin = entry.strip_prefix("private ").unwrap().parse().unwrap();
            let reach = Reach { host: origin.host(), is_private: true };
            assert!(surroundings().admit(&answer.map(|it| it.parse().unwrap()), 9200, reach).is_err(), "{address}");
        }
    }

    #[test]
    fn a_network_is_its_own_addresses() {
        check("private http://10.1.0.0/16:9200", &["10.1.2.3"], Ok(1));
        check(
            "private http://10.1.0.0/16:9200",
            &["10.2.0.1"],
            Err("10.2.0.1 is not among the addresses that the entry names"),
        );
        check(
            "http://172.0.0.0/8",
            &["172.16.0.1"],
            Err("172.16.0.1 is a private address, and the entry is not `private`"),
        );
    }

    #[test]
    fn this_machine_is_named_by_what_is_written() {
        check("http://localhost:9200", &["127.0.0.1", "::1"], Ok(2));
        check("http://127.0.0.1:9200", &["127.0.0.1"], Ok(1));
        check("http://127.0.0.0/8:9200", &["127.3.0.1"], Ok(1));
        check("http://[::1]:9200", &["::1"], Ok(1));
        check("http://localhost:9200", &["8.8.8.8"], Err("8.8.8.8 is not among the addresses that the entry names"));
        check(
            "http://127.0.0.1:9200",
            &["127.0.0.2"],
            Err("127.0.0.2 is not among the addresses that the entry names"),
        );
        check(
            "http://126.0.0.0/7:9200",
            &["127.0.0.1"],
            Err("127.0.0.1 is this machine, which an entry must name by address or as `localhost`"),
        );
    }

    #[test]
    fn nothing_leads_to_this_server() {
        let own = Err("it leads to this server or its proxy");
        check("http://localhost:8000", &["127.0.0.1"], own);
        check("http://127.8.8.8:8000", &["127.8.8.8"], own);
        check("http://[::1]:8000", &["::1"], own);
        check("private http://a.internal:8000", &["10.0.0.5"], own);
        check("http://a.example:8000", &["198.51.101.5"], own);
        check("private http://cache.internal:6379", &["10.0.0.9"], own);
        check("private http://a.internal:8001", &["10.0.0.5"], Ok(1));
        check("private http://a.internal:8000", &["10.0.0.6"], Ok(1));
        let foreign = |host: &str, port| surroundings().expect_foreign(&Host::parse(host).unwrap(), port);
        assert_eq!(foreign("MCP.example.com.", 443), Err(AddressRefusal::Own));
        assert_eq!(foreign("mcp.example.com", 8443), Err(AddressRefusal::Own));
        assert_eq!(foreign("example.com", 443), Ok(()));
        let local = Surroundings { base_url: Some((Host::parse("localhost").unwrap(), 8000)), ..surroundings() };
        assert_eq!(local.expect_foreign(&Host::parse("127.0.0.1").unwrap(), 8000), Err(AddressRefusal::Own));
        assert_eq!(local.expect_foreign(&Host::parse("localhost").unwrap(), 9200), Ok(()));
    }

    #[test]
    fn the_way_through_a_proxy() {
        let (name, literal) = (Host::parse("a.example").unwrap(), Host::parse("8.8.8.8").unwrap());
        assert_eq!(Way::of(false, &name, false, true), Way::Direct);
        assert_eq!(Way::of(true, &name, true, true), Way::Direct);
        assert_eq!(Way::of(false, &name, true, false), Way::ProxyToAddress);
        assert_eq!(Way::of(false, &name, true, true), Way::ProxyToName);
        assert_eq!(Way::of(false, &literal, true, true), Way::ProxyToAddress);
    }
}
