//! Failures as `wasi:http` has them.

use std::io::ErrorKind;

use wasmtime_wasi_http::Error as HttpError;

use crate::egress::Failure;

/// The code of `wasi:http` for a failure.
pub(super) fn code(failure: &Failure) -> HttpError {
    match failure {
        Failure::Refused(_) => HttpError::HttpRequestDenied,
        Failure::Unreachable(error) => match error.kind() {
            ErrorKind::ConnectionRefused => HttpError::ConnectionRefused,
            ErrorKind::TimedOut => HttpError::ConnectionTimeout,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => HttpError::DestinationIpUnroutable,
            _ => HttpError::DestinationUnavailable,
        },
        Failure::ConnectTimeout => HttpError::ConnectionTimeout,
        Failure::TooManyConnections => HttpError::ConnectionLimitReached,
        Failure::Certificate(_) => HttpError::TlsCertificateError,
        Failure::Tls(_) => HttpError::TlsProtocolError,
        Failure::Proxy(_) => HttpError::DestinationUnavailable,
        Failure::AnswerTimeout => HttpError::HttpResponseTimeout,
        Failure::Ended => HttpError::ConnectionTerminated,
        Failure::Incomplete => HttpError::HttpResponseIncomplete,
        Failure::HeadTooLarge => HttpError::HttpResponseHeaderSectionSize(None),
        Failure::Protocol(_) => HttpError::HttpProtocolError,
    }
}
