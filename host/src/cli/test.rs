//! `tinymcp test`: the cases of plugins, `plugins/NAME/tests/*.toml`, each a call of the built component in the sandbox.
//!
//! A case is a call as `tinymcp call` makes it, with nothing of this machine behind it: stand-ins answer its requests, its
//! state is its own and empty, and there are no folders and secrets but those of the case.

mod bench;
mod difference;
mod fresh;
mod plan;
mod stand_ins;

use std::time::Duration;

use serde_json::json;

use self::bench::Bench;
pub(super) use self::plan::{FOLDER, has_cases, with_cases};
use self::plan::{Plan, PlannedPlugin};
use super::{ConfigArguments, Failure, logging, output, plugin_loader, runtime};
use crate::config::Config;
use crate::sanitize;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The plugins [default: all that have cases and are not disabled]
    names: Vec<String>,
    /// Only the cases with this in their names
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Print JSON when all are done
    #[arg(long)]
    json: bool,
}

/// The outcome of a case in a word.
pub(super) const PASSED: &str = "passed";
pub(super) const FAILED: &str = "failed";

/// How a case, or a plugin that cannot be tested at all, has ended.
struct Outcome {
    plugin: String,
    /// None for the plugin as a whole.
    case: Option<String>,
    file: String,
    /// None for a case that has passed.
    problems: Vec<String>,
    time: Duration,
}

impl Outcome {
    fn has_passed(&self) -> bool {
        self.problems.is_empty()
    }

    fn as_json(&self) -> serde_json::Value {
        json!({
            "plugin": self.plugin,
            "case": self.case,
            "file": self.file,
            "outcome": if self.has_passed() { PASSED } else { FAILED },
            "problems": self.problems,
            "milliseconds": u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn print(&self) {
        let name = match &self.case {
            // A name may hold anything, and must not pose as another line.
            Some(case) => format!("{}: {}", self.plugin, sanitize::escape(case)),
            None => self.plugin.clone(),
        };
        let time = output::dim(&format!("({} ms)", self.time.as_millis()));
        match self.has_passed() {
            true => output::line(&format!("{} {name} {time}", output::good(PASSED))),
            false => {
                output::line(&format!("{} {name} {time}", output::bad(FAILED)));
                for problem in self.problems.iter().flat_map(|problem| problem.lines()) {
                    output::line(&format!("       {problem}"));
                }
            }
        }
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let Arguments { config, names, filter, json } = arguments;
    let loader = config.plugin_loader()?;
    plugin_loader::require_directory(&loader.config)?;
    // Every file is read before anything is called: a mistake in one is nothing that a case can tell of.
    let plan = Plan::read(&loader.config, &names, filter.as_deref())?;
    if plan.is_empty() {
        return nothing(&loader.config, filter.as_deref(), json);
    }
    let outcomes = runtime()?.block_on(async {
        let bench = Bench::new(loader)?;
        let mut outcomes = Vec::new();
        for plugin in plan.plugins() {
            test(&bench, plugin, |outcome| {
                if !json {
                    outcome.print();
                }
                outcomes.push(outcome);
            })
            .await;
        }
        Ok::<_, Failure>(outcomes)
    })?;
    let failed = outcomes.iter().filter(|outcome| !outcome.has_passed()).count();
    if json {
        output::json(&outcomes.iter().map(Outcome::as_json).collect());
    } else {
        output::line(&match failed {
            0 => output::good(&format!("all {} passed", outcomes.len())),
            _ => output::bad(&format!("{failed} of {} failed", outcomes.len())),
        });
    }
    if failed == 0 { Ok(()) } else { Err(Failure::Silent) }
}

/// Runs the cases of one plugin, and tells of each as soon as it has ended.
async fn test(bench: &Bench, plugin: &PlannedPlugin, mut tell: impl FnMut(Outcome)) {
    if let Some(problem) = fresh::problem(bench.config(), &plugin.name) {
        let file = plugin.component.display().to_string();
        let (plugin, problems) = (plugin.name.clone(), vec![problem]);
        return tell(Outcome { plugin, case: None, file, problems, time: Duration::ZERO });
    }
    for (file, case) in &plugin.cases {
        let (problems, time) = bench.run(plugin, file, case).await;
        let name = Some(case.name.as_str().to_owned());
        tell(Outcome { plugin: plugin.name.clone(), case: name, file: file.display().to_string(), problems, time });
    }
}

/// There is nothing to run: that is well unless something was asked for.
fn nothing(config: &Config, filter: Option<&str>, json: bool) -> Result<(), Failure> {
    if let Some(filter) = filter {
        return Err(Failure::failed(format!("no case has `{filter}` in its name")));
    }
    if json {
        output::json(&json!([]));
    }
    let directory = config.plugins.dir.display();
    output::note(&format!("no cases in `{directory}`: write them into `{directory}/NAME/tests/*.toml`"));
    Ok(())
}
