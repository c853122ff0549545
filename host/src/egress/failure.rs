//! The reasons that a granted request has no answer. The texts are for the log.

use std::error::Error;
use std::io;

use crate::grants::address::AddressRefusal;

/// The reason that a request has no answer, or that an answer has no end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The host has an address that may not be dialled, or none.
    #[error(transparent)]
    Refused(#[from] AddressRefusal),
    /// No address took the connection.
    #[error("no connection: {0}")]
    Unreachable(io::Error),
    /// No address took the connection in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// This server has as many connections open as it may.
    #[error("too many connections are open")]
    TooManyConnections,
    /// The certificate of the other side is not trusted.
    #[error("the certificate is not trusted: {0}")]
    Certificate(String),
    /// There is no TLS with the other side.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The proxy makes no tunnel.
    #[error("the proxy of `egress.proxy` makes no tunnel: {0}")]
    Proxy(String),
    /// The answer did not begin in time.
    #[error("no answer in time")]
    AnswerTimeout,
    /// The connection ended before the answer.
    #[error("the connection ended before the answer")]
    Ended,
    /// The connection ended within the answer.
    #[error("the connection ended within the answer")]
    Incomplete,
    /// The head of the answer is larger than it may be.
    #[error("the head of the answer is too large")]
    HeadTooLarge,
    /// The answer is no HTTP.
    #[error("the answer is no HTTP: {0}")]
    Protocol(String),
}

impl Failure {
    /// Sorts an error of the connection, before the answer or within it.
    pub(super) fn of(error: &hyper::Error, is_within: bool) -> Self {
        let broken = if is_within { Self::Incomplete } else { Self::Ended };
        if error.is_parse_too_large() {
            return Self::HeadTooLarge;
        }
        if error.is_parse() || error.is_parse_status() {
            return Self::Protocol(error.to_string());
        }
        let source: Option<&(dyn Error + 'static)> = error.source();
        match source.and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind) {
            // Chunks that are none, and sizes that are no numbers.
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Self::Protocol(error.to_string()),
            _ => broken,
        }
    }

    /// Sorts an error of a handshake.
    pub(super) fn of_tls(error: &io::Error) -> Self {
        let cause = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match cause {
            Some(rustls::Error::InvalidCertificate(reason)) => Self::Certificate(reason.to_string()),
            Some(other) => Self::Tls(other.to_string()),
            None => Self::Tls(error.to_string()),
        }
    }
}
