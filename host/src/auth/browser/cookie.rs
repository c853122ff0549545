//! The cookie by which a browser is known.
//!
//! Scripts cannot read it, no other site's request but a followed link carries it, and over https no other host can set
//! it (`__Host-`). Over plain http, which is for loopback only, its name has the port: browsers share the cookies of one
//! host among its ports, and several servers may run there.

use axum::response::Response;
use http::HeaderMap;

use crate::auth::cookies;
use crate::auth::sessions::browser::LIFE;
use crate::config::address::BaseUrl;

/// The cookie of one server.
#[derive(Debug, Clone)]
pub(in crate::auth) struct BrowserCookie {
    name: String,
    is_https: bool,
}

impl BrowserCookie {
    pub(in crate::auth) fn of(base_url: &BaseUrl) -> Self {
        let name = match base_url.is_https() {
            true => "__Host-tmcp_session".to_owned(),
            false => format!("tmcp_session_{}", base_url.port_or_known_default().unwrap_or_default()),
        };
        Self { name, is_https: base_url.is_https() }
    }

    /// The value that the browser sent. One that was sent twice is nobody's.
    pub(super) fn get<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        cookies::one(headers, &self.name)
    }

    pub(super) fn set(&self, response: &mut Response, value: &str) {
        cookies::write(response, &self.name, value, LIFE.as_secs(), self.is_https);
    }

    pub(super) fn clear(&self, response: &mut Response) {
        cookies::write(response, &self.name, "", 0, self.is_https);
    }
}

#[cfg(test)]
mod tests {
    use http::header::{COOKIE, SET_COOKIE};

    use super::*;

    fn cookie(base_url: &str) -> BrowserCookie {
        BrowserCookie::of(&base_url.parse().unwrap())
    }

    #[test]
    fn it_is_for_this_server_alone_and_for_no_script() {
        for (base_url, expected) in [
            ("https://mcp.example.com", "__Host-tmcp_session=v; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure"),
            ("http://localhost:8000", "tmcp_session_8000=v; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"),
            ("http://127.0.0.1", "tmcp_session_80=v; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"),
        ] {
            let mut response = Response::default();
            cookie(base_url).set(&mut response, "v");
            assert_eq!(response.headers()[SET_COOKIE], expected);
        }
    }

    #[test]
    fn two_of_them_are_none() {
        let read = |line: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, line.parse().unwrap());
            cookie("http://localhost:8000").get(&headers).map(str::to_owned)
        };
        assert_eq!(read("a=b; tmcp_session_8000=v").as_deref(), Some("v"));
        assert_eq!(read("tmcp_session_8001=v"), None);
        assert_eq!(read("tmcp_session_8000=v; tmcp_session_8000=w"), None);
    }
}
