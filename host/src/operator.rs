//! What the operator of this machine does to people, sessions, plugins and keys: asked as data, through the control socket
//! of a running server, or of the state directory itself while none runs.
//!
//! - `request`: what is asked and answered. `names`: the words by which operators name people and sessions.
//! - `ending`: sessions and people. `backup`: a copy of the databases. `running`: a configuration against the running one.

mod backup;
mod ending;
pub mod names;
pub mod request;
mod running;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

pub use self::request::{Answer, OlderVersion, PersonId, Request, Which};
pub use self::running::Running;
use crate::auth::desk::Desk;
use crate::config::names::snake;
use crate::config::problem::nearest;
use crate::kv::Kv;
use crate::mcp::Holdings;
use crate::plugins::Plugins;
use crate::state::StateDir;
use crate::store::{Key, Store};
use crate::switches::{BlockedPerson, Switches};

/// Time for a plugin to be taken out of the catalog, once it is switched off.
const SWITCHED_WITHIN: Duration = Duration::from_secs(2);

/// Everything that the operator's requests are about.
#[derive(Clone)]
pub struct Operator {
    /// The sessions; none where nobody logs in, or where there never was a store.
    pub desk: Option<Desk>,
    /// The state of plugins; none if there never was any.
    pub kv: Option<Kv>,
    /// What is switched off.
    pub switches: Switches,
    /// The state directory.
    pub state: StateDir,
    /// The plugins directory.
    pub plugins_dir: PathBuf,
    /// The parts of a server that runs.
    pub serving: Option<Serving>,
}

/// The parts of a server that runs.
#[derive(Clone)]
pub struct Serving {
    /// What the endpoint holds of people.
    pub holdings: Holdings,
    /// The plugins.
    pub plugins: Plugins,
    /// The configuration.
    pub running: Running,
}

impl Operator {
    /// Does what is asked for.
    ///
    /// # Errors
    /// In words for the operator.
    pub async fn ask(&self, request: Request) -> Result<Answer, String> {
        match request {
            Request::Sessions { after } => self.sessions(after.as_deref()).await,
            Request::End { which } => Ok(Answer::Ended { sessions: self.end(&which).await? }),
            Request::SwitchedOff => Ok(Answer::SwitchedOff((*self.switches.now()).clone())),
            Request::Block { person } => self.block(person).await,
            Request::Unblock { person } => {
                let is_other = self.change(|off| off.people.retain(|blocked| !person.is(blocked))).await?;
                Ok(Answer::Changed { is_other })
            }
            Request::Forget { person } => self.forget(&person).await,
            Request::Tasks { person } | Request::Export { person } => self.tasks(&person).await.map(Answer::Tasks),
            Request::SwitchPlugin { name, is_on } => self.switch_plugin(&name, is_on).await,
            Request::OlderVersions => Ok(Answer::OlderVersions(self.older_versions())),
            Request::Keys => Ok(Answer::Keys(self.state.ring().listed())),
            Request::Rotate => self.rotate().await,
            Request::Snapshot => self.snapshot().await,
            Request::Compare { text, name } => match &self.serving {
                Some(serving) => Ok(Answer::Compared(serving.running.compare(&text, &name))),
                None => Err("no server is running".to_owned()),
            },
        }
    }

    async fn sessions(&self, after: Option<&str>) -> Result<Answer, String> {
        let after = after.map(|text| Key::from_hex(text).ok_or("no such place in the list")).transpose()?;
        let Some(desk) = &self.desk else { return Ok(Answer::Sessions { sessions: Vec::new(), next: None }) };
        let (sessions, next) = desk.page(after).await.map_err(|error| error.to_string())?;
        let sessions = sessions.into_iter().map(|(_, session)| session).collect();
        Ok(Answer::Sessions { sessions, next: next.map(Key::to_hex) })
    }

    async fn tasks(&self, person: &PersonId) -> Result<Vec<crate::mcp::ListedTask>, String> {
        match &self.serving {
            Some(serving) => serving.holdings.tasks_of(&person.key()).await,
            None => Ok(Vec::new()),
        }
    }

    /// The versions that are served in place of files that are refused.
    fn older_versions(&self) -> Vec<OlderVersion> {
        let Some(serving) = &self.serving else { return Vec::new() };
        let catalog = serving.plugins.catalog();
        let summary = |name: &String| {
            let tool = catalog.tools().iter().find(|tool| tool.name == *name);
            (name.clone(), tool.map(|tool| tool.summary()).unwrap_or_default())
        };
        let refused = catalog.plugins().iter().filter(|plugin| plugin.problem.is_some());
        let older = refused.filter_map(|plugin| {
            let served = plugin.serving.as_ref()?;
            let tools = served.tools.iter().map(summary).collect();
            Some(OlderVersion { file: plugin.file.clone(), digest: served.digest.to_string(), tools })
        });
        older.collect()
    }

