//! The bounds of connections.

use std::time::Duration;

use crate::config::address::Network;

/// The bounds of the accept loop, and of each connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most open connections; further ones wait, or take the place of one whose party has more.
    pub connections: usize,
    /// Time for the head of a request.
    pub header_timeout: Duration,
    /// Proxies that speak for others.
    pub trusted_proxies: Vec<Network>,
}
