//! TinyMCP: one MCP server that people own. Drop a WebAssembly component into `plugins/`, and its functions are tools.
//!
//! The map, from the outside in:
//!
//! - [`cli`]: the commands. [`config`]: `tinymcp.toml` and the environment, which no other module reads.
//! - [`http`]: routes, checks on every request, the accept loop.
//! - [`auth`]: logins and tokens. They end in the caller of a request, a [`principal::Principal`]. [`view`]: the parts of
//!   this server that tokens are for.
//! - [`mcp`]: the protocol; the only module that names rmcp.
//! - [`plugins`]: components, the catalog of their tools, and calls; the only module that names wasmtime.
//! - [`grants`]: what a plugin may touch outside itself, as data. [`egress`]: the way there. [`address`]: classes of
//!   internet addresses.
//! - `oci`: registries of plugins. `supply`: which files of theirs run here.
//! - [`fetch`]: requests that this server makes itself. [`jwks`]: tokens that others have signed, and their keys.
//!   [`algorithms`]: the algorithms of signatures that are taken.
//! - [`state`]: the private directory that outlives the process. [`vault`]: keys from it. [`store`]: rows that expire.
//!   [`kv`]: the state of plugins. `records`: what is sealed in these, with its format.
//! - [`control`]: what the operator asks of a running server, through a socket. [`file_lock`]: one process at a time.
//! - [`audit`]: a line for each event. [`metrics`]: numbers. [`traces`]: spans. [`telemetry`]: what shows and sends these.
//! - [`control`]: what the operator asks of a running server, through a socket. [`operator`]: what that is, of people,
//!   sessions, plugins and keys. [`switches`]: people and plugins that are switched off. [`file_lock`]: one process at a
//!   time.
//! - [`clients`]: snippets for Cursor, Claude Code and others. [`diagnosis`]: findings of `tinymcp doctor`.
//! - [`html`]: pages. [`peer`]: the other end of a connection. [`overload`]: the refusal of a body without room for it.
//! - [`schemes`]: known schemes of URIs. [`loopback`]: addresses and names of this machine. [`clock`]: the time as
//!   numbers.
//! - `supervisor`: what systemd is told. `reopen`: the wish that files are opened anew. `person_label`: people in the log.
//! - [`sanitize`]: strangers' text, fit for readers and logs. [`log_limiter`]: records that strangers can cause.
//! - [`atomic_file`]: files that are replaced whole. [`sync`]: primitives of what is shared by hand. [`budget`]: the
//!   memory that one person's requests hold. [`request_memory`]: that of one request. [`json_weight`]: the memory that
//!   JSON takes.
//! - `fuzzing`: readers of foreign bytes, for fuzzers; not in a build for people.
//!
//! `auth` and `plugins` know nothing of each other: they meet in `mcp`, where a principal goes into a call.
//! `docs/architecture.md` has a walk-through of each flow.

pub mod address;
mod algorithms;
mod atomic_file;
pub mod audit;
pub mod auth;
pub mod budget;
pub mod cli;
mod clients;
pub mod clock;
pub mod config;
pub mod control;
mod descriptors;
mod diagnosis;
pub mod egress;
pub mod fetch;
mod file_lock;
pub mod folders;
#[doc(hidden)]
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod grants;
mod html;
pub mod http;
mod json_weight;
mod jwks;
pub mod kv;
mod log_limiter;
mod loopback;
pub mod mcp;
pub mod metrics;
pub(crate) mod oci;
pub mod operator;
mod overload;
pub mod peer;
mod person_label;
pub mod plugins;
pub mod principal;
mod records;
pub mod redis;
mod reopen;
pub mod replicas;
pub mod request_memory;
mod sanitize;
mod schemes;
pub mod secret;
pub mod state;
pub mod store;
mod supervisor;
mod supply;
pub mod switches;
mod sync;
pub mod telemetry;
pub mod traces;
pub mod vault;
pub mod view;
