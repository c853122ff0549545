//! WASI 0.2 and `wasi:http`: linked whole, with nothing in them.
//!
//! Language runtimes import much that they never use. A call of such an import fails.

use wasmtime::component::Linker;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::guest::Guest;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    super::sockets::link(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let prints = &self.prints;
        let ctx =
            self.wasi.get_or_insert_with(|| WasiCtx::builder().stdout(prints.stdout()).stderr(prints.stderr()).build());
        WasiCtxView { ctx, table: &mut self.resources }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.network, table: &mut self.resources, ctx: &mut self.http }
    }
}
