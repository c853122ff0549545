//! Plugins: WebAssembly components, from the files of a directory to calls of their functions.
//!
//! This is the only module that names wasmtime, and it knows nothing of MCP, HTTP or login. Others see
//! [`Plugins`]: a channel of immutable catalogs, and a way to call a tool of one.
//!
//! A file becomes a [`Plugin`](plugin::Plugin) in [`loading`]; [`registry`] looks at the directory, owns what is loaded, and
//! publishes the [`catalog`]; a call runs in the [`sandbox`], with [`imports`] behind the guest; [`types`] is a WIT type and
//! its faces.

pub mod announcements;
pub mod approval;
pub mod catalog;
pub mod conversation;
mod digest;
pub mod error;
pub mod imports;
pub mod loading;
pub mod names;
pub mod notes;
pub mod observers;
pub mod plugin;
mod questions;
pub mod rates;
pub mod refusals;
pub mod registry;
pub mod rules;
pub mod sandbox;
pub mod served;
pub mod services;
mod shown;
pub mod sources;
pub mod types;
pub mod updates;
pub mod wit;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch as channel;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::announcements::List;
use self::approval::difference;
use self::approval::face::Face;
use self::approval::request::{self, ApprovalAnswer, ApprovalRequest, Approvals};
use self::approval::store::Store;
use self::catalog::{Catalog, Prompt, Tool};
use self::conversation::Conversation;
use self::error::CallError;
use self::loading::cache::Cache;
use self::loading::compile::Allowance;
use self::loading::loader::Loader;
use self::observers::Observers;
use self::registry::Registry;
use self::registry::ledger::Ledger;
use self::registry::sharing::SharedRecords;
pub use self::registry::watch::cure as watch_cure;
use self::rules::Rules;
use self::sandbox::address_space::AddressSpace;
use self::sandbox::engine::{Cleaning, Engine};
use self::sandbox::requests::{self, CompletionRequest};
use self::sandbox::runtime::Runtime;
use self::served::Served;
use self::services::Services;
use self::sources::Sources;
use self::types::codec::Reply;
use self::updates::Updates;
use self::wit::completions::Suggestions;
use self::wit::content::Contents;
use self::wit::input::Stop;
use self::wit::prompts::Conversation as PromptMessages;
use crate::config::{Config, Limits};
use crate::grants::PluginGrants;
use crate::state::StateDir;
use crate::switches::Switches;
use crate::view::View;

/// The first scan ends with `plugins.wait` at the latest, and is given so long to be published.
const PUBLISHING: Duration = Duration::from_millis(500);

/// Calls at once for a command, which makes one.
const COMMAND_SLOTS: u32 = 1;

/// The plugins of a running server. Clones are handles to the same.
#[derive(Clone)]
pub struct Plugins {
    runtime: Arc<Runtime>,
    catalog: channel::Receiver<Arc<Catalog>>,
    ready: channel::Receiver<bool>,
    approvals: Approvals,
    /// The moment at which those who wait for the first scan hear that there was none; `None` for never.
    scanned_by: Option<Instant>,
    /// Compiles ahead what is to come into force; none for one file.
    loader: Option<Arc<Loader>>,
    /// The files from elsewhere that are served, or refused.
    taken: channel::Receiver<Arc<Sources>>,
}

/// The longest wait for files from elsewhere: they were compiled before.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

impl Plugins {
    /// Starts the engine and the task that watches the directory, on `tracker` until `stop`.
    ///
    /// Without a state directory nothing is kept: code is compiled at every start, names are remembered until the end.
    ///
    /// # Errors
    /// When the engine cannot run here, or threads cannot be started.
    pub fn start(
        rules: Rules,
        services: Services,
        state: Option<&StateDir>,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let runtime = {
            let pool = &rules.config.borrow().pool;
            let cleaning = if pool.scan { Cleaning::Scan } else { Cleaning::Whole };
            Runtime::new(u32::from(*pool.slots), u32::from(pool.warm), cleaning, services).map_err(unusable)?
        };
        let (plugins, registry) = Self::prepare(rules, state, state, runtime)?;
        tracker.spawn(registry.run(stop));
        Ok(plugins)
    }

