//! Cookies as browsers keep them (RFC 6265bis): by host, without regard to the port.

use std::time::{Duration, Instant};

use url::Url;

use crate::http::Answer;

/// One cookie.
#[derive(Clone, Debug)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The attributes as they were written.
    pub attributes: String,
    host: String,
    path: String,
    expires: Option<Instant>,
}

/// All cookies of a browser.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    /// Those that are kept.
    pub cookies: Vec<Cookie>,
    /// Every `Set-Cookie` that came, deletions included.
    pub seen: Vec<String>,
}

impl Jar {
    /// Keeps what an answer sets.
    ///
    /// # Panics
    /// If a browser would drop it: no cookie here is meant to be dropped.
    pub fn take(&mut self, url: &Url, answer: &Answer) {
        for line in answer.all("set-cookie") {
            self.seen.push(line.to_owned());
            let cookie = parse(url, line);
            self.cookies
                .retain(|kept| (&kept.name, &kept.host, &kept.path) != (&cookie.name, &cookie.host, &cookie.path));
            if cookie.expires.is_none_or(|expires| expires > Instant::now()) {
                self.cookies.push(cookie);
            }
        }
    }

    /// The `Cookie` header for a URL; empty without cookies.
    pub fn header(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let is_for = |cookie: &&Cookie| {
            cookie.host == host
                && path_matches(url.path(), &cookie.path)
                && cookie.expires.is_none_or(|expires| expires > Instant::now())
        };
        let pairs = self.cookies.iter().filter(is_for).map(|cookie| format!("{}={}", cookie.name, cookie.value));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// The cookies whose names hold a text.
    pub fn named(&self, part: &str) -> Vec<&Cookie> {
        self.cookies.iter().filter(|cookie| cookie.name.contains(part)).collect()
    }

    /// Forgets the cookies whose names hold a text.
    pub fn forget(&mut self, part: &str) {
        self.cookies.retain(|cookie| !cookie.name.contains(part));
    }
}

fn parse(url: &Url, line: &str) -> Cookie {
    let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
    let (name, value) = pair.split_once('=').unwrap_or_else(|| panic!("no cookie: {line}"));
    let attribute = |wanted: &str| {
        attributes.split(';').find_map(|attribute| {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    let host = url.host_str().unwrap_or_default();
    // Chromium and Firefox take `Secure` on loopback, Safari does not.
    let is_trustworthy = url.scheme() == "https";
    assert!(attribute("secure").is_none() || is_trustworthy, "dropped by Safari: {line}");
    assert!(attribute("domain").is_none(), "no cookie of ours has a domain: {line}");
    if name.starts_with("__Host-") {
        assert!(attribute("secure").is_some() && attribute("path").as_deref() == Some("/"), "dropped: {line}");
    }
    let life = attribute("max-age").map(|age| age.parse::<i64>().unwrap_or_else(|_| panic!("no age: {line}")));
    // Deletion without an age; other dates are those of the record, which outlives a test.
    let is_over = attribute("expires").is_some_and(|date| date.contains(" 1970 "));
    let life = life.or(is_over.then_some(0));
    let expires = life.map(|seconds| Instant::now() + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    Cookie {
        name: name.trim().to_owned(),
        value: value.trim().to_owned(),
        attributes: attributes.trim().to_owned(),
        host: host.to_owned(),
        path: attribute("path").filter(|path| path.starts_with('/')).unwrap_or_else(|| "/".to_owned()),
        expires,
    }
}

fn path_matches(path: &str, cookie_path: &str) -> bool {
    path == cookie_path
        || path.strip_prefix(cookie_path).is_some_and(|rest| cookie_path.ends_with('/') || rest.starts_with('/'))
}
