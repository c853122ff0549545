//! Compiled code, kept in the state directory so that a start need not compile again.
//!
//! Compiled code is native code: a person who can write it can run anything as this server. So it is read from one private
//! directory only, never from the plugins directory, and only under a MAC that ties it to the component's bytes and
//! to the engine that made it. What does not match is compiled anew.
//!
//! Commands beside a server use it too: they add code, and delete none. A key of another server, or one that was
//! replaced, has files of its own: nobody writes over what is another's. Where there is no state directory of the user's,
//! commands have a directory in the user's cache, with a key of its own and a bound of its size.
//!
//! Beside the code stands for an hour why there is none, of files on which a compiler reached its limits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use wasmtime::component::Component;

use super::compile::Allowance;
use crate::atomic_file;
use crate::clock::now_s;
use crate::plugins::plugin::Digest;
use crate::plugins::sandbox::engine::Engine;
use crate::state::{StateDir, StateUse};

/// Code that no start has used for so long is deleted.
const UNUSED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Bytes that a user's own cache may take; the code that was used last stays.
const MAX_SCRATCH_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Bytes that a server's code may take which no plugin of now uses; what was used last stays.
const MAX_UNUSED_BYTES: u64 = 512 * 1024 * 1024;

/// Versions of one plugin whose code a process keeps: one that is built again and again leaves no more behind.
const MAX_VERSIONS: usize = 4;

/// Room of a file on the disk, however small it is.
const LEAST_FILE_BYTES: u64 = 4096;

/// A file that could not be compiled is not tried again for so long, with the same limits.
const FAILED_FOR: Duration = Duration::from_secs(3600);

const DIRECTORY: &str = "code";
const KEY_PURPOSE: &str = "tinymcp 2026 compiled code";
const KEY_ID_PURPOSE: &str = "tinymcp 2026 compiled code key id";

/// The compile cache of one engine.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Holds the code of this engine's version only.
    dir: PathBuf,
    key: [u8; 32],
    /// Tells files under this key from those under another one.
    key_id: String,
    access: StateUse,
    may_write: bool,
    /// The versions whose code this process has put here, by plugin, the latest last.
    versions: Arc<Mutex<HashMap<Arc<str>, VecDeque<Digest>>>>,
}

