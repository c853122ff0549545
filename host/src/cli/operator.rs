//! The way of commands to what they do with people, sessions and keys: through the running server, or in its state
//! directory while none runs.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::plugin_loader::PluginLoader;
use super::recording::recorded;
use super::{ConfigArguments, Failure, shared};
use crate::auth::desk::{Desk, ListedSession, Stored};
use crate::clock::now_s;
use crate::config::{Config, State, keys};
use crate::control::Act;
use crate::control::client::{Client, ClientError, why_unreachable};
use crate::kv::{self, Kv, SpaceState};
use crate::operator::names::{self, KnownPerson};
use crate::operator::{Answer, Operator, Request, Which};
use crate::person_label;
use crate::state::StateDir;
use crate::store::{OpenError, Store};
use crate::switches::SwitchedOff;

/// The way to what a command is about.
pub(super) struct Reached {
    way: Way,
    state: State,
    audit: keys::Audit,
    kv: Option<Kv>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

enum Way {
    /// A server that runs.
    Server(Client),
    /// The state directory itself, under its locks.
    Here(Box<Operator>),
}

/// Everything that names are looked up in.
pub(super) struct Known {
    pub(super) sessions: Vec<ListedSession>,
    pub(super) spaces: Vec<SpaceState>,
    pub(super) switched_off: SwitchedOff,
    pub(super) people: Vec<KnownPerson>,
}

impl Reached {
    pub(super) async fn of(arguments: ConfigArguments) -> Result<Self, Failure> {
        let loader = arguments.plugin_loader()?;
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let (state, audit) = (loader.config.state.clone(), loader.config.audit.clone());
        let (way, kv) = match Client::find(&state).await {
            Ok(client) => (Way::Server(client.clone()), Some(Kv::elsewhere(Arc::new(client)))),
            Err(ClientError::NoServer) => {
                let operator = Box::pin(open(&loader, &tracker, &stop)).await?;
                let kv = operator.kv.clone();
                (Way::Here(Box::new(operator)), kv)
            }
            Err(error) => return Err(Failure::failed(error)),
        };
        Ok(Self { way, state, audit, kv, tracker, stop })
    }

    /// True while a server runs.
    pub(super) fn is_served(&self) -> bool {
        matches!(self.way, Way::Server(_))
    }

    /// True if what several servers share is in Redis.
    pub(super) fn is_shared(&self) -> bool {
        self.state.url.is_some()
    }

    /// The state of plugins, if there ever was any.
    pub(super) fn kv(&self) -> Option<&Kv> {
        self.kv.as_ref()
    }

    /// Asks for something.
    pub(super) async fn ask(&self, request: Request) -> Result<Answer, Failure> {
        match &self.way {
            Way::Server(client) => through(client, request).await,
            Way::Here(operator) => {
                let is_switch = matches!(
                    request,
                    Request::Block { .. }
                        | Request::Unblock { .. }
                        | Request::SwitchPlugin { .. }
                        | Request::End { which: Which::All }
                );
                let act = Act::of_operator(&request);
                let asked = recorded(&self.audit, &operator.state, act, operator.ask(request.clone())).await?;
                let answer = asked.map_err(Failure::failed)?;
                // A server that has started meanwhile may have read what is switched off before.
                match Client::find(&self.state).await {
                    Ok(client) if is_switch => through(&client, request).await,
                    _ => Ok(answer),
                }
            }
        }
    }

