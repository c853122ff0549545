//! The state of plugins for several servers, in Redis or Valkey.
//!
//! A space is at one place ([`layout`]), so that a script changes it as a whole. An operation reads what it is about,
//! decides here, and writes if the space is still as it was read; else it begins anew. Of one server's writes to a space
//! one is under way at a time, so that only other servers come in between. Lives end by Redis's clock.
//!
//! - `layout`: keys and values. `scripts`: what is done in one step. `key`: the key under which things are sealed.
//!   `shared`: steps on one space. `operating`: operations of guests.
//! - `lists`: pages of names. `spaces`: what is about many spaces, each at its place. `handing`: a space gets another
//!   plugin. `sweep`: what has expired is removed. `outward`: what a plugin hears of a fault.
//!
//! Invariant: what is sealed opens under the space's own name alone. A store that was emptied is an error.

mod handing;
mod key;
mod layout;
mod lists;
mod operating;
mod outward;
mod scripts;
mod shared;
mod spaces;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::layout::At;
use self::shared::Shared;
use super::backend::Backend;
use super::request::{Answer, KvError, Request};
use crate::log_limiter::LogLimiter;
use crate::redis::Redis;
use crate::state::StateDir;

/// A backend, which sweeps until `stop` is cancelled.
pub(super) fn start(
    redis: Redis,
    state: &StateDir,
    tracker: &TaskTracker,
    stop: CancellationToken,
) -> Arc<dyn Backend> {
    let shared = Arc::new(Shared::new(redis, state.clone()));
    tracker.spawn(sweep::from_time_to_time(Arc::downgrade(&shared), stop));
    shared
}

#[async_trait]
impl Backend for Shared {
    async fn ask(&self, request: Request) -> Result<Answer, KvError> {
        // On the heap, each: together they would be too deep for the compiler.
        match request {
            Request::Use { space, quota_bytes, operation } => {
                operation.check()?;
                self.pace.wait(&space, &operation).await?;
                let outcome = self.operate(&space, quota_bytes, &operation).boxed().await.inspect_err(log_damage)?;
                Ok(Answer::Outcome(outcome))
            }
            Request::Owners { plugin } => Ok(Answer::Owners(self.owners(&plugin).boxed().await?)),
            Request::Spaces { after } => {
                let (spaces, next) = self.page_of_spaces(after).boxed().await?;
                Ok(Answer::Spaces(spaces, next))
            }
            Request::Forget { person } => Ok(Answer::Changed(self.forget(&person).boxed().await?)),
            Request::Move { from, to } => Ok(Answer::Changed(self.hand_over(&from, &to).boxed().await?)),
            Request::Clear { space } => {
                let opened = self.opened().await?;
                let at = At { name: opened.sealer.name(&space) };
                Ok(Answer::Changed(self.clear(&opened, at).boxed().await?))
            }
        }
    }

    async fn prepare(&self) -> Result<(), KvError> {
        self.opened().boxed().await.map(drop)
    }
}

fn log_damage(error: &KvError) {
    static DAMAGED: LogLimiter = LogLimiter::new("entries of the state of plugins that are not what was written");
    if *error == KvError::Damaged {
        DAMAGED.log(|| tracing::error!("state of plugins: an entry is not what was written"));
    }
}
