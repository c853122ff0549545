//! What the registry keeps of approvals that are asked for, and how it decides.

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::entry::WaitingPart;
use crate::plugins::approval::reference::Reference;
use crate::plugins::approval::request::{ApprovalAnswer, Requests};
use crate::plugins::approval::store::Store;

/// What the registry knows of approvals.
pub(super) struct Approving {
    pub(super) store: Store,
    pub(super) requests: Requests,
    /// Bytes that are being kept.
    pub(super) keeping: JoinSet<BytesKept>,
}

/// The end of keeping the bytes of a file.
pub(super) struct BytesKept {
    pub(super) file: String,
    pub(super) reference: Option<Reference>,
    pub(super) outcome: Result<(), String>,
    /// Who approves, and waits for the answer.
    pub(super) asked: Option<(String, Reply)>,
}

/// The way back to who asked.
pub(super) type Reply = oneshot::Sender<Result<ApprovalAnswer, String>>;

/// Whether a plugin may come into force.
pub(super) enum Verdict {
    /// It may.
    Serve,
    /// It may, and that is to be on record for this reason.
    Record(&'static str),
    /// An operator has to look at it.
    Wait(WaitingPart),
}

impl Approving {
    pub(super) fn new(store: Store, requests: Requests) -> Self {
        Self { store, requests, keeping: JoinSet::new() }
    }
}
