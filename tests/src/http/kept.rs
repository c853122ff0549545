//! A connection that is kept for many requests, one at a time, as real clients have it.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{Answer, Connection, Request};

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, known beforehand.
    Http2,
}

/// The connection.
pub struct Kept {
    sender: Sender,
    _connection: Connection,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Kept {
    /// Connects.
    ///
    /// # Errors
    /// The error of the system or of hyper.
    pub async fn open(address: SocketAddr, version: Version) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        let (sender, task) = match version {
            Version::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                (Sender::Http1(sender), tokio::spawn(async move { drop(connection.await) }))
            }
            Version::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                (Sender::Http2(sender), tokio::spawn(async move { drop(connection.await) }))
            }
        };
        Ok(Self { sender, _connection: Connection(task) })
    }

    /// Sends a request, and waits for the whole answer.
    ///
    /// # Errors
    /// The error of hyper, if there is none.
    pub async fn send(&mut self, request: Request) -> anyhow::Result<Answer> {
        let mut sent = http::Request::new(Full::new(request.body));
        *sent.method_mut() = request.method;
        *sent.headers_mut() = request.headers;
        let answer = match &mut self.sender {
            Sender::Http1(sender) => {
                *sent.uri_mut() = request.path.parse()?;
                sender.ready().await?;
                sender.send_request(sent).await?
            }
            Sender::Http2(sender) => {
                // In `:authority` instead.
                let host = sent.headers_mut().remove(http::header::HOST);
                let host = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
                *sent.uri_mut() = format!("http://{host}{}", request.path).parse()?;
                sender.ready().await?;
                sender.send_request(sent).await?
            }
        };
        let (head, body) = answer.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.collect().await?.to_bytes() })
    }
}