    /// The address space that the configured calls need, and what this process is allowed.
    pub fn address_space(config: &Config) -> AddressSpace {
        let pool = &config.pool;
        AddressSpace::of(u32::from(*pool.slots).saturating_add(u32::from(pool.warm)))
    }

    /// The plugins of the configured directory as it is now, or of some of its files, for commands: nothing is watched. Names are read from
    /// `state`, and compiled code is kept in `cache`.
    ///
    /// # Errors
    /// As for [`Plugins::start`].
    pub async fn of_directory(
        (config, grants, sources): (Config, PluginGrants, Sources),
        services: Services,
        state: Option<&StateDir>,
        cache: Option<&StateDir>,
        only: Option<BTreeSet<String>>,
        records: Option<SharedRecords>,
    ) -> anyhow::Result<Self> {
        let (config, grants) = (channel::Sender::new(Arc::new(config)), channel::Sender::new(Arc::new(grants)));
        let sources = channel::Sender::new(Arc::new(sources));
        // What is switched off for the server beside this command.
        let switches = state.map(Switches::open).transpose()?.unwrap_or_default();
        let rules = Rules::of(&config, &grants).with(&switches).with_sources(&sources).with_records(records);
        let (plugins, registry) = Self::prepare(rules, state, cache, command_runtime(services)?)?;
        tokio::select! {
            () = plugins.ready() => {}
            () = registry.at_once(only).run(CancellationToken::new()) => {}
        }
        Ok(plugins)
    }

    fn prepare(
        rules: Rules,
        state: Option<&StateDir>,
        cache: Option<&StateDir>,
        runtime: Runtime,
    ) -> anyhow::Result<(Self, Registry)> {
        let runtime = Arc::new(runtime);
        let cache = cache.and_then(|cache| open_cache(cache, &runtime.engine));
        let (approvals, requests) = request::channel();
        let (ledger, store) = match &rules.records {
            Some(records) => records.opened_with(state),
            None => (Ledger::open(state), Store::open(state)),
        };
        let known = (ledger, store, requests);
        let patience = rules.config.borrow().plugins.wait.duration().saturating_add(PUBLISHING);
        let scanned_by = Instant::now().checked_add(patience);
        let (catalog_sender, catalog) = channel::channel(Arc::new(Catalog::default()));
        let (ready_sender, ready) = channel::channel(false);
        let registry = Registry::new(Arc::clone(&runtime), cache, known, rules, catalog_sender, ready_sender)?;
        let (loader, taken) = (Some(registry.loader()), registry.taken());
        Ok((Self { runtime, catalog, ready, approvals, scanned_by, loader, taken }, registry))
    }

    /// The plugins of one file, for commands: nothing is watched. Compiled code is kept in `cache`.
    ///
    /// # Errors
    /// Why the file gives no plugin, or the engine cannot run here.
    pub fn of_file(
        (config, grants): (&Config, &PluginGrants),
        services: Services,
        cache: Option<&StateDir>,
        file: &Path,
    ) -> anyhow::Result<Self> {
        let runtime = Arc::new(command_runtime(services)?);
        let cache = cache.and_then(|cache| open_cache(cache, &runtime.engine));
        let catalog = registry::single_file::catalog_of_file(&runtime, cache.clone(), (config, grants), file)?;
        if let Some(cache) = cache {
            cache.sweep(catalog.served().map(|served| &served.plugin.digest));
        }
        Ok(Self {
            runtime,
            catalog: channel::channel(Arc::new(catalog)).1,
            ready: channel::channel(true).1,
            approvals: request::channel().0,
            scanned_by: None,
            loader: None,
            taken: channel::channel(Arc::default()).1,
        })
    }

