//! WASI 0.2: linked whole, with nothing in it.
//!
//! Language runtimes import much that they never use. A call of such an import fails.

use wasmtime::component::Linker;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::guest::Guest;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let prints = &self.prints;
        let ctx =
            self.wasi.get_or_insert_with(|| WasiCtx::builder().stdout(prints.stdout()).stderr(prints.stderr()).build());
        WasiCtxView { ctx, table: &mut self.resources }
    }
}
