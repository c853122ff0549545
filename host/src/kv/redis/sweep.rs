//! What has expired is removed. It is not read in any case; a sweep gives its memory back.
//!
//! Every server sweeps one place at a time, each beginning at another, so that many servers ask no more of a place than it
//! can bear.

use std::sync::Weak;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::layout::{At, DUE};
use super::outward::outward;
use super::shared::{EXPIRED, Shared, Sight};
use crate::kv::operations::Part;
use crate::kv::request::KvError;
use crate::kv::seal::SpaceName;
use crate::redis::{Fault, Place};

/// Time between two places: all of them take four minutes.
const PAUSE: Duration = Duration::from_secs(1);

/// Spaces of a place that are swept at once.
const SPACES: usize = 64;

/// Steps for one space; the rest of it waits for the next time.
const STEPS: usize = 20;

/// Sweeps until the backend is gone, or `stop` is cancelled.
pub(super) async fn from_time_to_time(shared: Weak<Shared>, stop: CancellationToken) {
    let mut place: u8 = rand::random();
    while stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_some() {
        let Some(shared) = shared.upgrade() else { return };
        place = place.wrapping_add(1);
        if let Some(Err(error)) = stop.run_until_cancelled(shared.sweep(Place(place))).await {
            tracing::debug!("expired state of plugins not removed: {error}");
        }
    }
}

impl Shared {
    /// Removes what has expired at a place.
    pub(super) async fn sweep(&self, place: Place) -> Result<(), KvError> {
        // A server that has used nothing yet leaves it to others.
        let Some(opened) = self.known() else { return Ok(()) };
        let step = self.step(&opened, place).key(self.redis.key(place, DUE, b"")).number(SPACES);
        for name in self.run(&self.scripts.due, place, step).await? {
            let name = name.as_slice().try_into().map(SpaceName);
            let at = At { name: name.map_err(|_| outward(Fault::Unexpected("no name of a space")))? };
            for _ in 0..STEPS {
                let Sight { head, expired, .. } = self.look(&opened, at, &[], Part::Head, EXPIRED).await?;
                let has_more = expired.len() >= EXPIRED;
                if !expired.is_empty() {
                    self.remove_expired(&opened, at, head, expired).await?;
                }
                if !has_more {
                    break;
                }
            }
        }
        Ok(())
    }
}
