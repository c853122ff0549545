//! What `add` and `update` share: finding an artifact, pulling it, and the entry of the lock that it gets.

use std::path::PathBuf;

use tempfile::TempDir;

use super::plugin_loader::PluginLoader;
use super::{Failure, output};
use crate::config::ByteSize;
use crate::config::trust::Cosign;
use crate::oci::cache::{Cache, Kept};
use crate::oci::client::Client;
use crate::oci::lock::{Lock, Locked};
use crate::oci::manifest::MAX_POLICY_BYTES;
use crate::oci::pull::Resolved;
use crate::oci::reference::Source;
use crate::plugins::Plugins;
use crate::sanitize;
use crate::state::StateDir;
use crate::supply;

/// Finds and pulls.
pub(super) struct Locking {
    pub(super) loader: PluginLoader,
    pub(super) client: Client,
    cache: Cache,
    /// In place of the state directory of another user, whose server pulls for itself.
    _scratch: Option<TempDir>,
}

/// What was found and pulled for one plugin.
pub(super) struct Found {
    pub(super) locked: Locked,
    pub(super) resolved: Resolved,
    pub(super) kept: Kept,
    /// `trust` asks for a signature of cosign, and there is one, or there is none for this reason.
    pub(super) signed: Option<Result<Cosign, String>>,
}

impl Locking {
    pub(super) fn new(loader: PluginLoader) -> Result<Self, Failure> {
        let client = loader.registries()?;
        let dir = &loader.config.state.dir;
        let state = match StateDir::open_existing(dir, &loader.secrets).map_err(Failure::start)? {
            Some(state) => state.is_mine().then_some(state),
            None if dir.exists() => None,
            None => StateDir::open(dir, &loader.secrets).ok(),
        };
        let (cache, scratch) = match state {
            Some(state) => (Cache::of_state(state.path()), None),
            None => {
                let scratch = tempfile::tempdir().map_err(Failure::failed)?;
                (Cache::of_state(scratch.path()), Some(scratch))
            }
        };
        Ok(Self { loader, client, cache, _scratch: scratch })
    }

    /// Reads the lock.
    pub(super) fn lock(&self) -> Result<Lock, Failure> {
        Lock::read(&self.loader.config.plugins.lock).map_err(Failure::start)
    }

    /// Writes the lock.
    pub(super) fn write(&self, lock: &Lock) -> Result<(), Failure> {
        let path = &self.loader.config.plugins.lock;
        lock.write(path).map_err(|error| Failure::failed(format!("{} not written: {error}", path.display())))
    }

    /// Finds what a name means now, and pulls it.
    pub(super) async fn find(&self, plugin: &str, from: &Source) -> Result<Found, String> {
        let resolved = self.client.resolve(from).await.map_err(|error| error.to_string())?;
        let component = &resolved.artifact.component;
        let locked = Locked {
            from: from.to_string(),
            repository: resolved.repository.clone(),
            index: resolved.index.clone(),
            manifest: resolved.digest.clone(),
            component: component.digest.clone(),
            size: component.size,
        };
        let mut kept = self.kept(plugin, &locked, &resolved).await?;
        let config = &self.loader.config;
        let signed = supply::verify(&self.client, &self.cache, config, (plugin, &locked), &mut kept).await;
        Ok(Found { locked, resolved, kept, signed })
    }

    async fn kept(&self, plugin: &str, locked: &Locked, resolved: &Resolved) -> Result<Kept, String> {
        if let Ok(kept) = self.cache.get(plugin, locked) {
            return Ok(kept);
        }
        let limit = self.loader.config.limits(plugin).file.bytes();
        self.cache.pull(&self.client, plugin, resolved, limit).await.map_err(|error| error.to_string())?;
        self.cache.get(plugin, locked).map_err(|error| format!("what was pulled cannot be read again: {error:?}"))
    }

    /// The component that is locked, if it is in the cache.
    pub(super) fn before(&self, plugin: &str, lock: &Lock) -> Option<PathBuf> {
        let locked = lock.plugins.get(plugin)?;
        self.cache.get(plugin, locked).ok().map(|kept| kept.path)
    }

    /// Loads what was found, and says what it shows and needs beyond what is locked.
    pub(super) fn differences(&self, before: Option<&PathBuf>, found: &Found) -> Result<Vec<String>, Failure> {
        let after = self.loader.load_file(&found.kept.path)?;
        let before = before.and_then(|path| self.loader.load_file(path).ok());
        Ok(Plugins::differences(before.as_ref(), &after))
    }

    /// The policy that came with it, as lines to be shown.
    pub(super) async fn policy(&self, found: &Found) -> Option<Vec<String>> {
        let policy = found.resolved.artifact.policy.as_ref()?;
        let bytes = self.client.small_blob(&found.resolved.repository, policy, MAX_POLICY_BYTES).await.ok()?;
        let text = String::from_utf8(bytes).ok()?;
        Some(text.lines().map(sanitize::escape).collect())
    }
}

/// Says what was found.
pub(super) fn print(plugin: &str, found: &Found) {
    let Locked { from, index, manifest, component, size, .. } = &found.locked;
    output::line(&format!("{}  {from}", output::bold(plugin)));
    if let Some(index) = index {
        output::line(&format!("  index      {index}"));
    }
    output::line(&format!("  manifest   {manifest}"));
    output::line(&format!("  component  {component}, {}", ByteSize::from_bytes(*size)));
    match &found.signed {
        Some(Ok(signer)) => output::line(&format!("  signed by {signer}")),
        Some(Err(why)) => output::warning(&format!("`{plugin}` is not served: {why}")),
        None => {}
    }
}
