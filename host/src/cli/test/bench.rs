//! One case: the plugin loaded for it alone, the call as `tinymcp call` makes it, and what came of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::difference::{differences, shown};
use super::plan::PlannedPlugin;
use super::stand_ins::StandIns;
use crate::cli::Failure;
use crate::cli::call::{self, Answers, Ended};
use crate::cli::plugin_loader::PluginLoader;
use crate::config::Config;
use crate::config::cases::{Case, Expected};
use crate::config::grants::stand_ins;
use crate::config::names::{PluginName, snake};
use crate::egress::Egress;
use crate::folders::Folders;
use crate::folders::places::Places;
use crate::grants::{Grants, PluginGrants};
use crate::kv::Kv;
use crate::plugins::Plugins;
use crate::plugins::catalog::{Catalog, Tool};
use crate::plugins::services::Services;
use crate::principal::Principal;
use crate::state::StateDir;

/// Runs cases.
pub(super) struct Bench {
    loader: PluginLoader,
    cache: Option<StateDir>,
    /// The directory of compiled code where there is no other: each case loads its plugin anew.
    _scratch: Option<tempfile::TempDir>,
}

impl Bench {
    pub(super) fn new(loader: PluginLoader) -> Result<Self, Failure> {
        if let Some(cache) = loader.cache()? {
            return Ok(Self { loader, cache: Some(cache), _scratch: None });
        }
        let scratch = tempfile::tempdir().ok();
        let cache = scratch.as_ref().and_then(|scratch| StateDir::open_scratch(&scratch.path().join("cache")));
        Ok(Self { loader, cache, _scratch: scratch })
    }

    pub(super) fn config(&self) -> &Config {
        &self.loader.config
    }

    /// Runs one case: its problems, none if it has passed, and the time that it took, with the load of the plugin.
    pub(super) async fn run(&self, plugin: &PlannedPlugin, file: &Path, case: &Case) -> (Vec<String>, Duration) {
        let folder = self.config().plugins.dir.join(&plugin.name);
        let grants = match stand_ins::grants(self.config().plugin(&plugin.name), case, file.parent().unwrap_or(file)) {
            Ok(grants) => match grants.dirs.iter().try_for_each(|dir| require_within(&dir.host, &folder)) {
                Ok(()) => grants,
                Err(problem) => return (vec![problem], Duration::ZERO),
            },
            Err(problem) => return (vec![problem], Duration::ZERO),
        };
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let stand_ins = Arc::new(StandIns::of(case));
        let services = Services {
            egress: Some(Egress::to(Arc::clone(&stand_ins) as _)),
            folders: Folders::new(Places::default(), None),
            kv: Some(Kv::in_memory(&tracker, stop.clone())),
            ..Services::default()
        };
        let began = Instant::now();
        let mut problems = match self.called(plugin, case, grants, services).await {
            Ok(ended) => verdict(case, &ended),
            Err(problem) => vec![problem],
        };
        let time = began.elapsed();
        problems.extend(stand_ins.take_problems());
        stop.cancel();
        tracker.close();
        tracker.wait().await;
        (problems, time)
    }

    async fn called(
        &self,
        plugin: &PlannedPlugin,
        case: &Case,
        grants: Grants,
        services: Services,
    ) -> Result<Ended, String> {
        let name = plugin.name.parse::<PluginName>();
        let name = name.map_err(|error| format!("`{}` names no plugin: {error}", plugin.name))?;
        let mut config = self.config().clone();
        let settings = case.settings_of(config.plugin(&plugin.name));
        config.plugin.insert(name.clone(), settings);
        let grants: PluginGrants = [(name.to_string(), grants)].into_iter().collect();
        let loaded = Plugins::of_file((&config, &grants), services, self.cache.as_ref(), &plugin.component);
        let plugins = loaded.map_err(|error| format!("not loaded: {error}"))?;
        let catalog = plugins.catalog();
        let tool = find(&catalog, case.tool.as_str())?;
        let scopes = case.scopes.as_ref().map(|scopes| scopes.iter().map(|scope| scope.as_str().to_owned()).collect());
        let caller = match &case.r#as {
            Some(person) => call::somebody(person.as_str(), scopes, &config.server.base_url, tool),
            None => Ok(Principal::anonymous()),
        };
        let caller = match caller {
            Ok(caller) => Arc::new(caller),
            // A client reads it too.
            Err(refusal) => return Ok(Ended::Failed(refusal.into_message())),
        };
        let answers = case.answers.as_ref().map(|answers| Answers::of(answers.0.clone()));
        let called = call::call(&plugins, tool, &case.arguments.0, &caller, answers.as_ref()).await;
        called.map(call::ended).map_err(|failure| match failure {
            call::NoEnd::Unanswered(asked) => {
                format!("the tool asks ({asked}): `answers` of the case has the answers, by these keys")
            }
            other => other.to_string(),
        })
    }
}

/// Refuses a folder that is not the plugin's own: cases come with a plugin, and their folders are read by it.
fn require_within(host: &Path, folder: &Path) -> Result<(), String> {
    let found = std::fs::canonicalize(host).map_err(|error| format!("`dirs`: `{}`: {error}", host.display()))?;
    match std::fs::canonicalize(folder) {
        Ok(folder) if found.starts_with(&folder) && found.is_dir() => Ok(()),
        _ => Err(format!("`dirs`: `{}` is no folder within `{}`", host.display(), folder.display())),
    }
}

/// The tool of a function, or of this name.
fn find<'c>(catalog: &'c Catalog, name: &str) -> Result<&'c Arc<Tool>, String> {
    if let Some(tool) = catalog.tool(name) {
        return Ok(tool);
    }
    let called = snake(name);
    let mut of_function = catalog.tools().iter().filter(|tool| snake(&tool.function().name.function) == called);
    match (of_function.next(), of_function.next()) {
        (Some(tool), None) => Ok(tool),
        (Some(_), Some(_)) => Err(format!("several tools are made of functions `{name}`: write the tool's name")),
        (None, _) => Err(call::unknown_in_words(name, catalog, None)),
    }
}

/// What is different from what the case expects.
fn verdict(case: &Case, ended: &Ended) -> Vec<String> {
    match (case.expected(), ended) {
        (Expected::Result(expected), Ended::Value { value, .. }) => differences(expected, value),
        (Expected::Contains(part), Ended::Value { text, .. }) if text.contains(part) => Vec::new(),
        (Expected::Contains(part), Ended::Value { text, .. }) => {
            vec![format!("expected a result with {} in it, got {}", shown(&part.into()), shown(&text.as_str().into()))]
        }
        (Expected::Error(part), Ended::Failed(text)) if text.contains(part) => Vec::new(),
        (Expected::Error(part), Ended::Failed(text)) => {
            vec![format!("expected an error with {} in it, got: {text}", shown(&part.into()))]
        }
        (Expected::Error(part), Ended::Value { value, .. }) => {
            vec![format!("expected an error with {} in it, got the result {}", shown(&part.into()), shown(value))]
        }
        (Expected::Result(_) | Expected::Contains(_), Ended::Failed(text)) => vec![format!("the tool failed: {text}")],
    }
}
