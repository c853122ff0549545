//! The body of a request, whole.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt as _;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::mcp::answer::error_response;

/// Time for a client to send its request's body.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body of at most so many bytes.
///
/// # Errors
/// The answer to a body that is larger, or does not arrive whole or in time.
pub(super) async fn read(body: Body, max_bytes: usize) -> Result<Bytes, Box<Response>> {
    let refuse = |status, message: &str| Err(Box::new(error_response(status, message)));
    let too_large = || {
        let message = format!("the request is larger than {max_bytes} bytes (`server.body`)");
        refuse(StatusCode::PAYLOAD_TOO_LARGE, &message)
    };
    // The head may tell already.
    if http_body::Body::size_hint(&body).lower() > max_bytes as u64 {
        return too_large();
    }
    let mut whole = Limited::new(body, max_bytes).collect();
    // Most bodies are there with their heads, and need no timer.
    let arrived = match (&mut whole).now_or_never() {
        Some(arrived) => Ok(arrived),
        None => tokio::time::timeout(TIMEOUT, whole).await,
    };
    match arrived {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => too_large(),
        Ok(Err(_)) => refuse(StatusCode::BAD_REQUEST, "the request's body ended early"),
        Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "the request's body did not arrive in time"),
    }
}
