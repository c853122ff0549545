//! Entries, requests, addresses, headers and answers, which guests, peers and authors choose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use url::Url;

use super::address::{Reach, Surroundings};
use super::credentials::Credentials;
use super::decide::{decide, sent_path};
use super::headers::{canonical, expect_plain, remove_from_answer, remove_overrides};
use super::host::Host;
use super::needs::Needs;
use super::origin::{HostRule, Origin};
use super::rule::Rule;
use super::scheme::Scheme;
use super::scrub::Net;
use super::snippet;
use super::target::Target;
use crate::address::{Class, class};
use crate::fuzzing::promises::assert_shown;
use crate::secret::Secret;

/// Lines of entries, and a last line with a request: scheme, authority and path, separated by tabs.
pub(crate) fn granted_request(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines: Vec<&str> = text.split('\n').collect();
    let request: Vec<&str> = lines.pop().unwrap_or_default().split('\t').collect();
    let rules: Vec<Rule> = lines.iter().filter_map(|line| line.parse().ok()).map(Rule::to).collect();
    for rule in &rules {
        let shown = rule.to.to_string();
        assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()), "{shown:?}");
        assert_eq!(shown.parse::<Origin>().as_ref(), Ok(&rule.to), "{shown}");
        assert!(rule.to.covers(&rule.to));
    }
    let [scheme, authority, path] = request[..] else { return };
    let Ok(target) = Target::parse(Some(scheme), Some(authority), Some(path)) else { return };
    one_spelling(&target);
    let proposed = snippet::of_request("p", &target);
    assert!(!proposed.contains(['*', '?']) && !proposed.contains("private"), "{proposed}");
    let Ok(place) = decide(&rules, &Method::GET, &target) else {
        let allowed = rules.iter().find(|rule| rule.to == Origin::of(&target));
        assert!(allowed.is_none(), "{target} is granted by name");
        return;
    };
    let rule = &rules[place];
    decided(rule, &target);
    // A wider entry allows what a narrower one does.
    for wider in rules.iter().filter(|wider| wider.to.covers(&rule.to)) {
        assert!(decide([wider], &Method::GET, &target).is_ok(), "{} covers {}", wider.to, rule.to);
    }
}

/// Holds a request to what it is sent as: another reader of URLs finds the same host and port in it.
fn one_spelling(target: &Target) {
    let url = Url::parse(&format!("{target}/")).expect("scheme and authority are a URL's");
    assert_eq!(url.host_str(), Some(target.host().to_string().as_str()), "{target}");
    assert_eq!(url.port_or_known_default(), Some(target.port()), "{target}");
    assert!(url.username().is_empty() && url.password().is_none(), "{target}");
    let again = Target::parse(Some(target.scheme().as_str()), Some(&target.authority()), Some(target.path().raw()));
    assert!(again.is_ok_and(|again| again.host() == target.host() && again.port() == target.port()), "{target}");
    if let Host::Name(name) = target.host() {
        assert!(name.parse::<IpAddr>().is_err(), "{name} is an address");
    }
}

/// Holds an allowed request to the entry that allows it, as another reader of URLs reads both.
fn decided(rule: &Rule, target: &Target) {
    assert_eq!(rule.to.scheme(), target.scheme());
    assert_eq!(rule.to.port(), target.port());
    match rule.to.host() {
        HostRule::Host(host) => assert_eq!(host, target.host()),
        HostRule::Below(domain) => {
            let name = target.host().name().expect("a wildcard is for names");
            assert!(name.ends_with(&format!(".{domain}")) && name.len() > domain.len() + 1, "{name} under {domain}");
        }
        HostRule::Network(network) => {
            assert!(matches!(target.host(), Host::Address(address) if network.contains(address)));
        }
    }
    let sent = sent_path(rule, target);
    assert!(sent.starts_with('/') && sent.bytes().all(|byte| byte.is_ascii_graphic()), "{sent}");
    if !rule.to.path().is_any() {
        let url = Url::parse(&format!("{target}{sent}")).expect("what is sent is a URL's path");
        let prefix = rule.to.path().to_string();
        let below = format!("{}/", prefix.trim_end_matches('/'));
        assert!(url.path() == prefix || url.path().starts_with(&below), "{} under {prefix}", url.path());
        assert!(!url.path().contains("//") && !url.path().contains('\\'), "{}", url.path());
    }
}

