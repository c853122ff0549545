//! One call of one plugin, contained: a place, a deadline, and its work in an instance ([`super::instance`]).
//!
//! The work is a call of a typed function, of a tool that the plugin lists, or of an interface of `tinymcp:plugin`: a
//! [`Work`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use serde_json::{Map, Value};
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, Val};

use super::engine::{Share, SlowFlag};
use super::gate::Full;
use super::instance::{GuestRun, Place, Work};
use super::runtime::Runtime;
use super::traps;
use super::values::{self, Held};
use super::warm::Owner;
use crate::json_weight;
use crate::log_limiter::LogLimiter;
use crate::metrics::Outcome;
use crate::plugins::catalog::Tool;
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::imports::guest::{Guest, Surroundings};
use crate::plugins::observers::{Called, outcome_of};
use crate::plugins::plugin::FunctionKind;
use crate::plugins::questions;
use crate::plugins::rates::Bucket;
use crate::plugins::served::Served;
use crate::plugins::types::codec::{self, Reply, ResultError};
use crate::plugins::types::shape::Signature;
use crate::plugins::wit::content::Block;
use crate::plugins::wit::tools::GuestIndices as Tools;
use crate::principal::Principal;

static UNAUDITED: LogLimiter = LogLimiter::new("calls that are refused while the audit cannot be written");
static TOO_MANY: LogLimiter = LogLimiter::new("calls by people who have made as many as they may");

/// Counts a request of a person against the calls that they may make, once.
async fn count(
    runtime: &Runtime,
    served: &Served,
    tool: Option<&Bucket>,
    conversation: &Conversation,
) -> Result<(), CallError> {
    match &conversation.caller {
        Some(caller) if !conversation.is_counted => {
            let (rates, person) = (&served.terms.rates, Some(caller.person()));
            match &runtime.services.rates {
                // Without its type, which is deep.
                Some(shared) => shared.count(rates, &served.plugin.name, tool, person).boxed().await?,
                None => rates.count(tool, person)?,
            }
            Ok(())
        }
        Some(_) | None => Ok(()),
    }
}

/// Waits for a place in the plugin, and then in the pool.
async fn enter(runtime: &Runtime, served: &Served, conversation: &Conversation) -> Result<Place, CallError> {
    let person = conversation.caller.as_deref().map(Principal::person);
    let notes = conversation.notes.as_ref().map(|notes| (notes, Instant::now()));
    let in_plugin = served.terms.gate.enter(person).await.map_err(|Full| CallError::Busy)?;
    let in_pool = runtime.slots.enter(person).await.map_err(|Full| CallError::Busy)?;
    if let Some((notes, began)) = notes {
        notes.waited(began.elapsed());
    }
    Ok(Place { _in_plugin: in_plugin, _in_pool: in_pool })
}

/// Calls a tool and returns its reply.
///
/// The deadline counts from now, waiting for a place included. When the returned future is dropped, the guest stops:
/// at once where it waits, at its next tick where it computes.
///
/// # Errors
/// [`CallError`], each logged here with its cause. Nothing that a guest does makes this panic or outlast the deadline.
pub(in crate::plugins) async fn call(
    runtime: &Runtime,
    tool: &Arc<Tool>,
    arguments: &Map<String, Value>,
    mut conversation: Conversation,
) -> Result<Reply, CallError> {
    let served = &tool.served;
    let caller = conversation.caller.clone();
    let called = Called { method: "tools/call", tool: Some(&tool.name) };
    let observed =
        runtime.services.observers.begin((&served.plugin.name, served.plugin.digest), called, &mut conversation);
    let observed = observed.inspect_err(|error| log(&served.plugin.name, &tool.name, caller.as_ref(), error))?;
    let may_come_again = conversation.is_repeatable && !conversation.is_counted;
    let share = share(served, &conversation);
    // In a box: each future around it would hold it twice, and all of them are moved about with their request.
    let work = Box::pin(async {
        count(runtime, served, tool.rate.as_deref(), &conversation).await?;
        let place = enter(runtime, served, &conversation).await?;
        let max_bytes = served.terms.limits.result.bytes();
        let is_heavy = values::is_heavy(arguments) || tool.is_heavy.get();
        let mut reply = match &tool.function().kind {
            FunctionKind::Typed { signature, export } => {
                let (arguments, held) =
                    values::decode(runtime, &share, signature, arguments, &conversation, place).await?;
                let work = TypedCall { signature: Arc::clone(signature), export: export.0, arguments, max_bytes };
                let reply = run(runtime, served, conversation, held, is_heavy, work).await?;
                tool.is_heavy.note(values::is_heavy_reply(&reply));
                reply?
            }
            FunctionKind::Listed(listed) => {
                let (json, held) =
                    values::check_arguments(runtime, &share, listed, arguments, &conversation, place).await?;
                let Some(tools) = served.plugin.interfaces.tools.clone() else {
                    return Err(CallError::Host("the plugin has lost its tools".to_owned()));
                };
                let work = ListedCall { tools, name: listed.name.clone(), arguments: json, max_bytes };
                let memory = conversation.memory.clone();
                let reply = run(runtime, served, conversation, held, is_heavy, work).await?;
                tool.is_heavy.note(values::is_heavy_reply(&reply));
                let reply = reply?;
                if let (Some(memory), Reply::Rich(rich)) = (memory, &reply)
                    && let Some(structured) = &rich.structured
                {
                    let bytes = json_weight::of_value(structured);
                    memory.charge(bytes).map_err(|refusal| CallError::Overdrawn { refusal, bytes })?;
                }
                values::check_reply(runtime, &share, listed, reply).await?
            }
        };
        if let Reply::Asks(request) = &mut reply {
            questions::make_fit(request, &served.terms)?;
        }
        Ok(reply)
    });
    let outcome = contain(served, &tool.name, caller.as_ref(), work).await;
    if let Some(observed) = observed {
        match &outcome {
            Ok(reply) => observed.end(outcome_of_reply(reply)),
            Err(CallError::Overdrawn { .. }) if may_come_again => observed.forget(),
            Err(error) => observed.end(outcome_of(error)),
        }
    }
    outcome
}

