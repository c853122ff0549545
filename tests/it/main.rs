//! TinyMCP from outside: its program, its HTTP, its plugins. Each module is a theme; `conformance.md` says which
//! sentence of which specification each test stands for.

#![expect(
    clippy::unwrap_used,
    reason = "every function here is a part of a test, which may stop at the first surprise"
)]

mod approval;
mod begin;
mod cases;
mod clients;
mod cluster;
mod commands;
mod configuration;
mod connect;
mod contained;
mod crates;
mod deploy;
mod dev_keys;
mod docs;
mod files;
mod languages;
mod login;
mod logs;
mod machines;
mod operator;
mod page;
mod protocol;
mod reaching;
mod registry;
mod reload;
mod replicas;
mod requests;
mod rich;
mod seeing;
mod service;
mod shutdown;
mod snapshots;
mod soak;
mod sources;
mod state;
mod stdio;
mod told;
mod typed;
mod views;
mod walls;
