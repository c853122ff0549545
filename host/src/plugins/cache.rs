//! Compiled code, kept in the state directory so that a start need not compile again.
//!
//! Compiled code is native code: whoever can write it can run anything as this server. So it is read from one private
//! directory only, never from the plugins directory, and only under a MAC that ties it to the component's bytes and
//! to the engine that made it. What does not match is compiled anew.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wasmtime::component::Component;

use super::engine::Engine;
use super::load::Digest;
use crate::state::{self, Access, StateDir};

/// Code that no start has used for so long is deleted.
const UNUSED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

const DIRECTORY: &str = "code";
const KEY_PURPOSE: &str = "tinymcp 2026 compiled code";

/// The compile cache of one engine.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Holds the code of this engine's version only.
    dir: PathBuf,
    key: [u8; 32],
    access: Access,
}

impl Cache {
    /// Opens the cache in `state`. In a server's own, the code of other engine versions is deleted; to look, it is
    /// only read.
    ///
    /// # Errors
    /// What the system says about the directory.
    pub fn open(state: &StateDir, engine: &Engine) -> io::Result<Self> {
        let version = engine.code_version();
        let (access, key) = (state.access(), state.key(KEY_PURPOSE));
        if access == Access::Look {
            return Ok(Self { dir: state.path().join(DIRECTORY).join(version), key, access });
        }
        let all = state.subdirectory(DIRECTORY)?;
        for entry in fs::read_dir(&all)?.flatten() {
            if entry.file_name() != version.as_str() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let dir = state.subdirectory(&format!("{DIRECTORY}/{version}"))?;
        Ok(Self { dir, key, access })
    }

    /// The component for a file's digest, if its code is here and unharmed.
    pub(super) fn get(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let (code_file, mac_file) = self.files(digest);
        let expected = fs::read(mac_file).ok()?;
        let code = fs::read(&code_file).ok()?;
        // `blake3::Hash` compares in constant time.
        if self.mac(digest, &code) != blake3::Hash::from_slice(&expected).ok()? {
            tracing::warn!(%digest, "compiled code does not match its MAC; compiling anew");
            return None;
        }
        drop(code);
        // SAFETY: the file was written by `put` of a process that held this state directory's key, as its MAC has just
        // shown, for an engine with the same compatibility hash, which names the directory; and nobody but the
        // server's user can write into the directory, so it is still the file that was checked.
        #[expect(unsafe_code, reason = "compiled code cannot be loaded otherwise; see the module's invariant")]
        let component = unsafe { Component::deserialize_file(engine.wasm(), &code_file) };
        component
            .inspect_err(|error| tracing::warn!(%digest, %error, "compiled code cannot be loaded; compiling anew"))
            .ok()
    }

    /// Keeps the code of a component that was just compiled.
    ///
    /// # Errors
    /// What the system says: a full disk, most likely. The component is as good without.
    pub(super) fn put(&self, digest: &Digest, component: &Component) -> io::Result<()> {
        if self.access == Access::Look {
            return Ok(());
        }
        let code = component.serialize().map_err(io::Error::other)?;
        let (code_file, mac_file) = self.files(digest);
        write_whole(&code_file, &code)?;
        write_whole(&mac_file, self.mac(digest, &code).as_bytes())
    }

    /// Marks the code of these components as used, and deletes what has long not been.
    pub fn sweep<'a>(&self, used: impl IntoIterator<Item = &'a Digest>) {
        let now = SystemTime::now();
        for digest in used {
            let (code_file, mac_file) = self.files(digest);
            for file in [code_file, mac_file] {
                if let Ok(file) = File::open(file) {
                    let _ = file.set_modified(now);
                }
            }
        }
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| now.duration_since(modified).ok());
            if age.is_some_and(|age| age > UNUSED_FOR) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn files(&self, digest: &Digest) -> (PathBuf, PathBuf) {
        (self.dir.join(format!("{digest}.cwasm")), self.dir.join(format!("{digest}.mac")))
    }

    fn mac(&self, digest: &Digest, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(digest.as_bytes());
        hasher.update(code);
        hasher.finalize()
    }
}

/// Writes a file under another name and renames it: a reader sees the old one or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("draft-{}-{:?}", std::process::id(), std::thread::current().id()));
    let written = state::write_private(&draft, bytes).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}
