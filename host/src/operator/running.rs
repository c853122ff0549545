//! A configuration against the one that runs: what a running server would take over at once, and what needs a restart.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::request::Comparison;
use crate::config::{Config, Environment, Invocation, Provider, Setup};
use crate::grants::PluginGrants;

/// The configuration that runs, and how it was read.
#[derive(Clone)]
pub struct Running {
    /// The command line, which a new configuration is read with as well.
    pub invocation: Invocation,
    /// All keys, as they are now.
    pub config: watch::Receiver<Arc<Config>>,
    /// What plugins are granted now.
    pub grants: watch::Receiver<Arc<PluginGrants>>,
    /// The identity provider that was chosen at the start.
    pub provider: Option<Provider>,
}

impl Running {
    /// Reads a configuration as this server would, with its variables and its command line, and compares.
    pub(super) fn compare(&self, text: &str, name: &str) -> Comparison {
        let invocation = Invocation { file: Some(self.named(name)), ..self.invocation.clone() };
        let environment = Environment::read(self.invocation.directory());
        let setup = match Config::parse(text, &invocation, &environment) {
            Ok(setup) => setup,
            Err(error) => {
                let problems = error.to_string().lines().map(str::to_owned).collect();
                return Comparison { problems, ..Comparison::default() };
            }
        };
        let running = Arc::clone(&self.config.borrow());
        self.differences(&running, &setup)
    }

    /// The file in the directory of the running one, where relative paths begin.
    fn named(&self, name: &str) -> PathBuf {
        let name = PathBuf::from(name);
        self.invocation.directory().join(name.file_name().unwrap_or("tinymcp.toml".as_ref()))
    }

    fn differences(&self, running: &Config, setup: &Setup) -> Comparison {
        let mut comparison = Comparison::default();
        for change in running.changes(&setup.config) {
            let keys = if change.is_live { &mut comparison.live } else { &mut comparison.restart };
            keys.push(change.key.to_string());
        }
        if setup.provider != self.provider && comparison.restart.iter().all(|key| !key.starts_with("auth.provider")) {
            comparison.restart.push("variables of the identity provider".to_owned());
        }
        let granted = Arc::clone(&self.grants.borrow());
        let names = setup.grants.iter().map(|(name, _)| name).chain(granted.iter().map(|(name, _)| name));
        let mut names: Vec<&str> = names.filter(|name| setup.grants.of(name) != granted.of(name)).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let table = format!("plugin.{name}");
            let is_told = |key: &String| *key == table || key.starts_with(&format!("{table}."));
            if !comparison.live.iter().any(is_told) {
                comparison.live.push(format!("variables of {table}"));
            }
        }
        comparison
    }
}
