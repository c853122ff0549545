//! The log: to standard error, as text for people or JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::keys::Log;
use crate::config::names::LogFormat;

/// Records of libraries that say what we say better, or say it at every request.
const QUIET: &str = "rmcp=off,hyper=warn,wasmtime=warn,cranelift_codegen=warn";

/// What a command that looks at plugins logs: what they print. The command reports all else itself.
const GUESTS_ONLY: &str = "off,guest=info";

/// What it says beside that: what it waits for.
const COMPILING_ONLY: &str = "off,tinymcp::plugins::loader=info";

/// Changes what is logged while the server runs.
pub(super) struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    pub(super) fn set(&self, log: &Log) {
        // It fails only when the log is gone, and then there is nothing to tell it.
        let _ = self.0.reload(filter(log));
    }
}

/// Starts the log of a server.
pub(super) fn start(log: &Log) -> LogLevel {
    let (filter, handle) = reload::Layer::new(filter(log));
    let layer = match log.format {
        LogFormat::Json => fmt::layer().json().with_writer(std::io::stderr).boxed(),
        LogFormat::Text => {
            let is_terminal = std::io::stderr().is_terminal();
            fmt::layer().with_target(false).with_ansi(is_terminal).with_writer(std::io::stderr).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(layer).init();
    LogLevel(handle)
}

/// Starts the log of a command that only looks.
pub(super) fn start_quiet() {
    let layer = || fmt::layer().with_target(false).without_time().with_ansi(false).with_writer(std::io::stderr);
    let message_only = fmt::format::debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        _ => Ok(()),
    });
    let guests = layer().with_filter(EnvFilter::new(GUESTS_ONLY));
    let compiling = layer().with_level(false).fmt_fields(message_only).with_filter(EnvFilter::new(COMPILING_ONLY));
    tracing_subscriber::registry().with(vec![guests.boxed(), compiling.boxed()]).init();
}

/// The configured directives come last: they are stronger.
fn filter(log: &Log) -> EnvFilter {
    EnvFilter::new(format!("{QUIET},{}", log.level.as_str()))
}
