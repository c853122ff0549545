//! The built-in login page.

use url::Url;

use super::{Callback, Login, LoginError, UpstreamRequest};

/// The built-in login page.
pub struct Local;

impl Local {
    pub(super) fn authorize_url(&self, _: &UpstreamRequest) -> Url {
        Url::parse("http://localhost/local/authorize").expect("a URL")
    }

    pub(super) fn log_in(&self, _: &Callback, _: &UpstreamRequest) -> Result<Login, LoginError> {
        Err(LoginError::Broken { cause: "not here yet".to_owned() })
    }
}