impl Cache {
    /// Opens the cache in `state`. The code of other engine versions is deleted, unless a server may be using it.
    ///
    /// # Errors
    /// What the system says about the directory.
    pub fn open(state: &StateDir, engine: &Engine) -> io::Result<Self> {
        let (version, key) = (engine.code_version(), state.key(KEY_PURPOSE));
        let key_id = blake3::Hash::from_bytes(blake3::derive_key(KEY_ID_PURPOSE, &key)).to_hex()[..8].to_owned();
        let (all, access) = (state.path().join(DIRECTORY), state.access());
        let dir = all.join(&version);
        let made = state.subdirectory(DIRECTORY).and_then(|_| state.subdirectory(&format!("{DIRECTORY}/{version}")));
        let may_write = match made {
            Ok(_) => true,
            // A command does without.
            Err(_) if access == StateUse::Look => false,
            Err(error) => return Err(error),
        };
        if access != StateUse::Look {
            for entry in fs::read_dir(&all)?.flatten() {
                if entry.file_name() != version.as_str() {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
        Ok(Self { dir, key, key_id, access, may_write, versions: Arc::default() })
    }

    /// The component for a file's digest, if its code is here and unharmed.
    pub(in crate::plugins) fn get(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let (code_file, mac_file) = self.files(digest);
        let expected = fs::read(mac_file).ok()?;
        let code = fs::read(&code_file).ok()?;
        // `blake3::Hash` compares in constant time.
        if self.mac(digest, &code) != blake3::Hash::from_slice(&expected).ok()? {
            tracing::warn!(%digest, "compiled code does not match its MAC; compiling anew");
            return None;
        }
        drop(code);
        let component = map(engine, &code_file);
        component
            .inspect_err(|error| tracing::warn!(%digest, %error, "compiled code cannot be loaded; compiling anew"))
            .ok()
    }

    /// Keeps code of a plugin that was just made, and loads it from there; `None` if this cache is only read. Older versions
    /// of the same plugin make room.
    ///
    /// # Errors
    /// What the system says: a full disk, most likely. The code is as good without.
    pub(in crate::plugins) fn put(
        &self,
        engine: &Engine,
        plugin: &str,
        digest: &Digest,
        code: &[u8],
    ) -> io::Result<Option<Component>> {
        if !self.may_write {
            return Ok(None);
        }
        for old in self.outdated(plugin, *digest) {
            self.remove(&old);
        }
        let (code_file, mac_file) = self.files(digest);
        atomic_file::replace_private(&code_file, code)?;
        atomic_file::replace_private(&mac_file, self.mac(digest, code).as_bytes())?;
        map(engine, &code_file).map(Some).map_err(io::Error::other)
    }

    /// Versions of a plugin that make room for this one.
    fn outdated(&self, plugin: &str, digest: Digest) -> Vec<Digest> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let of_plugin = versions.entry(plugin.into()).or_default();
        of_plugin.retain(|known| *known != digest);
        of_plugin.push_back(digest);
        let surplus = of_plugin.len().saturating_sub(MAX_VERSIONS);
        let old: Vec<Digest> = of_plugin.drain(..surplus).collect();
        // Another plugin may be the same file.
        old.into_iter().filter(|old| !versions.values().flatten().any(|digest| digest == old)).collect()
    }

    fn remove(&self, digest: &Digest) {
        let (code_file, mac_file) = self.files(digest);
        for file in [code_file, mac_file] {
            let _ = fs::remove_file(file);
        }
    }

    /// Remembers that a file could not be compiled within its limits, and why.
    ///
    /// # Errors
    /// What the system says.
    pub(in crate::plugins) fn put_failure(
        &self,
        digest: &Digest,
        allowance: Allowance,
        message: &str,
    ) -> io::Result<()> {
        if !self.may_write {
            return Ok(());
        }
        let text = format!("{}\n{}\n{message}", terms(allowance), now_s());
        let mac = self.mac(digest, text.as_bytes()).to_hex();
        atomic_file::replace_private(&self.failure_file(digest), format!("{mac}\n{text}").as_bytes())
    }

    /// The reason why a file could not be compiled within these limits, less than an hour ago.
    pub(in crate::plugins) fn failure(&self, digest: &Digest, allowance: Allowance) -> Option<String> {
        let kept = fs::read_to_string(self.failure_file(digest)).ok()?;
        let (mac, text) = kept.split_once('\n')?;
        if self.mac(digest, text.as_bytes()) != blake3::Hash::from_hex(mac).ok()? {
            return None;
        }
        let (limits, rest) = text.split_once('\n')?;
        let (time, message) = rest.split_once('\n')?;
        let age = now_s().checked_sub(time.parse().ok()?)?;
        (limits == terms(allowance) && age < FAILED_FOR.as_secs()).then(|| message.to_owned())
    }

    /// Marks the code of these components as used, and deletes code that was not used for long or is too much, and
    /// failures that count no more.
    /// Beside a server, which does that itself, nothing is done.
    pub fn sweep<'a>(&self, used: impl IntoIterator<Item = &'a Digest>) {
        if self.access == StateUse::Look {
            return;
        }
        let now = SystemTime::now();
        let mut kept = HashSet::new();
        for digest in used {
            let (code_file, mac_file) = self.files(digest);
            for path in [code_file, mac_file] {
                if let Ok(file) = File::open(&path) {
                    let _ = file.set_modified(now);
                }
                kept.insert(path);
            }
        }
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let aged = |entry: fs::DirEntry| {
            let metadata = entry.metadata().ok()?;
            let age = now.duration_since(metadata.modified().ok()?).unwrap_or_default();
            Some((age, entry.path(), metadata.len()))
        };
        let mut files: Vec<(Duration, PathBuf, u64)> = entries.flatten().filter_map(aged).collect();
        files.sort();
        let most = if self.access == StateUse::Scratch { MAX_SCRATCH_BYTES } else { MAX_UNUSED_BYTES };
        let mut bytes = 0;
        for (age, path, size) in files {
            let is_used = self.access != StateUse::Scratch && kept.contains(&path);
            if is_used {
                continue;
            }
            bytes += size.max(LEAST_FILE_BYTES);
            let is_failure = path.extension().is_some_and(|extension| extension == FAILURE);
            let is_old = age > if is_failure { FAILED_FOR } else { UNUSED_FOR };
            if is_old || bytes > most {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn files(&self, digest: &Digest) -> (PathBuf, PathBuf) {
        (self.file(digest, "cwasm"), self.file(digest, "mac"))
    }

    fn failure_file(&self, digest: &Digest) -> PathBuf {
        self.file(digest, FAILURE)
    }

    fn file(&self, digest: &Digest, extension: &str) -> PathBuf {
        self.dir.join(format!("{digest}-{}.{extension}", self.key_id))
    }

    fn mac(&self, digest: &Digest, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(digest.as_bytes());
        hasher.update(code);
        hasher.finalize()
    }
}

/// The extension of files that say why there is no code.
const FAILURE: &str = "failed";

/// Maps code into memory from a file of this cache.
fn map(engine: &Engine, code_file: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was written by `put`, just now or of a process that held this state directory's key, as its MAC
    // has just shown, for an engine with the same compatibility hash, which names the directory; and nobody but the
    // server's user can write into the directory, so it is still that file.
    #[expect(unsafe_code, reason = "compiled code cannot be loaded otherwise; see the module's invariant")]
    let component = unsafe { Component::deserialize_file(engine.wasm(), code_file) }?;
    #[cfg(target_os = "linux")]
    let_go_of_pages(&component);
    Ok(component)
}

/// Lets go of the pages of a mapped file that loading it has looked at: with their neighbours that is all of a small one.
/// Those of a plugin that is called come back, and the others take no memory of this process.
#[cfg(target_os = "linux")]
fn let_go_of_pages(component: &Component) {
    let image = component.image_range();
    let bytes = image.end.addr() - image.start.addr();
    // SAFETY: the image is the private mapping of a file that `deserialize_file` has made, whole and from its first page,
    // and the component keeps it for longer than this call. It is read-only by now and nobody has written to it
    // (wasmtime loads no code with relocations), so each page is read from the file again when somebody needs it.
    #[expect(unsafe_code, reason = "advice about memory that wasmtime owns")]
    let advised =
        unsafe { rustix::mm::madvise(image.start.cast_mut().cast(), bytes, rustix::mm::Advice::LinuxDontNeed) };
    if let Err(error) = advised {
        tracing::debug!(%error, "compiled code stays in memory");
    }
}

/// Limits, so that other ones can be told from them.
fn terms(allowance: Allowance) -> String {
    format!("{} of processor time, {} bytes", allowance.cpu, allowance.memory.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::sandbox::engine::Cleaning;
    use crate::state::Secrets;

    fn cache(dir: &Path) -> Cache {
        let state = StateDir::open(dir, &Secrets::default()).unwrap();
        Cache::open(&state, &Engine::new(1, Cleaning::Whole).unwrap()).unwrap()
    }

    #[test]
    fn a_plugin_that_is_built_again_and_again_leaves_few_versions() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let digest = |number: u32| Digest::of(&number.to_le_bytes());
        assert!(cache.outdated("other", digest(0)).is_empty());
        let outdated: Vec<Vec<Digest>> = (0..7).map(|number| cache.outdated("a", digest(number))).collect();
        let expected = [vec![], vec![], vec![], vec![], vec![], vec![digest(1)], vec![digest(2)]];
        assert_eq!(outdated, expected, "the first is another plugin's too");
        // An older version that comes again is the latest.
        assert_eq!(cache.outdated("a", digest(3)), []);
        assert_eq!(cache.outdated("a", digest(7)), [digest(4)]);
    }

    #[test]
    fn code_that_nobody_uses_has_a_bound_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let digests: Vec<Digest> = (0..5_u8).map(|number| Digest::of(&[number])).collect();
        for (age, digest) in digests.iter().enumerate() {
            let (code, mac) = cache.files(digest);
            for path in [code, mac] {
                let file = File::create(path).unwrap();
                // Of holes.
                file.set_len(MAX_UNUSED_BYTES / 4).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(3600 * age as u64 + 60)).unwrap();
            }
        }
        cache.sweep([&digests[4]]);
        let there: Vec<bool> = digests.iter().map(|digest| cache.files(digest).0.exists()).collect();
        assert_eq!(there, [true, true, false, false, true]);
    }
}
