//! The memory of a request, where rmcp has taken it apart.

use http::request::Parts;
use rmcp::RoleServer;
use rmcp::model::ErrorData;
use rmcp::service::RequestContext;

use crate::request_memory::RequestMemory;

/// The memory that a request holds; none outside of HTTP.
pub(super) fn memory(context: &RequestContext<RoleServer>) -> Option<&RequestMemory> {
    context.extensions.get::<Parts>()?.extensions.get()
}

/// Takes memory for a result, as long as its request holds any.
///
/// # Errors
/// There is not so much.
pub(super) fn require_room(context: &RequestContext<RoleServer>, bytes: usize) -> Result<(), ErrorData> {
    let charged = memory(context).map_or(Ok(()), |memory| memory.charge(bytes));
    charged.map_err(|refusal| ErrorData::internal_error(refusal.to_string(), None))
}
