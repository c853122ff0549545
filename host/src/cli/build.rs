//! `tinymcp build`: from sources to components in the plugins directory.

mod anew;
mod language;
pub(super) mod sources;
mod toolchain;
mod wit_section;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub(super) use self::language::Language;
use self::language::TargetError;
use self::sources::Source;
use super::{ConfigArguments, Failure, output, runtime, wait};
use crate::config::Config;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The plugins to build [default: all in the plugins directory that have sources and are not disabled]
    names: Vec<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.config.look()?;
    wait::require_directory(&config)?;
    let sources = sources::choose(&config, &arguments.names).map_err(Failure::start)?;
    if sources.is_empty() {
        output::note(&format!(
            "no plugins to build in `{}`: make one with `tinymcp new NAME`",
            config.plugins.dir.display()
        ));
    }
    let missing = if arguments.names.is_empty() { Missing::Skipped } else { Missing::Failure };
    let all_built = runtime()?.block_on(build_all(&config, &sources, missing));
    if all_built { Ok(()) } else { Err(Failure::Silent) }
}

/// What becomes of a source whose toolchain is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// A line says so: nobody has every toolchain, and nobody asked for this plugin.
    Skipped,
    /// Somebody asked for this plugin.
    Failure,
}

/// Builds these sources, one after the other; the one that fails is reported and does not stop the others.
/// Returns whether none failed.
pub(super) async fn build_all(config: &Config, sources: &[Source], missing: Missing) -> bool {
    let mut all_built = true;
    for (index, source) in sources.iter().enumerate() {
        let progress = format!("({}/{})", index + 1, sources.len());
        match build(&config.plugins.dir, source, &progress).await {
            Ok(()) => {}
            Err(error @ BuildError::Missing { .. }) if missing == Missing::Skipped => {
                output::note(&format!("{} {} {progress}: {error}", output::notable("skipped"), source.name));
            }
            Err(error) => {
                output::error(&format!("plugin `{}` not built: {error}", source.name));
                all_built = false;
            }
        }
    }
    all_built
}

/// Why a plugin is not built.
#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error("{program} is not installed: {install}")]
    Missing { program: &'static str, install: String },
    #[error("`{}` cannot be started: {source}", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("`{} --version` failed: {said}", program.display())]
    Broken { program: PathBuf, said: String },
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("`{}` reported errors, see above", program.display())]
    Reported { program: PathBuf },
    #[error("the crate gives no component: its `Cargo.toml` needs `crate-type = [\"cdylib\"]` in `[lib]`")]
    NoComponent,
    #[error("`{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl BuildError {
    /// What a failure to read or write this path becomes.
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Builds one source, says so, and puts the component into the plugins directory.
async fn build(plugins_dir: &Path, source: &Source, progress: &str) -> Result<(), BuildError> {
    let tool = source.language.toolchain().find(&source.directory).await?;
    let started = Instant::now();
    output::note(&format!("{} {} {progress}", output::dim("building"), source.name));
    let artifact = source.language.build(&tool, source, &plugins_dir.join("target")).await?;
    let mut component = std::fs::read(&artifact).map_err(BuildError::io(&artifact))?;
    wit_section::add(&mut component, &source.directory);
    let path = plugins_dir.join(format!("{}.wasm", source.name));
    let is_new = !std::fs::read(&path).is_ok_and(|old| old == component);
    if is_new {
        // A running server must never see half a file, and `build` and `dev` may run at once.
        let draft = plugins_dir.join(format!(".{}.wasm.{}.draft", source.name, std::process::id()));
        std::fs::write(&draft, component)
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(BuildError::io(&path))?;
    }
    let what = if is_new { "built" } else { "unchanged" };
    let seconds = started.elapsed().as_secs_f32();
    output::note(&format!("{} {} in {seconds:.1} s", output::good(what), path.display()));
    Ok(())
}
