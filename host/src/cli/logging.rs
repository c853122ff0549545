//! The log: to standard error, as text for people or JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::keys::Log;
use crate::config::names::LogFormat;
use crate::plugins::frames;

/// Records of libraries that say what we say better, or say it at every request.
const QUIET: &str = "rmcp=off,hyper=warn,wasmtime=warn,cranelift_codegen=warn,notify=error";

/// What a command that looks at plugins logs: what they print. The command reports all else itself.
const GUESTS_ONLY: &str = "off,guest=info";

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
        LogFormat::Json => fmt::layer().json().with_writer(std::io::stderr).boxed(),
        LogFormat::Text => {
            let is_terminal = std::io::stderr().is_terminal();
            fmt::layer().with_target(false).with_ansi(is_terminal).with_writer(std::io::stderr).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(layer).init();
    LogLevel { handle, frames }
}

/// Starts the log of a command that only looks.
pub(super) fn start_quiet() {
    let layer = fmt::layer().with_target(false).without_time().with_ansi(false).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(EnvFilter::new(GUESTS_ONLY)).with(layer).init();
}

/// The configured directives come last: they are stronger.
fn filter(log: &Log, frames: Frames) -> EnvFilter {
    let level = match frames {
        Frames::Within => "off",
        Frames::OneALine => "info",
    };
    EnvFilter::new(format!("{QUIET},{}={level},{}", frames::TARGET, log.level.as_str()))
}
