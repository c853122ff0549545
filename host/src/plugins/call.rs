//! One call of one tool, contained: a fresh instance with a deadline, limits, and nothing that was not granted.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wasmtime::component::Val;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::catalog::Tool;
use super::codec::{self, ArgumentError, Reply, ResultError};
use super::engine::{Engine, Slow, Ticking};
use super::guest::{Guest, Prints};
use crate::config::Limits;
use crate::config::units::Period;
use crate::principal::Principal;

/// Ticks that a call may compute on the thread that serves its request, before it moves to the slow lane.
const QUICK_TICKS: u64 = 2;

/// Ticks that a guest computes on the slow lane before it lets the next one in.
const SLOW_TICKS: u64 = 5;

/// A turn on the slow lane is [`SLOW_TICKS`] long, 10 ms; one of this length had something else in it.
const LONG_TURN: Duration = Duration::from_millis(30);

/// Host memory for a result's values, per byte of the JSON text that it may become: a list of bytes takes 40 bytes
/// for each, and four thirds of a byte in base64.
const HOST_BYTES_PER_RESULT_BYTE: u64 = 32;

/// Why a call gave no reply. What the message says is for the caller; causes are logged.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The arguments do not fit the tool's schema.
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    /// The deadline passed, in the queue or in the guest.
    #[error("the tool did not finish within {}", humantime(.0))]
    Timeout(Duration),
    /// More calls wait already than may.
    #[error("the tool is busy: too many calls are waiting, try again in a moment")]
    Busy,
    /// The guest was refused memory, and failed.
    #[error("the tool needs more memory than its limit of {0}")]
    Memory(String),
    /// The guest recursed too deeply.
    #[error("the tool recursed too deeply and was stopped")]
    StackOverflow,
    /// The guest ended itself instead of returning.
    #[error("the tool exited (status {0}) instead of returning a result")]
    Exited(i32),
    /// The guest trapped: a panic, a division by zero, an access out of bounds.
    #[error("the tool crashed")]
    Trapped(wasmtime::Error),
    /// What the guest returned cannot be given to a client.
    #[error("the tool's result cannot be returned: {0}")]
    Result(#[from] ResultError),
    /// The client took its request back.
    #[error("the call was cancelled")]
    Cancelled,
    /// The host failed; the guest did nothing wrong.
    #[error("the server failed while it ran the tool")]
    Host(String),
}

fn humantime(duration: &Duration) -> Period {
    Period::from(*duration)
}

/// How many calls of one plugin run and wait. It outlives reloads, so that a reload is no way around it.
pub struct Gate {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
}

/// A place in the gate and in the engine's pool, given back when the call's memory is.
struct Place {
    _in_plugin: OwnedSemaphorePermit,
    _in_pool: OwnedSemaphorePermit,
}

impl Gate {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            running: Arc::new(Semaphore::new(limits.concurrency.get())),
            waiting: AtomicUsize::new(0),
            queue: limits.queue.get(),
        }
    }

    async fn enter(&self, engine: &Engine) -> Result<Place, CallError> {
        let in_plugin = match Arc::clone(&self.running).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        let in_pool = Arc::clone(engine.slots()).acquire_owned().await.map_err(|_| CallError::Busy)?;
        Ok(Place { _in_plugin: in_plugin, _in_pool: in_pool })
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, CallError> {
        /// Leaves the queue even when the caller goes away.
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if ahead >= self.queue {
            return Err(CallError::Busy);
        }
        Arc::clone(&self.running).acquire_owned().await.map_err(|_| CallError::Busy)
    }
}

/// Calls a tool and returns its reply.
///
/// The deadline counts from now, waiting for a place included. When the returned future is dropped, the guest stops:
/// at once where it waits, at its next tick where it computes.
///
/// # Errors
/// [`CallError`], each logged here with its cause. Nothing that a guest does makes this panic or outlast the deadline.
pub async fn call(
    engine: &Engine,
    tool: &Arc<Tool>,
    arguments: &Map<String, Value>,
    caller: &Arc<Principal>,
) -> Result<Reply, CallError> {
    let deadline = Instant::now() + tool.limits.timeout.duration();
    let contained = async {
        let place = tool.gate.enter(engine).await?;
        // Not before: as values of the engine, arguments can take forty times the memory that those who wait hold.
        let signature = &tool.function().signature;
        let memory = engine.values().hold(codec::weigh_arguments(signature, arguments)).await;
        let arguments = codec::decode_arguments(signature, arguments)?;
        let slow = Slow::default();
        let run = Run {
            tool: Arc::clone(tool),
            caller: Arc::clone(caller),
            wasm: engine.wasm().clone(),
            slow: slow.clone(),
            ticking: engine.tick(),
            place,
            memory,
        };
        let run = AssertUnwindSafe(run.guest(arguments)).catch_unwind();
        match engine.lane().run(slow, Box::pin(run)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(CallError::Host(panic_message(panic.as_ref()).to_owned())),
            Err(stopped) => Err(CallError::Host(stopped.to_string())),
        }
    };
    // The codec's own panics are caught as well: a tool's types must not be able to take a connection down.
    let contained = AssertUnwindSafe(tokio::time::timeout_at(deadline, contained)).catch_unwind();
    let outcome = match contained.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_elapsed)) => Err(CallError::Timeout(tool.limits.timeout.duration())),
        Err(panic) => Err(CallError::Host(panic_message(panic.as_ref()).to_owned())),
    };
    outcome.inspect_err(|error| log(tool, caller, error))
}