    /// What a plugin shows and needs that another one does not, in lines; both of one file.
    pub fn differences(before: Option<&Self>, after: &Self) -> Vec<String> {
        let face = |plugins: &Self| plugins.catalog().served().next().map(|served| Face::of(&served.plugin));
        let before = before.and_then(face);
        face(after).map(|after| difference::in_words(before.as_ref(), &after)).unwrap_or_default()
    }

    /// Those who are told of calls.
    pub fn observers(&self) -> &Observers {
        &self.runtime.services.observers
    }

    /// Asks something about approvals in the configured directory as it is now, for a command where no server runs.
    ///
    /// # Errors
    /// As for [`Plugins::start`].
    pub async fn ask_of_directory(
        (config, grants, sources): (Config, PluginGrants, Sources),
        state: &StateDir,
        records: Option<SharedRecords>,
        request: ApprovalRequest,
    ) -> anyhow::Result<Result<ApprovalAnswer, String>> {
        let (config, grants) = (channel::Sender::new(Arc::new(config)), channel::Sender::new(Arc::new(grants)));
        let sources = channel::Sender::new(Arc::new(sources));
        let rules = Rules::of(&config, &grants).with_sources(&sources).with_records(records);
        let runtime = command_runtime(Services::default())?;
        let (plugins, registry) = Self::prepare(rules, Some(state), Some(state), runtime)?;
        let ask = async {
            plugins.ready().await;
            plugins.approvals.ask(request).await
        };
        tokio::select! {
            answer = ask => Ok(answer),
            () = registry.at_once(None).run(CancellationToken::new()) => Ok(Err("the plugins directory cannot be looked at".to_owned())),
        }
    }

    /// The way to ask about what waits for approval.
    pub fn approvals(&self) -> Approvals {
        self.approvals.clone()
    }

