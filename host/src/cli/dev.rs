//! `tinymcp dev`: build everything, serve it, and build again what changes.

mod cases;
mod change;
mod keys;
mod offer;
mod terminal;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use self::cases::Cases;
use self::change::SourceChange;
use self::keys::Desk;
use self::terminal::Terminal;
use super::build::artifact::Artifact;
use super::build::folder::is_output;
use super::build::options::{BuildOptions, FunctionNames, MissingToolchain};
use super::build::sources::{self, IncompleteSource, Source};
use super::build::{Outcome, build_all, report_incomplete};
use super::logging::FrameStyle;
use super::serve::{Server, listen_override};
use super::{ConfigArguments, Failure, load, logging, output, plugin_loader, runtime, test};
use crate::clients::Client;
use crate::config::address::BaseUrl;
use crate::config::provider::NONE;
use crate::config::{Config, Override, Purpose};
use crate::plugins::watch_cure;

/// The options of `dev`: people who change a plugin want to know where it trapped, and need not have every toolchain.
const OPTIONS: BuildOptions = BuildOptions { missing: MissingToolchain::Skip, names: FunctionNames::Keep };

/// Editors save several files in a row, and formatters once more.
const GATHER: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The address to listen on, instead of `server.listen`; loopback only
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Serve without any login, for scripts: everybody who reaches this machine's loopback may then call every tool
    #[arg(long)]
    no_login: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut overrides = listen_override(arguments.listen);
    let configured = load(&arguments.config.clone().invocation(Purpose::Look, overrides.clone()))?.config;
    overrides.extend(base_url_override(&configured));
    overrides.push(login_override(&configured, arguments.no_login));
    let invocation = arguments.config.invocation(Purpose::Serve, overrides);
    let setup = load(&invocation)?;
    plugin_loader::require_directory(&setup.config)?;
    let terminal = Terminal::find();
    let offers = offer::start(invocation.clone(), terminal.as_ref());
    let log = logging::start(&setup.config.log, FrameStyle::OnePerLine, offers);
    let cases = Cases { config: invocation.file.clone(), directory: setup.config.plugins.dir.clone() };
    runtime()?.block_on(async {
        let config = Arc::new(setup.config.clone());
        let all = sources::choose(&config, &[]).map_err(Failure::start)?;
        let watched = Sources::watch(&config);
        report_incomplete(&watched.incomplete);
        let built = build_all(&config, &all, OPTIONS).await;
        let server = Server::start(invocation, setup, log).await?;
        let (plugins, served) = (server.plugins.clone(), Arc::clone(&server.config));
        let changes = watched.changed.clone();
        let working = tokio::spawn(async move {
            let page = format!("{}/", served.server.base_url);
            let waiting = what_it_waits_for(&config, terminal.is_some());
            let announcing = async {
                announce(&plugins, &served, &page).await;
                output::line(&waiting);
                // Until the end of the work: then the terminal is as it was.
                let desk = Desk { plugins: plugins.clone(), page: page.clone(), changes };
                let _keys = terminal.as_ref().map(|terminal| keys::start(terminal, desk));
                cases.run(built.iter().filter_map(Outcome::built).map(str::to_owned)).await;
                std::future::pending::<()>().await;
            };
            tokio::join!(announcing, watched.rebuild(config, &cases, &waiting));
        });
        let outcome = server.run().await;
        working.abort();
        // Its end gives the terminal back.
        let _ = working.await;
        outcome
    })
}

/// Replaces a public URL by `localhost`: `dev` serves this machine only.
fn base_url_override(configured: &Config) -> Option<Override> {
    let deployed = &configured.server;
    if deployed.base_url.is_loopback() {
        return None;
    }
    let value = BaseUrl::localhost(deployed.listen.port()).to_string();
    output::note(&format!("`dev` serves this machine only, at {value} instead of {}", deployed.base_url));
    Some(Override { key: "server.base_url", value, argument: "dev" })
}

/// Chooses the built-in login, or none. Only this machine can reach the server, so a name is enough; all else is as in
/// any login. The configuration keeps both providers on loopback.
fn login_override(configured: &Config, no_login: bool) -> Override {
    let provider = "auth.provider";
    if no_login {
        return Override { key: provider, value: NONE.to_owned(), argument: "--no-login" };
    }
    if configured.auth.provider.as_str() == NONE {
        output::note(
            "`auth.provider` is `none`, but `dev` asks for a name: `tinymcp dev --no-login` serves without any login",
        );
    }
    Override { key: provider, value: "local".to_owned(), argument: "dev" }
}

/// Prints the tools, and what to put into clients.
async fn announce(plugins: &crate::plugins::Plugins, config: &Config, page: &str) {
    plugins.ready().await;
    let endpoint = config.server.base_url.endpoint();
    output::line(&format!("\n{} {}", output::bold("TinyMCP serves"), output::good(&endpoint)));
    output::line(&format!("{} {}\n", output::bold("Its page is at"), output::good(page)));
    for tool in plugins.catalog().tools() {
        output::line(&format!("  {}  {}", output::bold(&tool.name), tool.summary()));
    }
    let has_login = config.auth.provider.as_str() != NONE;
    for (name, client) in [("Cursor", Client::Cursor), ("Claude Code", Client::ClaudeCode)] {
        let snippet = client.snippet(&endpoint, has_login);
        output::line(&format!("\n{} ({})\n{snippet}", output::bold(name), client.place()));
    }
}

