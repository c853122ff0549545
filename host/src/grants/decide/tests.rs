//! The decision by table, and against a second implementation that is slow and obvious.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::grants::host::Host;
use crate::grants::rule::{Methods, ties};

/// Entries as an operator writes them: `GET,POST https://a.example/v1`, `private http://10.0.0.1`.
fn rule(text: &str) -> Rule {
    let mut rule = Rule::to(text.rsplit(' ').next().unwrap().parse().unwrap());
    for word in text.split(' ').rev().skip(1) {
        match word {
            "private" => rule.is_private = true,
            methods => {
                rule.methods = Methods::of(methods.split(',').map(|it| Methods::parse_one(it).unwrap()).collect())
            }
        }
    }
    rule
}

fn target(url: &str) -> Target {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Target::parse(Some(scheme), Some(authority), Some(path)).unwrap()
}

/// The entry that decides, by its place; or the denial in words.
fn check(rules: &[&str], request: &str, expected: Result<usize, &str>) {
    let rules: Vec<Rule> = rules.iter().map(|text| rule(text)).collect();
    let (method, url) = request.split_once(' ').unwrap();
    let found = decide(&rules, &method.parse().unwrap(), &target(url)).map_err(|denial| denial.to_string());
    assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text), "{request}");
}

#[test]
fn nothing_is_granted_by_nothing() {
    check(&[], "GET https://a.example", Err("no entry of `http` matches"));
}

#[test]
fn scheme_host_and_port_decide() {
    let rules = ["https://api.example.com", "https://*.example.org:8443"];
    check(&rules, "GET https://api.example.com/any/%2f/path?q", Ok(0));
    check(&rules, "DELETE https://API.example.com.:443", Ok(0));
    check(&rules, "GET https://a.example.org:8443", Ok(1));
    check(&rules, "GET https://a.b.example.org:8443", Ok(1));
    for (request, miss) in [
        ("GET http://api.example.com", "; `https://api.example.com` is for https only"),
        ("GET http://api.example.com:443", "; `https://api.example.com` is for https only"),
        ("GET https://api.example.com:8443", "; `https://api.example.com` has port 443"),
        ("GET https://a.api.example.com", "; `https://api.example.com` is no name below it"),
        ("GET https://a.example.org", "; `https://*.example.org:8443` has port 8443"),
        (
            "GET https://example.org:8443",
            "; `https://*.example.org:8443` is not the bare domain, which takes an entry of its own",
        ),
        ("GET https://example.com", ""),
        ("GET https://api.example.com.evil.example", ""),
        ("GET https://evilexample.org:8443", ""),
        ("GET https://93.184.215.14", ""),
    ] {
        check(&rules, request, Err(&format!("no entry of `http` matches{miss}")));
    }
}

#[test]
fn addresses_are_compared_as_addresses() {
    let rules = ["http://127.0.0.1:9200", "private http://10.0.0.0/8:9200", "http://[2606:4700::1111]"];
    check(&rules, "GET http://127.0.0.1:9200", Ok(0));
    check(&rules, "GET http://2130706433:9200", Ok(0));
    check(&rules, "GET http://[::ffff:127.0.0.1]:9200", Ok(0));
    check(&rules, "GET http://10.1.2.3:9200", Ok(1));
    check(&rules, "GET http://0xa.1:9200", Ok(1));
    check(&rules, "GET http://[2606:4700:0::1111]", Ok(2));
    check(&rules, "GET http://localhost:9200", Err("no entry of `http` matches"));
    check(&rules, "GET http://11.0.0.1:9200", Err("no entry of `http` matches"));
}

#[test]
fn the_most_specific_entry_decides() {
    let rules = [
        "https://*.example.com",
        "https://*.a.example.com",
        "https://x.a.example.com",
        "https://x.a.example.com/v1",
        "https://x.a.example.com/v1/deep",
        "GET https://x.a.example.com/v1",
        "https://*.example.com/a/very/long/path",
    ];
    check(&rules, "GET https://b.example.com", Ok(0));
    check(&rules, "GET https://b.a.example.com", Ok(1));
    check(&rules, "GET https://x.a.example.com", Ok(2));
    check(&rules, "POST https://x.a.example.com/v1", Ok(3));
    check(&rules, "GET https://x.a.example.com/v1", Ok(5));
    check(&rules, "GET https://x.a.example.com/v1/deep/er", Ok(4));
    check(&rules, "GET https://x.a.example.com/a/very/long/path", Ok(2));
    check(&rules, "GET https://b.example.com/a/very/long/path", Ok(6));
    let mut turned = rules;
    turned.reverse();
    check(&turned, "GET https://x.a.example.com/v1", Ok(1));
}

