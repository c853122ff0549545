//! Classes of internet addresses: public, private, this machine, and those that nothing is ever sent to.
//!
//! The tables are IANA's special-purpose registries (RFC 6890 and its successors). Everything in them is special, also
//! what they call globally reachable: nothing that this server talks to is on an anycast relay. An IPv6 address that
//! stands for an IPv4 one is classed by that one where there is a translator for it, and is special otherwise.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The class of an address, the most open one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A server of the internet.
    Public,
    /// An address inside somebody's own network: RFC 1918, unique-local (RFC 4193), shared by carriers (RFC 6598).
    Private,
    /// This machine.
    Loopback,
    /// Nothing is sent there, whatever is granted; the text says what it is.
    Special(&'static str),
}

/// A network: its first address and the length of its prefix.
type Network<T> = (T, u32);

const LOOPBACK_V4: Network<Ipv4Addr> = (Ipv4Addr::new(127, 0, 0, 0), 8);

const PRIVATE_V4: &[Network<Ipv4Addr>] = &[
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10), // shared by carriers' customers
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];

/// Looked at before anything else: some of them are in private networks.
const SPECIAL_V4: &[(Network<Ipv4Addr>, &str)] = &[
    ((Ipv4Addr::new(0, 0, 0, 0), 8), "unspecified"),
    ((Ipv4Addr::new(100, 100, 100, 200), 32), METADATA), // Alibaba
    ((Ipv4Addr::new(168, 63, 129, 16), 32), METADATA),   // Azure
    ((Ipv4Addr::new(169, 254, 169, 254), 32), METADATA), // most clouds
    ((Ipv4Addr::new(169, 254, 0, 0), 16), LINK_LOCAL),
    ((Ipv4Addr::new(192, 0, 0, 0), 24), ASSIGNMENTS),
    ((Ipv4Addr::new(192, 0, 2, 0), 24), DOCUMENTATION),
    ((Ipv4Addr::new(192, 31, 196, 0), 24), AS112),
    ((Ipv4Addr::new(192, 52, 193, 0), 24), "multicast relays"),
    ((Ipv4Addr::new(192, 88, 99, 0), 24), "6to4"),
    ((Ipv4Addr::new(192, 175, 48, 0), 24), AS112),
    ((Ipv4Addr::new(198, 18, 0, 0), 15), BENCHMARKS),
    ((Ipv4Addr::new(198, 51, 100, 0), 24), DOCUMENTATION),
    ((Ipv4Addr::new(203, 0, 113, 0), 24), DOCUMENTATION),
    ((Ipv4Addr::new(224, 0, 0, 0), 4), MULTICAST),
    ((Ipv4Addr::new(255, 255, 255, 255), 32), "broadcast"),
    ((Ipv4Addr::new(240, 0, 0, 0), 4), RESERVED),
];

/// The only part of IPv6 in which global unicast addresses are given out.
const GLOBAL_V6: Network<Ipv6Addr> = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

const UNIQUE_LOCAL: Network<Ipv6Addr> = (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

/// Looked at before anything else: metadata is in unique-local networks.
const SPECIAL_V6: &[(Network<Ipv6Addr>, &str)] = &[
    ((Ipv6Addr::UNSPECIFIED, 128), "unspecified"),
    ((Ipv6Addr::UNSPECIFIED, 96), "an IPv4 address in a form that is out of use"),
    ((Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128), METADATA), // Amazon
    ((Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128), METADATA),  // Google
    ((Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128), METADATA), // Oracle
    ((Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128), METADATA),   // Scaleway
    ((Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10), LINK_LOCAL),
    ((Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10), "site-local"),
    ((Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8), MULTICAST),
    ((Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32), "Teredo"),
    ((Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48), BENCHMARKS),
    ((Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), ASSIGNMENTS),
    ((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), DOCUMENTATION),
    ((Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), "6to4"),
    ((Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48), AS112),
    ((Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16), RESERVED), // 6bone, given back
    ((Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), DOCUMENTATION),
];

const METADATA: &str = "a cloud's own service for its machines";
const LINK_LOCAL: &str = "link-local";
const ASSIGNMENTS: &str = "reserved for protocols";
const DOCUMENTATION: &str = "for documentation";
const AS112: &str = "a sink of the DNS";
const BENCHMARKS: &str = "for benchmarks";
const MULTICAST: &str = "multicast";
const RESERVED: &str = "reserved";

/// `::ffff:a.b.c.d`: an IPv4 address as IPv6 programs write it.
const MAPPED: Network<Ipv6Addr> = (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// `64:ff9b::a.b.c.d` (RFC 6052 §2.1): an IPv4 server, for a machine without IPv4 of its own.
const NAT64: Nat64Prefix = Nat64Prefix { first: Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), length: 96 };

/// The space from which networks choose prefixes of their own for that (RFC 8215), of any of the lengths that fit.
const LOCAL_NAT64: Network<Ipv6Addr> = (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48);

/// A prefix under which a translator of this network reaches IPv4 addresses (RFC 6052 §2.2): `2001:db8:64::/96`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat64Prefix {
    first: Ipv6Addr,
    length: u32,
}