/// The end of a call that gave a reply.
fn outcome_of_reply(reply: &Reply) -> Outcome {
    match reply {
        Reply::Structured(_) | Reply::Text(_) | Reply::Nothing => Outcome::Ok,
        Reply::Failed { .. } => Outcome::Failed,
        Reply::Rich(rich) if rich.is_error => Outcome::Failed,
        Reply::Rich(_) => Outcome::Ok,
        Reply::Invalid { .. } => Outcome::Arguments,
        Reply::Asks(_) => Outcome::Asked,
    }
}

/// Calls something of a plugin that is no tool; `what` is for the log, `method` for those who are told of it.
///
/// # Errors
/// As for [`call`].
pub(in crate::plugins) async fn visit<W: Work>(
    runtime: &Runtime,
    served: &Served,
    (what, method): (&str, &'static str),
    mut conversation: Conversation,
    work: W,
) -> Result<W::Output, CallError> {
    let caller = conversation.caller.clone();
    let called = Called { method, tool: None };
    let observed =
        runtime.services.observers.begin((&served.plugin.name, served.plugin.digest), called, &mut conversation);
    let observed = observed.inspect_err(|error| log(&served.plugin.name, what, caller.as_ref(), error))?;
    let work = Box::pin(async {
        count(runtime, served, None, &conversation).await?;
        let place = enter(runtime, served, &conversation).await?;
        // What the host asks for itself is a plugin's lists, which may be long.
        let is_heavy = conversation.caller.is_none();
        run(runtime, served, conversation, (place, None), is_heavy, work).await
    });
    let outcome = contain(served, what, caller.as_ref(), work).await;
    if let Some(observed) = observed {
        observed.end(outcome.as_ref().map_or_else(outcome_of, W::outcome));
    }
    outcome
}

/// Ends work at the deadline, and with a panic of the host.
async fn contain<T>(
    served: &Served,
    what: &str,
    caller: Option<&Arc<Principal>>,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let deadline = Instant::now() + served.timeout();
    // The codec's own panics are caught as well: a tool's types must not be able to take a connection down.
    let turned_away = async {
        match caller {
            Some(caller) => caller.turned_away(served.scopes()).await,
            None => std::future::pending().await,
        }
    };
    // The work first: most is done before anybody would have to wait for the rules.
    let work = async {
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = turned_away => Err(CallError::TurnedAway),
            () = served.switched_off() => Err(CallError::SwitchedOff),
        }
    };
    let outcome = match AssertUnwindSafe(tokio::time::timeout_at(deadline, work)).catch_unwind().await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_elapsed)) => Err(CallError::Timeout(served.timeout())),
        Err(panic) => Err(CallError::Host(panic_message(panic.as_ref()).to_owned())),
    };
    outcome.inspect_err(|error| log(&served.plugin.name, what, caller, error))
}

/// The share of a call in work that takes long.
fn share(served: &Served, conversation: &Conversation) -> Share {
    Share { plugin: Arc::clone(&served.plugin.name), person: conversation.caller.as_deref().map(Principal::person) }
}

/// Runs work in an instance: on this thread, and on the slow lane when it takes longer than a moment, or `is_heavy`.
async fn run<W: Work>(
    runtime: &Runtime,
    served: &Served,
    conversation: Conversation,
    held: Held,
    is_heavy: bool,
    work: W,
) -> Result<W::Output, CallError> {
    let share = share(served, &conversation);
    let slow = SlowFlag::default();
    if is_heavy {
        slow.set();
    }
    let run = GuestRun {
        pre: served.plugin.pre.clone(),
        limits: served.terms.limits,
        surroundings: Surroundings {
            plugin: Arc::clone(&served.plugin.name),
            digest: served.plugin.digest,
            settings: Arc::clone(&served.terms.settings),
            announcements: runtime.announcements.clone(),
            grants: served.call_grants(conversation.caller.as_deref()),
            services: Arc::clone(&runtime.services),
        },
        owner: Owner::of(served, conversation.caller.as_deref()),
        warm: runtime.warm.clone(),
        conversation,
        wasm: runtime.engine.wasm().clone(),
        slow: slow.clone(),
        ticking: runtime.engine.tick(),
        held,
    };
    let run = AssertUnwindSafe(run.work(work)).catch_unwind();
    match runtime.engine.lane().run(share, slow, Box::pin(run)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(CallError::Host(panic_message(panic.as_ref()).to_owned())),
        Err(stopped) => Err(CallError::Host(stopped.to_string())),
    }
}

