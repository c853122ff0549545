//! A granted folder in a guest: whatever is done below it is checked here by the grants of the call and those of now.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::folders::{Directory, PluginFolders};
use crate::grants::in_force::CallGrants;
use crate::grants::{DirGrant, Grants};
use crate::log_limiter::LogLimiter;

static WAYS_OUT: LogLimiter = LogLimiter::new("paths that lead out of granted folders");

/// A granted folder, for one call or for the calls of one kept instance.
pub(super) struct Preopen {
    pub(super) grant: DirGrant,
    pub(super) grants: CallGrants,
    pub(super) folders: Arc<PluginFolders>,
}

impl Preopen {
    fn is_in(&self, grants: &Grants, changes: bool) -> bool {
        let is_it = |dir: &DirGrant| dir.guest == self.grant.guest && dir.host == self.grant.host;
        grants.dirs().any(|dir| is_it(dir) && (dir.is_writable || !changes))
    }

    /// True while it is granted, for reading at least.
    pub(super) fn is_granted(&self) -> bool {
        self.grants.find(|grants| self.is_in(grants, false).then_some(())).is_some()
    }

    /// The error for what is not granted: it is for reading only, or nothing any more.
    fn refusal(&self) -> io::Error {
        let is_readable = self.grants.find(|grants| self.is_in(grants, false).then_some(())).is_some();
        if is_readable { Errno::ROFS.into() } else { Errno::ACCESS.into() }
    }

    /// Opens the folder itself.
    pub(super) async fn open(self: &Arc<Self>) -> io::Result<Directory> {
        let opener = Arc::clone(self);
        self.run(false, move || opener.folders.open(&opener.grant)).await
    }

    /// Runs work on one of the plugin's threads, as long as the folder is granted, for changes too if it is one.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        changes: bool,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let is_granted = |grants: &Grants| self.is_in(grants, changes);
        if self.grants.find(|grants| is_granted(grants).then_some(())).is_none() {
            return Err(self.refusal());
        }
        tokio::select! {
            biased;
            result = self.folders.run(work) => result,
            () = self.grants.withdrawn(is_granted) => Err(self.refusal()),
        }
    }

    /// Says in the log that the plugin tried to leave the folder, without the path, which may hold anything.
    pub(super) fn log_way_out(&self) {
        let (plugin, folder) = (self.folders.plugin(), &self.grant.guest);
        WAYS_OUT.log_of(
            plugin,
            || tracing::warn!(%plugin, "plugin `{plugin}` was refused a path that leads out of `{folder}`"),
        );
    }

    pub(super) fn expect_writable(&self) -> FsResult<()> {
        if self.grant.is_writable { Ok(()) } else { Err(ErrorCode::ReadOnly.into()) }
    }
}
