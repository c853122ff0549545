//! Who may call, and who it is.
//!
//! There is one provider so far, `none`: nobody is asked, and everybody on this machine may call.

pub mod explain;
pub mod upstream;

use http::HeaderMap;

use crate::http::server::Peer;
use crate::principal::Principal;

/// Headers by which a proxy says that it forwards somebody else's request.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

/// How callers are told apart.
#[derive(Debug, Clone)]
pub enum Auth {
    /// `auth.provider = "none"`.
    None,
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The server has no login and the caller is on another machine.
    #[error("without login (`auth.provider = \"none\"`) this server serves its own machine only")]
    NotLocal,
    /// The server has no login and a proxy may be forwarding a stranger.
    #[error("without login (`auth.provider = \"none\"`) this server takes no request that a proxy has forwarded")]
    Forwarded,
}

impl Auth {
    /// Finds out who sent a request.
    ///
    /// # Errors
    /// [`Refusal`]: the request must not be served.
    pub fn authenticate(&self, peer: &Peer, headers: &HeaderMap) -> Result<Principal, Refusal> {
        match self {
            Self::None => {
                if !peer.address.ip().to_canonical().is_loopback() {
                    return Err(Refusal::NotLocal);
                }
                if FORWARDED.iter().any(|name| headers.contains_key(*name)) {
                    return Err(Refusal::Forwarded);
                }
                Ok(Principal::anonymous())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_login_only_this_machine_is_served() {
        let peer = |address: &str| Peer { address: address.parse().unwrap() };
        let plain = HeaderMap::new();
        let mut forwarded = HeaderMap::new();
        forwarded.insert("x-forwarded-for", "127.0.0.1".parse().unwrap());
        assert!(Auth::None.authenticate(&peer("127.0.0.1:1"), &plain).is_ok());
        assert!(Auth::None.authenticate(&peer("[::ffff:127.0.0.1]:1"), &plain).is_ok());
        assert_eq!(Auth::None.authenticate(&peer("192.0.2.1:1"), &plain), Err(Refusal::NotLocal));
        assert_eq!(Auth::None.authenticate(&peer("[::1]:1"), &forwarded), Err(Refusal::Forwarded));
    }
}
