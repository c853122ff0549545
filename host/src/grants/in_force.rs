//! The grants of a plugin as they are now, beside those that a call began with.
//!
//! A call is decided by both: what was withdrawn meanwhile is refused, and what was granted meanwhile is for the next call.
//! Whatever stays open, such as a request or a socket, waits for [`CallGrants::withdrawn`] beside its work.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Grants, KvGrant};

/// The grants of one plugin, which may change at any time.
#[derive(Debug)]
pub struct InForce(watch::Sender<Arc<Grants>>);

impl InForce {
    /// Begins with these.
    pub fn new(grants: Arc<Grants>) -> Self {
        Self(watch::Sender::new(grants))
    }

    /// Replaces them, at once for every call under way.
    pub fn set(&self, grants: Arc<Grants>) {
        self.0.send_if_modified(|current| {
            let is_other = *current != grants;
            *current = grants;
            is_other
        });
    }

    /// Those of now.
    pub fn get(&self) -> Arc<Grants> {
        Arc::clone(&self.0.borrow())
    }
}

/// The grants of one call.
#[derive(Debug, Clone)]
pub struct CallGrants {
    began: Arc<Grants>,
    now: Arc<InForce>,
}

impl CallGrants {
    /// Those of a call that begins under `began`, of a plugin whose grants are `now`.
    pub fn new(began: Arc<Grants>, now: Arc<InForce>) -> Self {
        Self { began, now }
    }

    /// Finds something that the call began with, if it is still granted.
    pub fn find<T>(&self, find: impl Fn(&Grants) -> Option<T>) -> Option<T> {
        let found = find(&self.began)?;
        find(&self.now.0.borrow()).map(|_| found)
    }

    /// What is granted of state. Withdrawn, too, where it is another owner's now: what the call would write is no longer
    /// to be found there.
    pub fn kv(&self) -> Option<KvGrant> {
        let per = self.began.kv()?.per;
        self.find(|grants| grants.kv().filter(|kv| kv.per == per))
    }

    /// Those that the call began with. What they allow may have been withdrawn.
    pub fn began(&self) -> &Grants {
        &self.began
    }

    /// Those of now. What they allow may be for later calls only.
    pub fn now(&self) -> Arc<Grants> {
        self.now.get()
    }

    /// Waits until something is no longer granted.
    pub async fn withdrawn(&self, is_granted: impl Fn(&Grants) -> bool) {
        let mut now = self.now.0.subscribe();
        // The sender lives as long as `self`.
        let _ = now.wait_for(|grants| !is_granted(grants)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::grants::{KvGrant, KvOwner};

    fn with_kv() -> Arc<Grants> {
        Arc::new(Grants { kv: Some(KvGrant { quota_bytes: 1, per: KvOwner::Plugin }), ..Grants::default() })
    }

    #[test]
    fn state_of_another_owner_is_another_grant() {
        let per = |per, quota_bytes| Arc::new(Grants { kv: Some(KvGrant { quota_bytes, per }), ..Grants::default() });
        let in_force = Arc::new(InForce::new(per(KvOwner::Plugin, 1)));
        let call = CallGrants::new(in_force.get(), Arc::clone(&in_force));
        in_force.set(per(KvOwner::Plugin, 2));
        assert!(call.kv().is_some(), "the same state with another quota");
        in_force.set(per(KvOwner::Person, 2));
        assert!(call.kv().is_none());
        let next = CallGrants::new(in_force.get(), in_force);
        assert!(next.kv().is_some());
    }

    #[tokio::test]
    async fn a_call_has_what_it_began_with_until_it_is_withdrawn() {
        let in_force = Arc::new(InForce::new(with_kv()));
        let call = CallGrants::new(in_force.get(), Arc::clone(&in_force));
        assert!(call.find(Grants::kv).is_some());
        let waiting = call.clone();
        let withdrawn = tokio::spawn(async move { waiting.withdrawn(|grants| grants.kv.is_some()).await });
        in_force.set(Arc::default());
        tokio::time::timeout(Duration::from_secs(5), withdrawn).await.unwrap().unwrap();
        assert!(call.find(Grants::kv).is_none());

        let without = CallGrants::new(in_force.get(), Arc::clone(&in_force));
        in_force.set(with_kv());
        assert!(without.find(Grants::kv).is_none(), "what is new is for new calls");
        assert!(call.find(Grants::kv).is_some());
    }
}
