//! TinyMCP: one MCP server that people own. Drop a WebAssembly component into `plugins/`, and its functions are tools.
//!
//! The map, from the outside in:
//!
//! - [`cli`]: the commands. [`config`]: `tinymcp.toml` and the environment, which no other module reads.
//! - [`http`]: routes, checks on every request, the accept loop.
//! - [`auth`]: logins and tokens. They end in the caller of a request, a [`principal::Principal`].
//! - [`mcp`]: the protocol; the only module that names rmcp.
//! - [`plugins`]: components, the catalog of their tools, and calls; the only module that names wasmtime.
//! - [`fetch`]: requests that this server makes itself. [`jwks`]: tokens that others have signed, and their keys.
//!   [`algorithms`]: the algorithms of signatures that are taken.
//! - [`state`]: the private directory that outlives the process. [`vault`]: keys from it. [`store`]: rows that expire.
//! - [`clients`]: snippets for Cursor, Claude Code and others. [`diagnosis`]: findings of `tinymcp doctor`.
//! - [`html`]: pages. [`peer`]: the other end of a connection. [`overload`]: the refusal of a body without room for it.
//! - [`schemes`]: known schemes of URIs. [`loopback`]: addresses and names of this machine. [`clock`]: the time as
//!   numbers.
//! - [`sanitize`]: strangers' text, fit for readers and logs. [`log_limiter`]: records that strangers can cause.
//! - [`atomic_file`]: files that are replaced whole.
//!
//! `auth` and `plugins` know nothing of each other: they meet in `mcp`, where a principal goes into a call.
//! `docs/architecture.md` has a walk-through of each flow.

mod algorithms;
mod atomic_file;
pub mod auth;
#[allow(dead_code, reason = "more is charged to it by others")]
mod budget;
pub mod cli;
mod clients;
pub mod clock;
pub mod config;
mod diagnosis;
pub mod fetch;
mod html;
pub mod http;
#[allow(dead_code, reason = "others weigh more with it")]
mod json_weight;
mod jwks;
mod log_limiter;
mod loopback;
pub mod mcp;
mod overload;
pub mod peer;
pub mod plugins;
pub mod principal;
mod sanitize;
mod schemes;
pub mod state;
pub mod store;
pub mod vault;
