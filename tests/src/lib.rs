//! What the tests drive TinyMCP with: the real program, real HTTP, and clients of both protocol eras.
//!
//! - [`server`]: a directory with a configuration and plugins, and the server that runs in it. [`log`]: what it says.
//! - [`http`]: raw requests, answers and event streams. [`client`]: MCP, modern and legacy, over them.
//! - [`guests`]: components for the plugins directory. [`command`]: the program's other commands.
//! - [`provider`]: an identity provider. [`browser`]: a person in front of it. [`oauth`]: a client that logs in through
//!   both. [`world`]: all of these together.
//!
//! Whoever waits, waits for an event, and gives up after [`DEADLINE`] with what it knows.

pub mod browser;
pub mod client;
pub mod command;
pub mod encoding;
pub mod guests;
pub mod http;
pub mod log;
pub mod oauth;
pub mod provider;
pub mod server;
pub mod world;

use std::future::Future;
use std::time::Duration;

/// How long anything may take that should take no time: every core may be busy with something else.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// How long may pass until sources are built, or a whole language is compiled: cargo may be waiting for another build to end.
pub const BUILDING: Duration = Duration::from_secs(900);

/// Waits for a future that must not take longer than [`DEADLINE`].
///
/// # Panics
/// When it does, with what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    end_within(DEADLINE, what, future).await
}

/// Looks again and again until something is so, for what no event tells of.
///
/// # Panics
/// When it does not become so within [`DEADLINE`].
pub async fn until(what: &str, is_so: impl AsyncFnMut() -> bool) {
    until_within(DEADLINE, what, is_so).await;
}

/// The same with a deadline of one's own.
///
/// # Panics
/// When it does not become so in time.
pub async fn until_within(deadline: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let look = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    end_within(deadline, what, look).await;
}

async fn end_within<T>(deadline: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(deadline, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {deadline:?}"),
    }
}
