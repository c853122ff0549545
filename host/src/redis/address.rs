//! Where a shared store is.

use crate::config::state_url::StateUrl;

/// Its servers, and the part of them that is one store.
#[derive(Clone, Debug)]
pub struct Address {
    /// Its servers and credentials.
    pub url: StateUrl,
    /// The beginning of all keys.
    pub prefix: String,
    /// Certificates in PEM by which its servers are known; without them, the system's.
    pub authorities: Option<Vec<u8>>,
}
