//! A guest's standard output: one log record per line, up to a cap; the rest is counted and dropped.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::principal::Principal;
use crate::sanitize;

/// Bytes of one line that go into one record; a longer line continues in the next.
const LINE_BYTES: usize = 1024;

/// Bytes that a guest may write in one go; they are copied once more by the host.
const WRITE_BYTES: usize = 64 * 1024;

/// The standard output and error of one call.
///
/// A write always succeeds: a tool must not fail because it talks too much.
#[derive(Clone)]
pub(super) struct Prints {
    plugin: Arc<str>,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    /// Nobody while lists are made.
    caller: Option<Arc<Principal>>,
    left_bytes: u64,
    dropped_bytes: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

impl Prints {
    pub(super) fn new(plugin: Arc<str>, caller: Option<Arc<Principal>>, cap_bytes: u64) -> Self {
        let shared = Shared { caller, left_bytes: cap_bytes, dropped_bytes: 0, stdout: Vec::new(), stderr: Vec::new() };
        Self { plugin, shared: Arc::new(Mutex::new(shared)) }
    }

    /// The same for the next call of a guest that is kept: its streams stay.
    pub(super) fn begin(&self, caller: Option<Arc<Principal>>, cap_bytes: u64) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        (shared.caller, shared.left_bytes) = (caller, cap_bytes);
    }

    pub(super) fn stdout(&self) -> Pipe {
        Pipe { prints: self.clone(), stream: Stream::Stdout }
    }

    pub(super) fn stderr(&self) -> Pipe {
        Pipe { prints: self.clone(), stream: Stream::Stderr }
    }

    /// Logs unfinished lines, and the number of bytes that were dropped.
    pub(super) fn finish(&self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_empty() {
            return;
        }
        let person = shared.person();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(shared.buffer(stream));
            if !rest.is_empty() {
                self.log(person.as_deref(), stream, &rest);
            }
        }
        if shared.dropped_bytes > 0 {
            let dropped_bytes = std::mem::take(&mut shared.dropped_bytes);
            tracing::warn!(
                plugin = %self.plugin,
                person,
                dropped_bytes,
                "plugin `{}` printed more than one call may; the rest was dropped (see `limits.log`)",
                self.plugin,
            );
        }
    }

    /// Counts so many bytes as printed, and tells whether they are within the cap.
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.left_bytes.checked_sub(bytes as u64) {
            Some(left) => {
                shared.left_bytes = left;
                true
            }
            None => {
                shared.dropped_bytes += bytes as u64;
                false
            }
        }
    }

    fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = usize::try_from(shared.left_bytes).unwrap_or(usize::MAX).min(bytes.len());
        shared.left_bytes -= kept as u64;
        shared.dropped_bytes += (bytes.len() - kept) as u64;
        let person = shared.person();
        let buffer = shared.buffer(stream);
        for piece in bytes[..kept].split_inclusive(|byte| *byte == b'\n') {
            buffer.extend_from_slice(piece);
            if buffer.ends_with(b"\n") {
                self.log(person.as_deref(), stream, &buffer[..buffer.len() - 1]);
                buffer.clear();
            }
        }
        while buffer.len() > LINE_BYTES {
            let line: Vec<u8> = buffer.drain(..LINE_BYTES).collect();
            self.log(person.as_deref(), stream, &line);
        }
    }

    /// One record per line, with nothing in it that could end the line or colour a terminal.
    fn log(&self, person: Option<&str>, stream: Stream, line: &[u8]) {
        for part in line.chunks(LINE_BYTES) {
            let text = sanitize::escape(&String::from_utf8_lossy(part));
            let stream = match stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            tracing::info!(target: "guest", plugin = %self.plugin, person, stream, "{text}");
        }
    }
}

impl Shared {
    /// True if there is nothing to log, as after most calls.
    fn is_empty(&self) -> bool {
        self.stdout.is_empty() && self.stderr.is_empty() && self.dropped_bytes == 0
    }

    fn person(&self) -> Option<String> {
        self.caller.as_ref().map(|caller| caller.label())
    }

    fn buffer(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

/// One of the two streams, as WASI wants it.
pub(super) struct Pipe {
    prints: Prints,
    stream: Stream,
}

impl IsTerminal for Pipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Pipe {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // WASI 0.3 alone asks for this form, and no interface of it is linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Self { prints: self.prints.clone(), stream: self.stream })
    }
}

impl OutputStream for Pipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.prints.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait]
impl Pollable for Pipe {
    async fn ready(&mut self) {}
}