/// The lengths that such a prefix can have, and the places of the four octets in an address under it.
const NAT64_LAYOUTS: [(u32, [usize; 4]); 6] = [
    (32, [4, 5, 6, 7]),
    (40, [5, 6, 7, 9]),
    (48, [6, 7, 9, 10]),
    (56, [7, 9, 10, 11]),
    (64, [9, 10, 11, 12]),
    (96, [12, 13, 14, 15]),
];

/// The reason that a text is no prefix of a translator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Nat64Error {
    /// It is no IPv6 network.
    #[error("expected an IPv6 network such as \"2001:db8:64::/96\"")]
    Shape,
    /// RFC 6052 knows no layout of this length.
    #[error("the prefix of a translator has 32, 40, 48, 56, 64 or 96 bits (RFC 6052 §2.2)")]
    Length,
    /// There are bits after the prefix.
    #[error("it has bits beyond its prefix")]
    Bits,
}

impl Nat64Prefix {
    /// The IPv4 address in an address under this prefix.
    fn inside(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let places = NAT64_LAYOUTS.iter().find(|(length, _)| *length == self.length)?.1;
        contains_v6((self.first, self.length), address).then(|| embedded(address, places))
    }
}

impl FromStr for Nat64Prefix {
    type Err = Nat64Error;

    fn from_str(text: &str) -> Result<Self, Nat64Error> {
        let (first, length) = text.split_once('/').ok_or(Nat64Error::Shape)?;
        let first: Ipv6Addr = first.parse().map_err(|_| Nat64Error::Shape)?;
        let length: u32 = length.parse().map_err(|_| Nat64Error::Shape)?;
        if !NAT64_LAYOUTS.iter().any(|(known, _)| *known == length) {
            return Err(Nat64Error::Length);
        }
        if first.to_bits() << length != 0 {
            return Err(Nat64Error::Bits);
        }
        Ok(Self { first, length })
    }
}

impl fmt::Display for Nat64Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

/// The class of an address. `nat64` are this network's own prefixes, beside the well-known one.
///
/// In the space of RFC 8215 the length of the prefix is not known unless it is among `nat64`: there the strictest of
/// the possible readings counts. A reading in 0.0.0.0/8 is none, since no translator sends anything there.
pub fn class(address: IpAddr, nat64: &[Nat64Prefix]) -> Class {
    let address = match address {
        IpAddr::V4(address) => return class_v4(address),
        IpAddr::V6(address) => address,
    };
    if contains_v6(MAPPED, address) {
        return class_v4(embedded(address, [12, 13, 14, 15]));
    }
    if let Some(inside) = nat64.iter().chain([&NAT64]).find_map(|prefix| prefix.inside(address)) {
        return translated(inside);
    }
    if contains_v6(LOCAL_NAT64, address) {
        let layouts = NAT64_LAYOUTS.iter().filter(|(length, _)| *length >= LOCAL_NAT64.1);
        let readings = layouts.map(|(_, places)| embedded(address, *places)).filter(|inside| inside.octets()[0] != 0);
        return readings.map(translated).max().unwrap_or(Class::Special(RESERVED));
    }
    class_v6(address)
}

/// True for global unicast addresses.
pub(crate) fn is_global(address: IpAddr) -> bool {
    class(address, &[]) == Class::Public
}

/// The class of an IPv4 address behind a translator, whose loopback is not this machine's.
fn translated(address: Ipv4Addr) -> Class {
    match class_v4(address) {
        Class::Loopback => Class::Special("a translator's loopback"),
        class => class,
    }
}

