//! Sessions that other servers of the store have changed or ended.
//!
//! What was told is a hint: the session is forgotten here, and its row read again where something goes on in it, so that
//! what was ended there ends here.

use std::sync::Arc;

use super::Sessions;
use crate::store::Key;

/// Sessions of which the rows are read at a time after a gap.
const AT_ONCE: usize = 64;

impl Sessions {
    /// A session has changed elsewhere.
    pub(in crate::auth) async fn changed_elsewhere(self: &Arc<Self>, key: Key) {
        // One that nobody used here is not known here.
        let Some(presence) = self.presences.find(&key) else { return };
        self.cache.forget(&presence.family);
        if let Err(error) = self.reload(presence.family).await {
            tracing::debug!(%error, "a session that has changed elsewhere could not be read");
        }
    }

    /// Anything may have changed elsewhere, and this server has not heard of it.
    pub(in crate::auth) async fn missed_something(self: &Arc<Self>) {
        self.cache.clear();
        let in_use = self.presences.in_use();
        for some in in_use.chunks(AT_ONCE) {
            futures::future::join_all(some.iter().map(|family| self.reload(*family))).await;
        }
    }
}
