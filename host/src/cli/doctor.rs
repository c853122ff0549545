//! `tinymcp doctor`: checks if a server with this configuration would work on this machine, and tells what to do if
//! not.
//!
//! Nothing is changed: the state directory is neither created nor made private, and the store is not opened. So it can
//! run beside a server.

mod directories;
mod reach;
mod registries;
mod shared;

use std::path::PathBuf;

use serde_json::json;

use super::{ConfigArguments, Failure, output, runtime};
use crate::auth::upstream::checkup;
use crate::config::provider::{LOCAL, NONE};
use crate::config::{Config, Environment, Invocation, Purpose, Setup};
use crate::diagnosis::{Finding, Verdict};
use crate::fetch::ProviderHttp;
use crate::plugins::Plugins;
use crate::sanitize;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut report = Report { as_json: arguments.json.then(Vec::new), ..Report::default() };
    if let Some((setup, docker)) = configuration(arguments.config, &mut report) {
        runtime()?.block_on(look(setup, docker, &mut report))?;
    }
    report.end()
}

/// Reads the configuration, and the directory with logins at registries. One that is incomplete for logins of people alone is
/// good enough for the other checks.
fn configuration(arguments: ConfigArguments, report: &mut Report) -> Option<(Setup, Option<PathBuf>)> {
    let subject = "configuration";
    let invocation = arguments.invocation(Purpose::Serve, Vec::new());
    let environment = Environment::read(invocation.directory());
    let setup = match Config::load(&invocation, &environment) {
        Ok(setup) => {
            report.add(setup.warnings.iter().map(|warning| Finding::note(subject, warning.to_string())));
            let file = match invocation.path().exists() {
                true => invocation.path().display().to_string(),
                false => "no file, so variables and defaults".to_owned(),
            };
            let provider = setup.config.auth.provider.as_str();
            report.add([Finding::good(subject, format!("{file}; provider `{provider}`"))]);
            Some(setup)
        }
        Err(error) => {
            report.add(error.to_string().lines().map(|problem| Finding::bad(subject, problem)));
            let invocation = Invocation { purpose: Purpose::Look, ..invocation };
            let setup = Config::load(&invocation, &environment).ok();
            if setup.is_none() {
                report.add([Finding::note(subject, "the other checks wait until it can be read")]);
            }
            setup
        }
    };
    Some((setup?, environment.docker_config()))
}

async fn look(setup: Setup, docker: Option<PathBuf>, report: &mut Report) -> Result<(), Failure> {
    let Setup { config, provider, egress, secrets, .. } = setup;
    let base_url = &config.server.base_url;
    let http = ProviderHttp::new(base_url.is_loopback()).map_err(Failure::start)?;
    match (provider, config.auth.provider.as_str()) {
        (Some(provider), _) => {
            let outward = ProviderHttp::through(&egress, base_url.is_loopback()).map_err(Failure::start)?;
            report.add([Finding::good("egress", format!("{} is reached {egress}", provider.display_name()))]);
            report.add(checkup::look(provider, base_url, outward, &config.state.dir).await);
            report.add(people(&config));
        }
        (None, LOCAL) => report.add([Finding::good("provider", "the built-in login, which believes every name")]),
        (None, NONE) => report.add([Finding::good("provider", "none: nobody has to log in")]),
        (None, name) => report.add([
            Finding::note("provider", format!("`{name}` is not asked until the configuration is complete")),
            Finding::note("callback URL", base_url.callback())
                .step("The provider's application must list exactly this one."),
        ]),
    }
    report.add(reach::look(&config, &http).await);
    report.add(directories::state(&config.state.dir, &secrets));
    report.add(shared::look(&config.state, &secrets).await);
    report.add([directories::plugins(&config.plugins.dir)]);
    report.add(registries::look(&config, &egress, docker).await);
    let space = Plugins::address_space(&config);
    report.add([match space {
        space if space.is_too_small() => Finding::bad("address space", space.to_string()),
        space if space.is_short() => Finding::note("address space", space.to_string()),
        space => Finding::good("address space", space.to_string()),
    }]);
    Ok(())
}

/// Notes an empty list of people. It is no fault where the provider's accounts are the operator's own.
fn people(config: &Config) -> Option<Finding> {
    let finding = Finding::note("people", "everybody whom the provider knows may log in");
    config.auth.allow.is_empty().then(|| finding.step("If strangers can sign up there, name in `auth.allow` who may."))
}

/// The findings that have been printed so far.
#[derive(Default)]
struct Report {
    checks: usize,
    notes: usize,
    failed: usize,
    /// The findings for programs, which are printed at the end, instead of lines.
    as_json: Option<Vec<serde_json::Value>>,
}

impl Report {
    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            self.checks += 1;
            let (verdict, mark) = match finding.verdict {
                Verdict::Good => ("ok", output::good("ok  ")),
                Verdict::Note => {
                    self.notes += 1;
                    ("note", output::notable("note"))
                }
                Verdict::Bad => {
                    self.failed += 1;
                    ("fail", output::bad("fail"))
                }
            };
            if let Some(findings) = &mut self.as_json {
                let Finding { subject, seen, steps, .. } = &finding;
                findings.push(json!({ "verdict": verdict, "subject": subject, "seen": seen, "steps": steps }));
                continue;
            }
            output::line(&format!("{mark}  {}: {}", finding.subject, printable(&finding.seen)));
            for step in &finding.steps {
                output::line(&format!("      - {}", printable(step)));
            }
        }
    }

    fn end(self) -> Result<(), Failure> {
        if let Some(findings) = self.as_json {
            output::json(&json!({ "findings": findings, "failed": self.failed }));
            return if self.failed == 0 { Ok(()) } else { Err(Failure::Silent) };
        }
        match self.failed {
            0 => {
                output::line(match self.notes {
                    0 => "all is well",
                    _ => "nothing failed; see if the notes are as you want them",
                });
                Ok(())
            }
            failed => {
                output::line(&format!("{failed} of {} checks failed", self.checks));
                Err(Failure::Silent)
            }
        }
    }
}

/// Makes one line of a text that may quote the provider, without anything that a terminal would act upon.
fn printable(text: &str) -> String {
    sanitize::clean(text).replace('\n', " ")
}
