//! The network of a guest that was granted none.

use std::future::Future;

use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody, WasiHttpHooks};

/// Bytes of a request's body that the host buffers before it is sent: two such chunks for each body. Together with
/// the bound of resources it bounds what a guest can make the host hold, beyond its own memory, to some dozen megabytes.
const BODY_CHUNK_BYTES: usize = 8 * 1024;

/// Denies every request, before a name is resolved.
pub(super) struct NoNetwork;

type Sending<T> = Box<dyn Future<Output = Result<T, HttpError>> + Send>;

impl WasiHttpHooks for NoNetwork {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _body_sent: Sending<()>,
    ) -> Sending<(http::Response<WasiBody>, Sending<()>)> {
        Box::new(std::future::ready(Err(HttpError::HttpRequestDenied)))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }
}
