//! Public addresses: the only ones to which a stranger may make this server connect.
//!
//! The tables are IANA's special-purpose registries (RFC 6890 and its successors). Everything in them is refused, also
//! the ones that they call globally reachable: no client's metadata is on an anycast relay.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: its first address and the length of its prefix.
type Network<T> = (T, u32);

const REFUSED_V4: &[Network<Ipv4Addr>] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // shared by carriers' customers; Alibaba's metadata
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // Azure's own services, as seen by its machines
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local; metadata of most clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 31, 196, 0), 24),  // AS112
    (Ipv4Addr::new(192, 52, 193, 0), 24),  // AMT
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(192, 175, 48, 0), 24),  // AS112
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved, and broadcast
];

/// The only part of IPv6 in which global unicast addresses are given out.
const GLOBAL_V6: Network<Ipv6Addr> = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

const REFUSED_V6: &[Network<Ipv6Addr>] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48), // AS112
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16), // 6bone, given back
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// `::ffff:a.b.c.d`: an IPv4 address as IPv6 programs write it.
const MAPPED: Network<Ipv6Addr> = (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// `64:ff9b::a.b.c.d` (RFC 6052): an IPv4 server, for a machine without IPv4 of its own.
const NAT64: Network<Ipv6Addr> = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// True for global unicast addresses.
///
/// Mapped and NAT64 addresses are judged by the IPv4 address in them. Other forms that carry one (compatible, 6to4,
/// Teredo, ISATAP) are refused whatever it is: nothing that serves https is reached through them.
pub(super) fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) if contains_v6(MAPPED, address) || contains_v6(NAT64, address) => {
            let [.., a, b, c, d] = address.octets();
            is_global_v4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => {
            contains_v6(GLOBAL_V6, address)
                && !REFUSED_V6.iter().any(|network| contains_v6(*network, address))
                && !is_isatap(address)
        }
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    !REFUSED_V4.iter().any(|(first, prefix)| address.to_bits() ^ first.to_bits() < span_v4(*prefix))
}

/// ISATAP (RFC 5214 §6.1) can be in any network: the lower half is `0000:5efe` or `0200:5efe`, then an IPv4 address.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [.., marker, isatap, _, _] = address.segments();
    marker & !0x0200 == 0 && isatap == 0x5efe
}

fn contains_v6((first, prefix): Network<Ipv6Addr>, address: Ipv6Addr) -> bool {
    address.to_bits() >> (128 - prefix) == first.to_bits() >> (128 - prefix)
}

/// The number of addresses in a network with a prefix of this length.
fn span_v4(prefix: u32) -> u32 {
    1 << (32 - prefix)
}

#[cfg(test)]
mod tests {
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
            ("64:ff9b:1::8.8.8.8", false), // local NAT64 (RFC 8215)
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
}
