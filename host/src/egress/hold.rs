//! A hold on one request, for whoever sends it: to end it at any time, whatever it waits for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

/// Time for an HTTP/2 connection to reset the stream of a request that was cut. The other side decides how fast it takes
/// what is sent, and one that takes nothing would keep the stream for good.
const RESET_TIMEOUT: Duration = Duration::from_secs(1);

/// A hold on one request. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Hold(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The body was sent, or is not sent any more.
    sent: CancellationToken,
    over: Mutex<Over>,
}

/// The connection that a request goes over.
#[derive(Debug, Default)]
enum Over {
    #[default]
    None,
    Connection {
        end: CancellationToken,
        is_shared: bool,
    },
    Cut,
}

impl Hold {
    /// A part of the body that is sent: once it is dropped, nothing more is sent.
    pub fn body(&self) -> DropGuard {
        self.0.sent.clone().drop_guard()
    }

    /// The request goes over this connection. One that was cut ends the connection, unless others share it.
    pub(super) fn over(&self, end: &CancellationToken, is_shared: bool) {
        let mut over = self.lock();
        match &*over {
            Over::Cut if is_shared => {}
            Over::Cut => end.cancel(),
            Over::None | Over::Connection { .. } => *over = Over::Connection { end: end.clone(), is_shared },
        }
    }

    /// Gives the connection back, once the answer is read. False if it is not free: the body is still being sent, or the
    /// request was cut.
    pub(super) fn release(&self) -> bool {
        let mut over = self.lock();
        let is_free = self.0.sent.is_cancelled() && !matches!(*over, Over::Cut);
        if is_free {
            *over = Over::None;
        }
        is_free
    }

    /// Ends the request: its connection is dropped where it is the only one on it. Elsewhere its body ends with an error
    /// by itself, which resets its stream; the connection is dropped if the other side does not take that.
    pub async fn cut(&self) {
        let over = std::mem::replace(&mut *self.lock(), Over::Cut);
        let Over::Connection { end, is_shared } = over else { return };
        if is_shared && tokio::time::timeout(RESET_TIMEOUT, self.0.sent.cancelled()).await.is_ok() {
            return;
        }
        end.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, Over> {
        self.0.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_cut_ends_its_connection() {
        let end = CancellationToken::new();
        let hold = Hold::default();
        hold.over(&end, false);
        hold.cut().await;
        assert!(end.is_cancelled() && !hold.release());

        let later = CancellationToken::new();
        hold.over(&later, false);
        assert!(later.is_cancelled(), "it was cut before it had a connection");
    }

    #[tokio::test]
    async fn others_keep_a_shared_connection_if_the_reset_is_taken() {
        let end = CancellationToken::new();
        let hold = Hold::default();
        let body = hold.body();
        hold.over(&end, true);
        drop(body);
        hold.cut().await;
        assert!(!end.is_cancelled());

        let stalled = Hold::default();
        let _body = stalled.body();
        stalled.over(&end, true);
        stalled.cut().await;
        assert!(end.is_cancelled());
    }

    #[test]
    fn a_connection_is_free_once_the_body_is_sent() {
        let end = CancellationToken::new();
        let hold = Hold::default();
        let body = hold.body();
        hold.over(&end, false);
        assert!(!hold.release());
        drop(body);
        assert!(hold.release() && !end.is_cancelled());
    }
}
