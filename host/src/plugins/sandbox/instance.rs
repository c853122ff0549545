//! The run of a guest in its instance: fresh or warm, with its ticks and its memory, and the cause of a failure.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::cpu::{Meter, Spent};
use super::engine::{SlowFlag, TickGuard};
use super::gate::Permit;
use super::traps;
use super::warm::{Owner, Warm, WarmInstance};
use crate::config::Limits;
use crate::metrics::Outcome;
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::imports::guest::{Guest, Surroundings};
use crate::plugins::types::codec::ResultError;

/// Ticks that a call may compute on the thread that serves its request, before it moves to the slow lane.
const QUICK_TICKS: u64 = 2;

/// Ticks that a guest computes on the slow lane before it lets the next one in.
const SLOW_TICKS: u64 = 5;

/// A turn on the slow lane is [`SLOW_TICKS`] long, 10 ms; one of this length had something else in it.
const LONG_TURN: Duration = Duration::from_millis(30);

/// Host memory for a result's values, per byte of the JSON text that it may become: a list of bytes takes 40 bytes
/// for each, and four thirds of a byte in base64.
const HOST_BYTES_PER_RESULT_BYTE: u64 = 32;

/// Host memory that a handle of the component model (of a resource, stream, future, task or set of these) stands for in
/// the memory of a call. It takes a twentieth of it or less, beside the guest's own.
const BYTES_PER_HANDLE: u64 = 16 * 1024;

/// Handles that a call may have, whatever its memory.
const MIN_HANDLES: usize = 256;
const MAX_HANDLES: usize = 65_536;

/// Entries of the engine's own table for each handle: a stream has one for each of its ends, and one for both.
const ENTRIES_PER_HANDLE: usize = 2;

/// The work to do in an instance.
pub(in crate::plugins) trait Work: Send + 'static {
    /// The result of the work.
    type Output: Send + 'static;

    /// Calls it.
    fn run(
        self,
        store: &mut Store<Guest>,
        instance: &Instance,
    ) -> impl Future<Output = wasmtime::Result<Self::Output>> + Send;

    /// Adds to an outcome that is a failure what the guest was refused, a line each.
    fn tell(_output: &mut Self::Output, _refusals: &[String]) {}

    /// The end of a call that gave this, for those who are told of it.
    fn outcome(_output: &Self::Output) -> Outcome {
        Outcome::Ok
    }
}

/// A place in the gate and in the engine's pool, given back when the call's memory is.
pub(super) struct Place {
    pub(super) _in_plugin: Permit,
    pub(super) _in_pool: Permit,
}

/// A guest under way, with all that it needs: it moves between threads as one.
pub(super) struct GuestRun {
    pub(super) pre: InstancePre<Guest>,
    pub(super) limits: Limits,
    pub(super) surroundings: Surroundings,
    pub(super) owner: Option<Owner>,
    pub(super) warm: Warm,
    pub(super) conversation: Conversation,
    pub(super) wasm: wasmtime::Engine,
    pub(super) slow: SlowFlag,
    pub(super) ticking: TickGuard,
    pub(super) held: (Place, Option<OwnedSemaphorePermit>),
}

/// The moment at which a guest on the slow lane was last given its thread.
#[derive(Clone, Default)]
struct Turn(Arc<Mutex<Option<Instant>>>);