#[test]
fn a_path_that_decides_is_read_in_one_way() {
    let rules = ["https://a.example/v1/", "https://b.example/v1/", "https://b.example"];
    check(&rules, "GET https://a.example/v1/x", Ok(0));
    check(&rules, "GET https://a.example/%76%31/x", Ok(0));
    check(&rules, "GET https://a.example/x/../v1/x", Ok(0));
    let other = Err("no entry of `http` matches; `https://a.example/v1/` has another path");
    check(&rules, "GET https://a.example/v1/../admin", other);
    check(&rules, "GET https://a.example/v1", other);
    for (path, doubt) in [
        ("/v1/%2e%2e/admin", "an escaped dot segment"),
        ("/v1/..%2fadmin", "an escaped slash or backslash"),
        ("/v1/..%5cadmin", "an escaped slash or backslash"),
        ("/v1/..%252fadmin", "an escaped slash or backslash"),
        ("/v1/..\\admin", "a backslash"),
        ("/v1//admin", "an empty segment"),
        ("/v1/..;/admin", "a dot segment with a parameter"),
        ("/v1/%c0%ae%c0%ae/admin", "escapes that are no UTF-8"),
    ] {
        let denial = format!("the path has {doubt}, and an entry with a path would have to decide");
        check(&rules, &format!("GET https://a.example{path}"), Err(&denial));
        // Where the whole host is granted, the path is nobody's matter, and the entry with a path is not the one.
        check(&rules, &format!("GET https://b.example{path}"), Ok(2));
    }
}

#[test]
fn what_was_compared_is_what_is_sent() {
    for (entry, url, expected) in [
        ("https://a.example/v1", "https://a.example/x/../%76%31/%7e/?q=/../%2f", "/v1/~/?q=/../%2f"),
        ("https://a.example/v1", "https://a.example/v1/;/x", "/v1/;/x"),
        ("https://a.example", "https://a.example/x/../%76%31//%7e?", "/x/../%76%31//%7e?"),
        ("https://a.example", "https://a.example", "/"),
    ] {
        assert_eq!(sent_path(&rule(entry), &target(url)), expected, "{url}");
    }
}

#[test]
fn methods() {
    let rules = ["GET,HEAD https://a.example", "https://b.example"];
    check(&rules, "GET https://a.example", Ok(0));
    let other = Err("no entry of `http` matches; `https://a.example` has other methods");
    check(&rules, "POST https://a.example", other);
    check(&rules, "get https://a.example", other);
    check(&rules, "PROPFIND https://b.example", Ok(1));
    check(&rules, "CONNECT https://b.example", Err("CONNECT is never allowed"));
    check(&rules, "TRACE https://b.example", Err("TRACE is never allowed"));
    for (text, expected) in [
        ("GET", Ok("GET")),
        ("M-SEARCH", Ok("M-SEARCH")),
        ("get", Err("write `GET`")),
        ("", Err("a method is a word in capitals, such as `GET`")),
        ("*", Err("a method is a word in capitals, such as `GET`")),
        ("GET, POST", Err("a method is a word in capitals, such as `GET`")),
        ("connect", Err("CONNECT cannot be granted")),
        ("TRACE", Err("TRACE cannot be granted")),
    ] {
        let found = Methods::parse_one(text).map(|it| it.to_string()).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
    }
}

#[test]
fn private_addresses_are_said_to_be_such() {
    for (text, expected) in [
        ("https://a.example", Ok(())),
        ("http://localhost:9200", Ok(())),
        ("http://127.0.0.1:9200", Ok(())),
        ("private http://search.internal:9200", Ok(())),
        ("private http://10.0.0.0/8:9200", Ok(())),
        (
            "http://10.0.0.1",
            Err("`10.0.0.1` is a private address; write `{ to = \"…\", private = true }` if that is meant"),
        ),
        (
            "http://[fd00::]/8",
            Err("`[fd00::]/8` is a private address; write `{ to = \"…\", private = true }` if that is meant"),
        ),
        (
            "private https://*.example.com",
            Err("`private` cannot be granted to all names of a domain; name each host, or a network"),
        ),
    ] {
        let found = rule(text).check().map_err(|error| error.to_string());
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text), "{text}");
    }
}

