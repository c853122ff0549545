//! Files from elsewhere than the plugins directory: each takes the place of the file that its plugin would have there.
//!
//! Invariant: a plugin whose table says `from` is served from there or not at all. A file of its name in the directory is
//! passed over, so that whoever can write there has no say in it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::Registry;
use super::directory::{PluginFile, Stamp};
use crate::config::Config;
use crate::config::names::snake;
use crate::plugins::approval::store::signature_of;
use crate::plugins::sources::{SourceState, Sources};

/// What was found elsewhere at the last look.
#[derive(Default)]
pub(super) struct Supplied {
    sources: Arc<Sources>,
    /// Files of the directory that were passed over, each said once.
    passed_over: BTreeSet<String>,
    /// What was found when nothing was left to be loaded or published of it.
    taken: watch::Sender<Arc<Sources>>,
}

/// A plugin of which there is no file.
pub(super) struct MissingFile {
    pub(super) file: String,
    problem: String,
    /// What was served before ends too.
    is_withdrawn: bool,
}

/// The files that plugins from elsewhere stand for.
pub(super) fn files(config: &Config) -> impl Iterator<Item = String> {
    config.plugin.iter().filter(|(_, plugin)| plugin.from.is_some()).map(|(name, _)| format!("{name}.wasm"))
}

impl Supplied {
    /// Says what of it has been taken.
    pub(super) fn taken(&self) -> watch::Receiver<Arc<Sources>> {
        self.taken.subscribe()
    }

    /// The place of such a file.
    pub(super) fn path_of(&self, file: &str) -> Option<PathBuf> {
        match &self.sources.get(file.strip_suffix(".wasm")?)?.state {
            SourceState::File { path, .. } => Some(path.clone()),
            SourceState::Coming(_) | SourceState::Missing(_) | SourceState::NotLocked(_) => None,
        }
    }
}

impl Registry {
    /// Says that what was found is served, or refused, if it is.
    pub(super) fn note_taken(&self) {
        if self.loads.is_empty() && self.publish_by.is_none() {
            self.supplied.taken.send_if_modified(|taken| {
                let is_other = **taken != *self.supplied.sources;
                *taken = Arc::clone(&self.supplied.sources);
                is_other
            });
        }
    }

    /// The plugins whose files from elsewhere may be there in a moment.
    pub(super) fn coming(&self) -> usize {
        let sources = self.rules.sources.borrow();
        sources.values().filter(|source| matches!(source.state, SourceState::Coming(_))).count()
    }

    /// What is known of a plugin's file elsewhere.
    pub(super) fn source_of(&self, plugin: &str) -> Option<SourceState> {
        self.supplied.sources.get(&snake(plugin)).map(|source| source.state.clone())
    }

    /// Adds the files from elsewhere to those of the directory, and takes those out whose place they have. Returns the
    /// plugins of which there is no file.
    pub(super) fn take_supplied(&mut self, found: &mut Vec<PluginFile>, config: &Config) -> Vec<MissingFile> {
        let from_of = |plugin: &str| config.plugin(plugin).from.as_ref().map(|from| from.as_str().to_owned());
        let mut sources = Sources::clone(&self.rules.sources.borrow());
        sources.retain(|name, source| from_of(name).as_ref() == Some(&source.from));
        let passed: Vec<PluginFile> =
            found.extract_if(.., |found| from_of(&snake(found.file.trim_end_matches(".wasm"))).is_some()).collect();
        for PluginFile { file, .. } in passed {
            if self.supplied.passed_over.insert(file.clone()) {
                tracing::warn!(
                    file,
                    "`{file}` in the plugins directory is passed over: its plugin comes from elsewhere, as `from` says"
                );
            }
        }
        let mut missing = Vec::new();
        for file in files(config) {
            let plugin = file.trim_end_matches(".wasm").to_owned();
            let source = sources.get(&plugin);
            let before = self.supplied.sources.get(&plugin);
            let has_changed = source.map(|source| &source.state) != before.map(|source| &source.state);
            if let Some(entry) = self.entries.get_mut(&file) {
                entry.note = source.and_then(|source| source.note.clone());
                if has_changed {
                    // The same bytes may be trusted now, or not any more.
                    entry.stamp = None;
                }
            }
            let without = |problem: String, is_withdrawn| MissingFile { file: file.clone(), problem, is_withdrawn };
            match source.map(|source| &source.state) {
                Some(SourceState::File { path, .. }) => match Stamp::of_file(path) {
                    Some(stamp) => {
                        let (path, signature) = (path.clone(), Stamp::of_file(&signature_of(path)));
                        found.push(PluginFile { file, path, stamp, signature });
                    }
                    None => {
                        missing.push(without("the file that was pulled is gone: it is pulled again".to_owned(), false))
                    }
                },
                Some(SourceState::Coming(problem) | SourceState::Missing(problem)) => {
                    missing.push(without(problem.clone(), false));
                }
                Some(SourceState::NotLocked(problem)) => missing.push(without(problem.clone(), true)),
                // A moment after the configuration has changed.
                None => missing.push(without("it has another origin now, which is looked at".to_owned(), false)),
            }
        }
        let sources = Arc::new(sources);
        if self.supplied.sources != sources {
            self.publish_soon();
            self.supplied.sources = sources;
        }
        missing
    }

    /// Says of a plugin without a file why it has none.
    pub(super) fn look_at_missing(&mut self, missing: MissingFile, config: &Config) {
        let MissingFile { file, problem, is_withdrawn } = missing;
        self.require_entry(&file, config);
        let Some(entry) = self.entries.get_mut(&file) else { return };
        let is_said = entry.problem() == Some(&*problem) && !(is_withdrawn && entry.offer().is_some());
        if entry.is_disabled() || is_said {
            return;
        }
        match is_withdrawn {
            true => {
                entry.withdraw(problem);
                self.claims_became_free();
            }
            false => {
                (entry.stamp, entry.load) = (None, None);
                entry.fail(problem);
            }
        }
        self.publish_soon();
    }
}
