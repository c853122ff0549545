//! The rows of the table, each with its target (`docs/performance.md` says why).

mod calls;
mod cluster;
pub(crate) mod compare;
mod instance;
mod listener;
mod listeners;
mod many;
mod peers;
mod reload;
mod replace;
mod requests;
mod rounds;
mod start;
mod warm;

use clap::ValueEnum;

use super::Plan;
use super::site::Workshop;
use super::table::Line;

/// Clients at once where servers are under load.
const CONNECTIONS: usize = 8;

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// Calls over 8 connections, protocol 2026-07-28, HTTP/1.1 and HTTP/2
    Calls,
    /// The same over HTTP/1.1, beside FastMCP and, where it is at hand, Wassette
    Peers,
    /// Calls per second over 8 connections, protocol 2025-11-25 in sessions
    Legacy,
    /// The same over HTTP/1.1 for a component with 1 MiB of stack, as plain cargo builds it
    Plain,
    /// One call after the other over one connection, HTTP/1.1 and HTTP/2
    Latency,
    /// The cost of a fresh instance, added to a call
    Instance,
    /// The cost of a granted request, beside hyper's own client
    Requests,
    /// The gain of kept instances for plugins in Python and JavaScript
    Warm,
    /// From a file put in place to the client that hears of it
    Reload,
    /// A plugin replaced again and again under load
    Replace,
    /// From start to ready, and memory when idle
    Start,
    /// A thousand plugins, and the list of their tools
    Many,
    /// Ten thousand clients that listen for changes
    Listeners,
    /// Servers that share a Redis: what a login, a refresh and a call cost
    Cluster,
}

impl Row {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 14] = [
        Self::Calls,
        Self::Peers,
        Self::Legacy,
        Self::Plain,
        Self::Latency,
        Self::Instance,
        Self::Requests,
        Self::Warm,
        Self::Reload,
        Self::Replace,
        Self::Start,
        Self::Many,
        Self::Listeners,
        Self::Cluster,
    ];

    /// The name by which the command line knows it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Calls => "`tools/call` of `add`, 8 connections, protocol 2026-07-28, JSON answers",
            Self::Peers => "the same over HTTP/1.1 beside servers of others, each in the newest protocol that it knows",
            Self::Legacy => "the same, protocol 2025-11-25, each connection in a session of its own",
            Self::Plain => "the same for `add` as plain cargo builds it, with 1 MiB of stack",
            Self::Latency => "one call of `add` after the other, 1 connection, protocol 2026-07-28",
            Self::Instance => "a call of `add` within the process, and the same codec work without a guest",
            Self::Requests => {
                "a plugin that asks a service on loopback, within the process, and hyper's client that does"
            }
            Self::Warm => "a call within the process, in a fresh instance and in one that is kept warm",
            Self::Reload => "a new `hello`, compiled: from its rename to `list_changed` at a client that listens",
            Self::Replace => "`add` replaced 1,000 times while 8 connections call it",
            Self::Start => "start with 2 plugins and a warm cache",
            Self::Many => "1,000 plugins from the compile cache",
            Self::Listeners => "10,000 clients that listen, each over a connection of its own",
            Self::Cluster => "two servers of one Redis, which writes each step to its disk (`appendfsync always`)",
        }
    }

    /// # Errors
    /// When it could not be measured; a figure that is missed is none.
    pub(crate) async fn measure(self, workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
        match self {
            Self::Calls => calls::rates(workshop, plan).await,
            Self::Peers => peers::measure(workshop, plan).await,
            Self::Legacy => calls::legacy(workshop, plan).await,
            Self::Plain => calls::plain(workshop, plan).await,
            Self::Latency => calls::latencies(workshop, plan).await,
            Self::Instance => instance::measure(workshop, plan).await,
            Self::Requests => requests::measure(plan).await,
            Self::Warm => warm::measure(workshop, plan).await,
            Self::Reload => reload::measure(workshop, plan).await,
            Self::Replace => replace::measure(workshop).await,
            Self::Start => start::measure(workshop, plan).await,
            Self::Many => many::measure(workshop, plan).await,
            Self::Listeners => listeners::measure(workshop, plan).await,
            Self::Cluster => cluster::measure(workshop, plan).await,
        }
    }
}
