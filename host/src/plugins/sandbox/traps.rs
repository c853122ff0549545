//! The cause of a trap, and the functions that the guest was in.
//!
//! The engine's own text of an error has all frames in one, with advice for those who run the engine itself. Here the cause
//! and the frames are apart, and names are a stranger's text.

use wasmtime::{Trap, WasmBacktrace};

use crate::sanitize::{clean, cut};

/// The target of records with one frame each, for the author of a plugin.
pub const TARGET: &str = "tinymcp::frames";

/// Bytes of a function's name that are shown.
const MAX_NAME_BYTES: usize = 200;

/// The cause of a failure, without the frames.
pub(in crate::plugins) fn cause(error: &wasmtime::Error) -> String {
    let frames = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
    let causes = error.chain().map(ToString::to_string).filter(|cause| Some(cause) != frames.as_ref());
    causes.collect::<Vec<_>>().join(": ")
}

/// The functions that the guest was in, the innermost first.
pub(in crate::plugins) fn frames(error: &wasmtime::Error) -> Vec<String> {
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
    let names = frames.iter().map(|frame| match frame.func_name() {
        Some(name) => cut(&clean(&format!("{:#}", rustc_demangle::demangle(name))).replace('\n', " "), MAX_NAME_BYTES),
        None => format!("function {} of the module", frame.func_index()),
    });
    names.collect()
}

/// A frame as a line of its own.
pub fn numbered(number: usize, frame: &str) -> String {
    format!("  {number:>2}: {frame}")
}

/// Lowest address that a stack which begins at 0 gives when it has grown below it: addresses are 32 bits wide and wrap
/// around. No limit of memory reaches as far, so nothing else is there.
const BELOW_ZERO: u64 = 0xff00_0000;

/// Times that one function must be among the innermost frames to be taken for a recursion.
const REPEATED: usize = 4;

/// Tells whether a trap most likely means that the guest's own stack was full.
///
/// Compilers keep what does not fit into variables of WebAssembly on a stack in the guest's memory. Where that begins at
/// 0, an overflow is an access below 0. The engine knows the address of most accesses, and tells it in words only; a test
/// holds that they are still these. Where it does not, a recursion shows in the frames.
pub(in crate::plugins) fn is_full_stack(error: &wasmtime::Error) -> bool {
    if error.downcast_ref::<Trap>() != Some(&Trap::MemoryOutOfBounds) {
        return false;
    }
    match address_of(error) {
        Some(address) => address >= BELOW_ZERO,
        None => {
            let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
            let repeats = |index: u32| frames.iter().filter(|frame| frame.func_index() == index).count();
            frames.iter().any(|frame| repeats(frame.func_index()) >= REPEATED)
        }
    }
}

/// The likely cause of a crash of which no more is known, as the end of a sentence.
///
/// One large frame, such as an array of 400 KB, overflows a small stack in one step. If the guest clears it as a whole, the
/// engine knows no address, and no function repeats: it reads like any other access out of bounds.
pub(in crate::plugins) fn suspicion(error: &wasmtime::Error) -> &'static str {
    let is_out_of_bounds = error.downcast_ref::<Trap>() == Some(&Trap::MemoryOutOfBounds);
    if is_out_of_bounds && address_of(error).is_none() {
        return ": it reached beyond its memory. Its stack may have been too small for what it keeps there; `stack-size` in \
                its `build.rs` sets how much it has";
    }
    ""
}

fn address_of(error: &wasmtime::Error) -> Option<u64> {
    error.chain().find_map(|cause| fault_address(&cause.to_string()))
}

fn fault_address(cause: &str) -> Option<u64> {
    let rest = cause.split_once("memory fault at wasm address 0x")?.1;
    let digits = rest.split(|char: char| !char.is_ascii_hexdigit()).next()?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_out_of_bounds_of_unknown_address_may_be_a_full_stack() {
        let unknown = wasmtime::Error::from(Trap::MemoryOutOfBounds);
        assert!(suspicion(&unknown).contains("`stack-size` in its `build.rs`"));
        let known = unknown.context("memory fault at wasm address 0x20000 in linear memory of size 0x20000");
        assert_eq!(suspicion(&known), "");
        assert_eq!(suspicion(&wasmtime::Error::from(Trap::UnreachableCodeReached)), "");
    }

    #[test]
    fn the_address_is_read_from_the_engine_s_words() {
        let words = "memory fault at wasm address 0xfffffff0 in linear memory of size 0x20000";
        assert_eq!(fault_address(words), Some(0xffff_fff0));
        assert_eq!(fault_address("wasm trap: out of bounds memory access"), None);
    }
}