#[test]
fn equal_entries_are_found() {
    let found = |rules: &[&str]| {
        let rules: Vec<Rule> = rules.iter().map(|text| rule(text)).collect();
        ties(&rules.iter().collect::<Vec<_>>())
    };
    assert_eq!(found(&["https://a.example", "https://b.example", "HTTPS://A.example:443/"]), [(0, 2)]);
    assert_eq!(found(&["GET https://a.example", "https://a.example", "POST https://a.example"]), []);
    assert_eq!(found(&["GET,PUT https://a.example", "PUT,POST https://a.example"]), [(0, 1)]);
    assert_eq!(found(&["https://a.example/v1", "https://a.example/v1/"]), []);
}

/// A grant × URL → decision, from the words of the rules: no parsers, no order, every entry compared with every other.
mod obvious {
    /// The pieces of a plain URL, which has no odd spelling.
    pub(super) struct Pieces<'u> {
        scheme: &'u str,
        labels: Vec<&'u str>,
        port: &'u str,
        segments: Vec<&'u str>,
    }

    impl Pieces<'_> {
        /// True if scheme and port are the same.
        pub(super) fn is_on(&self, url: &Self) -> bool {
            self.scheme == url.scheme && self.port == url.port
        }
    }

    pub(super) fn pieces(url: &str) -> Pieces<'_> {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let own = if scheme == "https" { "443" } else { "80" };
        let (host, port) = authority.split_once(':').unwrap_or((authority, own));
        Pieces { scheme, labels: host.split('.').collect(), port, segments: path.split('/').collect() }
    }

    fn matches(entry: &str, url: &str) -> bool {
        let (entry, url) = (pieces(entry), pieces(url));
        let hosts = match entry.labels.first() {
            Some(&"*") => {
                let domain = &entry.labels[1..];
                (1..url.labels.len()).any(|at| url.labels[at..] == *domain)
            }
            _ => entry.labels == url.labels,
        };
        let paths = match entry.segments.split_last() {
            Some((&"", above)) => url.segments.len() > above.len() && url.segments[..above.len()] == *above,
            _ => url.segments.starts_with(&entry.segments),
        };
        entry.scheme == url.scheme && entry.port == url.port && hosts && paths
    }

    /// True if everything that `one` matches of these URLs `other` matches too, and not the other way round.
    fn is_narrower(one: &str, other: &str, urls: &[String]) -> bool {
        let within = |inner: &str, outer: &str| urls.iter().all(|url| !matches(inner, url) || matches(outer, url));
        within(one, other) && !within(other, one)
    }

    /// The entry that matches and that no other matching entry is narrower than by its host, and then by its path.
    pub(super) fn decide(entries: &[String], url: &str, urls: &[String]) -> Option<usize> {
        let host = |entry: &str| entry.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        let matching: Vec<usize> = (0..entries.len()).filter(|place| matches(&entries[*place], url)).collect();
        matching.iter().copied().find(|place| {
            matching.iter().all(|other| {
                let (mine, theirs) = (&entries[*place], &entries[*other]);
                let (my_host, their_host) = (host(mine), host(theirs));
                let is_hidden = if my_host == their_host {
                    is_narrower(theirs, mine, urls)
                } else {
                    is_narrower(&their_host, &my_host, urls)
                };
                !is_hidden
            })
        })
    }
}

fn hosts() -> impl Strategy<Value = String> {
    let labels = || select(vec!["a", "b", "xa"]);
    prop_oneof![
        Just("example.com".to_owned()),
        labels().prop_map(|label| format!("{label}.example.com")),
        (labels(), labels()).prop_map(|(one, other)| format!("{one}.{other}.example.com")),
    ]
}

fn paths() -> impl Strategy<Value = String> {
    proptest::collection::vec(select(vec!["v1", "v", "v2"]), 0..3).prop_flat_map(|segments| {
        let path = segments.iter().map(|segment| format!("/{segment}")).collect::<String>();
        select(vec![path.clone(), path + "/"])
    })
}

