//! The harness: it drives TinyMCP with the real program, real HTTP, and clients of both protocol eras.
//!
//! | module | what it has | a test begins with |
//! |---|---|---|
//! | [`server`] | [`Site`](server::Site): a directory with configuration and plugins; [`Server`](server::Server): the program in it | `Server::with(&["greeter-v1"])`, `Site::new().config("…").start()` |
//! | [`client`] | an MCP client of either era | `Client::modern(&server)`, `Client::legacy(&server)`, `Client::both(&server)` |
//! | [`http`] | raw requests, answers and event streams, where a client would be too polite | `server.request("POST", "/mcp")` |
//! | [`frames`] | frames of HTTP/2 by hand, for clients that break off | `frames::PREFACE` |
//! | [`world`] | [`World`](world::World): a server with a login | `World::local()`, `World::with(&provider)` |
//! | [`provider`] | an identity provider that is strict, remembers what it was sent, and fails on demand | `Provider::start(Settings::oidc())` |
//! | [`oauth`] | an OAuth client with the habits of Cursor, Claude Code and others | `world.register(Kind::Cursor)` |
//! | [`browser`] | a person in front of it: cookies, forms, redirects | `Browser::of("alice")` |
//! | [`peer`] | a server that plugins send requests to, and that misbehaves as it is told | `Peer::start(|_| Script::text("hello"))` |
//! | [`redis`] | a Redis for servers that share a store, which can be killed and frozen | `Redis::durable()` |
//! | [`balancer`] | a load balancer in front of several servers | `Balancer::start(address, &servers)` |
//! | [`cut`] | a network between two servers that can be cut | `Way::to(redis.port)` |
//! | [`registry`] | a registry of plugins, Debian's own, and artifacts by hand | `Registry::start()` |
//! | [`collector`] | a collector of OpenTelemetry that reads what it is sent | `Collector::start()` |
//! | [`guests`] | components for the plugins directory, of `tests/guests` or written as text | `guest("hostile")` |
//! | [`command`] | the program's commands other than `serve` | `site.run(&["list"])` |
//! | [`log`] | the standard error of a server | `server.log.wait_for("ready")` |
//!
//! A server, and a call of its tool:
//!
//! ```no_run
//! # async fn test() {
//! # use tinymcp_tests::{client::Client, server::Server};
//! let server = Server::with(&["greeter-v1"]).await;
//! let client = Client::modern(&server);
//! assert_eq!(client.value("greeter_v1_greet", serde_json::json!({ "name": "Ada" })).await, "v1 greets Ada");
//! # }
//! ```
//!
//! A login at a provider that then goes down:
//!
//! ```no_run
//! # async fn test() {
//! # use tinymcp_tests::{oauth::Kind, provider::{Provider, settings::Settings}, world::World};
//! let provider = Provider::start(Settings::oidc()).await;
//! let world = World::with(&provider).await;
//! let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
//! provider.go_down();
//! assert!(client.is_live(&tokens.access).await);
//! # }
//! ```
//!
//! An hour that takes no time, by a server with a clock of its own:
//!
//! ```no_run
//! # async fn test() {
//! # use tinymcp_tests::{oauth::Kind, world::{World, local}};
//! let world = World::of(local().with_clock()).await;
//! let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
//! world.server.advance(std::time::Duration::from_secs(3601));
//! assert!(!client.is_live(&tokens.access).await);
//! # }
//! ```
//!
//! A test waits for an event or a condition ([`within`], [`until`]), and gives up after [`DEADLINE`] with what it knows.

pub mod balancer;
pub mod browser;
pub mod client;
pub mod collector;
pub mod command;
pub mod cut;
pub mod encoding;
pub mod frames;
pub mod guests;
pub mod http;
pub mod log;
pub mod oauth;
pub mod peer;
pub mod provider;
pub mod redis;
pub mod registry;
pub mod server;
pub mod sse;
pub mod world;

use std::future::Future;
use std::time::Duration;

/// The time for anything that should take none: every core may be busy with something else.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The time to build sources, or to compile a whole language: cargo may be waiting for another build to end.
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
