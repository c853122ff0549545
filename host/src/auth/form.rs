//! The forms of clients at `/token`, `/revoke` and `/device_authorization`.

use axum::body::Body;
use http::HeaderMap;

use super::errors::OAuthError;
use super::parameters::{self, BodyError, FORM_BYTES_MAX, Parameters};

/// The parameters of a request to one of the endpoints for clients.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Parameters, OAuthError> {
    let form = parameters::read_form(headers, body).await.map_err(|error| match error {
        BodyError::TooLarge => OAuthError::TooLarge { max_bytes: FORM_BYTES_MAX },
        BodyError::Overload => OAuthError::unavailable(),
        BodyError::Incomplete | BodyError::NotAForm => OAuthError::InvalidRequest(error.message().to_owned()),
    })?;
    // Two resources are an error of their own (RFC 8707 §2).
    form.expect_single(&["resource"])?;
    Ok(form)
}

/// The error for a parameter that is not there.
pub(super) fn missing(name: &str) -> OAuthError {
    OAuthError::InvalidRequest(format!("parameter `{name}` is missing"))
}