    /// All tools now.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow())
    }

    /// All that is at a view now; nothing where there is no such view.
    pub fn catalog_of(&self, view: &View) -> Arc<Catalog> {
        match view.name() {
            None => self.catalog(),
            Some(name) => self.catalog.borrow().view(name).cloned().unwrap_or_default(),
        }
    }

    /// The channel that says when there is a new catalog.
    pub fn changes(&self) -> channel::Receiver<Arc<Catalog>> {
        self.catalog.clone()
    }

    /// True once the first scan of the directory is done: all that compiles within `plugins.wait`, or need not, is in
    /// the catalog.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until the first scan is done.
    pub async fn ready(&self) {
        // An error means that the registry has ended, which it does at shutdown only.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Waits until these files from elsewhere are served or refused, for a while.
    pub(crate) async fn take(&self, sources: &Sources) {
        let mut taken = self.taken.clone();
        // Where they are others by now, or a load takes long, nothing depends on it.
        let _ = tokio::time::timeout(TAKEN_WITHIN, taken.wait_for(|taken| **taken == *sources)).await;
    }

    /// Waits for the first scan, but no longer than `plugins.wait` from the start; returns whether it is done.
    pub async fn scanned(&self) -> bool {
        match self.scanned_by {
            Some(by) => tokio::time::timeout_at(by, self.ready()).await.unwrap_or_default(),
            None => self.ready().await,
        }
        self.is_ready()
    }

    /// Compiles a file before it comes into force, so that this takes no time then: its code is in the cache.
    ///
    /// # Errors
    /// Why it gives no plugin.
    pub async fn compile_ahead(&self, name: &str, file: &Path, limits: &Limits) -> Result<(), String> {
        let Some(loader) = &self.loader else { return Ok(()) };
        let (path, limit) = (file.to_owned(), *limits.file);
        let read = loader.threads().run(0, move || registry::directory::read(&path, limit)).await;
        let (bytes, _) = match read {
            Some(Ok(read)) => read,
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("the host failed while it read the file".to_owned()),
        };
        let room = loader.room_for(name, bytes.len() as u64).await;
        let made = loader.load(name, bytes, Allowance::of(limits)).await;
        drop(room);
        made.map(drop).map_err(|error| crate::sanitize::escape(&error.to_string()))
    }

    /// Calls a tool; see [`sandbox::call::call`].
    ///
    /// # Errors
    /// [`CallError`]: what to tell the caller.
    pub async fn call(
        &self,
        tool: &Arc<Tool>,
        arguments: &Map<String, Value>,
        conversation: Conversation,
    ) -> Result<Reply, CallError> {
        sandbox::call::call(&self.runtime, tool, arguments, conversation).await
    }

    /// Reads a resource of a plugin; none if there is no such.
    ///
    /// # Errors
    /// [`CallError`]: what to tell the caller.
    pub async fn read_resource(
        &self,
        of: &Served,
        uri: &str,
        conversation: Conversation,
    ) -> Result<Result<Vec<Contents>, Stop>, CallError> {
        requests::read_resource(&self.runtime, of, uri, conversation).await
    }

    /// Fills a prompt in.
    ///
    /// # Errors
    /// [`CallError`]: what to tell the caller.
    pub async fn get_prompt(
        &self,
        prompt: &Prompt,
        arguments: Vec<(String, String)>,
        conversation: Conversation,
    ) -> Result<Result<PromptMessages, Stop>, CallError> {
        requests::get_prompt(&self.runtime, prompt, arguments, conversation).await
    }

    /// Suggests values for an argument; nothing if the plugin does not do that.
    ///
    /// # Errors
    /// [`CallError`]: what to tell the caller.
    pub async fn complete(
        &self,
        of: &Served,
        request: CompletionRequest,
        conversation: Conversation,
    ) -> Result<Suggestions, CallError> {
        requests::complete(&self.runtime, of, request, conversation).await
    }

    /// Frees what is kept of a person between two calls ([`crate::principal::Principal::person`]).
    pub fn forget(&self, person: &[u8; 32]) {
        self.runtime.warm.forget(person);
    }

    /// Resources that hold something else, and those who subscribe to them.
    pub fn updates(&self) -> &Arc<Updates> {
        self.runtime.announcements.updates()
    }

    /// Waits for lists that plugins here say are others, with their plugins, and takes them: for other servers.
    pub async fn lists_for_others(&self) -> Vec<(Arc<str>, &'static str)> {
        let announced = self.runtime.announcements.lists_for_others().await;
        announced.into_iter().map(|(plugin, list)| (plugin, list.name())).collect()
    }

    /// Asks a plugin for a list again that it says is another one, on another server.
    pub fn list_announced_elsewhere(&self, plugin: &str, list: &str) {
        if let Some(list) = List::of_name(list) {
            self.runtime.announcements.list_elsewhere(&plugin.into(), list);
        }
    }

    /// Tells subscribers of resources that hold something else, without end.
    pub async fn tell_updates(&self) {
        let scopes = |plugin: &str, uri: &str| {
            let catalog = self.catalog();
            let owner = catalog.owner_of(uri).filter(|owner| *owner.plugin.name == *plugin)?;
            Some(owner.scopes().into())
        };
        self.updates().tell(scopes).await;
    }
}

fn command_runtime(services: Services) -> anyhow::Result<Runtime> {
    Runtime::new(COMMAND_SLOTS, 0, Cleaning::Whole, services).map_err(unusable)
}

/// The engine's error, with the system's behind it if there is one.
fn unusable(error: wasmtime::Error) -> anyhow::Error {
    let message = format!("{error:#}");
    match error.downcast::<std::io::Error>() {
        Ok(of_system) => anyhow::Error::new(of_system).context(message),
        Err(_) => anyhow::anyhow!(message),
    }
}

/// The compile cache is a saving, never a condition.
fn open_cache(state: &StateDir, engine: &Engine) -> Option<Cache> {
    let warn = |error: &std::io::Error| tracing::warn!(%error, "no compile cache; every start compiles all plugins");
    Cache::open(state, engine).inspect_err(warn).ok()
}
