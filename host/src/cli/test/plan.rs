//! The cases to run: those of the plugins directory, or of the plugins that are named.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::cli::build::artifact::Artifact;
use crate::config::Config;
use crate::config::cases::{self, Case};
use crate::config::problem::nearest;

/// The folder of a plugin that has its cases.
pub(in crate::cli) const FOLDER: &str = "tests";

/// The largest file of cases. They are written by hand.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Cases by plugin.
pub(super) struct Plan(Vec<PlannedPlugin>);

/// The cases of one plugin.
pub(super) struct PlannedPlugin {
    pub(super) name: String,
    pub(super) component: PathBuf,
    /// Each with its file, in the order of the files' names and of their lines.
    pub(super) cases: Vec<(PathBuf, Case)>,
}

impl Plan {
    /// Reads the cases of these plugins, or of all that are not disabled.
    ///
    /// # Errors
    /// A plugin without cases, where it is named; every mistake in the files.
    pub(super) fn read(config: &Config, names: &[String], filter: Option<&str>) -> Result<Self, Failure> {
        let directory = &config.plugins.dir;
        let all = with_cases(directory);
        let chosen: Vec<String> = match names {
            [] => all.into_iter().filter(|name| config.plugin(name).enabled).collect(),
            names => names.iter().map(|name| known(directory, name, &all)).collect::<Result<_, Failure>>()?,
        };
        let (mut plugins, mut problems) = (Vec::new(), Vec::new());
        for name in chosen {
            let mut cases = Vec::new();
            for file in files(&directory.join(&name)) {
                match read(&file) {
                    Ok(read) => cases.extend(read.into_iter().map(|case| (file.clone(), case))),
                    Err(mut found) => problems.append(&mut found),
                }
            }
            cases.retain(|(_, case)| filter.is_none_or(|filter| case.name.as_str().contains(filter)));
            if !cases.is_empty() {
                let component = Artifact::of(directory, &name).component().to_owned();
                plugins.push(PlannedPlugin { name, component, cases });
            }
        }
        if problems.is_empty() { Ok(Self(plugins)) } else { Err(Failure::Start(problems.join("\n"))) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn plugins(&self) -> &[PlannedPlugin] {
        &self.0
    }
}

/// The names of the folders of a plugins directory that have cases.
pub(in crate::cli) fn with_cases(directory: &Path) -> Vec<String> {
    let folders = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<String> = folders
        .filter(|folder| has_cases(folder))
        .filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// True for a plugin's folder that has cases.
pub(in crate::cli) fn has_cases(folder: &Path) -> bool {
    !files(folder).is_empty()
}

/// The files of cases of a plugin's folder, by their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(FOLDER)).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_hidden = |path: &Path| path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let is_file = |path: &PathBuf| path.extension().is_some_and(|it| it == "toml") && !is_hidden(path);
    let mut files: Vec<PathBuf> = entries.filter(is_file).collect();
    files.sort();
    files
}

fn known(directory: &Path, name: &str, all: &[String]) -> Result<String, Failure> {
    // As the shell completes a folder's name.
    let name = name.trim_end_matches('/');
    if all.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let hint = nearest(name, all.iter().map(String::as_str)).map(|known| format!("; did you mean `{known}`?"));
    let place = directory.join(name).join(FOLDER);
    Err(Failure::start(format!(
        "plugin `{name}` has no cases in `{}`{}",
        place.join("*.toml").display(),
        hint.unwrap_or_default()
    )))
}

fn read(file: &Path) -> Result<Vec<Case>, Vec<String>> {
    let unreadable = |error: &dyn std::fmt::Display| vec![format!("{}: cannot be read: {error}", file.display())];
    let about = fs::metadata(file).map_err(|error| unreadable(&error))?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(unreadable(&"it is no file of at most 4 MiB"));
    }
    let text = fs::read_to_string(file).map_err(|error| unreadable(&error))?;
    cases::parse(file, &text).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}
