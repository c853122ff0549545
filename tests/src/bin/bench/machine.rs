//! Conditions that the figures depend on: the machine, its other work, and versions.

use std::fs;
use std::io::{self, Write as _};
use std::process::Command;
use std::thread;

use super::site::Workshop;

/// The versions that this very program was built with.
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// # Errors
/// When nobody reads the table any more.
pub(crate) fn print(workshop: &Workshop) -> io::Result<()> {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory_kib = field("/proc/meminfo", "MemTotal").and_then(|it| it.trim_end_matches(" kB").parse::<u64>().ok());
    let memory_gib = memory_kib.unwrap_or_default().div_ceil(1024 * 1024);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    let tinymcp = output(Command::new(workshop.program()).arg("--version"));
    let rustc = output(Command::new("rustc").arg("--version"));
    let [rmcp, wasmtime, axum] = ["rmcp", "wasmtime", "axum"].map(|package| locked(package).unwrap_or("unknown"));
    let peers = workshop.peers();
    let fastmcp = peers.fastmcp.as_ref().map(|python| {
        let version = "import importlib.metadata as m; print('FastMCP', m.version('fastmcp'))";
        output(Command::new(python).args(["-c", version]))
    });
    let wassette = peers.wassette.as_ref().map(|program| output(Command::new(program).arg("--version")));
    let peers: Vec<String> = fastmcp.into_iter().chain(wassette).collect();
    let mut out = io::stdout();
    writeln!(out, "machine   {cores} cores, {cpu}, {memory_gib} GiB, Linux {}", kernel.trim())?;
    writeln!(out, "load      {load} before the bench began; above 0.3, somebody else is being measured too")?;
    writeln!(out, "versions  {tinymcp}, rmcp {rmcp}, wasmtime {wasmtime}, axum {axum}, {rustc}")?;
    if !peers.is_empty() {
        writeln!(out, "peers     {}", peers.join(", "))?;
    }
    writeln!(out)
}

/// The first value of a field in a file of `name : value` lines.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
}

fn output(command: &mut Command) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    output.unwrap_or_else(|error| error.to_string())
}

fn locked(package: &str) -> Option<&'static str> {
    let (_, rest) = LOCK.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    rest.split('"').next()
}
