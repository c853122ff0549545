//! Gives the plugin 128 KiB of stack instead of 1 MiB, since the host makes it clean for every call.
//!
//! A call that needs more reads as "recursed too deeply": raise `stack-size` here. What stands in `RUSTFLAGS` goes before.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_wasm = env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm");
    let is_chosen = env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("stack-size"));
    if is_wasm && !is_chosen {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=131072");
    }
}