/// What happens next, and the keys.
fn what_it_waits_for(config: &Config, has_keys: bool) -> String {
    let directory = config.plugins.dir.display();
    let waits = format!(
        "Waiting for changes under `{directory}`: change a file and its plugin is rebuilt, and its tests run. Ctrl-C stops."
    );
    let keys = if has_keys { format!("\n{}", keys::line()) } else { String::new() };
    format!("\n{}{keys}", output::dim(&waits))
}

/// The sources of all plugins, watched.
struct Sources {
    watcher: Option<RecommendedWatcher>,
    changes: mpsc::UnboundedReceiver<SourceChange>,
    changed: mpsc::UnboundedSender<SourceChange>,
    root: PathBuf,
    /// The plugins that have been built or are about to be.
    known: BTreeSet<String>,
    /// The folders that have been reported as incomplete.
    incomplete: Vec<IncompleteSource>,
}

impl Sources {
    /// Begins to watch. Every change from now on leads to a build, also one during a build.
    fn watch(config: &Config) -> Self {
        let (changed, changes) = mpsc::unbounded_channel();
        let root = std::fs::canonicalize(&config.plugins.dir).unwrap_or_else(|_| config.plugins.dir.clone());
        let (watched, sent) = (root.clone(), changed.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            if event.kind.is_access() {
                return;
            }
            for change in event.paths.iter().filter_map(|path| SourceChange::of(&watched, path)) {
                let _ = sent.send(change);
            }
        });
        let warn =
            |error: &notify::Error| output::warning(&format!("sources are not watched: {error}{}", watch_cure(error)));
        let watcher = watcher.inspect_err(warn).ok();
        let mut sources = Self { watcher, changes, changed, root, known: BTreeSet::new(), incomplete: Vec::new() };
        sources.known = sources.watch_all();
        sources.incomplete = sources::incomplete(config);
        sources
    }

    /// Builds plugins whenever their sources change, and new ones when they appear, and runs their cases, until it is
    /// dropped.
    async fn rebuild(mut self, config: Arc<Config>, cases: &Cases, waiting: &str) {
        while let Some(first) = self.changes.recv().await {
            let mut changed = BTreeSet::from([first]);
            while let Ok(Some(more)) = tokio::time::timeout(GATHER, self.changes.recv()).await {
                changed.insert(more);
            }
            let now = self.watch_all();
            let has = |change: SourceChange| changed.contains(&change);
            let is_due = |name: &String| {
                has(SourceChange::All) || has(SourceChange::Source(name.clone())) || !self.known.contains(name)
            };
            let sources = sources::choose(&config, &[]).unwrap_or_default();
            let due: Vec<Source> = sources.into_iter().filter(|source| is_due(&source.folder.name)).collect();
            self.report(&config, &now);
            let outcomes = build_all(&config, &due, OPTIONS).await;
            let mut tested: BTreeSet<String> = outcomes.iter().filter_map(Outcome::built).map(str::to_owned).collect();
            // Also of those without sources here.
            let of_cases = test::with_cases(&config.plugins.dir).into_iter().filter(|name| config.plugin(name).enabled);
            let is_asked = |name: &String| has(SourceChange::AllCases) || has(SourceChange::Cases(name.clone()));
            tested.extend(of_cases.filter(is_asked));
            let is_idle = due.is_empty() && tested.is_empty();
            cases.run(tested).await;
            if !is_idle {
                output::note(waiting);
            }
            self.known = now;
        }
    }

    /// Reports folders that are no longer sources, or not yet.
    fn report(&mut self, config: &Config, now: &BTreeSet<String>) {
        for name in self.known.difference(now) {
            let artifact = Artifact::of(&config.plugins.dir, name);
            let component = artifact.component();
            let rest = if component.is_file() {
                let component = component.display();
                format!("`{component}` stays and is served as it is; to remove its tools, remove it too")
            } else {
                "there is no component of it".to_owned()
            };
            output::note(&format!("{} {name}: its sources are gone. {rest}", output::notable("removed")));
        }
        let mut incomplete = sources::incomplete(config);
        // One that was a source a moment ago is being removed or moved, most likely.
        incomplete.retain(|folder| !self.known.contains(&folder.name));
        let news: Vec<_> = incomplete.iter().filter(|folder| !self.incomplete.contains(folder)).cloned().collect();
        report_incomplete(&news);
        self.incomplete = incomplete;
    }

    /// Watches the plugins directory, and the directories of all sources except those that builds write: recursive
    /// watching would include the thousands of directories below `target`. Returns the plugins' names.
    fn watch_all(&mut self) -> BTreeSet<String> {
        let sources = sources::all(&self.root).unwrap_or_default();
        let mut directories: Vec<PathBuf> = sources.iter().map(|source| source.folder.directory.clone()).collect();
        if let Some(watcher) = &mut self.watcher {
            let _ = watcher.watch(&self.root, RecursiveMode::NonRecursive);
            while let Some(directory) = directories.pop() {
                let _ = watcher.watch(&directory, RecursiveMode::NonRecursive);
                let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
                directories.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !is_output(path)));
            }
        }
        sources.into_iter().map(|source| source.folder.name).collect()
    }
}
