//! The decision about one request: by the grants that the call began with, and by those in force.

use std::sync::Arc;

use http::Method;

use crate::grants::HttpGrant;
use crate::grants::decide::Denial;
use crate::grants::in_force::CallGrants;
use crate::grants::target::Target;

/// The entry that the call began with and that is in force unchanged.
pub(super) fn decide(grants: &CallGrants, method: &Method, target: &Target) -> Result<Arc<HttpGrant>, Refusal> {
    let entry = grants.began().decide(method, target).map_err(Refusal::Denied)?;
    let now = grants.now();
    if !std::ptr::eq(grants.began(), &*now) {
        let is_same = now.decide(method, target).is_ok_and(|other| has_same_terms(entry, other));
        if !is_same {
            return Err(Refusal::Withdrawn);
        }
    }
    Ok(Arc::new(entry.clone()))
}

/// True if a request by one entry is as good as by the other.
pub(super) fn has_same_terms(entry: &HttpGrant, other: &HttpGrant) -> bool {
    entry.credentials == other.credentials && entry.rule.is_private == other.rule.is_private
}

/// The reason that a request is not granted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// No entry allows it.
    #[error(transparent)]
    Denied(Denial),
    /// An entry did, when the call began.
    #[error("the grant was withdrawn or changed since the call began")]
    Withdrawn,
}
