//! TinyMCP: one MCP server that people own. Drop a WebAssembly component into `plugins/`, and its functions are tools.
//!
//! The map, from the outside in:
//!
//! - [`cli`]: the commands. [`config`]: `tinymcp.toml` and the environment, which no other module reads.
//! - [`fetch`]: requests that this server makes itself.
//! - [`http`]: routes, checks on every request, the accept loop.
//! - [`auth`]: logins, and who is calling, as a [`principal::Principal`].
//! - [`jwks`]: tokens that others have signed, and their keys. `algorithms`: those of signatures that are taken.
//! - [`mcp`]: the protocol; the only module that names rmcp.
//! - [`plugins`]: components, the catalog of their tools, and calls; the only module that names wasmtime.
//! - [`clients`]: what to paste into Cursor, Claude Code and others. [`diagnosis`]: what `tinymcp doctor` has found.
//! - [`state`]: the private directory that outlives the process. [`vault`]: keys from it. [`store`]: rows that expire.
//! - [`fetch`]: what leaves this machine. [`jwks`]: tokens that others have signed.
//! - [`atomic_file`]: files that are whole, always.
//! - [`schemes`]: what is known of schemes of URIs. [`loopback`]: this machine, as addresses and names.
//! - `html`: pages. [`peer`]: the other end of a connection. `clock`: the time as numbers. `overload`: no room for a body.
//! - [`sanitize`]: strangers' text, without what a reader would not see. [`log_limiter`]: records that strangers can cause.
//!
//! `auth` and `plugins` know nothing of each other: they meet in `mcp`, where a principal goes into a call.
//! `docs/architecture.md` says more, with a walk-through of each flow.

mod algorithms;
pub mod atomic_file;
pub mod auth;
pub mod cli;
mod clients;
mod clock;
pub mod config;
pub mod diagnosis;
pub mod fetch;
mod html;
pub mod http;
mod jwks;
pub mod log_limiter;
pub mod loopback;
pub mod mcp;
mod overload;
pub mod peer;
pub mod plugins;
pub mod principal;
pub mod sanitize;
pub mod schemes;
pub mod state;
pub mod store;
pub mod vault;
