//! `tinymcp dev`: build everything, serve it, and build again what changes.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::build::crates::{self, PluginCrate};
use super::build::{build_all, require_target};
use super::serve::{Server, listen_override};
use super::{ConfigArguments, Failure, load, logging, output, runtime, wait};
use crate::clients::Client;
use crate::config::{Config, Override, Purpose};

/// Editors save several files in a row, and formatters once more.
const GATHER: Duration = Duration::from_millis(200);

/// Files whose change means a build.
const SOURCES: [&str; 3] = ["rs", "toml", "wit"];

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Where to listen, instead of `server.listen`; loopback only
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut overrides = listen_override(arguments.listen);
    // Nobody else can reach the server, so nobody needs to log in.
    overrides.push(Override { key: "auth.provider", value: "none".to_owned(), argument: "dev" });
    let invocation = arguments.config.invocation(Purpose::Serve, overrides);
    let loaded = load(&invocation)?;
    wait::require_directory(&loaded.config)?;
    let log = logging::start(&loaded.config.log);
    runtime()?.block_on(async {
        require_target().await.map_err(Failure::start)?;
        let config = Arc::new(loaded.config.clone());
        let all = crates::choose(&config, &[]).map_err(Failure::start)?;
        build_all(&config, &all).await;
        let server = Server::start(invocation, loaded, log).await?;
        let announced = (server.plugins.clone(), Arc::clone(&server.config));
        let rebuilding = tokio::spawn(rebuild(config));
        let announcing = tokio::spawn(async move { announce(&announced.0, &announced.1).await });
        let outcome = server.run().await;
        rebuilding.abort();
        announcing.abort();
        outcome
    })
}

/// Prints the tools, and what to put into clients.
async fn announce(plugins: &crate::plugins::Plugins, config: &Config) {
    plugins.ready().await;
    let endpoint = config.server.base_url.endpoint();
    output::line(&format!("\n{} {}\n", output::bold("TinyMCP serves"), output::good(&endpoint)));
    for tool in plugins.catalog().tools() {
        output::line(&format!("  {}  {}", output::bold(&tool.name), tool.function().summary()));
    }
    for (name, client) in [("Cursor", Client::Cursor), ("Claude Code", Client::ClaudeCode)] {
        output::line(&format!("\n{}\n{}", output::bold(name), client.snippet(&endpoint)));
    }
    output::line(&format!(
        "\n{}",
        output::dim("Change a file under the plugins directory and its plugin is rebuilt. Ctrl-C stops.")
    ));
}

/// Builds crates whenever their sources change, until it is dropped.
async fn rebuild(config: Arc<Config>) {
    let (changed, mut changes) = mpsc::unbounded_channel();
    let plugins_dir = config.plugins.dir.clone();
    let root = std::fs::canonicalize(&plugins_dir).unwrap_or(plugins_dir);
    let watched = root.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let Ok(event) = event else { return };
        if event.kind.is_access() {
            return;
        }
        for path in &event.paths {
            if let Some(name) = changed_crate(&watched, path) {
                let _ = changed.send(name);
            }
        }
    });
    // Recursive watching takes one watch per directory; the shared target directory has thousands that say nothing.
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => return output::warning(&format!("sources are not watched: {error}")),
    };
    loop {
        watch_sources(&mut watcher, &root);
        let Some(first) = changes.recv().await else { return };
        let mut names = BTreeSet::from([first]);
        while let Ok(Some(more)) = tokio::time::timeout(GATHER, changes.recv()).await {
            names.insert(more);
        }
        let crates = crates::choose(&config, &[]).unwrap_or_default();
        let changed: Vec<PluginCrate> = crates.into_iter().filter(|plugin| names.contains(&plugin.name)).collect();
        build_all(&config, &changed).await;
    }
}

/// Watches the directory for new crates, and every crate but for what builds write.
fn watch_sources(watcher: &mut impl Watcher, root: &Path) {
    let _ = watcher.watch(root, RecursiveMode::NonRecursive);
    for plugin in crates::all(root).unwrap_or_default() {
        let mut directories = vec![plugin.directory];
        while let Some(directory) = directories.pop() {
            let _ = watcher.watch(&directory, RecursiveMode::NonRecursive);
            let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
            directories.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !is_output(path)));
        }
    }
}

fn is_output(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "target" || name.to_string_lossy().starts_with('.'))
}

/// The crate to which a changed source belongs.
fn changed_crate(root: &Path, path: &Path) -> Option<String> {
    let inner = path.strip_prefix(root).ok()?;
    let mut parts = inner.components();
    let Some(Component::Normal(name)) = parts.next() else { return None };
    let rest: PathBuf = parts.collect();
    if rest.as_os_str().is_empty() || rest.components().any(|part| is_output(part.as_ref())) {
        // The crate's directory itself: new, most likely, and then to be watched.
        return path.join("Cargo.toml").is_file().then(|| name.to_string_lossy().into_owned());
    }
    // cargo-component writes bindings while it builds; what they come from is watched.
    if rest.ends_with("src/bindings.rs") {
        return None;
    }
    let is_source = rest.extension().is_some_and(|extension| SOURCES.iter().any(|source| extension == *source));
    is_source.then(|| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_mean_a_build() {
        let root = Path::new("/plugins");
        let cases = [
            ("/plugins/add/src/lib.rs", Some("add")),
            ("/plugins/add/wit/world.wit", Some("add")),
            ("/plugins/add/Cargo.toml", Some("add")),
            ("/plugins/add/src/bindings.rs", None),
            ("/plugins/add/src/.lib.rs.swp", None),
            ("/plugins/add/target/debug/x.rs", None),
            ("/plugins/target/release/x.rs", None),
            ("/plugins/add.wasm", None),
            ("/elsewhere/add/src/lib.rs", None),
        ];
        for (path, expected) in cases {
            assert_eq!(changed_crate(root, Path::new(path)).as_deref(), expected, "{path}");
        }
    }
}
