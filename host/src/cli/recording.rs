//! The audit of what commands do while no server runs: the line that the server would have written, in the same file.
//!
//! With `audit.on_error = "refuse"` nothing is done whose line cannot be written.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use super::observing::audit_of_act;
use super::{Failure, output};
use crate::config::keys;
use crate::control::Act;
use crate::kv::{self, Backend, Kv, KvError};
use crate::state::StateDir;

/// Does something, with a line about it if it is an act.
///
/// # Errors
/// The line cannot be written, and nothing is done without.
pub(super) async fn recorded<T, E>(
    settings: &keys::Audit,
    state: &StateDir,
    act: Option<Act>,
    doing: impl Future<Output = Result<T, E>>,
) -> Result<Result<T, E>, Failure> {
    let Some(act) = act else { return Ok(doing.await) };
    let audit = audit_of_act(settings, state)?;
    let begun = act.begin(&audit).map_err(Failure::failed)?;
    let done = doing.await;
    begun.end(rustix::process::getuid().as_raw(), done.is_ok());
    let (closed, is_on) = (audit.clone(), audit.is_on());
    // Only a panic would be an error, and then nothing was written.
    let _ = tokio::task::spawn_blocking(move || closed.close()).await;
    if is_on && !audit.is_complete() {
        output::warning("it is done, and its line in the audit could not be written");
    }
    Ok(done)
}

/// The state of plugins with its acts recorded.
pub(super) struct RecordedKv {
    pub(super) kv: Kv,
    pub(super) audit: keys::Audit,
    pub(super) state: StateDir,
}

impl RecordedKv {
    pub(super) fn shared(self) -> Kv {
        Kv::elsewhere(Arc::new(self))
    }
}

#[async_trait]
impl Backend for RecordedKv {
    async fn ask(&self, request: kv::Request) -> Result<kv::Answer, KvError> {
        let act = Act::of_kv(&request);
        let asked = recorded(&self.audit, &self.state, act, self.kv.ask(request)).await;
        asked.unwrap_or_else(|failure| match failure {
            Failure::Start(problem) | Failure::Failed(problem) => Err(KvError::Unavailable(problem)),
            Failure::Silent | Failure::Stopped => Err(KvError::Unavailable(String::new())),
        })
    }
}
