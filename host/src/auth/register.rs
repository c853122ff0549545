//! `POST /register`: dynamic client registration, see [`super::clients::registration`].

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;

use super::clients::registration::{self, BODY_BYTES_MAX};
use super::errors::OAuthError;
use super::limits::Bucket;
use super::parameters::{self, BodyError};
use super::server::AuthorizationServer;
use crate::clock::now_s;

/// Serves the registration endpoint.
pub(crate) async fn register(server: &Arc<AuthorizationServer>, address: IpAddr, body: Body) -> Response {
    let answer = async {
        server.limits.count(Bucket::Register, address)?;
        let body = parameters::read(body, BODY_BYTES_MAX).await.map_err(|error| match error {
            BodyError::TooLarge => OAuthError::TooLarge { max_bytes: BODY_BYTES_MAX },
            BodyError::Overload => OAuthError::unavailable(),
            BodyError::Incomplete | BodyError::NotAForm => {
                OAuthError::InvalidClientMetadata(BodyError::Incomplete.message().to_owned())
            }
        })?;
        registration::register(&server.clients, &body, now_s())
    };
    answer.await.unwrap_or_else(|error| error.response())
}
