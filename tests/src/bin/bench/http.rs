//! One HTTP/1.1 connection, kept alive and cheap: a generator should cost little beside the server that it loads.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Headers of one answer. Ours have about ten.
const MAX_HEADERS: usize = 32;

/// A connection with one request at a time.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// The start of the part of `received` that was not taken yet.
    at: usize,
    /// A body that came in chunks, put together.
    joined: Vec<u8>,
}

/// The head of an answer.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) session_id: Option<String>,
    body: Body,
}

#[derive(Clone, Copy)]
enum Body {
    Sized(usize),
    Chunked,
}

impl Connection {
    /// # Errors
    /// What the system says.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096), at: 0, joined: Vec::new() })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// A connection that broke, or an answer that is not HTTP.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(Head, &[u8])> {
        let head = self.send(request).await?;
        match head.body {
            Body::Sized(size) => {
                let start = self.at;
                while self.received.len() < start + size {
                    self.receive().await?;
                }
                self.at = start + size;
                Ok((head, &self.received[start..start + size]))
            }
            Body::Chunked => {
                self.joined.clear();
                while let Some(chunk) = self.chunk().await? {
                    self.joined.extend_from_slice(&self.received[chunk]);
                }
                Ok((head, &self.joined))
            }
        }
    }

    /// Sends a request and reads the head of its answer; the body is read by [`Connection::next_chunk`].
    ///
    /// # Errors
    /// A connection that broke, or an answer that is not HTTP.
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<Head> {
        self.received.clear();
        self.at = 0;
        self.stream.write_all(request).await?;
        loop {
            self.receive().await?;
            if let Some((head, length)) = parse_head(&self.received)? {
                self.at = length;
                return Ok(head);
            }
        }
    }

    /// The next chunk of a body that streams; `None` at its end.
    ///
    /// # Errors
    /// A connection that broke, or an answer that is not HTTP.
    pub(crate) async fn next_chunk(&mut self) -> anyhow::Result<Option<&[u8]>> {
        let chunk = self.chunk().await?;
        Ok(chunk.map(|chunk| &self.received[chunk]))
    }

    async fn chunk(&mut self) -> anyhow::Result<Option<Range<usize>>> {
        loop {
            if let Some((chunk, length)) = parse_chunk(&self.received[self.at..])? {
                let chunk = chunk.start + self.at..chunk.end + self.at;
                self.at += length;
                return Ok((!chunk.is_empty()).then_some(chunk));
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        let count = self.stream.read_buf(&mut self.received).await?;
        ensure!(count > 0, "the server closed the connection");
        Ok(())
    }
}

/// The head of an answer and its length, as soon as it is all there.
fn parse_head(received: &[u8]) -> anyhow::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(received)? else { return Ok(None) };
    let status = response.code.context("an answer without a status")?;
    let (mut body, mut session_id) = (Body::Sized(0), None);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            body = Body::Sized(str::from_utf8(header.value)?.parse()?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            body = Body::Chunked;
        } else if header.name.eq_ignore_ascii_case("mcp-session-id") {
            session_id = Some(str::from_utf8(header.value)?.to_owned());
        }
    }
    Ok(Some((Head { status, session_id, body }, length)))
}

/// The first chunk and the length that it takes with its framing, as soon as it is all there.
fn parse_chunk(received: &[u8]) -> anyhow::Result<Option<(Range<usize>, usize)>> {
    let (start, size) = match httparse::parse_chunk_size(received) {
        Ok(httparse::Status::Complete(found)) => found,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => bail!("a chunk without a size"),
    };
    let end = start + usize::try_from(size)?;
    let length = end + b"\r\n".len();
    Ok((received.len() >= length).then_some((start..end, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_found_whole_or_not_at_all() {
        let body = b"5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(parse_chunk(body).unwrap(), Some((3..8, 10)));
        assert_eq!(parse_chunk(&body[..9]).unwrap(), None);
        assert_eq!(parse_chunk(&body[10..]).unwrap(), Some((3..3, 5)));
    }

    #[test]
    fn heads_are_read() {
        let answer = b"HTTP/1.1 202 Accepted\r\nMcp-Session-Id: s\r\nContent-Length: 3\r\n\r\nabc";
        let (head, length) = parse_head(answer).unwrap().unwrap();
        assert_eq!((head.status, head.session_id.as_deref(), length), (202, Some("s"), answer.len() - 3));
        assert!(matches!(head.body, Body::Sized(3)));
        assert!(parse_head(&answer[..20]).unwrap().is_none());
    }
}
