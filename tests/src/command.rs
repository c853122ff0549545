//! The program's commands other than `serve`, which end by themselves.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::guests::tests_dir;

/// Variables that would change the outcome of tests.
const VARIABLES: [&str; 14] = [
    "AUTH_PROVIDER",
    "BASE_URL",
    "TINYMCP_SERVER_LISTEN",
    "TINYMCP_SECRET",
    "RUST_LOG",
    "AUTH0_DOMAIN",
    "AUTH0_CLIENT_ID",
    "AUTH0_CLIENT_SECRET",
    "AUTH0_AUDIENCE",
    "CLERK_CONFIG_URL",
    "CLERK_CLIENT_ID",
    "CLERK_CLIENT_SECRET",
    "CLERK_SCOPES",
    "CLERK_VERIFY_ID_TOKEN",
];

/// Directories of the toolchains that plugins are built with, other than Rust's own, of the documents' proxies, and of
/// Prometheus.
const TOOLS: [&str; 5] = [
    ".tools/cargo-component/bin",
    ".tools/node/node_modules/.bin",
    ".tools/python/bin",
    ".tools/proxies/bin",
    ".tools/prometheus/bin",
];

/// The outcome of a command.
#[derive(Debug)]
pub struct CommandOutput {
    /// The exit code; a signal is -1.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The program under test, which is built beside the tests.
///
/// # Panics
/// If it is not built.
pub fn program() -> PathBuf {
    built("tinymcp")
}

/// A program of the workspace, which is built beside the tests.
///
/// # Panics
/// If it is not built.
pub fn built(name: &str) -> PathBuf {
    let executable = std::env::current_exe().expect("a program knows where it is");
    let directory = executable.parent().expect("a program is in a directory");
    // Tests are at target/debug/deps, programs at target/debug.
    let is_test = directory.file_name().is_some_and(|name| name == "deps");
    let profile = if is_test { directory.parent().expect("tests are at target/debug/deps") } else { directory };
    let program = profile.join(name);
    assert!(program.is_file(), "`{}` is not built: run `cargo build --workspace`", program.display());
    program
}

/// A command of the program, in a directory, without the caller's settings in its environment.
/// The tools of the suite, such as cargo-component and jco, are on its path.
pub fn tinymcp(directory: &Path) -> Command {
    command_of(&program(), directory)
}

/// The same for the server that does what no user can ask for.
pub(crate) fn test_server(directory: &Path) -> Command {
    command_of(&built("test-server"), directory)
}

/// The same for another build of the program.
pub(crate) fn command_of(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null()).env("PATH", suite_path());
    // No test uses what another one has compiled, nor what the one who runs it has.
    command.env("XDG_CACHE_HOME", directory.join(".cache"));
    for name in VARIABLES {
        command.env_remove(name);
    }
    command
}

/// The search path, with the suite's own tools in front.
pub fn suite_path() -> OsString {
    #[expect(clippy::disallowed_methods, reason = "what is tested reads its environment; this adds to it")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = TOOLS.map(|tools| tests_dir().join(tools));
    std::env::join_paths(tools.into_iter().chain(std::env::split_paths(&path))).expect("no `:` in our path")
}

/// A script of `tests/clients`, run by a program.
pub fn script(program: impl AsRef<OsStr>, name: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(tests_dir().join("clients").join(name)).stdin(Stdio::null());
    command
}

/// A program or file that the suite has installed, by its path below `tests/.tools`.
///
/// # Panics
/// If it is not installed.
pub fn tool(path: &str) -> PathBuf {
    let path = tests_dir().join(".tools").join(path);
    assert!(path.exists(), "`{}` is not installed: run `tests/run --setup-only`", path.display());
    path
}

/// The program that clients start as their browser.
///
/// # Panics
/// If it is not built.
pub fn browser() -> PathBuf {
    let browser = program().with_file_name("test-browser");
    assert!(browser.is_file(), "`{}` is not built: run `cargo build --workspace --bins`", browser.display());
    browser
}

/// Runs a command of the program to its end.
pub fn run(directory: &Path, arguments: &[&str]) -> CommandOutput {
    finish(tinymcp(directory).args(arguments))
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> CommandOutput {
    let output = command.output().expect("the program starts");
    CommandOutput {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The names of the checks that a script of `tests/clients` reported: one JSON object a line, each with `check` and `ok`.
///
/// # Panics
/// If one of them is not ok, or there are none.
pub fn report(finished: &CommandOutput) -> Vec<String> {
    let reports: Vec<serde_json::Value> =
        finished.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let failed: Vec<&serde_json::Value> = reports.iter().filter(|report| report["ok"] != true).collect();
    assert!(failed.is_empty() && !reports.is_empty() && finished.code == 0, "{failed:#?}\n{finished:#?}");
    reports.iter().map(|report| report["check"].as_str().unwrap_or_default().to_owned()).collect()
}
