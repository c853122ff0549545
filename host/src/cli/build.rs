//! `tinymcp build`: from sources to components in the plugins directory.

pub(super) mod artifact;
mod error;
pub(super) mod folder;
pub(super) mod host_wit;
mod incremental;
mod language;
pub(super) mod options;
pub(super) mod sources;
mod toolchain;
pub(super) mod wit;
mod wit_section;

use std::fmt;
use std::path::Path;
use std::time::{Instant, SystemTime};

use serde_json::json;

use self::artifact::{Artifact, Placement};
use self::error::BuildError;
pub(super) use self::language::Language;
use self::options::{BuildOptions, FunctionNames, MissingToolchain};
use self::sources::Source;
use self::wit::{Wit, WitError};
use super::{ConfigArguments, Failure, output, plugin_loader, runtime};
use crate::config::Config;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The plugins to build [default: all in the plugins directory that have sources and are not disabled]
    names: Vec<String>,
    /// Print JSON when all are done
    #[arg(long)]
    json: bool,
}

/// The outcome for one plugin, for programs.
pub(super) struct Outcome {
    plugin: String,
    outcome: &'static str,
    file: Option<String>,
    problem: Option<String>,
}

impl Outcome {
    fn of(plugin: &str, outcome: &'static str, problem: Option<String>) -> Self {
        Self { plugin: plugin.to_owned(), outcome, file: None, problem }
    }

    /// The plugin, if its component is that of its sources now.
    pub(super) fn built(&self) -> Option<&str> {
        self.file.is_some().then_some(self.plugin.as_str())
    }

    fn as_json(&self) -> serde_json::Value {
        json!({ "plugin": self.plugin, "outcome": self.outcome, "file": self.file, "problem": self.problem })
    }
}

const FAILED: &str = "failed";

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.config.look()?;
    plugin_loader::require_directory(&config)?;
    let sources = sources::choose(&config, &arguments.names).map_err(Failure::start)?;
    let incomplete = if arguments.names.is_empty() { sources::incomplete(&config) } else { Vec::new() };
    report_incomplete(&incomplete);
    if sources.is_empty() && incomplete.is_empty() {
        output::note(&format!(
            "no plugins to build in `{}`: make one with `tinymcp new NAME`",
            config.plugins.dir.display()
        ));
    }
    let missing = if arguments.names.is_empty() { MissingToolchain::Skip } else { MissingToolchain::Fail };
    let mut outcomes =
        runtime()?.block_on(build_all(&config, &sources, BuildOptions { missing, names: FunctionNames::Strip }));
    if arguments.json {
        let lacks = |folder: &sources::IncompleteSource| {
            Outcome::of(&folder.name, "skipped", Some(format!("it lacks {}", folder.lacks)))
        };
        outcomes.extend(incomplete.iter().map(lacks));
        output::json(&outcomes.iter().map(Outcome::as_json).collect());
    }
    let has_failed = outcomes.iter().any(|outcome| outcome.outcome == FAILED);
    if has_failed { Err(Failure::Silent) } else { Ok(()) }
}

/// Says which folders are left out since they lack something.
pub(super) fn report_incomplete(incomplete: &[sources::IncompleteSource]) {
    for folder in incomplete {
        output::note(&format!("{} {}: it lacks {}", output::notable("skipped"), folder.name, folder.lacks));
    }
}

/// Builds these sources, one after the other; the one that fails is reported and does not stop the others.
/// Returns the outcome of each.
pub(super) async fn build_all(config: &Config, sources: &[Source], options: BuildOptions) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let progress = format!("({}/{})", index + 1, sources.len());
        let directory = &source.folder.directory;
        match host_wit::supply(directory) {
            Ok(true) => output::note(&output::dim(&format!(
                "{} has the WIT of this host from now on, which its world names",
                directory.join(host_wit::DEPS).display()
            ))),
            Ok(false) => {}
            Err(error) => {
                output::warning(&format!("{} cannot be written: {error}", directory.join(host_wit::DEPS).display()))
            }
        }
        // Before the toolchain, and told after it: what it builds counts.
        let (wit, wit_error) = match Wit::read(&source.folder.directory) {
            Ok(wit) => (wit, None),
            Err(wit_error) => (None, Some(wit_error)),
        };
        match build(&config.plugins.dir, source, wit.as_ref(), options.names, &progress).await {
            Ok((outcome, file)) => {
                outcomes.push(Outcome { file: Some(file), ..Outcome::of(&source.folder.name, outcome, None) });
            }
            Err(error @ BuildError::Missing { .. }) if options.missing == MissingToolchain::Skip => {
                output::note(&format!("{} {} {progress}: {error}", output::notable("skipped"), source.folder.name));
                outcomes.push(Outcome::of(&source.folder.name, "skipped", Some(error.to_string())));
            }
            Err(error) => {
                let failure = BuildFailure { error, wit_error }.to_string();
                output::error(&format!("plugin `{}` not built: {failure}", source.folder.name));
                outcomes.push(Outcome::of(&source.folder.name, FAILED, Some(failure)));
            }
        }
    }
    outcomes
}

/// A failure to build a plugin, with what is known of its WIT.
struct BuildFailure {
    error: BuildError,
    wit_error: Option<WitError>,
}

impl fmt::Display for BuildFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wit_error {
            Some(wit_error) => write!(f, "{wit_error}\n{}", self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

/// Builds one source, says so, and puts the component into the plugins directory. Returns the outcome in a word, and the
/// file.
async fn build(
    plugins_dir: &Path,
    source: &Source,
    wit: Option<&Wit>,
    names: FunctionNames,
    progress: &str,
) -> Result<(&'static str, String), BuildError> {
    let tool = source.language.find_tool(&source.folder.directory).await?;
    let (started, began) = (Instant::now(), SystemTime::now());
    output::note(&format!("{} {} {progress}", output::dim("building"), source.folder.name));
    let artifact = source.language.build(&tool, &source.folder, wit, names, &plugins_dir.join("target")).await?;
    let mut component = std::fs::read(&artifact).map_err(BuildError::io(&artifact))?;
    wit_section::add(&mut component, &source.folder.directory, wit);
    let artifact = Artifact::of(plugins_dir, &source.folder.name);
    if std::fs::read(artifact.component()).ok().as_ref() != Some(&component) {
        validate(&component)?;
    }
    let put = artifact.put(&component).map_err(BuildError::io(artifact.component()))?;
    artifact.stamp(began).map_err(BuildError::io(artifact.component()))?;
    let what = match &put {
        Placement::Unchanged => "unchanged",
        Placement::New | Placement::BackedUp(_) => "built",
    };
    let seconds = started.elapsed().as_secs_f32();
    output::note(&format!("{} {} in {seconds:.1} s", output::good(what), artifact.component().display()));
    if let Placement::BackedUp(kept) = &put {
        output::warning(&format!(
            "`{}` was there already and was not made here: it is kept as `{}`",
            artifact.component().display(),
            kept.display()
        ));
    }
    if let (Placement::New | Placement::BackedUp(_), Some(advice)) = (&put, source.language.advice(&component)) {
        output::note(&format!("{} {}: {advice}", output::notable("note:"), source.folder.name));
    }
    Ok((what, artifact.component().display().to_string()))
}

/// Holds a component against the rules of the format: toolchains have faults, and a file that no host loads must not take
/// the place of one that works.
fn validate(component: &[u8]) -> Result<(), BuildError> {
    let mut validator = wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all());
    validator.validate_all(component).map(|_| ()).map_err(BuildError::Invalid)
}
