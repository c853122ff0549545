//! A client's bytes as lines. A line that is longer than a message may be is read to its end and dropped, but for the id
//! in it; the connection stays.

use std::io;

use bytes::Bytes;
use rmcp::model::RequestId;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::outline::Outline;

/// RFC 8259 §8.1: a reader may ignore it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of an input.
pub(super) struct Lines<I> {
    input: BufReader<I>,
    most: usize,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A line, without its end. It is not empty.
    Line(Bytes),
    /// A line of more bytes than a message may have, and the id of the message if it has one.
    TooLong(Option<RequestId>),
    /// Nothing more. A last line without an end is no message.
    End,
}

impl<I: AsyncRead + Unpin> Lines<I> {
    /// Lines of at most so many bytes.
    pub(super) fn new(input: I, most: usize) -> Self {
        Self { input: BufReader::new(input), most }
    }

    /// Reads the next line that is not empty.
    ///
    /// # Errors
    /// Those of the input.
    pub(super) async fn next(&mut self) -> io::Result<Read> {
        loop {
            match self.line().await? {
                Read::Line(line) => {
                    let line = line.strip_prefix(BYTE_ORDER_MARK).map_or(line.clone(), |rest| line.slice_ref(rest));
                    let line = line.slice_ref(line.trim_ascii());
                    if !line.is_empty() {
                        return Ok(Read::Line(line));
                    }
                }
                other => return Ok(other),
            }
        }
    }

    async fn line(&mut self) -> io::Result<Read> {
        let mut line = Vec::new();
        let mut outline: Option<Outline> = None;
        loop {
            let available = self.input.fill_buf().await?;
            if available.is_empty() {
                return Ok(Read::End);
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            if let Some(outline) = &mut outline {
                outline.see(part);
            } else if line.len() + part.len() > self.most {
                let mut seen = Outline::default();
                seen.see(&line);
                seen.see(part);
                (outline, line) = (Some(seen), Vec::new());
            } else {
                line.extend_from_slice(part);
            }
            let consumed = part.len() + usize::from(end.is_some());
            self.input.consume(consumed);
            if end.is_some() {
                return Ok(match outline {
                    Some(outline) => Read::TooLong(outline.id()),
                    None => Read::Line(line.into()),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str, most: usize) -> Vec<Read> {
        let mut lines = Lines::new(text.as_bytes(), most);
        let mut all = Vec::new();
        loop {
            let read = lines.next().await.unwrap();
            if read == Read::End {
                return all;
            }
            all.push(read);
        }
    }

    #[tokio::test]
    async fn lines_are_read_within_bounds() {
        let line = |text: &str| Read::Line(Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(read("a\r\n\n \u{feff}\n\u{feff}bc\nlast", 10).await, [line("a"), line("\u{feff}"), line("bc")]);
        let long = format!("{{\"params\":\"{}\",\"id\":7}}\nnext\n", "x".repeat(100));
        assert_eq!(read(&long, 16).await, [Read::TooLong(Some(RequestId::Number(7))), line("next")]);
        let exact = "x".repeat(16);
        assert_eq!(read(&format!("{exact}\n{exact}y\n"), 16).await, [line(&exact), Read::TooLong(None)]);
    }
}
