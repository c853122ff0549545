//! The credentials of a request, with the caller's own token of the identity provider where an entry says `as = "login"`.
//!
//! The token is asked for when a request of such an entry is sent, and belongs to that request.

use wasmtime_wasi_http::Error as HttpError;

use super::call::Call;
use super::record;
use crate::grants::HttpGrant;
use crate::grants::credentials::{Identity, Ready};
use crate::grants::target::Target;
use crate::principal::{NoLoginToken, Principal};

impl Call {
    /// What is put into a request of an entry.
    ///
    /// # Errors
    /// The request is refused: there is no token.
    pub(super) async fn credentials(
        &self,
        target: &Target,
        entry: &HttpGrant,
        caller: Option<&Principal>,
    ) -> Result<Ready, HttpError> {
        let token = match (entry.credentials.identity(), caller) {
            (Some(Identity::Login), Some(caller)) => {
                Some(caller.login_token().await.map_err(|error| self.refuse_login(target, error))?)
            }
            (Some(Identity::Login) | None, _) => None,
        };
        entry.credentials.of_call(token.as_ref()).map_err(|error| self.refuse(target, &error, None))
    }

    /// Refuses a request that is granted, and tells its caller what to do.
    fn refuse_login(&self, target: &Target, error: NoLoginToken) -> HttpError {
        self.note(format!("no request to {target}: {error}"));
        record::refused(&self.plugin, &self.digest, target, &error, None);
        HttpError::HttpRequestDenied
    }
}
