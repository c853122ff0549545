//! The cases of plugins under `tinymcp dev`, run by `tinymcp test` as a process of its own: what they log and what they are
//! refused is no matter of the server's.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use crate::cli::{output, test};

/// The running program; its file may be another by now.
const RUNNING: &str = "/proc/self/exe";

/// The cases of a plugins directory.
pub(super) struct Cases {
    /// The configuration that was named.
    pub(super) config: Option<PathBuf>,
    pub(super) directory: PathBuf,
}

/// A line of `tinymcp test --json`.
#[derive(Deserialize)]
struct Ended {
    plugin: String,
    case: Option<String>,
    outcome: String,
    problems: Vec<String>,
}

impl Cases {
    /// Runs the cases of these plugins, of those that have any, and says how they ended.
    pub(super) async fn run(&self, plugins: impl IntoIterator<Item = String>) {
        let has_cases = |name: &String| test::has_cases(&self.directory.join(name));
        let names: Vec<String> = plugins.into_iter().filter(&has_cases).collect();
        if names.is_empty() {
            return;
        }
        output::note(&format!("{} {}", output::dim("testing"), names.join(", ")));
        let program = if Path::new(RUNNING).exists() { Ok(RUNNING.into()) } else { std::env::current_exe() };
        let Ok(program) = program else { return output::warning("no path of this program: the tests are not run") };
        let mut command = Command::new(program);
        command.args(["test", "--json"]);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        // Mistakes in the cases are told there.
        command
            .arg("--")
            .args(&names)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let ran = async { command.spawn()?.wait_with_output().await };
        let ran = ran.await;
        if !names.iter().all(has_cases) {
            // They were removed meanwhile, with their plugin as often as not.
            return;
        }
        if let Ok(ran) = &ran {
            String::from_utf8_lossy(&ran.stderr).lines().for_each(output::note);
        }
        match ran {
            Ok(ran) => match serde_json::from_slice::<Vec<Ended>>(&ran.stdout) {
                Ok(ended) => names.iter().for_each(|name| tell(name, &ended)),
                Err(_) => output::note(&format!("{} the cases cannot be run", output::bad("failed"))),
            },
            Err(error) => output::warning(&format!("the tests are not run: {error}")),
        }
    }
}

/// Says how the cases of a plugin ended: one line, and what went wrong.
fn tell(plugin: &str, ended: &[Ended]) {
    let of_plugin: Vec<&Ended> = ended.iter().filter(|ended| ended.plugin == plugin).collect();
    let failed: Vec<&&Ended> = of_plugin.iter().filter(|ended| ended.outcome != test::PASSED).collect();
    if failed.is_empty() {
        let all = of_plugin.len();
        return output::note(&format!("{} {plugin}: {all} of {all} cases", output::good(test::PASSED)));
    }
    output::note(&format!("{} {plugin}: {} of {} cases", output::bad(test::FAILED), failed.len(), of_plugin.len()));
    for ended in failed {
        if let Some(case) = &ended.case {
            output::note(&format!("  {case}"));
        }
        for line in ended.problems.iter().flat_map(|problem| problem.lines()) {
            output::note(&format!("    {line}"));
        }
    }
}
