//! What the host provides to plugins that were granted it: made once, by whoever starts them, and shared by all calls.
//!
//! Each is of a room of its own that knows nothing of plugins; `imports` puts it behind a guest's imports.

use crate::egress::Egress;
use crate::folders::Folders;
use crate::kv::Kv;
use crate::plugins::observers::Observers;
use crate::plugins::rates::shared::SharedRates;

/// Everything of it. Without any, what is granted fails like what is not.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// Requests and sockets.
    pub egress: Option<Egress>,
    /// Folders of this machine.
    pub folders: Folders,
    /// The state of plugins.
    pub kv: Option<Kv>,
    /// Those who are told of calls.
    pub observers: Observers,
    /// The counts of calls that several servers share; none for a server alone.
    pub rates: Option<SharedRates>,
}
