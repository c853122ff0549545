//! Values on their way into a guest and out of it: small ones at once, large ones on the slow lane.
//!
//! A request of four megabytes can hold a million values. To weigh, decode, check and write them takes as long as many
//! calls, and no guest's clock ends it: it is done in turns with others, by plugin and by person, and never on the
//! threads that serve requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::Val;

use super::engine::Share;
use super::instance::Place;
use super::runtime::Runtime;
use crate::json_weight;
use crate::plugins::conversation::Conversation;
use crate::plugins::error::CallError;
use crate::plugins::plugin::ListedTool;
use crate::plugins::types::codec::{self, ArgumentError, Reply, ResultError};
use crate::plugins::types::shape::Signature;

/// Values and kilobytes of text from which on they are heavy: some tenths of a millisecond.
const HEAVY: usize = 4096;

/// Bytes of a reply from which on it is heavy.
const HEAVY_REPLY_BYTES: usize = 64 * 1024;

/// The place of a call, and the memory that its arguments hold.
pub(super) type Held = (Place, Option<OwnedSemaphorePermit>);

/// Remembers that a tool gave a heavy reply: from then on its calls are on the slow lane from their beginning, since a
/// guest hands its reply over where it runs.
#[derive(Debug, Default)]
pub(in crate::plugins) struct HeavyFlag(AtomicBool);

impl HeavyFlag {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self, is_heavy: bool) {
        if is_heavy && !self.get() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Tells whether arguments are many values, or long; looks at no more than it must.
pub(super) fn is_heavy(arguments: &Map<String, Value>) -> bool {
    fn take(value: &Value, left: usize) -> Option<usize> {
        match value {
            Value::String(text) => left.checked_sub(1 + text.len() / 1024),
            Value::Array(items) => items.iter().try_fold(left.checked_sub(1)?, |left, item| take(item, left)),
            Value::Object(members) => members_of(members, left.checked_sub(1)?),
            _ => left.checked_sub(1),
        }
    }
    fn members_of(members: &Map<String, Value>, left: usize) -> Option<usize> {
        members.iter().try_fold(left, |left, (name, value)| take(value, left.checked_sub(name.len() / 1024)?))
    }
    members_of(arguments, HEAVY).is_none()
}

/// Tells whether a reply took long to make.
pub(super) fn is_heavy_reply(reply: &Result<Reply, ResultError>) -> bool {
    match reply {
        Ok(Reply::Structured(value)) => value.size() > HEAVY_REPLY_BYTES,
        Ok(Reply::Text(text) | Reply::Failed { text } | Reply::Invalid { text }) => text.len() > HEAVY_REPLY_BYTES,
        Ok(Reply::Rich(rich)) => {
            rich.structured.is_some() || rich.blocks.iter().map(codec::of_block).sum::<usize>() > HEAVY_REPLY_BYTES
        }
        Ok(Reply::Nothing | Reply::Asks(_)) => false,
        Err(_) => true,
    }
}

/// Decodes the arguments of a typed function.
///
/// # Errors
/// [`CallError::Arguments`].
pub(super) async fn decode(
    runtime: &Runtime,
    share: &Share,
    signature: &Arc<Signature>,
    arguments: &Map<String, Value>,
    conversation: &Conversation,
    place: Place,
) -> Result<(Vec<Val>, Held), CallError> {
    if !is_heavy(arguments) {
        let weight = codec::weigh_arguments(signature, arguments);
        conversation.charge_arguments(weight)?;
        // Not before the place is there: as values of the engine, arguments can take forty times the memory that those
        // who wait hold.
        let memory = runtime.arguments.hold(weight).await;
        return Ok((codec::decode_arguments(signature, arguments)?, (place, memory)));
    }
    let copied = aside(|| {
        let weight = codec::weigh_arguments(signature, arguments);
        conversation.charge_arguments(weight.saturating_add(json_weight::of_object(arguments)))?;
        Ok::<_, CallError>((weight, arguments.clone()))
    });
    let (weight, arguments) = copied?;
    // The place stays taken for as long as the work goes on, even if its caller is gone.
    let held = (place, runtime.arguments.hold(weight).await);
    let signature = Arc::clone(signature);
    let decode = move || (codec::decode_arguments(&signature, &arguments), held);
    let (decoded, held) = runtime.engine.lane().compute(share, decode).await.map_err(CallError::Host)?;
    Ok((decoded?, held))
}

/// Holds the arguments of a tool that its plugin lists against its schema, and writes them.
///
/// # Errors
/// [`CallError::Arguments`].
pub(super) async fn check_arguments(
    runtime: &Runtime,
    share: &Share,
    listed: &Arc<ListedTool>,
    arguments: &Map<String, Value>,
    conversation: &Conversation,
    place: Place,
) -> Result<(String, Held), CallError> {
    let copy = || {
        conversation.charge(json_weight::of_object(arguments))?;
        Ok::<_, CallError>(Value::Object(arguments.clone()))
    };
    let arguments = if is_heavy(arguments) { aside(copy) } else { copy() }?;
    let listed = Arc::clone(listed);
    // The place stays taken for as long as the check goes on, even if its caller is gone.
    let check = move || (listed.arguments.check(&arguments).map(|()| arguments.to_string()), place);
    let (json, place) = runtime.engine.lane().compute(share, check).await.map_err(CallError::Host)?;
    Ok((json.map_err(ArgumentError::from)?, (place, None)))
}

/// Holds the structured result of such a tool against its schema, if there is one.
///
/// # Errors
/// [`CallError::Result`].
pub(super) async fn check_reply(
    runtime: &Runtime,
    share: &Share,
    listed: &Arc<ListedTool>,
    mut reply: Reply,
) -> Result<Reply, CallError> {
    let Reply::Rich(rich) = &mut reply else { return Ok(reply) };
    if rich.is_error || listed.structured.is_none() {
        return Ok(reply);
    }
    let missing = || ResultError::Schema("there is no structured result".to_owned());
    let structured = rich.structured.take().ok_or_else(missing)?;
    let listed = Arc::clone(listed);
    let check = move || {
        let checked = listed.structured.as_ref().map_or(Ok(()), |schema| schema.check(&structured));
        (checked, structured)
    };
    let (checked, structured) = runtime.engine.lane().compute(share, check).await.map_err(CallError::Host)?;
    checked.map_err(|misfit| ResultError::Schema(misfit.to_string()))?;
    rich.structured = Some(structured);
    Ok(reply)
}

/// Does work on many values while other threads take over from this one.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    let may_block = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if may_block { tokio::task::block_in_place(work) } else { work() }
}