fn urls() -> impl Strategy<Value = String> {
    (select(vec!["https", "http"]), hosts(), select(vec!["", ":443", ":80", ":8443"]), paths())
        .prop_map(|(scheme, host, port, path)| format!("{scheme}://{host}{port}{path}"))
}

fn entries() -> impl Strategy<Value = String> {
    (any::<bool>(), urls()).prop_map(|(is_wildcard, url)| match is_wildcard {
        true => url.replacen("://", "://*.", 1),
        false => url,
    })
}

/// Every URL that the strategies above can make, and some below: two entries differ in one of these or are the same.
fn all_urls() -> Vec<String> {
    let labels = ["a", "b", "xa"];
    let mut hosts = vec!["example.com".to_owned()];
    for _ in 0..3 {
        let below: Vec<String> = hosts.iter().flat_map(|host| labels.map(|label| format!("{label}.{host}"))).collect();
        hosts.extend(below);
        hosts.sort();
        hosts.dedup();
    }
    let mut paths = vec![String::new()];
    for _ in 0..3 {
        let below: Vec<String> = paths.iter().flat_map(|path| ["v1", "v"].map(|it| format!("{path}/{it}"))).collect();
        paths.extend(below);
        paths.sort();
        paths.dedup();
    }
    let with_slash: Vec<String> = paths.iter().map(|path| format!("{path}/")).collect();
    paths.extend(with_slash);
    let mut urls = Vec::new();
    for host in &hosts {
        for path in &paths {
            urls.push(format!("https://{host}{path}"));
        }
    }
    urls
}

/// Entries of another scheme or port never match one request, so that narrower is the same among those with this one.
fn plain(entry: &str) -> String {
    let (_, rest) = entry.split_once("://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("https://{}{path}", authority.split(':').next().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_decision_is_the_obvious_one(entries in proptest::collection::vec(entries(), 0..5), url in urls()) {
        let rules: Vec<Rule> = entries.iter().map(|entry| rule(entry)).collect();
        let found = decide(&rules, &Method::GET, &target(&url)).ok();
        let fits = |entry: &String| {
            let (entry, url) = (obvious::pieces(entry), obvious::pieces(&url));
            entry.is_on(&url)
        };
        // Only entries of this scheme and port are left, under one spelling of both.
        let left: Vec<(usize, String)> =
            entries.iter().enumerate().filter(|(_, entry)| fits(entry)).map(|(place, it)| (place, plain(it))).collect();
        let texts: Vec<String> = left.iter().map(|(_, text)| text.clone()).collect();
        let expected = obvious::decide(&texts, &plain(&url), &all_urls()).map(|place| left[place].0);
        // Equal entries are one.
        prop_assert_eq!(found.map(|place| &rules[place]), expected.map(|place| &rules[place]), "{:?} {}", entries, url);
    }

    #[test]
    fn any_spelling_of_a_host_is_decided_alike(url in urls(), entry in entries(), capitals in any::<u64>()) {
        let odd: String = url.chars().enumerate().map(|(at, char)| {
            let is_path = url[..at].matches('/').count() > 2;
            if !is_path && capitals >> (at % 64) & 1 == 1 { char.to_ascii_uppercase() } else { char }
        }).collect();
        let odd = odd.replacen(".com", ".com.", 1).replacen(".COM", ".COM.", 1);
        let rules = [rule(&entry)];
        let decided = |url: &str| decide(&rules, &Method::GET, &target(url)).is_ok();
        prop_assert_eq!(decided(&url), decided(&odd), "{} {}", entry, odd);
    }

    #[test]
    fn an_address_is_itself_in_every_spelling(bits in any::<u32>(), other in any::<u32>()) {
        let address = std::net::Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = address.octets();
        for text in [
            format!("{bits}"),
            format!("0x{bits:x}"),
            format!("0{bits:o}"),
            format!("{a}.{b}.{}", u32::from(c) << 8 | u32::from(d)),
            format!("0x{a:x}.0{b:o}.{c}.{d}."),
            format!("[::ffff:{address}]"),
        ] {
            prop_assert_eq!(Host::parse(&text), Ok(Host::Address(address.into())), "{}", text);
            prop_assert_eq!(Host::parse(&text) == Host::parse(&other.to_string()), bits == other);
        }
    }
}
