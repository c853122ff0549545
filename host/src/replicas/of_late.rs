//! What this server has done of late, and does again whenever another server of the store writes: that one may not know of it.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Time for which something is remembered: longer than a failover takes.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The most that is; the oldest goes.
const MAX: usize = 100_000;

/// The pause before what has failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Things of one kind.
pub(crate) struct OfLate<T>(Mutex<VecDeque<(T, Instant)>>);

impl<T> Default for OfLate<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> OfLate<T> {
    /// Notes what was done.
    pub(crate) fn note(&self, done: impl IntoIterator<Item = T>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(done.into_iter().map(|it| (it, Instant::now())));
        while all.front().is_some_and(|(_, at)| at.elapsed() > REMEMBERED) || all.len() > MAX {
            all.pop_front();
        }
    }

    /// All of it, in order.
    pub(crate) fn all(&self) -> Vec<T> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(_, at)| at.elapsed() <= REMEMBERED).map(|(it, _)| it.clone()).collect()
    }
}

/// Does something at each change of the servers that write, and again where it fails; until there is nothing to do it with.
/// `what` has not been done then, in words for the log.
pub(crate) async fn at_each_change<W, E>(
    mut changes: watch::Receiver<u64>,
    what: &str,
    mut again: impl FnMut() -> Option<W>,
) where
    W: Future<Output = Result<(), E>>,
    E: Display,
{
    changes.mark_unchanged();
    while changes.changed().await.is_ok() {
        let Some(work) = again() else { return };
        if let Err(error) = work.await {
            tracing::error!(%error, "{what} on the server that writes now");
            // Whoever comes next tries again.
            changes.mark_changed();
            tokio::time::sleep(AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_remembered_and_no_more() {
        let of_late = OfLate::default();
        of_late.note([1, 2]);
        of_late.note([3]);
        assert_eq!(of_late.all(), [1, 2, 3]);
        of_late.note(4..MAX + 3);
        let all = of_late.all();
        assert_eq!((all.len(), all.first(), all.last()), (MAX, Some(&3), Some(&(MAX + 2))));
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_and_what_was_before_is_not() {
        let (changed, changes) = watch::channel(0);
        let (tried, mut tries) = watch::channel(0);
        changed.send_modify(|changes| *changes += 1);
        let doing = at_each_change(changes, "nothing was done", || {
            tried.send_modify(|tries| *tries += 1);
            let number = *tried.borrow();
            (number <= 3).then_some(async move { if number == 1 { Err("away") } else { Ok(()) } })
        });
        let changing = async {
            // The first change is tried twice; nothing is left to do the third with.
            for expected in [2, 3, 4] {
                changed.send_modify(|changes| *changes += 1);
                tries.wait_for(|tries| *tries == expected).await.unwrap();
            }
        };
        tokio::join!(doing, changing);
        assert_eq!(*tried.borrow(), 4);
    }
}
