//! Connections that have not asked for anything yet. Each costs a descriptor, so there is a bound; whoever comes when it
//! is reached takes the place of the one that has been silent for longest. So silent connections delay nobody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Connections that may wait at once.
const WAITING_MAX: usize = 64;

/// The connections that wait, the longest first. Clones are handles to the same.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<VecDeque<CancellationToken>>>);

/// The place of one of them; it is free when this is dropped.
pub(super) struct WaitingPlace {
    token: CancellationToken,
    all: Waiting,
}

impl Waiting {
    /// Takes a place, if need be that of the connection that has waited for longest.
    pub(super) fn enter(&self) -> WaitingPlace {
        let token = CancellationToken::new();
        let mut all = self.lock();
        while all.len() >= WAITING_MAX {
            let Some(longest) = all.pop_front() else { break };
            longest.cancel();
        }
        all.push_back(token.clone());
        WaitingPlace { token, all: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitingPlace {
    /// Waits until another connection has taken the place.
    pub(super) async fn taken(&self) {
        self.token.cancelled().await;
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        // Tokens have no identity of their own: the one of this place is told by its being cancelled now.
        self.token.cancel();
        self.all.lock().retain(|token| !token.is_cancelled());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_has_waited_for_longest_gives_way() {
        let waiting = Waiting::default();
        let mut places: Vec<WaitingPlace> = (0..WAITING_MAX).map(|_| waiting.enter()).collect();
        assert!(places.iter().all(|place| !place.token.is_cancelled()));
        let newest = waiting.enter();
        assert!(places[0].token.is_cancelled() && !places[1].token.is_cancelled() && !newest.token.is_cancelled());
        places.remove(1);
        let another = waiting.enter();
        assert!(!places[1].token.is_cancelled() && !another.token.is_cancelled());
    }
}