fn class_v4(address: Ipv4Addr) -> Class {
    if let Some((_, what)) = SPECIAL_V4.iter().find(|(network, _)| contains_v4(*network, address)) {
        return Class::Special(what);
    }
    match address {
        address if contains_v4(LOOPBACK_V4, address) => Class::Loopback,
        address if PRIVATE_V4.iter().any(|network| contains_v4(*network, address)) => Class::Private,
        _ => Class::Public,
    }
}

fn class_v6(address: Ipv6Addr) -> Class {
    if address == Ipv6Addr::LOCALHOST {
        return Class::Loopback;
    }
    if let Some((_, what)) = SPECIAL_V6.iter().find(|(network, _)| contains_v6(*network, address)) {
        return Class::Special(what);
    }
    match address {
        address if is_isatap(address) => Class::Special("ISATAP"),
        address if contains_v6(UNIQUE_LOCAL, address) => Class::Private,
        address if contains_v6(GLOBAL_V6, address) => Class::Public,
        _ => Class::Special(RESERVED),
    }
}

/// ISATAP (RFC 5214 §6.1) can be in any network: the lower half is `0000:5efe` or `0200:5efe`, then an IPv4 address.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [.., marker, isatap, _, _] = address.segments();
    marker & !0x0200 == 0 && isatap == 0x5efe
}

/// The IPv4 address whose octets are at these places.
fn embedded(address: Ipv6Addr, places: [usize; 4]) -> Ipv4Addr {
    let octets = address.octets();
    Ipv4Addr::from(places.map(|place| octets[place]))
}

fn contains_v4((first, prefix): Network<Ipv4Addr>, address: Ipv4Addr) -> bool {
    address.to_bits() >> (32 - prefix) == first.to_bits() >> (32 - prefix)
}

