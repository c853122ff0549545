//! The reasons for which something of a registry cannot be had, with the cure where one is known.

use http::StatusCode;

use super::digest::Digest;
use crate::fetch::FetchError;

/// One of them. Texts of a registry in it are fit to be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OciError {
    #[error("`{host}` cannot be reached: {source}")]
    Unreachable { host: String, source: FetchError },
    #[error("`{host}` answers with status {code}{said}", code = .status.as_u16())]
    Status { host: String, status: StatusCode, said: String },
    #[error(
        "`{repository}` has no `{what}`: compare the name with what the registry lists, and log in if it is private"
    )]
    NotFound { repository: String, what: String },
    #[error(
        "`{host}` asks for a login{said}: `docker login {host}` as the user that the server runs as, or name another directory with its `config.json` in DOCKER_CONFIG"
    )]
    Unauthorized { host: String, said: String },
    #[error("`{host}` does not let this login do that{said}")]
    Forbidden { host: String, said: String },
    #[error(
        "`{host}` sends logins to `{realm}`, which is another host: nothing was sent there; if it belongs to that registry, write `realms = [\"{realm}\"]` in `[registry.\"{host}\"]`"
    )]
    Realm { host: String, realm: String },
    #[error("`{host}` sends logins to a URL that is not https: nothing was sent there")]
    PlainRealm { host: String },
    #[error("`{host}` asks for a login over plain http: credentials are sent by https, or on loopback, alone")]
    PlainLogin { host: String },
    #[error("`{host}` asks for a login in a way that is not known here: {said}")]
    Challenge { host: String, said: String },
    #[error("{0}")]
    Credentials(String),
    #[error("`{host}` leads to `{to}`, {why}")]
    Redirect { host: String, to: String, why: &'static str },
    #[error("what `{host}` gave for {expected} has another digest: {found}")]
    Digest { host: String, expected: Digest, found: Digest },
    #[error("what `{host}` gave for {digest} is {found}, and not the {expected} bytes that it announced")]
    Size { host: String, digest: Digest, expected: u64, found: &'static str },
    #[error("its component is of {size} bytes, more than `limits.file` allows ({limit})")]
    TooLarge { size: u64, limit: u64 },
    #[error("{0}")]
    Manifest(String),
    #[error("{0}")]
    Package(String),
    #[error("{0}")]
    Signature(String),
    #[error("cannot be kept: {0}")]
    Kept(#[from] std::io::Error),
}

impl OciError {
    /// True if another try may go otherwise without anybody's doing.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Kept(_) => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            // A registry, a proxy or a mirror that is being mended.
            Self::Digest { .. } | Self::Size { .. } | Self::NotFound { .. } | Self::Unauthorized { .. } => true,
            Self::Forbidden { .. }
            | Self::Realm { .. }
            | Self::PlainRealm { .. }
            | Self::PlainLogin { .. }
            | Self::Challenge { .. }
            | Self::Credentials(_)
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::Manifest(_)
            | Self::Package(_)
            | Self::Signature(_) => false,
        }
    }
}