/// The bytes of addresses, and texts of hosts and declarations.
pub(crate) fn address_class(bytes: &[u8]) {
    for chunk in bytes.chunks_exact(4) {
        let octets: [u8; 4] = chunk.try_into().expect("four bytes");
        class_of_v4(Ipv4Addr::from(octets));
    }
    for chunk in bytes.chunks_exact(16) {
        let octets: [u8; 16] = chunk.try_into().expect("sixteen bytes");
        class_of_v6(Ipv6Addr::from(octets));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for line in text.lines() {
        if let Ok(Host::Address(address)) = Host::parse(line) {
            assert_eq!(address, address.to_canonical());
            admitted(address);
        }
    }
    let (needs, errors) = Needs::read(text.lines());
    errors.iter().for_each(|error| assert_shown(&error.to_string(), 8 * text.len() + 400));
    let proposed = snippet::of_needs("p", needs.iter());
    assert!(!proposed.toml.contains('*') && !proposed.toml.contains("private ="), "{}", proposed.toml);
    assert!(proposed.toml.parse::<toml::Table>().is_ok_and(|table| table.len() <= 1), "{}", proposed.toml);
}

fn class_of_v4(address: Ipv4Addr) {
    let found = class(address.into(), &[]);
    assert_eq!(class(address.to_ipv6_mapped().into(), &[]), found, "{address}");
    let is_special = address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_unspecified();
    assert_eq!(address.is_loopback(), found == Class::Loopback, "{address}");
    assert!(!is_special || matches!(found, Class::Special(_)), "{address}");
    assert!(!address.is_private() || found == Class::Private, "{address}");
    let octets = address.octets();
    let [a, b, c, d] = octets;
    let translated = Ipv6Addr::from([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]);
    let behind = class(translated.into(), &[]);
    match found {
        Class::Loopback => assert!(matches!(behind, Class::Special(_)), "{translated}"),
        found => assert_eq!(behind, found, "{translated}"),
    }
    admitted(address.into());
}

fn class_of_v6(address: Ipv6Addr) {
    let found = class(address.into(), &[]);
    let is_special = address.is_multicast() || address.is_unicast_link_local() || address.is_unspecified();
    assert!(!is_special || matches!(found, Class::Special(_)), "{address}");
    assert_eq!(found == Class::Loopback, IpAddr::from(address).to_canonical().is_loopback(), "{address}");
    if found == Class::Public {
        let is_unicast = address.octets()[0] >> 5 == 1;
        assert!(is_unicast || address.to_ipv4_mapped().is_some() || address.segments()[..2] == [0x64, 0xff9b]);
    }
    admitted(address.into());
}

/// Holds the judgement to the class: nothing special is dialled, whatever is granted.
fn admitted(address: IpAddr) {
    let (named, below): (Origin, Origin) =
        ("https://a.example".parse().expect("an entry"), "https://*.a.example".parse().expect("an entry"));
    let found = class(address, &[]);
    for (host, is_private) in [(named.host(), false), (named.host(), true), (below.host(), false)] {
        let is_admitted = Surroundings::default().admit(&[address], 443, Reach { host, is_private }).is_ok();
        assert_eq!(is_admitted, found == Class::Public || (is_private && found == Class::Private), "{address}");
    }
    let own = HostRule::Host(Host::Address(address.to_canonical()));
    let is_admitted = Surroundings::default().admit(&[address], 443, Reach { host: &own, is_private: true }).is_ok();
    assert_eq!(is_admitted, !matches!(found, Class::Special(_)), "{address}");
}

/// A path, and lines of headers, `name: value`.
pub(crate) fn request_headers(bytes: &[u8]) {
    const KEY: &str = "the-key-of-the-operator";
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let raw_path = lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    for line in lines.take(200) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value.trim())) {
            headers.append(name, value);
        }
    }
    let mut answer = headers.clone();
    remove_from_answer(&mut answer, true);
    let of_owner = ["set-cookie", "www-authenticate", "alt-svc", "connection"];
    assert!(!answer.keys().any(|name| of_owner.contains(&canonical(name.as_str()).as_str())), "{answer:?}");
    if expect_plain(&headers).is_err() {
        return;
    }
    let of_connection = ["host", "connection", "transfer-encoding", "te", "upgrade", "expect", "trailer"];
    for name in headers.keys().map(|name| canonical(name.as_str())) {
        assert!(!of_connection.contains(&name.as_str()) && !name.starts_with("proxy-"), "{name}");
    }
    remove_overrides(&mut headers);
    let Ok(target) = Target::parse(Some("https"), Some("a.example"), Some(raw_path)) else { return };
    let rule = Rule::to("https://a.example".parse().expect("an entry"));
    let mut path = sent_path(&rule, &target);
    let key = || Secret::new(KEY.to_owned());
    let credentials =
        Credentials::new([("X-Key".to_owned(), key().into())], [("key".to_owned(), key().into())], None, None);
    let ready = credentials.and_then(|credentials| credentials.of_call(None)).expect("they are credentials");
    ready.put_in(&mut headers, &mut path);
    let named: Vec<&HeaderValue> =
        headers.iter().filter(|(name, _)| canonical(name.as_str()) == "x-key").map(|(_, value)| value).collect();
    assert!(named.len() == 1 && named[0] == KEY, "{headers:?}");
    assert!(headers.get("range").is_none() && headers["accept-encoding"] == "identity");
    let names: Vec<String> = headers.keys().map(|name| canonical(name.as_str())).collect();
    assert!(!names.iter().any(|name| name.starts_with("x-forwarded-") || name == "x-original-url"), "{names:?}");
    let url = Url::parse(&format!("{target}{path}")).expect("what is sent is a URL's path");
    let keys: Vec<_> = url.query_pairs().filter(|(name, _)| name.eq_ignore_ascii_case("key")).collect();
    assert!(keys.len() == 1 && keys[0].1 == KEY, "{path}");
    assert!(target.scheme() == Scheme::Https && path.bytes().all(|byte| byte.is_ascii_graphic()));
}

/// A secret in the first line, and an answer in pieces, which the first byte of each line before it cuts.
pub(crate) fn scrubbed_answer(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (secret, answer) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 1..]);
    let net = Net::new(&[Secret::new(secret.clone().into_owned())]);
    let whole = net.scrub(answer);
    assert_eq!(whole.len(), answer.len());
    assert!(answer.iter().zip(&whole).all(|(before, after)| before == after || *after == b'*'));
    let mut stream = net.stream();
    let size = 1 + usize::from(bytes[0]) % 40;
    let mut given: Vec<u8> = answer.chunks(size).flat_map(|piece| stream.push(piece)).collect();
    given.extend(stream.finish());
    assert_eq!(given, whole, "in pieces of {size}");
    if !net.is_empty() && !secret.contains('*') {
        let is_in = |text: &[u8]| text.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!is_in(&whole), "{secret}");
    }
}