    /// Asks for something whose answer has one form.
    pub(super) async fn expect<T>(
        &self,
        request: Request,
        take: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<T, Failure> {
        let answer = self.ask(request).await?;
        take(answer).ok_or_else(|| Failure::failed("the server gave an answer to something else"))
    }

    /// Every session.
    pub(super) async fn sessions(&self) -> Result<Vec<ListedSession>, Failure> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = |answer| match answer {
                Answer::Sessions { sessions, next } => Some((sessions, next)),
                _ => None,
            };
            let (mut sessions, next) = self.expect(Request::Sessions { after }, page).await?;
            all.append(&mut sessions);
            after = next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// Everything that plugins have kept, without what is in it.
    async fn spaces(&self) -> Result<Vec<SpaceState>, Failure> {
        let (mut all, mut after) = (Vec::new(), None);
        let Some(kv) = self.kv.as_ref().filter(|_| kv_is_there(&self.state)) else { return Ok(all) };
        loop {
            match kv.ask(kv::Request::Spaces { after }).await.map_err(Failure::failed)? {
                kv::Answer::Spaces(mut spaces, next) => {
                    all.append(&mut spaces);
                    after = next;
                }
                _ => return Err(Failure::failed("the state of plugins gave an answer to something else")),
            }
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// Everything that names are looked up in.
    pub(super) async fn known(&self) -> Result<Known, Failure> {
        let sessions = self.sessions().await?;
        let spaces = self.spaces().await?;
        let take = |answer| match answer {
            Answer::SwitchedOff(switched_off) => Some(switched_off),
            _ => None,
        };
        let switched_off = self.expect(Request::SwitchedOff, take).await?;
        let people = names::people(&sessions, &spaces, &switched_off);
        Ok(Known { sessions, spaces, switched_off, people })
    }

    pub(super) async fn close(self) {
        drop(self.way);
        drop(self.kv);
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Runs a command with the way to what it is about.
pub(super) async fn reached<F>(arguments: ConfigArguments, command: F) -> Result<(), Failure>
where
    F: AsyncFnOnce(&Reached) -> Result<(), Failure>,
{
    let reached = Reached::of(arguments).await?;
    let done = command(&reached).await;
    reached.close().await;
    done
}

async fn through(client: &Client, request: Request) -> Result<Answer, Failure> {
    let arguments = serde_json::to_value(request).map_err(Failure::failed)?;
    let answer = client.ask("operator", arguments).await.map_err(Failure::failed)?;
    parsed(answer)
}

fn parsed<T: DeserializeOwned>(answer: serde_json::Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| Failure::failed(format!("the server's answer: {error}")))
}

/// Asks a server for something; none is running otherwise.
pub(super) async fn of_server(config: &Config, request: Request) -> Result<Answer, Failure> {
    let client = Client::find(&config.state).await.map_err(Failure::failed)?;
    through(&client, request).await
}

/// True if plugins may have kept something. A server makes the file when it is first asked for.
fn kv_is_there(state: &State) -> bool {
    state.url.is_some() || state.dir.join("kv").exists()
}

/// Opens a state directory that no server has, and what its servers share.
async fn open(loader: &PluginLoader, tracker: &TaskTracker, stop: &CancellationToken) -> Result<Operator, Failure> {
    let directory = &loader.config.state.dir;
    let state = StateDir::open_existing(directory, &loader.secrets).map_err(Failure::start)?;
    let state = match state {
        Some(state) => state,
        // What servers share is there, wherever they have run.
        None if loader.config.state.url.is_some() => {
            StateDir::open(directory, &loader.secrets).map_err(Failure::at_start)?
        }
        None => {
            let directory = directory.display();
            return Err(Failure::failed(format!("no server is running, and none has run with `{directory}`")));
        }
    };
    if !state.is_mine() {
        let message = "belongs to another user: run this as the user that the server runs as";
        return Err(Failure::start(format!("state directory `{}` {message}", directory.display())));
    }
    person_label::use_key_of(&state);
    let shared = shared::find_to_change(&loader.config.state, &state).await.map_err(Failure::at_start)?;
    let switches = shared::switches(shared.as_ref().map(|(redis, _)| redis), &state).await.map_err(Failure::start)?;
    let store = match &shared {
        Some((redis, replicas)) => {
            switches.tell(replicas);
            Some(Store::shared(redis.clone(), replicas, &state, Duration::ZERO))
        }
        None if Store::is_there(&state) => {
            let store = Store::open(&state, tracker, stop.clone());
            Some(store.map_err(|error| not_opened(error, &loader.config.state))?)
        }
        None => None,
    };
    let desk = store.map(|store| {
        let declared = loader.config.auth.clients.iter().map(|(id, client)| (id.clone(), client.name.clone()));
        Desk::Stored(Stored::new(store, &state, declared.collect(), switches.clone()))
    });
    let kv = match shared {
        Some((redis, _)) => Some(Kv::shared(redis, &state, tracker, stop.clone())),
        None => Kv::is_there(&state).then(|| Kv::of(&state, tracker, stop.clone())),
    };
    let plugins_dir = loader.config.plugins.dir.clone();
    Ok(Operator { desk, kv, switches, state, plugins_dir, serving: None })
}

/// The failure of a command that finds no socket and cannot open the store either: the server has it, most likely, and could
/// not open its socket.
pub(super) fn not_opened(error: OpenError, state: &State) -> Failure {
    let OpenError::InUse { pid, .. } = &error else { return Failure::at_start(error) };
    let process = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    let why =
        why_unreachable(state).unwrap_or_else(|| "its log says why it has none, or it is just starting".to_owned());
    Failure::failed(format!(
        "a server is running with this state directory{process}, and its control socket cannot be reached: {why}"
    ))
}

/// A time in the past, for people.
pub(super) fn ago(at_s: u64) -> String {
    match now_s().saturating_sub(at_s) {
        ..=59 => "just now".to_owned(),
        seconds @ 60..=3599 => format!("{} min ago", seconds / 60),
        seconds @ 3600..=172_799 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}
