//! What a call may still use of its limits.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;

/// The allowance of one call, or of one instance that is kept warm.
pub(super) struct Allowance {
    /// `limits.connections`.
    max_connections: usize,
    /// Made for the first connection: most calls have none.
    connections: Option<Connections>,
}

/// The connections that a call may have open at once, sockets and requests alike. Clones are the same.
#[derive(Clone)]
pub(super) struct Connections(Arc<Semaphore>);

/// The place of an open connection. It is given back when this is dropped.
pub(super) struct ConnectionPlace {
    _permit: OwnedSemaphorePermit,
}

impl Allowance {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { max_connections: limits.connections.get().min(Semaphore::MAX_PERMITS), connections: None }
    }

    pub(super) fn connections(&mut self) -> &Connections {
        self.connections.get_or_insert_with(|| Connections(Arc::new(Semaphore::new(self.max_connections))))
    }

    /// `limits.connections`, for what says that it is used up.
    pub(super) fn max_connections(&self) -> usize {
        self.max_connections
    }
}

impl Connections {
    /// Takes a place for one more, unless as many as may be are open.
    pub(super) fn open(&self) -> Option<ConnectionPlace> {
        Arc::clone(&self.0).try_acquire_owned().ok().map(|permit| ConnectionPlace { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_connection_makes_room_for_another() {
        let mut allowance = Allowance { max_connections: 2, connections: None };
        let connections = allowance.connections().clone();
        let (first, second) = (connections.open(), allowance.connections().open());
        assert!(first.is_some() && second.is_some() && connections.open().is_none());
        drop(first);
        assert!(allowance.connections().open().is_some());
        assert!(Allowance { max_connections: 0, connections: None }.connections().open().is_none());
    }
}
