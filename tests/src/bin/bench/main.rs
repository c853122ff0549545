//! `tests/bench`: TinyMCP measured beside a bare rmcp server and an axum echo, on one machine, in one run.
//!
//! - [`rows`]: what is measured, one module for each kind. [`figures`], [`table`]: how it is summed up and printed.
//! - [`server`]: a server as a process of its own. [`site`]: what it is given to serve.
//! - [`caller`]: one client, which knows the right answer to each of its calls. [`http`], [`http2`]: the connection it
//!   has. [`load`]: many of them.
//! - [`machine`]: what the figures depend on.
//!
//! All clients run on one thread of this process: a generator that took both cores of a small machine would measure
//! itself.

mod caller;
mod figures;
mod http;
mod http2;
mod load;
mod machine;
mod rows;
mod server;
mod site;
mod table;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use mimalloc::MiMalloc;
use tokio::signal::unix::{SignalKind, signal};

use self::rows::{Row, compare};
use self::site::{Peers, Workshop};

/// The server's own, since some rows measure its code within this process.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const AFTER_HELP: &str = "\
EXIT CODE: 0, even if a figure is missed, and if a peer is `not at hand`; 1 if a row, or a peer that is there, was NOT \
MEASURED, and with --compare if there is a regression.

PEERS: `tests/bench` installs FastMCP from PyPI, pinned, into tests/.tools, once. Wassette is the program in the variable \
WASSETTE, or `wassette` on the PATH. Both are called without a login, TinyMCP with one.

COMPARING: `tests/bench --compare BASE` builds the server of the commit BASE in a worktree of its own, shares what cargo \
has compiled, keeps the program in target/bench, and runs base and new in turn, with the plugins of this checkout. Rows: \
calls, legacy, latency, start [default: calls and latency]. A figure is a REGRESSION if the median of the rounds' ratios is worse by more \
than 5 % and each round is worse. That takes 5 rounds at least; with 9 all are worse by chance \
once in 512 times.

Examples:
  tests/bench calls reload --rounds 9
  tests/bench peers
  tests/bench --compare main";

/// Measures TinyMCP and prints one table.
#[derive(Parser)]
#[command(name = "bench", after_help = AFTER_HELP)]
struct Options {
    /// The rows to measure [default: everything]
    rows: Vec<Row>,
    /// Rounds of each measurement; figures are their medians [default: 5, with --compare 9]
    #[arg(long, value_name = "N")]
    rounds: Option<NonZero<usize>>,
    /// Length of a round of calls
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// A commit to compare with
    #[arg(long, value_name = "BASE")]
    compare: Option<String>,
    /// The server of that commit, which `tests/bench` builds
    #[arg(long, value_name = "PATH", hide = true, requires = "compare")]
    base_binary: Option<PathBuf>,
    /// The server to measure [default: the one that was built with this program]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Build all with this profile of cargo; the figures of `dev` are good for nothing but testing the bench
    #[arg(long, value_name = "NAME", default_value = "dist")]
    profile: String,
    /// A Python with FastMCP [default: the one that `tests/bench` installs]
    #[arg(long, value_name = "PATH")]
    fastmcp: Option<PathBuf>,
    /// The program `wassette` [default: WASSETTE, or the one on the PATH]
    #[arg(long, value_name = "PATH")]
    wassette: Option<PathBuf>,
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
    let peers = Peers { fastmcp: options.fastmcp.clone(), wassette: options.wassette.clone() };
    let workshop = Workshop::open(options.binary.clone(), peers)?;
    let usual_rounds = if options.compare.is_some() { 9 } else { 5 };
    let plan = Plan { rounds: options.rounds.map_or(usual_rounds, NonZero::get), round: options.seconds };
    machine::print(&workshop)?;
    if options.profile != "dist" {
        println(format_args!("profile   {}: these figures say nothing about the server", options.profile))?;
    }
    match &options.compare {
        Some(commit) => compare_with(commit, options, &workshop, plan).await,
        None => measure_rows(&options.rows, &workshop, plan).await,
    }
}

async fn measure_rows(rows: &[Row], workshop: &Workshop, plan: Plan) -> anyhow::Result<ExitCode> {
    table::print_head("to reach")?;
    let mut exit_code = ExitCode::SUCCESS;
    for row in Row::ALL.into_iter().filter(|row| rows.is_empty() || rows.contains(row)) {
        match row.measure(workshop, plan).await {
            Ok(lines) => {
                table::print(row, &lines)?;
                if lines.iter().any(table::Line::is_failure) {
                    exit_code = ExitCode::FAILURE;
                }
            }
            Err(error) => {
                table::print_failure(row, &error)?;
                exit_code = ExitCode::FAILURE;
            }
        }
    }
    Ok(exit_code)
}

async fn compare_with(commit: &str, options: &Options, workshop: &Workshop, plan: Plan) -> anyhow::Result<ExitCode> {
    let base = options.base_binary.as_deref().context("`tests/bench --compare` builds the other server: run that")?;
    let rows = if options.rows.is_empty() { vec![Row::Calls, Row::Latency] } else { options.rows.clone() };
    if let Some(row) = rows.iter().find(|row| !compare::ROWS.contains(row)) {
        let names: Vec<String> = compare::ROWS.into_iter().map(Row::name).collect();
        anyhow::bail!("`{}` cannot be compared; these can: {}", row.name(), names.join(", "));
    }
    println(format_args!("base      {commit}: {}\n", base.display()))?;
    table::print_head("verdict")?;
    let mut exit_code = ExitCode::SUCCESS;
    for row in rows {
        let (lines, is_worse) = compare::measure(row, workshop, base, plan).await?;
        table::print(row, &lines)?;
        if is_worse {
            exit_code = ExitCode::FAILURE;
        }
    }
    Ok(exit_code)
}

fn println(text: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{text}\n"))
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    let seconds: f64 = text.parse().context("expected a number of seconds")?;
    anyhow::ensure!((0.1..=60.0).contains(&seconds), "expected 0.1 to 60 seconds");
    Ok(Duration::from_secs_f64(seconds))
}
