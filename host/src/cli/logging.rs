//! The log: to standard error, as text for people or JSON for machines.
//!
//! Much of it quotes strangers and guests. The formatter escapes colours of a terminal; all else that would mislead a
//! reader is escaped here.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Stderr, Write};
use std::{panic, thread};

use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::offers::Offers;
use crate::config::keys::Log;
use crate::config::names::LogFormat;
use crate::plugins::sandbox::traps;
use crate::sanitize;

/// The levels of libraries whose records repeat ours, or come at every request.
const QUIET: &str = "rmcp=off,hyper=warn,reqwest=info,wasmtime=warn,cranelift_codegen=warn,notify=error,rustls_platform_verifier=off,inotify=info,mio=info";

/// Libraries that log each event of a watched file. The log may be such a file, and each of their records would cause
/// the next one: below `info` they are silent, whatever the directives say.
const WATCHING: [&str; 3] = ["notify", "inotify", "mio"];

/// The log of a command that looks at plugins: the output of guests. The command reports all else itself.
const GUESTS_ONLY: &str = "off,guest=info";

/// The records of such a command about compiling: it waits for that.
const COMPILING_ONLY: &str = "off,tinymcp::plugins::loading::loader=info,tinymcp::plugins::loading::compile=info";

/// The form of the guest's functions in the record of a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameStyle {
    /// Part of the record of the trap.
    Inline,
    /// A line each, for people who work on a plugin.
    OnePerLine,
}

/// Changes what is logged while the server runs.
pub(super) struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
    frames: FrameStyle,
}

impl LogLevel {
    pub(super) fn set(&self, log: &Log) {
        // It fails only when the log is gone, and then there is nothing to tell it.
        let _ = self.handle.reload(filter(log, self.frames));
    }
}

/// Starts the log of a server. `offers` looks for something in it.
pub(super) fn start(log: &Log, frames: FrameStyle, offers: Option<Offers>) -> LogLevel {
    let (filter, handle) = reload::Layer::new(filter(log, frames));
    let layer = match log.format {
        LogFormat::Json => fmt::layer().json().with_writer(|| Plain::new(LogFormat::Json)).boxed(),
        LogFormat::Text => {
            let is_terminal = std::io::stderr().is_terminal();
            fmt::layer().with_target(false).with_ansi(is_terminal).with_writer(|| Plain::new(LogFormat::Text)).boxed()
        }
    };
    let layer = layer.with_filter(filter_fn(|metadata| !is_echo(metadata.target(), *metadata.level())));
    tracing_subscriber::registry().with(filter).with(layer).with(offers).init();
    record_panics();
    LogLevel { handle, frames }
}

/// Makes a record of each panic of the host: one line, in the format of the log, and not the several lines of the
/// standard library in between.
fn record_panics() {
    let standard = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !tracing::enabled!(Level::ERROR) {
            return standard(info);
        }
        let place = info.location().map(ToString::to_string);
        let thread = thread::current().name().unwrap_or("unnamed").to_owned();
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| frames_of(&backtrace.to_string()));
        let message = info.payload_as_str().unwrap_or("no message");
        tracing::error!(place, thread, backtrace, "the host panicked: {message}");
    }));
}

/// A backtrace in one line: the functions, without their places.
fn frames_of(backtrace: &str) -> String {
    let lines = backtrace.lines().map(str::trim).filter(|line| !line.starts_with("at "));
    lines.collect::<Vec<_>>().join(" < ")
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
            Ok(text) => self.stderr.write_all(written_out(text, self.format).as_bytes())?,
            Err(_) => self.stderr.write_all(record)?,
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.flush()
    }
}

/// The record with every such character as an escape. A record is one line: a further one within it is a stranger's, and
/// would be read as another record. The colours of the formatter stay; it writes out those of others.
fn written_out(record: &str, format: LogFormat) -> Cow<'_, str> {
    let (line, end) = record.strip_suffix('\n').map_or((record, ""), |line| (line, "\n"));
    let is_written_out = |char: char| match format {
        LogFormat::Text => sanitize::misleads(char) || (char.is_control() && !matches!(char, '\t' | '\u{1b}')),
        LogFormat::Json => sanitize::misleads(char),
    };
    if !line.contains(is_written_out) {
        return Cow::Borrowed(record);
    }
    let mut text = match format {
        LogFormat::Json => sanitize::escape_json(line),
        LogFormat::Text => sanitize::escape_where(line, is_written_out),
    };
    text.push_str(end);
    Cow::Owned(text)
}

/// True for a record that may be about the log itself.
fn is_echo(target: &str, level: Level) -> bool {
    let library = target.split("::").next().unwrap_or(target);
    level > Level::INFO && WATCHING.contains(&library)
}

/// The configured directives come last: they are stronger.
fn filter(log: &Log, frames: FrameStyle) -> EnvFilter {
    let level = match frames {
        FrameStyle::Inline => "off",
        FrameStyle::OnePerLine => "info",
    };
    EnvFilter::new(format!("{QUIET},{}={level},{}", traps::TARGET, log.level.as_str()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn no_record_makes_the_next_one() {
        for (target, level, expected) in [
            ("notify::inotify", Level::TRACE, true),
            ("notify", Level::DEBUG, true),
            ("mio::poll", Level::TRACE, true),
            ("notify::inotify", Level::WARN, false),
            ("notifying", Level::TRACE, false),
            ("tinymcp::plugins::registry::watch", Level::TRACE, false),
        ] {
            assert_eq!(is_echo(target, level), expected, "{target} {level}");
        }
    }

    #[test]
    fn a_panic_is_one_line() {
        /// Lines of the log.
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().json().with_writer(move || writer.clone());
        let before = panic::take_hook();
        record_panics();
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            assert!(panic::catch_unwind(|| panic!("it broke\nin two")).is_err());
        });
        panic::set_hook(before);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(record["fields"]["message"], "the host panicked: it broke\nin two");
        assert!(record["fields"]["place"].as_str().unwrap().starts_with("host/src/cli/logging.rs:"), "{record}");
        assert_eq!(frames_of("   0: a::b\n             at ./c.rs:1:2\n   1: d\n"), "0: a::b < 1: d");
    }

    #[test]
    fn what_misleads_is_written_out() {
        let record = "a\u{202e}b\u{2028}\u{e0041}\n";
        assert_eq!(written_out(record, LogFormat::Text), "a\\u{202e}b\\u{2028}\\u{e0041}\n");
        let forged = "\u{1b}[31mERROR\u{1b}[0m a\tb\n2030-01-01 ERROR forged\r\u{0}\u{7f}\n";
        let one_line = "\u{1b}[31mERROR\u{1b}[0m a\tb\\n2030-01-01 ERROR forged\\r\\u{0}\\u{7f}\n";
        assert_eq!(written_out(forged, LogFormat::Text), one_line);
        let fine = "a record \u{1f469}\u{200d}\u{1f680}\n";
        assert!(matches!(written_out(fine, LogFormat::Text), Cow::Borrowed(text) if text == fine));
        let json = serde_json::json!({ "m": record }).to_string();
        let json = written_out(&json, LogFormat::Json);
        assert!(json.is_ascii(), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["m"], record);
    }
}
