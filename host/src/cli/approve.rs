//! `tinymcp approve`: what waits for approval, what is different in it, and the approval itself: through the running server,
//! or in the state directory while none runs.

use futures::FutureExt as _;
use serde_json::json;

use super::plugin_loader::PluginLoader;
use super::recording::recorded;
use super::{ConfigArguments, Failure, logging, output, runtime, shared};
use crate::control::Act;
use crate::control::client::{Client, ClientError};
use crate::plugins::Plugins;
use crate::plugins::approval::reference::Reference;
use crate::plugins::approval::request::{self, ApprovalAnswer, ApprovalRequest, DifferenceError, WaitingPlugin};
use crate::state::StateDir;
use crate::supply;

/// Who approves, for the record.
const BY: &str = "tinymcp approve";

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// NAME shows what is different in a plugin, NAME@sha256:… approves exactly that; without either, all that waits is
    /// listed
    #[arg(value_name = "NAME[@sha256:…]")]
    plugin: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let Arguments { config, plugin, json } = arguments;
    let loader = config.plugin_loader()?;
    runtime()?.block_on(async {
        let asker = Asker::of(loader).await?;
        match plugin {
            None => list(&asker, json).await,
            Some(plugin) if plugin.contains('@') => approve(&asker, &plugin, json).await,
            Some(plugin) => show(&asker, &plugin, json).await,
        }
    })
}

async fn list(asker: &Asker, json: bool) -> Result<(), Failure> {
    let ApprovalAnswer::Waiting(waiting) = asker.ask(ApprovalRequest::List).await? else { return Err(unexpected()) };
    if json {
        output::json(&json!(waiting));
        return Ok(());
    }
    for plugin in &waiting {
        let meanwhile = if plugin.is_serving { "; the approved version is served" } else { "" };
        output::line(&format!("{}  {}{meanwhile}", output::bold(&plugin.plugin), plugin.what));
    }
    match waiting.as_slice() {
        [] if !asker.asks_for_approvals => output::note(
            "nothing waits for approval, since nothing has to be approved: `approve = true` in `[plugins]` or in `[plugin.NAME]` asks for it",
        ),
        [] => output::note("nothing waits for approval"),
        _ => output::note("`tinymcp approve NAME` shows what is different"),
    }
    Ok(())
}

async fn show(asker: &Asker, plugin: &str, json: bool) -> Result<(), Failure> {
    let (waiting, lines) = difference(asker, plugin).await?;
    if json {
        output::json(&json!({ "waiting": waiting, "lines": lines }));
        return Ok(());
    }
    for line in &lines {
        output::line(&match request::sign(line) {
            Some('+') => output::good(line),
            Some('-') => output::bad(line),
            Some('~') => output::notable(line),
            _ => line.clone(),
        });
    }
    output::line(&format!("\nto approve exactly this:\ntinymcp approve {}", waiting.reference));
    Ok(())
}

async fn difference(asker: &Asker, plugin: &str) -> Result<(WaitingPlugin, Vec<String>), Failure> {
    request::difference(plugin, |request| asker.ask(request)).await.map_err(|error| match error {
        DifferenceError::Asking(failure) => failure,
        DifferenceError::Changed => Failure::failed("it changed while it was shown: look at it again"),
        DifferenceError::Unexpected => unexpected(),
    })
}

async fn approve(asker: &Asker, reference: &str, json: bool) -> Result<(), Failure> {
    let reference: Reference = reference.parse().map_err(Failure::start)?;
    let request = ApprovalRequest::Approve { reference: reference.to_string(), by: BY.to_owned() };
    let ApprovalAnswer::Approved(approved) = asker.ask(request).await? else { return Err(unexpected()) };
    if json {
        output::json(&json!(approved));
        return Ok(());
    }
    output::note(&format!("{} {}", output::good("approved"), approved.reference));
    match (&approved.problem, &asker.way) {
        (Some(problem), _) => output::warning(&format!("it is not served even so: {problem}")),
        (None, Way::Server(_)) => output::note("it is served now"),
        (None, Way::Directory(of)) if of.0.config.state.url.is_some() => {
            output::note("it is served now by every server of the shared store that has this file");
        }
        (None, Way::Directory(_)) => output::note("it is served at the next start"),
    }
    Ok(())
}

fn unexpected() -> Failure {
    Failure::failed("the server gave another answer than was asked for: use the program that the server runs")
}

/// The way to approvals.
struct Asker {
    way: Way,
    asks_for_approvals: bool,
}

enum Way {
    Server(Client),
    Directory(Box<(PluginLoader, StateDir)>),
}

impl Asker {
    async fn of(loader: PluginLoader) -> Result<Self, Failure> {
        let config = &loader.config;
        let asks_for_approvals = shared::asks_for_approvals(config);
        let way = match Client::find(&config.state).await {
            Ok(client) => Way::Server(client),
            Err(ClientError::NoServer) => Way::Directory(Box::new(Self::directory(loader)?)),
            Err(error) => return Err(Failure::failed(error)),
        };
        Ok(Self { way, asks_for_approvals })
    }

    /// The state directory of a server that does not run.
    fn directory(loader: PluginLoader) -> Result<(PluginLoader, StateDir), Failure> {
        let directory = &loader.config.state.dir;
        let shown = directory.display();
        let found = StateDir::open_existing(directory, &loader.secrets).map_err(Failure::start)?;
        match found {
            None => Err(Failure::start(format!(
                "no server is running, and there is no state directory `{shown}` yet: start the server first, or name its configuration with `--config`"
            ))),
            Some(state) if !state.is_mine() => Err(Failure::start(format!(
                "no server is running, and state directory `{shown}` belongs to another user: run this as the user that the server runs as"
            ))),
            Some(_) => {
                let state = StateDir::open(directory, &loader.secrets).map_err(Failure::start)?;
                super::plugin_loader::require_directory(&loader.config)?;
                Ok((loader, state))
            }
        }
    }

    async fn ask(&self, request: ApprovalRequest) -> Result<ApprovalAnswer, Failure> {
        match &self.way {
            Way::Server(client) => {
                let arguments = serde_json::to_value(request).map_err(Failure::failed)?;
                let answer = client.ask("approve", arguments).await.map_err(Failure::failed)?;
                serde_json::from_value(answer).map_err(|_| unexpected())
            }
            Way::Directory(way) => {
                let (loader, state) = &**way;
                let of = (loader.config.clone(), loader.grants.clone(), supply::at_hand(&loader.config));
                let act = Act::of_approval(&request);
                let doing = async {
                    let found =
                        shared::find_to_change(&loader.config.state, state).boxed().await.map_err(Failure::start)?;
                    let redis = found.as_ref().map(|(redis, _)| redis);
                    let records = shared::records(redis, state, false).await.map_err(Failure::start)?;
                    if let (Some(records), Some((_, replicas))) = (&records, &found) {
                        records.tell(replicas);
                    }
                    let asked = Box::pin(Plugins::ask_of_directory(of, state, records, request))
                        .await
                        .map_err(Failure::start)?;
                    asked.map_err(Failure::failed)
                };
                recorded(&loader.config.audit, state, act, doing).await?
            }
        }
    }
}