fn contains_v6((first, prefix): Network<Ipv6Addr>, address: Ipv6Addr) -> bool {
    address.to_bits() >> (128 - prefix) == first.to_bits() >> (128 - prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_global(address: &str) -> bool {
        super::is_global(address.parse().unwrap())
    }

    #[test]
    fn special_addresses_are_refused_to_their_last_one() {
        let refused = [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.170",
            "192.0.0.255",
            "192.0.2.0",
            "192.0.2.255",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "192.175.48.1",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.0",
            "198.51.100.255",
            "203.0.113.0",
            "203.0.113.255",
            "224.0.0.0",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.254",
            "255.255.255.255",
            "::",
            "::1",
            "100::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff:ffff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "5f00::1",
            "4000::1",
            "1fff::1",
            "2001:db8::1",
            "2001:db8:ffff::1",
            "3fff::1",
            "3fff:fff::1",
            "3ffe::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
            "2001:4:112::1",
            "2620:4f:8000::1",
        ];
        for address in refused {
            assert!(!is_global(address), "{address}");
        }
    }

    #[test]
    fn neighbours_of_special_networks_are_fine() {
        let fine = [
            "1.0.0.0",
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
            "2620:4f:8001::1",
            "2a00::1",
            "3ffd::1",
            "3fff:1000::1",
        ];
        for address in fine {
            assert!(is_global(address), "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_within_is_judged_or_refused() {
        for (address, global) in [
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.1.2.3", false),
            ("::ffff:169.254.169.254", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b:1::8.8.8.8", true), // local NAT64 (RFC 8215)
            ("64:ff9b:1:abcd:0:ef01:8.8.8.8", true),
            ("64:ff9b:1:0a01:2:300::", false),
            ("64:ff9b:1:808:8:800::", true),
            ("64:ff9b:1:7f00:0:100:808:808", false),
            ("64:ff9b:1::127.0.0.1", false),
            ("64:ff9b:1::", false),
            ("64:ff9b:2::8.8.8.8", false),
            ("64:ff9b:0:0:0:1:808:808", false),
            ("::127.0.0.1", false), // compatible
            ("::8.8.8.8", false),
            ("::ffff:0:8.8.8.8", false), // translated (RFC 2765)
            ("2002:7f00:1::", false),    // 6to4
            ("2002:808:808::1", false),
            ("2001::1", false), // Teredo
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", false),
            ("2a00:1:2:3:0:5efe:7f00:1", false), // ISATAP
            ("2a00:1:2:3:200:5efe:808:808", false),
            ("2a00:1:2:3:100:5efe:808:808", true),
        ] {
            assert_eq!(is_global(address), global, "{address}");
        }
    }

    fn class(address: &str, nat64: &[&str]) -> Class {
        let nat64: Vec<Nat64Prefix> = nat64.iter().map(|prefix| prefix.parse().unwrap()).collect();
        super::class(address.parse().unwrap(), &nat64)
    }

    #[test]
    fn what_a_grant_can_open_is_told_from_what_none_can() {
        for (address, expected) in [
            ("8.8.8.8", Class::Public),
            ("10.1.2.3", Class::Private),
            ("172.31.255.255", Class::Private),
            ("192.168.1.1", Class::Private),
            ("100.64.0.1", Class::Private),
            ("100.100.100.200", Class::Special(METADATA)),
            ("168.63.129.16", Class::Special(METADATA)),
            ("169.254.169.254", Class::Special(METADATA)),
            ("169.254.1.1", Class::Special(LINK_LOCAL)),
            ("127.8.9.1", Class::Loopback),
            ("0.0.0.0", Class::Special("unspecified")),
            ("255.255.255.255", Class::Special("broadcast")),
            ("240.0.0.1", Class::Special(RESERVED)),
            ("::1", Class::Loopback),
            ("::", Class::Special("unspecified")),
            ("::ffff:127.0.0.1", Class::Loopback),
            ("::ffff:10.0.0.1", Class::Private),
            ("::ffff:169.254.169.254", Class::Special(METADATA)),
            ("fd12:3456::1", Class::Private),
            ("fd00:ec2::254", Class::Special(METADATA)),
            ("fd20:ce::254", Class::Special(METADATA)),
            ("fd12::1:5efe:a00:1", Class::Private),
            ("fd12::5efe:a00:1", Class::Special("ISATAP")),
            ("fe80::1", Class::Special(LINK_LOCAL)),
            ("fec0::1", Class::Special("site-local")),
            ("ff02::1", Class::Special(MULTICAST)),
            ("2001::1", Class::Special("Teredo")),
            ("2002:808:808::1", Class::Special("6to4")),
            ("64:ff9b::10.0.0.1", Class::Private),
            ("64:ff9b::127.0.0.1", Class::Special("a translator's loopback")),
            ("64:ff9b::169.254.169.254", Class::Special(METADATA)),
            ("64:ff9b:1::10.0.0.1", Class::Private),
        ] {
            assert_eq!(class(address, &[]), expected, "{address}");
        }
    }

    #[test]
    fn a_networks_own_translator_is_looked_through() {
        for (prefix, address, expected) in [
            ("2a00:64::/96", "2a00:64::8.8.8.8", Class::Public),
            ("2a00:64::/96", "2a00:64::10.0.0.1", Class::Private),
            ("2a00:64::/96", "2a00:64::127.0.0.1", Class::Special("a translator's loopback")),
            ("2a00:64::/96", "2a00:64:1::1", Class::Public),
            // The table of RFC 6052 §2.4, with another prefix and address.
            ("2a00:db8::/32", "2a00:db8:a00:221::", Class::Private),
            ("2a00:db8:100::/40", "2a00:db8:10a:2:21::", Class::Private),
            ("2a00:db8:122::/48", "2a00:db8:122:a00:2:2100::", Class::Private),
            ("2a00:db8:122:300::/56", "2a00:db8:122:30a:0:221::", Class::Private),
            ("2a00:db8:122:344::/64", "2a00:db8:122:344:a:2:2100:0", Class::Private),
            ("64:ff9b:1::/48", "64:ff9b:1:808:8:800:a00:1", Class::Public),
        ] {
            assert_eq!(class(address, &[prefix]), expected, "{prefix} {address}");
        }
    }

    #[test]
    fn prefixes_of_translators() {
        for (text, expected) in [
            ("2001:db8:64::/96", Ok("2001:db8:64::/96")),
            ("64:ff9b:1::/48", Ok("64:ff9b:1::/48")),
            ("2001:db8::", Err(Nat64Error::Shape)),
            ("10.0.0.0/8", Err(Nat64Error::Shape)),
            ("2001:db8::/95", Err(Nat64Error::Length)),
            ("2001:db8::/128", Err(Nat64Error::Length)),
            ("2001:db8::1/96", Err(Nat64Error::Bits)),
        ] {
            let shown = text.parse::<Nat64Prefix>().map(|prefix| prefix.to_string());
            assert_eq!(shown.as_deref().map_err(|error| *error), expected, "{text}");
        }
    }
}
