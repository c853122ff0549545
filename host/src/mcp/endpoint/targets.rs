//! What a message is for, and whether its caller may have that.

use std::sync::Arc;

use super::{Endpoint, Rejection, ScopesNeeded};
use crate::json_weight;
use crate::mcp::message::{Message, Target};
use crate::plugins::catalog::Catalog;
use crate::plugins::types::codec;
use crate::principal::{Access, Principal};

/// Trees of values that rmcp makes of a body, of which two are there at once.
const RMCP_TREES: usize = 2;

impl Endpoint {
    /// Everything that this caller can see or use.
    pub(in crate::mcp) fn catalog(&self, principal: &Principal) -> Arc<Catalog> {
        self.plugins.catalog_of(principal.view())
    }

    /// The memory that a message takes: rmcp reads it once more by itself, and makes values of all of it. What the
    /// engine makes of them comes later, when it is late to refuse a call that will never fit.
    pub(in crate::mcp) fn weight(&self, principal: &Principal, message: &Message<'_>, body: &[u8]) -> usize {
        let tree = json_weight::tree(body);
        let of_engine =
            if self.makes_engine_values(principal, message) { tree.values * codec::LEAST_VALUE_BYTES } else { 0 };
        RMCP_TREES * tree.bytes + of_engine + body.len()
    }

    /// True for a call with large arguments of which the engine's values are made.
    fn makes_engine_values(&self, principal: &Principal, message: &Message<'_>) -> bool {
        let Some(Target::Tool(name)) = message.target().filter(|_| message.has_large_arguments()) else { return false };
        self.catalog(principal).tool(name).is_some_and(|tool| tool.listed().is_none())
    }

    /// True for a request for something that is not there for its caller.
    pub(super) fn is_not_there(&self, principal: &Principal, message: &Message<'_>) -> bool {
        let catalog = self.catalog(principal);
        let served = match message.target() {
            Some(Target::Tool(name)) if self.discovery.has(name) => return false,
            Some(Target::Tool(name)) => catalog.tool(name).map(|tool| &tool.served),
            Some(Target::Prompt(name)) => catalog.prompt(name).map(|prompt| &prompt.served),
            Some(Target::Resource(uri)) => catalog.owner_of(uri),
            // Its parameters are not read here.
            None => return false,
        };
        // One that another token may have is refused as such.
        served.is_none_or(|served| principal.access(served.scopes()) == Access::Never)
    }

    /// True for a call of something that is not there for its caller, whose arguments nobody has to read.
    pub(super) fn is_in_vain(&self, principal: &Principal, message: &Message<'_>) -> bool {
        let catalog = self.catalog(principal);
        let served = match message.target() {
            _ if !message.has_large_arguments() => return false,
            Some(Target::Tool(name)) if self.discovery.has(name) => return false,
            Some(Target::Tool(name)) => catalog.tool(name).map(|tool| &tool.served),
            Some(Target::Prompt(name)) => catalog.prompt(name).map(|prompt| &prompt.served),
            Some(Target::Resource(_)) | None => return false,
        };
        !served.is_some_and(|served| principal.holds(served.scopes()))
    }

    /// Refuses in HTTP a request that the person could make with another token, so that the client can ask for one.
    pub(super) fn require_scopes(&self, principal: &Principal, message: &Message<'_>) -> Result<(), Rejection> {
        let catalog = self.catalog(principal);
        let served = message.target().and_then(|target| match target {
            Target::Tool(name) => {
                let inner = if self.discovery.calls(name) { message.inner_name() } else { None };
                catalog.tool(inner.as_deref().unwrap_or(name)).map(|tool| &tool.served)
            }
            Target::Prompt(name) => catalog.prompt(name).map(|prompt| &prompt.served),
            Target::Resource(uri) => catalog.owner_of(uri),
        });
        let needed = served.map(|served| served.scopes()).filter(|scopes| principal.access(scopes) == Access::Possible);
        match needed {
            None => Ok(()),
            Some(scopes) => {
                let needed = scopes.iter().map(|scope| scope.as_str()).chain(principal.scopes());
                Err(Rejection::Scopes(ScopesNeeded(needed.map(str::to_owned).collect())))
            }
        }
    }
}
