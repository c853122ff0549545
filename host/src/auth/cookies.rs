//! Cookies of a login under way: one for its consent form, one that binds it to the browser that approved it.
//!
//! Each login has its own, so that two tabs do not disturb each other. Their names begin with `__Host-`, so that no
//! other host of the same domain can set them; over plain http, which is for loopback only, browsers take no such names.

use axum::response::Response;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

use super::transaction::{LIFE_S, TransactionId};

/// Logins of one browser that may be under way. Each costs every request of that browser some hundred bytes.
const LOGINS_MAX: usize = 10;

/// The purpose of a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// Set with the consent form, and wanted back with it.
    Csrf,
    /// Set on approval, and wanted back when the provider sends the browser here.
    Login,
}

/// The cookies of this server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cookies {
    pub(super) is_https: bool,
}

impl Cookie {
    fn stem(self) -> &'static str {
        match self {
            Self::Csrf => "tmcp_csrf_",
            Self::Login => "tmcp_login_",
        }
    }
}

impl Cookies {
    fn prefix(self) -> &'static str {
        if self.is_https { "__Host-" } else { "" }
    }

    fn name(self, cookie: Cookie, id: &TransactionId) -> String {
        format!("{}{}{id}", self.prefix(), cookie.stem())
    }

    /// The value that the browser sent. One that was sent twice is nobody's.
    pub(super) fn get<'h>(self, headers: &'h HeaderMap, cookie: Cookie, id: &TransactionId) -> Option<&'h str> {
        one(headers, &self.name(cookie, id))
    }

    /// Sets a cookie.
    pub(super) fn set(self, response: &mut Response, cookie: Cookie, id: &TransactionId, value: &str) {
        self.append(response, &self.name(cookie, id), value, LIFE_S);
    }

    /// Keeps the browser bound to a login that has come back from the provider, and takes its other cookie away.
    pub(super) fn keep(self, response: &mut Response, id: &TransactionId, binding: &str) {
        self.append(response, &self.name(Cookie::Csrf, id), "", 0);
        self.set(response, Cookie::Login, id, binding);
    }

    /// Takes both cookies of a login away.
    pub(super) fn clear(self, response: &mut Response, id: &TransactionId) {
        for cookie in [Cookie::Csrf, Cookie::Login] {
            self.append(response, &self.name(cookie, id), "", 0);
        }
    }

    /// Takes the oldest logins away that this browser has too many of. Ids begin with their time.
    pub(super) fn make_room(self, headers: &HeaderMap, response: &mut Response) {
        for cookie in [Cookie::Csrf, Cookie::Login] {
            let start = format!("{}{}", self.prefix(), cookie.stem());
            let mut names: Vec<&str> =
                all(headers).map(|(name, _)| name).filter(|name| name.starts_with(&start)).collect();
            names.sort_unstable();
            // Not all at once of those whom somebody else has planted: proxies refuse long heads.
            let over = (names.len() + 1).saturating_sub(LOGINS_MAX).min(LOGINS_MAX);
            for name in names.into_iter().take(over) {
                self.append(response, name, "", 0);
            }
        }
    }

    fn append(self, response: &mut Response, name: &str, value: &str, max_age_s: u64) {
        write(response, name, value, max_age_s, self.is_https);
    }
}

/// Writes a cookie of this server.
pub(super) fn write(response: &mut Response, name: &str, value: &str, max_age_s: u64, is_https: bool) {
    let secure = if is_https { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// The value of a cookie. One that was sent twice is nobody's.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = all(headers).filter(|(other, _)| *other == name).map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Every cookie of a request (RFC 6265 §5.4).
fn all(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_by(write: impl Fn(&mut Response)) -> Vec<String> {
        let mut response = Response::default();
        write(&mut response);
        let set = response.headers().get_all(SET_COOKIE).iter();
        set.map(|cookie| cookie.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn cookies_are_for_this_host_alone() {
        let id = TransactionId::new(1);
        let https = set_by(|response| Cookies { is_https: true }.set(response, Cookie::Csrf, &id, "v"));
        let expected = format!("__Host-tmcp_csrf_{id}=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(https, [expected]);
        let http = set_by(|response| Cookies { is_https: false }.set(response, Cookie::Login, &id, "v"));
        assert_eq!(http, [format!("tmcp_login_{id}=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax")]);
    }

    #[test]
    fn a_cookie_is_read_by_its_login_and_only_once() {
        let (id, other) = (TransactionId::new(1), TransactionId::new(2));
        let cookies = Cookies { is_https: true };
        let mut headers = HeaderMap::new();
        let line = format!("a=b; __Host-tmcp_csrf_{id}=v; __Host-tmcp_csrf_{other}=w; __Host-tmcp_csrf_{other}=x");
        headers.insert(COOKIE, line.parse().unwrap());
        assert_eq!(cookies.get(&headers, Cookie::Csrf, &id), Some("v"));
        assert_eq!(cookies.get(&headers, Cookie::Csrf, &other), None);
        assert_eq!(cookies.get(&headers, Cookie::Login, &id), None);
    }

    #[test]
    fn the_oldest_logins_make_room() {
        let ids: Vec<TransactionId> = (1..=12).map(TransactionId::new).collect();
        let line: Vec<String> = ids.iter().rev().map(|id| format!("tmcp_csrf_{id}=v")).collect();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, line.join("; ").parse().unwrap());
        let cleared = set_by(|response| Cookies { is_https: false }.make_room(&headers, response));
        assert_eq!(cleared.len(), 3);
        assert!(cleared[0].starts_with(&format!("tmcp_csrf_{}=;", ids[0])), "{cleared:?}");
    }
}
