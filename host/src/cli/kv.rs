//! `tinymcp kv`: shows and changes what plugins have kept, through the running server, or where it is kept while none runs.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::plugin_loader::PluginLoader;
use super::recording::RecordedKv;
use super::{ConfigArguments, Failure, grant, logging, output, runtime, shared};
use crate::config::names::snake;
use crate::control::client::{Client, ClientError};
use crate::kv::{Answer, Kv, KvError, Operation, Outcome, Owner, OwnerState, Request, Space, Value};
use crate::person_label;
use crate::sanitize::literal;
use crate::state::StateDir;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The plugin, by the name of its file
    plugin: String,
    /// Whose state: `plugin` for the plugin's own, or a person, by the provider's name for them or by the name in the log
    #[arg(long, global = true, value_name = "OWNER")]
    owner: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(clap::Subcommand)]
enum What {
    /// List the keys, as without a command
    #[command(after_help = "Example:\n  tinymcp kv notes list draft --owner alice@example.com")]
    List {
        /// The beginning of the keys
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Show the value of a key
    #[command(after_help = "Example:\n  tinymcp kv notes get draft --owner alice@example.com")]
    Get {
        /// The key
        key: String,
    },
    /// Delete a key
    #[command(after_help = "Example:\n  tinymcp kv notes delete draft --owner plugin")]
    Delete {
        /// The key
        key: String,
    },
    /// Delete all keys of an owner
    #[command(after_help = "Example:\n  tinymcp kv notes clear --owner alice@example.com")]
    Clear,
    /// Hand all state to a plugin that has none: after its file was renamed
    #[command(after_help = "Example:\n  tinymcp kv notes move my-notes")]
    Move {
        /// The plugin, by the name of its file
        to: String,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let Arguments { config, plugin, owner, json, what } = arguments;
    let loader = config.plugin_loader()?;
    let plugin = snake(plugin.strip_suffix(".wasm").unwrap_or(&plugin));
    // People have the names that the server's log gives them.
    if let Ok(Some(state)) = StateDir::open_existing(&loader.config.state.dir, &loader.secrets) {
        person_label::use_key_of(&state);
    }
    runtime()?.block_on(async {
        let opened = Opened::of(&loader).await?;
        let done = command(&opened.kv, plugin, owner.as_deref(), json, what).await;
        opened.close().await;
        done
    })
}

async fn command(kv: &Kv, plugin: String, owner: Option<&str>, json: bool, what: Option<What>) -> Result<(), Failure> {
    if let Some(What::Move { to }) = what {
        let to = snake(to.strip_suffix(".wasm").unwrap_or(&to));
        if owner.is_some() {
            return Err(Failure::start("`move` is for the state of all owners: leave out `--owner`"));
        }
        return match kv.ask(Request::Move { from: plugin.clone(), to: to.clone() }).await {
            Ok(Answer::Changed(0)) => Err(nothing(&plugin)),
            Ok(_) => {
                output::note(&format!("moved from `{plugin}` to `{to}`"));
                Ok(())
            }
            Err(error) => Err(failed(error)),
        };
    }
    let owners = match kv.ask(Request::Owners { plugin: plugin.clone() }).await.map_err(failed)? {
        Answer::Owners(owners) => owners,
        _ => Vec::new(),
    };
    let chosen: Vec<OwnerState> =
        owners.into_iter().filter(|state| owner.is_none_or(|owner| is_called(&state.owner, owner))).collect();
    let list = |prefix: String| list(kv, &plugin, &chosen, prefix, json);
    let run = |operation| {
        let space = one(&chosen, &plugin, owner);
        async move { kv.run(space?, 0, operation).await.map_err(failed) }
    };
    match what {
        None => list(String::new()).await,
        Some(What::List { prefix }) => list(prefix).await,
        Some(What::Get { key }) => match run(Operation::Get { names: vec![key.clone()] }).await? {
            Outcome::Values(mut values) => match values.pop().flatten() {
                Some((Value(value), _)) => {
                    show(value, json);
                    Ok(())
                }
                None => Err(no_key(&key)),
            },
            _ => Err(no_key(&key)),
        },
        Some(What::Delete { key }) => match run(Operation::Delete { names: vec![key.clone()] }).await? {
            Outcome::Deleted(count @ 1..) => {
                said_deleted(count, json);
                Ok(())
            }
            _ => Err(no_key(&key)),
        },
        Some(What::Clear) => {
            let space = one(&chosen, &plugin, owner)?;
            // Programs, which have no terminal, mean what they say.
            let is_asked = io::stdin().is_terminal() && io::stderr().is_terminal();
            let question = format!("Delete every key of {} in `{plugin}`?", called(&space.owner));
            if is_asked && !grant::is_wanted(&question)? {
                return Err(Failure::failed("nothing was deleted"));
            }
            if let Answer::Changed(count) = kv.ask(Request::Clear { space }).await.map_err(failed)? {
                match json {
                    true => said_deleted(count, true),
                    false => output::note(&format!("{count} keys deleted")),
                }
            }
            Ok(())
        }
        Some(What::Move { .. }) => Ok(()),
    }
}

/// Prints the keys of these owners, each under its owner.
async fn list(kv: &Kv, plugin: &str, owners: &[OwnerState], prefix: String, json: bool) -> Result<(), Failure> {
    let mut listed = Vec::new();
    for OwnerState { owner, bytes, .. } in owners {
        let space = Space { plugin: plugin.to_owned(), owner: owner.clone() };
        let keys = keys(kv, &space, &prefix).await?;
        if json {
            listed.push(json!({ "owner": called(owner), "bytes": bytes, "keys": keys }));
        } else {
            output::line(&format!("{}  {}", output::bold(&called(owner)), output::dim(&format!("{bytes} bytes"))));
            keys.iter().for_each(|key| output::line(&format!("  {}", literal(key))));
        }
    }
    if json {
        output::json(&json!(listed));
    } else if owners.is_empty() {
        output::note(&format!("plugin `{plugin}` has kept nothing"));
    }
    Ok(())
}

async fn keys(kv: &Kv, space: &Space, prefix: &str) -> Result<Vec<String>, Failure> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let operation = Operation::Names { prefix: prefix.to_owned(), cursor };
        let Outcome::Names(mut keys, next) = kv.run(space.clone(), 0, operation).await.map_err(failed)? else {
            return Ok(all);
        };
        all.append(&mut keys);
        cursor = next;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

/// Prints a value: as it is if it is text.
fn show(value: Vec<u8>, json: bool) {
    let text = String::from_utf8(value).map_err(|error| STANDARD.encode(error.as_bytes()));
    match text {
        Ok(text) if json => output::json(&json!({ "text": text })),
        Err(base64) if json => output::json(&json!({ "base64": base64 })),
        Ok(text) => output::result(&text),
        Err(base64) => {
            output::note("the value is no text; in base64:");
            output::result(&base64);
        }
    }
}

/// The one space that a command is about.
fn one(owners: &[OwnerState], plugin: &str, owner: Option<&str>) -> Result<Space, Failure> {
    match owners {
        [state] => Ok(Space { plugin: plugin.to_owned(), owner: state.owner.clone() }),
        [] if owner.is_some() => Err(Failure::failed("no such owner: `tinymcp kv` lists them")),
        [] => Err(nothing(plugin)),
        _ => {
            let names: BTreeSet<String> = owners.iter().map(|state| called(&state.owner)).collect();
            let names: Vec<String> = names.into_iter().map(|name| format!("\n  {name}")).collect();
            Err(Failure::start(format!(
                "several have state of this plugin: choose one with `--owner`{}",
                names.concat()
            )))
        }
    }
}

/// Says to programs how many keys were deleted; people see that there was no error.
fn said_deleted(keys: u64, json: bool) {
    if json {
        output::json(&json!({ "deleted": keys }));
    }
}

fn nothing(plugin: &str) -> Failure {
    Failure::failed(format!("plugin `{plugin}` has kept nothing"))
}

/// What a server says of its file is for plugins, who may not know where it is.
fn failed(error: KvError) -> Failure {
    match error {
        KvError::Unavailable(_) => Failure::failed(format!("{error}: the server's log names the file and the cure")),
        _ => Failure::failed(error),
    }
}

fn no_key(key: &str) -> Failure {
    Failure::failed(format!("no such key: `{}`", literal(key)))
}

/// The name of an owner: for a person, the one in the log and the provider's.
fn called(owner: &Owner) -> String {
    match owner {
        Owner::Plugin => "plugin".to_owned(),
        Owner::Person(person) => format!("{} ({} at {})", person.label(), person.subject, person.issuer),
    }
}

fn is_called(owner: &Owner, name: &str) -> bool {
    match owner {
        Owner::Plugin => name == "plugin",
        Owner::Person(person) => name == person.subject || name == person.label() || name == called(owner),
    }
}

/// The state of plugins for a command.
pub(super) struct Opened {
    pub(super) kv: Kv,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Opened {
    /// That of the running server; where none is running here, of Redis, or of the file.
    async fn of(loader: &PluginLoader) -> Result<Self, Failure> {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let directory = &loader.config.state.dir;
        let kv = match Client::find(&loader.config.state).await {
            Ok(client) => Kv::elsewhere(Arc::new(client)),
            Err(ClientError::NoServer) => {
                let state = StateDir::open_existing(directory, &loader.secrets).map_err(Failure::start)?;
                let is_shared = loader.config.state.url.is_some();
                let Some(state) = state.filter(|state| is_shared || Kv::is_there(state)) else {
                    return Err(Failure::failed(format!("no plugin has kept anything in `{}`", directory.display())));
                };
                if !state.is_mine() {
                    let message = "belongs to another user: run this as the user that the server runs as";
                    return Err(Failure::start(format!("state directory `{}` {message}", directory.display())));
                }
                let kv = match shared::find(&loader.config.state, &state).await.map_err(Failure::at_start)? {
                    Some(redis) => Kv::shared(redis, &state, &tracker, stop.clone()),
                    // Now, so that a fault is told with its cure.
                    None => Kv::opened(&state, &tracker, stop.clone()).await.map_err(Failure::failed)?,
                };
                let audit = loader.config.audit.clone();
                RecordedKv { kv, audit, state }.shared()
            }
            Err(error) => return Err(Failure::failed(error)),
        };
        Ok(Self { kv, tracker, stop })
    }

    /// That of the running server; without one, nothing that lasts.
    pub(super) async fn for_call(loader: &PluginLoader) -> Self {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let kv = match Client::find(&loader.config.state).await {
            Ok(client) => Kv::elsewhere(Arc::new(client)),
            Err(error) => {
                let memory = Kv::in_memory(&tracker, stop.clone());
                let reason = error.to_string();
                Kv::elsewhere(Arc::new(said::Forgetful::new(memory, move || {
                    output::note(&format!("{reason}: what the plugin keeps is forgotten when this command ends"));
                })))
            }
        };
        Self { kv, tracker, stop }
    }

    pub(super) async fn close(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

mod said {
    //! State that lasts no longer than a command, which is said when it is first used.

    use std::sync::Once;

    use async_trait::async_trait;

    use crate::kv::{Answer, Backend, Kv, KvError, Request};

    pub(super) struct Forgetful<F> {
        memory: Kv,
        once: Once,
        say: F,
    }

    impl<F: Fn() + Send + Sync> Forgetful<F> {
        pub(super) fn new(memory: Kv, say: F) -> Self {
            Self { memory, once: Once::new(), say }
        }
    }

    #[async_trait]
    impl<F: Fn() + Send + Sync> Backend for Forgetful<F> {
        async fn ask(&self, request: Request) -> Result<Answer, KvError> {
            self.once.call_once(&self.say);
            self.memory.ask(request).await
        }
    }
}
