//! The body of a request, whole.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt as _;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::budget::{Account, Part};
use crate::mcp::answer::{error_response, overdrawn};

/// Time for a client to send its request's body.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A body of so many bytes does not count: most are smaller, and looking an account up takes time.
const SMALL_BYTES: usize = 4096;

/// Reads a body of at most so many bytes, which count against its sender's account for as long as they are there.
///
/// # Errors
/// The answer to a body that is larger, or does not arrive whole or in time, or for which there is no memory.
pub(super) async fn read(
    body: Body,
    max_bytes: usize,
    account: impl FnOnce() -> Arc<Account>,
) -> Result<Bytes, Box<Response>> {
    let refuse = |status, message: &str| Err(Box::new(error_response(status, message)));
    let too_large = || {
        let message = format!("the request is larger than {max_bytes} bytes (`server.body`)");
        refuse(StatusCode::PAYLOAD_TOO_LARGE, &message)
    };
    // The head may tell already.
    let size = http_body::Body::size_hint(&body);
    if size.lower() > max_bytes as u64 {
        return too_large();
    }
    let most_bytes = size.upper().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(max_bytes).min(max_bytes);
    let held = match most_bytes {
        ..=SMALL_BYTES => None,
        _ => match account().hold(Part::Bodies, most_bytes).await {
            Ok(held) => Some(held),
            Err(refusal) => return Err(Box::new(overdrawn(refusal, None))),
        },
    };
    let mut whole = Limited::new(body, max_bytes).collect();
    // Most bodies are there with their heads, and need no timer.
    let arrived = match (&mut whole).now_or_never() {
        Some(arrived) => Ok(arrived),
        None => tokio::time::timeout(TIMEOUT, whole).await,
    };
    let body = match arrived {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return too_large(),
        Ok(Err(_)) => return refuse(StatusCode::BAD_REQUEST, "the request's body ended early"),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the request's body did not arrive in time"),
    };
    Ok(match held {
        None => body,
        Some(held) => {
            held.shrink(most_bytes - body.len());
            held.owned_by(body)
        }
    })
}
