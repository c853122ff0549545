//! `tests/bench`: TinyMCP measured beside a bare rmcp server and an axum echo, on one machine, in one run.
//!
//! - [`rows`]: what is measured, one module for each kind. [`figures`], [`table`]: how it is summed up and printed.
//! - [`server`]: a server as a process of its own. [`site`]: what it is given to serve.
//! - [`caller`]: one client, which knows the right answer to each of its calls. [`http`]: the connection it has.
//!   [`load`]: many of them.
//! - [`machine`]: what the figures depend on.
//!
//! All clients run on one thread of this process: a generator that took both cores of a small machine would measure
//! itself.

mod caller;
mod figures;
mod http;
mod load;
mod machine;
mod rows;
mod server;
mod site;
mod table;

use std::num::NonZero;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use self::rows::Row;
use self::site::Workshop;

/// Measures TinyMCP and prints one table. The exit code is 0 even if a figure is missed: that is a measurement too.
#[derive(Parser)]
#[command(name = "bench", after_help = "Example:\n  tests/bench calls reload --rounds 9")]
struct Options {
    /// The rows to measure [default: everything]
    rows: Vec<Row>,
    /// Rounds of each measurement; figures are their medians
    #[arg(long, value_name = "N", default_value = "5")]
    rounds: NonZero<usize>,
    /// Length of a round of calls
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    seconds: Duration,
}

/// The extent of a measurement.
#[derive(Clone, Copy)]
struct Plan {
    rounds: usize,
    round: Duration,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // What is under way is dropped, and its servers end with it.
        tokio::select! {
            outcome = measure(&options) => outcome,
            _ = terminate.recv() => anyhow::bail!("terminated"),
            _ = interrupt.recv() => anyhow::bail!("interrupted"),
        }
    })
}

async fn measure(options: &Options) -> anyhow::Result<ExitCode> {
    let workshop = Workshop::open()?;
    let plan = Plan { rounds: options.rounds.get(), round: options.seconds };
    machine::print(&workshop)?;
    table::print_head()?;
    let mut exit_code = ExitCode::SUCCESS;
    for row in Row::ALL.into_iter().filter(|row| options.rows.is_empty() || options.rows.contains(row)) {
        match row.measure(&workshop, plan).await {
            Ok(lines) => table::print(row, &lines)?,
            Err(error) => {
                table::print_failure(row, &error)?;
                exit_code = ExitCode::FAILURE;
            }
        }
    }
    Ok(exit_code)
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    let seconds: f64 = text.parse().context("expected a number of seconds")?;
    anyhow::ensure!((0.1..=60.0).contains(&seconds), "expected 0.1 to 60 seconds");
    Ok(Duration::from_secs_f64(seconds))
}
