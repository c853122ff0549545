//! The log: to standard error, as text for people or JSON for machines.
//!
//! Much of it is what strangers and guests have written. The formatter escapes what colours a terminal; here the rest is
//! written out that would show a reader something else than there is.

use std::io::{self, IsTerminal, Stderr, Write};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::keys::Log;
use crate::config::names::LogFormat;
use crate::plugins::frames;
use crate::visible;

/// Records of libraries that say what we say better, or say it at every request. notify would tell of each record that it
/// is written, where the log is a file in a directory that is watched: one that tells of itself never ends.
const QUIET: &str = "rmcp=off,hyper=warn,wasmtime=warn,cranelift_codegen=warn,notify=error,rustls_platform_verifier=off,inotify=info,mio=info";

/// What a command that looks at plugins logs: what they print. The command reports all else itself.
const GUESTS_ONLY: &str = "off,guest=info";

/// The records of such a command about compiling: it waits for that.
const COMPILING_ONLY: &str = "off,tinymcp::plugins::loader=info,tinymcp::plugins::compile=info";

/// The way in which a trap tells the functions that the guest was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frames {
    /// They are part of the record of the trap.
    Within,
    /// For whoever works on a plugin.
    OneALine,
}

/// Changes what is logged while the server runs.
pub(super) struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
    frames: Frames,
}

impl LogLevel {
    pub(super) fn set(&self, log: &Log) {
        // It fails only when the log is gone, and then there is nothing to tell it.
        let _ = self.handle.reload(filter(log, self.frames));
    }
}

/// Starts the log of a server.
pub(super) fn start(log: &Log, frames: Frames) -> LogLevel {
    let (filter, handle) = reload::Layer::new(filter(log, frames));
    let layer = match log.format {
        LogFormat::Json => fmt::layer().json().with_writer(|| Plain::new(LogFormat::Json)).boxed(),
        LogFormat::Text => {
            let is_terminal = std::io::stderr().is_terminal();
            fmt::layer().with_target(false).with_ansi(is_terminal).with_writer(|| Plain::new(LogFormat::Text)).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(layer).init();
    LogLevel { handle, frames }
}

/// Starts the log of a command that only looks.
pub(super) fn start_quiet() {
    let writer = || Plain::new(LogFormat::Text);
    let layer = || fmt::layer().with_target(false).without_time().with_ansi(false).with_writer(writer);
    let message_only = fmt::format::debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        _ => Ok(()),
    });
    let guests = layer().with_filter(EnvFilter::new(GUESTS_ONLY));
    let compiling = layer().with_level(false).fmt_fields(message_only).with_filter(EnvFilter::new(COMPILING_ONLY));
    tracing_subscriber::registry().with(vec![guests.boxed(), compiling.boxed()]).init();
}

/// Standard error, without what misleads.
struct Plain {
    format: LogFormat,
    stderr: Stderr,
}

impl Plain {
    fn new(format: LogFormat) -> Self {
        Self { format, stderr: io::stderr() }
    }
}

/// Each write is a whole record.
impl Write for Plain {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(record) {
            Ok(text) if text.chars().any(visible::misleads) => {
                self.stderr.write_all(written_out(text, self.format).as_bytes())?;
            }
            _ => self.stderr.write_all(record)?,
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.flush()
    }
}

/// The record with every such character as an escape. In JSON all of them are within strings, where the escape says the
/// same.
fn written_out(record: &str, format: LogFormat) -> String {
    let mut text = String::with_capacity(record.len());
    for char in record.chars() {
        match format {
            _ if !visible::misleads(char) => text.push(char),
            LogFormat::Text => text.extend(char.escape_unicode()),
            LogFormat::Json => {
                let units =
                    char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
                text.push_str(&units);
            }
        }
    }
    text
}

/// The configured directives come last: they are stronger.
fn filter(log: &Log, frames: Frames) -> EnvFilter {
    let level = match frames {
        Frames::Within => "off",
        Frames::OneALine => "info",
    };
    EnvFilter::new(format!("{QUIET},{}={level},{}", frames::TARGET, log.level.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misleads_is_written_out() {
        let record = "a\u{202e}b\u{2028}\u{e0041}\n";
        assert_eq!(written_out(record, LogFormat::Text), "a\\u{202e}b\\u{2028}\\u{e0041}\n");
        let json = written_out(&serde_json::json!({ "m": record }).to_string(), LogFormat::Json);
        assert!(json.is_ascii(), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["m"], record);
    }
}