/// A call of a typed function.
struct TypedCall {
    signature: Arc<Signature>,
    export: ComponentExportIndex,
    arguments: Vec<Val>,
    max_bytes: u64,
}

impl Work for TypedCall {
    type Output = Result<Reply, ResultError>;

    async fn run(self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Self::Output> {
        let Self { signature, export, arguments, max_bytes } = self;
        let mut results = vec![Val::Bool(false); signature.result_count()];
        let function = instance.get_func(&mut *store, export);
        let function = function.ok_or_else(|| wasmtime::Error::msg("exported function is gone"))?;
        function.call_async(&mut *store, &arguments, &mut results).await?;
        Ok(codec::encode_result(&signature, &results, max_bytes))
    }

    fn tell(output: &mut Self::Output, refusals: &[String]) {
        tell(output, refusals);
    }
}

/// A call of a tool that the plugin names itself.
struct ListedCall {
    tools: Tools,
    name: String,
    arguments: String,
    max_bytes: u64,
}

impl Work for ListedCall {
    type Output = Result<Reply, ResultError>;

    async fn run(self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Self::Output> {
        let tools = self.tools.load(&mut *store, instance)?;
        Ok(match tools.call_call_tool(&mut *store, &self.name, &self.arguments).await? {
            Ok(output) => codec::encode_output(output, self.max_bytes),
            Err(stop) => codec::encode_stop(stop, self.max_bytes),
        })
    }

    fn tell(output: &mut Self::Output, refusals: &[String]) {
        tell(output, refusals);
    }
}

/// Adds to a tool's own account of its failure what it was refused. A call that went well says nothing of it.
fn tell(output: &mut Result<Reply, ResultError>, refusals: &[String]) {
    match output {
        Ok(Reply::Failed { text }) => refusals.iter().for_each(|line| {
            text.push('\n');
            text.push_str(line);
        }),
        Ok(Reply::Rich(rich)) if rich.is_error => rich.blocks.extend(refusals.iter().cloned().map(Block::Text)),
        _ => {}
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

/// Each failure once, with its cause, and never with a person's arguments or name.
fn log(plugin: &str, tool: &str, caller: Option<&Arc<Principal>>, error: &CallError) {
    let person = caller.map(|caller| caller.label());
    match error {
        // The caller's own mistake: the message quotes the arguments, so it is not logged.
        CallError::Arguments(_) => tracing::debug!(plugin, tool, person, "arguments do not fit tool `{tool}`"),
        CallError::Trapped(_) | CallError::FullStack(_) | CallError::StackOverflow(_) => {
            let outcome = if matches!(error, CallError::Trapped(_)) { "crashed" } else { "recursed too deeply" };
            let (frames, cause) = (error.frames(), error.cause());
            if tracing::enabled!(target: traps::TARGET, tracing::Level::INFO) {
                tracing::warn!(plugin, tool, person, cause, "tool `{tool}` {outcome}");
                for (number, frame) in frames.iter().enumerate() {
                    tracing::info!(target: traps::TARGET, "{}", traps::numbered(number, frame));
                }
            } else {
                let frames = frames.join(" < ");
                tracing::warn!(plugin, tool, person, cause, frames, "tool `{tool}` {outcome}");
            }
        }
        CallError::Host(cause) => {
            tracing::error!(plugin, tool, person, cause, "the host failed in a call of tool `{tool}`")
        }
        CallError::Refused { error, .. } => log(plugin, tool, caller, error),
        CallError::TooMany(refusal) => {
            TOO_MANY.log(|| tracing::warn!(plugin, tool, person, "call of tool `{tool}` refused: {refusal}"));
        }
        CallError::Cpu(_) => tracing::warn!(
            plugin,
            tool,
            person,
            "call of tool `{tool}` failed: {error}; `cpu` in `[plugin.{plugin}]` or `[limits]` sets it"
        ),
        CallError::Cancelled => {}
        CallError::Unaudited(_) => UNAUDITED.log(|| {
            tracing::error!(plugin, tool, person, "call of tool `{tool}` refused: the audit cannot be written");
        }),
        CallError::Timeout(_)
        | CallError::Busy
        | CallError::TurnedAway
        | CallError::SwitchedOff
        | CallError::Overdrawn { .. }
        | CallError::Memory(_)
        | CallError::Handles(_)
        | CallError::Exited(_)
        | CallError::Result(_) => tracing::warn!(plugin, tool, person, "call of tool `{tool}` failed: {error}"),
    }
}