impl Turn {
    /// True if the turn was so much longer than a guest's that the host must have worked in it: it took over a large
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

impl GuestRun {
    pub(super) async fn work<W: Work>(self, work: W) -> Result<W::Output, CallError> {
        let Self { pre, limits, surroundings, owner, warm, conversation, wasm, slow, ticking, held } = self;
        let notes = conversation.notes.as_ref().map(|notes| (Arc::clone(notes), Instant::now()));
        let (mut store, kept) = match owner.as_ref().and_then(|owner| warm.take(owner)) {
            Some(WarmInstance { mut store, instance }) => {
                store.data_mut().begin(&limits, conversation);
                (store, Some(instance))
            }
            None => (Store::new(&wasm, Guest::new(surroundings, &limits, conversation)), None),
        };
        store.limiter(|guest| &mut guest.limiter);
        let host_bytes = limits.result.bytes().saturating_mul(HOST_BYTES_PER_RESULT_BYTE);
        store.set_hostcall_fuel(usize::try_from(host_bytes).unwrap_or(usize::MAX));
        let handles = handles(&limits);
        store.set_max_component_handles(handles);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(handles * ENTRIES_PER_HANDLE);
        }
        let meter = limits.cpu.get().map(|bound| Arc::new(Meter::new(bound.duration())));
        store.set_epoch_deadline(QUICK_TICKS);
        let turn = Turn::default();
        let looked_at = meter.clone();
        store.epoch_deadline_callback(move |_| {
            slow.set();
            let ticks = match &looked_at {
                Some(meter) => meter.ticks(SLOW_TICKS)?,
                None => SLOW_TICKS,
            };
            if turn.was_the_hosts() {
                return Ok(UpdateDeadline::Continue(ticks));
            }
            Ok(UpdateDeadline::YieldCustom(ticks, Box::pin(turn.clone().pass_on())))
        });

        let worked = async {
            let instance = match kept {
                Some(instance) => instance,
                None => {
                    let instance = pre.instantiate_async(&mut store).await?;
                    // The start of an instance is none of the caller's work. It has the same bound, for itself.
                    if let Some(meter) = &meter {
                        meter.restart();
                    }
                    if let Some((notes, began)) = &notes {
                        notes.instantiated(began.elapsed());
                    }
                    instance
                }
            };
            let output = work.run(&mut store, &instance).await?;
            Ok((instance, output))
        };
        let worked = {
            let mut worked = pin!(worked);
            poll_fn(|context| match &meter {
                Some(meter) => meter.poll(|| worked.as_mut().poll(context)),
                None => worked.as_mut().poll(context),
            })
            .await
        };
        let outcome = match worked {
            Ok((instance, mut output)) => {
                let refusals = store.data_mut().take_refusals();
                if !refusals.is_empty() {
                    W::tell(&mut output, &refusals);
                }
                match owner {
                    Some(owner) => {
                        store.data_mut().end();
                        warm.put(owner, WarmInstance { store, instance });
                    }
                    None => drop(store),
                }
                Ok(output)
            }
            Err(error) => {
                let error = explain(error, store.data(), &limits);
                let refusals = store.data_mut().take_refusals();
                drop(store);
                Err(error.with(refusals))
            }
        };
        drop((ticking, held));
        outcome
    }
}

/// Handles that a call may have at once.
fn handles(limits: &Limits) -> usize {
    let handles = usize::try_from(limits.memory.bytes() / BYTES_PER_HANDLE).unwrap_or(MAX_HANDLES);
    handles.clamp(MIN_HANDLES, MAX_HANDLES)
}

/// The kind of a failure: the guest's own fault, or a limit that it met.
fn explain(error: wasmtime::Error, guest: &Guest, limits: &Limits) -> CallError {
    if let (true, Some(bound)) = (error.is::<Spent>(), limits.cpu.get()) {
        return CallError::Cpu(bound);
    }
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return CallError::Exited(*status);
    }
    if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
        return CallError::StackOverflow(error);
    }
    if traps::is_full_stack(&error) {
        return CallError::FullStack(error);
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
    if has_too_many_handles(&error) {
        return CallError::Handles(handles(limits));
    }
    CallError::Trapped(error)
}

/// True if the guest wanted more handles than it may have. Here too the engine's words have to do.
fn has_too_many_handles(error: &wasmtime::Error) -> bool {
    let cause = error.root_cause().to_string();
    cause.contains("store handle limit exceeded") || cause.contains("resource table has no free keys")
}

/// True if the guest wanted to hand over more than [`HOST_BYTES_PER_RESULT_BYTE`] allows. The engine has a type for
/// this error and keeps it to itself, so its words have to do; a test holds that they are still these.
fn is_out_of_host_memory(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted")
}
