//! One HTTP/2 connection without TLS, with one request at a time. Its frames are hyper's: a generator of our own would not
//! be cheaper by much.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// The connection, and the last answer that came.
pub(crate) struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    uri: Uri,
    answer: Bytes,
    task: JoinHandle<()>,
}

impl Http2 {
    /// # Errors
    /// What the system says.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, uri: format!("http://{address}/mcp").parse()?, answer: Bytes::new(), task })
    }

    /// Sends a POST and reads the whole answer: its status, the id of a session that begins, and its body.
    ///
    /// # Errors
    /// A connection that broke.
    pub(crate) async fn exchange(
        &mut self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> anyhow::Result<(u16, Option<String>, &[u8])> {
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers.clone();
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        self.answer = body.collect().await?.to_bytes();
        let session_id = head.headers.get("mcp-session-id").map(HeaderValue::to_str).transpose()?.map(str::to_owned);
        Ok((head.status.as_u16(), session_id, &self.answer))
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The headers of a head as HTTP/1.1 has it: without its first line, and without `Host`, which is in the URI.
///
/// # Errors
/// When a line is no header.
pub(crate) fn headers(head: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in head.lines().skip(1).filter(|line| !line.starts_with("host:")) {
        let (name, value) = line.split_once(": ").context("a line of a head is no header")?;
        headers.insert(name.parse::<HeaderName>()?, value.parse()?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_same_in_both_versions() {
        let headers = headers("POST /mcp HTTP/1.1\r\nhost: here\r\naccept: a, b\r\nmcp-name: add\r\n").unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!((&headers["accept"], &headers["mcp-name"]), (&"a, b".parse().unwrap(), &"add".parse().unwrap()));
    }
}
