//! `tests/soak`: one server, visited for a long time by all that come and go, and looked at from outside.
//!
//! - [`ground`]: the server, its provider, its plugins. [`visits`]: who comes, one module for each kind.
//! - [`ledger`]: what they note. [`gauge`]: what the server holds. [`slope`]: whether that grows. [`table`]: the print.
//!
//! Visits are paced and not as many as possible: a minute has the same work as the next, and figures can be compared.

mod gauge;
mod ground;
mod ledger;
mod slope;
mod table;
mod visits;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use tinymcp_tests::command::{built, finish};
use tinymcp_tests::guests::project_dir;
use tokio::signal::unix::{SignalKind, signal};

use self::gauge::{Gauge, Reading};
use self::ground::Ground;
use self::visits::Visitor;

const AFTER_HELP: &str = "\
WHAT IS DONE: people of four names log in at an identity provider through the clients of editors, renew, and log out or \
leave their session to expire; they call plugins in Rust, Python and JavaScript over kept connections of HTTP/1.1 and \
HTTP/2 and over new ones; begin legacy sessions, and end every second one; listen in both eras; cut connections in the \
middle of bodies, calls and streams. Meanwhile a plugin is replaced every few seconds by a file that no cache knows, \
others come, go and are broken, and now and then the provider is down, fails or talks nonsense. A language whose \
component is not in the plugins directory is named at the beginning and not called.

WHAT IS PRINTED: a line a minute, with the medians of its readings: resident memory (VmRSS), descriptors and threads of the server's \
process, rows of its store, its state directory, what was done, and how long calls took.

WHAT FAILS (exit code 1): a wrong answer; a server that ends, or does not end with code 0 when it is asked to; and growth: \
the slope (Theil-Sen: the median of the slopes between any two readings) of the second half of the run is above
  memory       256 KiB a minute (--memory-slope), judged from 44 minutes
  descriptors  0.2 a minute, judged from 10 minutes
  threads      0.1 a minute, judged from 10 minutes
  rows         2 a minute, judged from 44 minutes
A run below 10 minutes is a smoke test, in which nothing but answers and the end is judged; slopes are printed all the same.

WHAT GROWS BY RIGHT, and how it ends before the second half: a login leaves a row that lives for up to 20 minutes, so that \
rows, and memory with them, are level after 21; a session that nobody ends lives for 3 minutes (auth.refresh_ttl, 90 days by default); legacy \
sessions that are left are 16 a person (server.sessions_per_person, 256 by default), and few people reach that soon.";

/// Lets people, clients and plugins come and go at one server for a long time, and fails if it grows.
#[derive(Parser)]
#[command(name = "soak", after_help = AFTER_HELP)]
struct Options {
    /// Length of the run; 60 are the real thing, 1 or 2 a smoke test
    #[arg(long, value_name = "N", value_parser = minutes)]
    minutes: f64,
    /// The server [default: the one that was built with this program]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// The directory with hello.wasm and add.wasm, and statistics.wasm and text.wasm if they are at hand [default: plugins]
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// The most that memory may grow in a minute, in KiB
    #[arg(long, value_name = "KIB", default_value = "256")]
    memory_slope: f64,
    /// The kinds of visitors that come, to find out which of them makes a server grow [default: all]
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    only: Vec<Visitor>,
    /// Divides their pauses, so that a minute has the visits of N
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    hurry: u32,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    // The harness checks by assertions. One that fails is a failure of that visit, which reports it.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some("main") {
            report(panic);
        }
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // What is under way is dropped, and the server ends with it.
        tokio::select! {
            outcome = soak(&options) => outcome,
            _ = terminate.recv() => anyhow::bail!("terminated"),
            _ = interrupt.recv() => anyhow::bail!("interrupted"),
        }
    })
}

async fn soak(options: &Options) -> anyhow::Result<ExitCode> {
    let program = options.binary.clone().unwrap_or_else(|| built("tinymcp"));
    let program = program.canonicalize().with_context(|| format!("there is no `{}`", program.display()))?;
    let plugins = options.plugins.clone().unwrap_or_else(|| project_dir().join("plugins"));
    let version = finish(std::process::Command::new(&program).arg("--version")).stdout;
    println(format_args!("server   {}, {}", program.display(), version.trim()))?;
    let ground = Arc::new(Ground::prepare(&program, &plugins, options.hurry).await?);
    for line in ground.at_hand() {
        println(format_args!("{line}"))?;
    }
    println(format_args!(""))?;

    let gauge = Gauge::new(ground.server().pid(), ground.server().site().path().join(".tinymcp"));
    let visits = visits::begin(&ground, &options.only);
    let watched = watch(options.minutes, &ground, &gauge).await;
    ground.end();
    visits.join_all().await;
    let last = ground.ledger.turn();
    let (readings, mut failures) = watched?;
    failures += last.failures;

    let is_flat = table::print_verdicts(&table::quantities(options.memory_slope), &readings, options.minutes)?;
    println(format_args!("  failed       {failures}"))?;
    let ground = Arc::into_inner(ground).context("a visit goes on")?;
    let code = ground.stop_server().await;
    ensure!(code == Some(0), "the server ended with {code:?} and not with 0");
    Ok(if is_flat && failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads the gauge until the time is over, and prints a line for each minute.
async fn watch(minutes: f64, ground: &Ground, gauge: &Gauge) -> anyhow::Result<(Vec<(f64, Reading)>, usize)> {
    let pause = Duration::from_secs(if minutes < 10.0 { 1 } else { 5 });
    let (began, mut ticks) = (Instant::now(), tokio::time::interval(pause));
    let (mut readings, mut of_minute, mut failures) = (Vec::new(), Vec::new(), 0);
    table::print_head()?;
    let mut next = 1.0_f64.min(minutes);
    loop {
        ticks.tick().await;
        let reading = gauge.read()?;
        let at = began.elapsed().as_secs_f64() / 60.0;
        readings.push((at, reading));
        of_minute.push(reading);
        if at >= next {
            let page = ground.ledger.turn();
            table::print_minute(at, &of_minute, &page)?;
            failures += page.failures;
            of_minute.clear();
            ground.provider.forget();
            if next >= minutes {
                return Ok((readings, failures));
            }
            next = (next + 1.0).min(minutes);
        }
    }
}

fn println(text: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{text}\n"))
}

fn minutes(text: &str) -> anyhow::Result<f64> {
    let minutes: f64 = text.parse().context("expected a number of minutes")?;
    ensure!((0.2..=10_000.0).contains(&minutes), "expected 0.2 to 10,000 minutes");
    Ok(minutes)
}