/// A guest under way, with all that it needs: it moves between threads as one.
struct Run {
    tool: Arc<Tool>,
    caller: Arc<Principal>,
    wasm: wasmtime::Engine,
    slow: Slow,
    ticking: Ticking,
    place: Place,
    memory: Option<OwnedSemaphorePermit>,
}

/// When a guest on the slow lane was last given its thread.
#[derive(Clone, Default)]
struct Turn(Arc<Mutex<Option<Instant>>>);

impl Turn {
    /// Whether the turn was so much longer than a guest's that the host must have worked in it: it took over a large
    /// result, most likely. All that the guest does then is to free its memory; if it passed its thread on first, the
    /// result would be held while all others take over theirs. So it goes on, once.
    fn was_the_hosts(&self) -> bool {
        let began = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        began.is_some_and(|began| began.elapsed() > LONG_TURN)
    }

    /// A plain yield would be resumed at once; this one lets every other task of the thread go first.
    async fn pass_on(self) {
        tokio::task::yield_now().await;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Run {
    async fn guest(self, arguments: Vec<Val>) -> Result<Reply, CallError> {
        let Self { tool, caller, wasm, slow, ticking, place, memory } = self;
        let limits = &tool.limits;
        let prints = Prints::new(Arc::clone(&tool.plugin.name), caller, limits.log.bytes());
        let mut store = Store::new(&wasm, Guest::new(limits.memory.bytes(), prints));
        store.limiter(|guest| &mut guest.limiter);
        let host_bytes = limits.result.bytes().saturating_mul(HOST_BYTES_PER_RESULT_BYTE);
        store.set_hostcall_fuel(usize::try_from(host_bytes).unwrap_or(usize::MAX));
        store.set_epoch_deadline(QUICK_TICKS);
        let turn = Turn::default();
        store.epoch_deadline_callback(move |_| {
            slow.set();
            if turn.was_the_hosts() {
                return Ok(UpdateDeadline::Continue(SLOW_TICKS));
            }
            Ok(UpdateDeadline::YieldCustom(SLOW_TICKS, Box::pin(turn.clone().pass_on())))
        });

        let function = tool.function();
        let mut results = vec![Val::Bool(false); function.signature.result_count()];
        let called = async {
            let instance = tool.plugin.instance_pre().instantiate_async(&mut store).await?;
            let export = instance.get_func(&mut store, function.export());
            let export = export.ok_or_else(|| wasmtime::Error::msg("exported function is gone"))?;
            export.call_async(&mut store, &arguments, &mut results).await
        };
        let outcome = match called.await {
            Ok(()) => {
                codec::encode_result(&function.signature, &results, limits.result.bytes()).map_err(CallError::Result)
            }
            Err(error) => Err(explain(error, store.data(), limits)),
        };
        drop(store);
        drop(arguments);
        drop((ticking, place, memory));
        outcome
    }
}

/// What a failed call was: the guest's own fault, or which limit it met.
fn explain(error: wasmtime::Error, guest: &Guest, limits: &Limits) -> CallError {
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return CallError::Exited(*status);
    }
    if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
        return CallError::StackOverflow;
    }
    if guest.limiter.refused() {
        return CallError::Memory(limits.memory.to_string());
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return CallError::Busy;
    }
    if is_out_of_host_memory(&error) {
        return CallError::Result(ResultError::TooLarge { max_bytes: limits.result.bytes() });
    }
    CallError::Trapped(error)
}

/// Whether the guest wanted to hand over more than [`HOST_BYTES_PER_RESULT_BYTE`] allows. The engine has a type for
/// this error and keeps it to itself, so its words have to do; a test holds that they are still these.
fn is_out_of_host_memory(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted")
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

/// Each failure once, with its cause, and never with a person's arguments or name.
fn log(tool: &Tool, caller: &Principal, error: &CallError) {
    let (plugin, tool, person) = (&tool.plugin.name, &tool.name, caller.label());
    match error {
        // The caller's own mistake: the message quotes the arguments, so it is not logged.
        CallError::Arguments(_) => tracing::debug!(%plugin, %tool, person, "arguments do not fit tool `{tool}`"),
        CallError::Trapped(cause) => {
            tracing::warn!(%plugin, %tool, person, cause = format!("{cause:#}"), "tool `{tool}` crashed")
        }
        CallError::Host(cause) => {
            tracing::error!(%plugin, %tool, person, cause, "the host failed in a call of tool `{tool}`")
        }
        CallError::Cancelled => {}
        CallError::Timeout(_)
        | CallError::Busy
        | CallError::Memory(_)
        | CallError::StackOverflow
        | CallError::Exited(_)
        | CallError::Result(_) => tracing::warn!(%plugin, %tool, person, "call of tool `{tool}` failed: {error}"),
    }
}
