//! WASI 0.2: linked whole, with nothing in it but what is granted (`super::files` has its folders, `super::sockets` its
//! sockets).
//!
//! Language runtimes import much that they never use. A call of such an import fails.

use wasmtime::component::Linker;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::files;
use super::guest::Guest;
use crate::grants::Grants;
use crate::grants::in_force::CallGrants;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    files::link(linker)
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (prints, grants) = (&self.prints, &self.grants);
        let ctx = self.wasi.get_or_insert_with(|| {
            let mut ctx = WasiCtx::builder();
            ctx.stdout(prints.stdout()).stderr(prints.stderr()).envs(&environment(grants));
            ctx.build()
        });
        WasiCtxView { ctx, table: &mut self.resources }
    }
}

/// The variables of `env`. A guest reads them once, and keeps them for as long as its instance is there.
fn environment(grants: &CallGrants) -> Vec<(String, String)> {
    let value = |name: &str| {
        let of = |grants: &Grants| {
            let (_, value) = grants.env().find(|(granted, _)| *granted == name)?;
            Some(value.reveal().to_owned())
        };
        grants.find(of)
    };
    grants.began().env().filter_map(|(name, _)| Some((name.to_owned(), value(name)?))).collect()
}