    /// Changes what is switched off, on the disk and for everybody who follows it.
    async fn change(&self, change: impl Fn(&mut crate::switches::SwitchedOff)) -> Result<bool, String> {
        // Boxed: what becomes of it in a shared store is a long way.
        Box::pin(self.switches.change(change))
            .await
            .map_err(|error| format!("what is switched off cannot be written: {error}"))
    }

    async fn block(&self, person: BlockedPerson) -> Result<Answer, String> {
        let id = PersonId { issuer: person.issuer.clone(), subject: person.subject.clone() };
        self.change(|off| {
            if !off.blocks(&person.issuer, &person.subject) {
                off.people.push(person.clone());
            }
        })
        .await?;
        let label = crate::person_label::label(&id.key());
        tracing::warn!(person = label, "a person was blocked by whoever runs this server");
        Ok(Answer::Ended { sessions: self.end(&Which::Person(id)).await? })
    }

    async fn switch_plugin(&self, raw_name: &str, is_on: bool) -> Result<Answer, String> {
        let name = snake(raw_name.strip_suffix(".wasm").unwrap_or(raw_name));
        let known = self.plugin_names();
        // One that is gone may still have to be switched on again.
        if !(known.contains(&name) || is_on && self.switches.now().has_plugin(&name)) {
            let near = nearest(&name, known.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("there is no plugin `{raw_name}`{near}"));
        }
        let is_other = self
            .change(|off| {
                if is_on {
                    off.plugins.remove(&name)
                } else {
                    off.plugins.insert(name.clone())
                };
            })
            .await?;
        if let Some(serving) = self.serving.as_ref().filter(|_| !is_on) {
            let mut catalog = serving.plugins.changes();
            let is_gone = |catalog: &std::sync::Arc<crate::plugins::catalog::Catalog>| {
                catalog.plugins().iter().all(|plugin| snake(&plugin.name) != name || plugin.serving.is_none())
            };
            // It is out of force at once; lists follow in a moment.
            let _ = tokio::time::timeout(SWITCHED_WITHIN, catalog.wait_for(is_gone)).await;
        }
        Ok(Answer::Changed { is_other })
    }

    /// The plugins that there are, by the names of their files.
    fn plugin_names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(&self.plugins_dir).into_iter().flatten().flatten();
        let of_files = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some(snake(name.strip_suffix(".wasm")?))
        });
        let catalog = self.serving.as_ref().map(|serving| serving.plugins.catalog());
        let served: Vec<String> =
            catalog.iter().flat_map(|catalog| catalog.plugins()).map(|plugin| snake(&plugin.name)).collect();
        of_files.chain(served).collect()
    }

    /// Makes a new root key, and seals under it what is sealed under the current one alone.
    async fn rotate(&self) -> Result<Answer, String> {
        let state = self.state.clone();
        let rotated = tokio::task::spawn_blocking(move || state.rotate().map_err(|error| error.to_string()));
        rotated.await.map_err(|error| error.to_string())??;
        reseal(&self.state, &self.switches).await;
        let keys = self.state.ring().listed();
        tracing::warn!("the root key was changed by whoever runs this server; those before it still read");
        Ok(Answer::Keys(keys))
    }
}

/// Seals anew what names the key that it is sealed under and is never written otherwise. What fails is done at the next
/// start.
pub(crate) async fn reseal(state: &StateDir, switches: &Switches) {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        tracing::warn!("{what} is still sealed under the root key before: {error}; the next start tries again");
    };
    if let Err(error) = Box::pin(switches.reseal()).await {
        failed("what is switched off", &error);
    }
    let state = state.clone();
    let resealed = tokio::task::spawn_blocking(move || {
        let store = if Store::is_there(&state) { Store::reseal(&state).err() } else { None };
        let kv = if Kv::is_there(&state) { Kv::reseal(&state).err() } else { None };
        (store, kv)
    });
    match resealed.await {
        Ok((store, kv)) => {
            store.iter().for_each(|error| failed("the store", error));
            kv.iter().for_each(|error| failed("the state of plugins", error));
        }
        Err(error) => failed("the store", &error),
    }
}
