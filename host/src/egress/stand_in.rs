//! One that stands in for all hosts, in tests of plugins: nothing is looked up and nothing real is dialled.
//!
//! A request comes here after it was decided on, over a connection that is written and read like any other, only that it
//! lies in memory and has no TLS.

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;

use super::dial::Stream;
use super::resolver::Resolve;
use crate::grants::decide::sent_path;
use crate::grants::origin::Origin;
use crate::grants::rule::Rule;
use crate::grants::target::Target;

/// Bytes that wait in the connection, in each direction: as in a socket, a writer may have to wait for its reader.
const BUFFER_BYTES: usize = 64 * 1024;

/// Answers in the place of every host.
pub trait StandIn: Debug + Send + Sync + 'static {
    /// The answer to a request that was granted, credentials put in; none ends the connection without one. The URL is
    /// the request's own: `https://api.example.com/status?x=1`.
    fn answer(&self, url: &str, request: Request<Bytes>) -> Option<Response<Bytes>>;

    /// Hears of a request that was not granted.
    fn denied(&self, method: &Method, url: &str);
}

/// The reason that a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("nobody stands in for this request")]
    Nobody,
    #[error(transparent)]
    Request(#[from] hyper::Error),
}

/// A connection to the one that stands in for this target's host.
pub(super) fn connect(stand_in: &Arc<dyn StandIn>, target: &Target, handle: &Handle) -> Stream {
    let (near, far) = tokio::io::duplex(BUFFER_BYTES);
    let (stand_in, origin) = (Arc::clone(stand_in), target.to_string());
    let service = service_fn(move |request: Request<Incoming>| {
        let (stand_in, url) = (Arc::clone(&stand_in), format!("{origin}{}", request.uri()));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let answer = stand_in.answer(&url, Request::from_parts(head, body)).ok_or(Unanswered::Nobody)?;
            Ok::<_, Unanswered>(answer.map(Full::new))
        }
    });
    handle.spawn(async move {
        // What ends it is told by whoever reads at the other side.
        let _ = http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(far), service).await;
    });
    Box::new(near)
}

/// The URL of a request that was not granted, as it would have been sent.
pub(super) fn url_of(target: &Target) -> String {
    format!("{target}{}", sent_path(&Rule::to(Origin::of(target)), target))
}

/// Knows no name.
#[derive(Debug)]
pub(super) struct NoNames;

#[async_trait::async_trait]
impl Resolve for NoNames {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        Err(io::ErrorKind::NotFound.into())
    }
}
