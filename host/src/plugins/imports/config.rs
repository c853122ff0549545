//! `wasi:config/store`: the operator's settings for the plugin, and the secrets that are said to be configuration.
//!
//! The interface has no release. Toolchains emit two of its drafts, which differ in nothing but their version.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::guest::Guest;

/// The interface as each draft names it.
const DRAFTS: [&str; 2] = ["wasi:config/store@0.2.0-rc.1", "wasi:config/store@0.2.0-draft-2024-09-27"];

/// The drafts' `error`. Nothing of this host can fail: what is read is in memory.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

/// Tells whether an import is one of the drafts.
pub(super) fn is_served(import: &str) -> bool {
    DRAFTS.contains(&import)
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for draft in DRAFTS {
        let mut store = linker.instance(draft)?;
        store.func_wrap("get", |store: StoreContextMut<'_, Guest>, (key,): (String,)| {
            Ok((Ok::<_, Error>(store.data().config(&key)),))
        })?;
        store.func_wrap("get-all", |store: StoreContextMut<'_, Guest>, (): ()| {
            Ok((Ok::<_, Error>(store.data().all_config()),))
        })?;
    }
    Ok(())
}

impl Guest {
    /// A value of the plugin's configuration. No setting has the name of a secret that is one.
    fn config(&self, key: &str) -> Option<String> {
        let secret = || self.grants.find(|grants| grants.config_secret(key).map(|secret| secret.reveal().to_owned()));
        self.settings.get(key).cloned().or_else(|| secret().inspect(|_| self.decided("secrets", Some(key), true)))
    }

    fn all_config(&self) -> Vec<(String, String)> {
        let names = self.settings.keys().chain(self.grants.began().secrets.keys());
        names.filter_map(|name| Some((name.clone(), self.config(name)?))).collect()
    }
}
