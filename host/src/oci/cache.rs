//! What was pulled, in the state directory: `pulled/NAME/sha256-…/NAME.wasm`, with its manifest and its signatures, and with the index
//! that lists the manifest where that may be signed.
//!
//! Invariant: nothing in it is believed. Whoever takes something out hashes it again and compares it with the lock, from the
//! manifest to the component; what does not fit counts as not there, and is pulled again. A directory is made whole beside and
//! renamed. Its names come from the configuration and from digests, never from a registry.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::client::Client;
use super::cosign::CosignSignature;
use super::digest::{Algorithm, Digest, Hasher};
use super::error::OciError;
use super::lock::Locked;
use super::manifest::{self, Document, MAX_MANIFEST_BYTES, MAX_MINISIG_BYTES};
use super::pull::Resolved;

/// The directory within a state directory.
pub(crate) const DIRECTORY: &str = "pulled";

const MANIFEST: &str = "manifest.json";
const INDEX: &str = "index.json";
const SIGNATURES: &str = "cosign.json";

/// Bytes of the signatures that are kept: as many and as large as are taken from a registry, of a manifest and of an index, as
/// JSON within JSON.
const MAX_SIGNATURES_BYTES: usize = 64 * 1024 * 1024;

/// What is in no lock stays for so long: a command pulls before it writes the lock.
const UNLOCKED_FOR: Duration = Duration::from_secs(3600);

/// A directory of what was pulled.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    dir: PathBuf,
}

/// A component that is there and is what the lock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    /// Its SHA-256 digest in hexadecimal.
    pub(crate) sha256: String,
    /// The digest of the locked index, which is there and lists the locked manifest.
    pub(crate) index: Option<Digest>,
    /// Of the manifest, and of the index.
    pub(crate) signatures: Vec<CosignSignature>,
}

/// The reason for which something is not taken out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotKept {
    /// It was never pulled, or somebody has removed it.
    Absent,
    /// It is there, and is not what the lock says.
    Damaged(&'static str),
}

impl Cache {
    /// The cache at this directory, which is made when something is put into it.
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The cache of a state directory.
    pub(crate) fn of_state(state: &Path) -> Self {
        Self::at(state.join(DIRECTORY))
    }

    fn place(&self, plugin: &str, manifest: &Digest) -> PathBuf {
        self.dir.join(plugin).join(manifest.dashed())
    }

    /// The component that is locked, hashed again.
    ///
    /// # Errors
    /// [`NotKept`].
    pub(crate) fn get(&self, plugin: &str, locked: &Locked) -> Result<Kept, NotKept> {
        let place = self.place(plugin, &locked.manifest);
        let bytes = match read(&place.join(MANIFEST), MAX_MANIFEST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NotKept::Absent),
            Err(_) => return Err(NotKept::Damaged("its manifest cannot be read")),
        };
        if !locked.manifest.is_of(&bytes) {
            return Err(NotKept::Damaged("its manifest has another digest than the lock"));
        }
        let Ok(Document::Artifact(artifact)) = manifest::read(&bytes, plugin) else {
            return Err(NotKept::Damaged("its manifest is none of a plugin"));
        };
        if artifact.component.digest != locked.component || artifact.component.size != locked.size {
            return Err(NotKept::Damaged("the lock has another component than its manifest"));
        }
        let path = place.join(format!("{plugin}.wasm"));
        let hashed = hash(&path, locked.size, locked.component.algorithm());
        let (found, sha256) = match hashed {
            Ok(hashed) => hashed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NotKept::Absent),
            Err(_) => return Err(NotKept::Damaged("its component cannot be read")),
        };
        if found != locked.component {
            return Err(NotKept::Damaged("its component has another digest than the lock"));
        }
        let signature = place.join(format!("{plugin}.wasm.minisig"));
        match &artifact.minisig {
            Some(of) => {
                let bytes = read(&signature, usize::try_from(MAX_MINISIG_BYTES).unwrap_or_default());
                if !bytes.is_ok_and(|bytes| of.digest.is_of(&bytes)) {
                    return Err(NotKept::Damaged("its signature has another digest than its manifest"));
                }
            }
            // Nothing that others have put there counts.
            None if fs::symlink_metadata(&signature).is_ok() => {
                return Err(NotKept::Damaged("a signature is there that its manifest does not have"));
            }
            None => {}
        }
        let sha256 = sha256.to_string();
        let sha256 = sha256.strip_prefix("sha256:").unwrap_or_default().to_owned();
        let (index, signatures) = (self.index(plugin, locked), self.signatures(plugin, &locked.manifest));
        Ok(Kept { path, sha256, index, signatures })
    }

    /// The locked index, if it is kept and lists the locked manifest. One that does not is as good as none: it can be pulled again.
    fn index(&self, plugin: &str, locked: &Locked) -> Option<Digest> {
        let index = locked.index.as_ref()?;
        let bytes = read(&self.place(plugin, &locked.manifest).join(INDEX), MAX_MANIFEST_BYTES).ok()?;
        (index.is_of(&bytes) && manifest::lists(&bytes, &locked.manifest)).then(|| index.clone())
    }

    /// The signatures that are kept. Each of them is verified by whoever uses it.
    fn signatures(&self, plugin: &str, manifest: &Digest) -> Vec<CosignSignature> {
        let bytes = read(&self.place(plugin, manifest).join(SIGNATURES), MAX_SIGNATURES_BYTES);
        bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Keeps the index of what is there.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn put_index(&self, plugin: &str, manifest: &Digest, index: &[u8]) -> io::Result<()> {
        crate::atomic_file::replace_private(&self.place(plugin, manifest).join(INDEX), index)
    }

    /// Keeps signatures of what is there.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn put_signatures(
        &self,
        plugin: &str,
        manifest: &Digest,
        signatures: &[CosignSignature],
    ) -> io::Result<()> {
        let bytes = serde_json::to_vec(signatures).map_err(io::Error::other)?;
        crate::atomic_file::replace_private(&self.place(plugin, manifest).join(SIGNATURES), &bytes)
    }

    /// Pulls the component of an artifact, of `limit` bytes at most, and keeps it.
    ///
    /// # Errors
    /// [`OciError`]; then nothing is kept.
    pub(crate) async fn pull(
        &self,
        client: &Client,
        plugin: &str,
        resolved: &Resolved,
        limit: u64,
    ) -> Result<(), OciError> {
        let parent = self.dir.join(plugin);
        make_private(&self.dir)?;
        make_private(&parent)?;
        let draft = tempfile::Builder::new().prefix(".draft-").tempdir_in(&parent)?;
        let private =
            |name: &str| OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft.path().join(name));
        let mut component = private(&format!("{plugin}.wasm"))?;
        client.blob(&resolved.repository, &resolved.artifact.component, limit, &mut component).await?;
        component.sync_all()?;
        if let Some(minisig) = &resolved.artifact.minisig {
            let mut file = private(&format!("{plugin}.wasm.minisig"))?;
            client.blob(&resolved.repository, minisig, MAX_MINISIG_BYTES, &mut file).await?;
        }
        io::Write::write_all(&mut private(MANIFEST)?, &resolved.manifest)?;
        let place = self.place(plugin, &resolved.digest);
        match fs::remove_dir_all(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        fs::rename(draft.keep(), &place)?;
        File::open(&parent)?.sync_all()?;
        Ok(())
    }

    /// Deletes what is in no lock any more.
    pub(crate) fn sweep<'l>(&self, locked: impl IntoIterator<Item = (&'l str, &'l Digest)>) {
        let used: Vec<PathBuf> = locked.into_iter().map(|(plugin, manifest)| self.place(plugin, manifest)).collect();
        let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        for plugin in entries(&self.dir) {
            for place in entries(&plugin).filter(|place| !used.contains(place)) {
                let modified = fs::symlink_metadata(&place).and_then(|metadata| metadata.modified());
                let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
                if age.is_some_and(|age| age > UNLOCKED_FOR) {
                    let _ = fs::remove_dir_all(&place);
                }
            }
            // Only an empty one goes.
            let _ = fs::remove_dir(&plugin);
        }
    }
}

fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Without waiting, and not through a link.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn read(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max_bytes { Err(io::ErrorKind::InvalidData.into()) } else { Ok(bytes) }
}

/// The digest of a file of this size by an algorithm, and by SHA-256.
fn hash(path: &Path, size: u64, algorithm: Algorithm) -> io::Result<(Digest, Digest)> {
    let mut file = open(path)?;
    if file.metadata()?.len() != size {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut hashers = [Hasher::new(algorithm), Hasher::new(Algorithm::Sha256)];
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hashers.iter_mut().for_each(|hasher| hasher.update(&buffer[..count]));
    }
    let [one, other] = hashers.map(Hasher::finish);
    Ok((one, other))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NAME: &str = "weather";

    /// A cache with one component in it.
    fn filled(dir: &Path) -> (Cache, Locked) {
        let component = b"\0asm".as_slice();
        let layer =
            json!({ "mediaType": manifest::WASM_LAYER, "size": component.len(), "digest": Digest::of(component) });
        let text = json!({ "schemaVersion": 2, "config": {}, "layers": [layer] }).to_string();
        let locked = Locked {
            from: "oci://registry.example/weather:1".to_owned(),
            repository: "registry.example/weather".parse().unwrap(),
            index: None,
            manifest: Digest::of(text.as_bytes()),
            component: Digest::of(component),
            size: component.len() as u64,
        };
        let cache = Cache::at(dir.to_owned());
        let place = cache.place(NAME, &locked.manifest);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(MANIFEST), text).unwrap();
        fs::write(place.join("weather.wasm"), component).unwrap();
        (cache, locked)
    }

    #[test]
    fn what_is_kept_is_hashed_again() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, locked) = filled(dir.path());
        let kept = cache.get(NAME, &locked).unwrap();
        assert_eq!(format!("sha256:{}", kept.sha256), locked.component.to_string());
        assert_eq!(cache.get("other", &locked), Err(NotKept::Absent));
        let place = cache.place(NAME, &locked.manifest);
        fs::write(place.join("weather.wasm.minisig"), "of somebody").unwrap();
        assert!(matches!(cache.get(NAME, &locked), Err(NotKept::Damaged(_))));
        fs::remove_file(place.join("weather.wasm.minisig")).unwrap();
        fs::write(&kept.path, b"\0asn").unwrap();
        assert_eq!(cache.get(NAME, &locked), Err(NotKept::Damaged("its component has another digest than the lock")));
        fs::remove_file(&kept.path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &kept.path).unwrap();
        assert!(matches!(cache.get(NAME, &locked), Err(NotKept::Damaged(_))));
        fs::write(place.join(MANIFEST), "{}").unwrap();
        assert_eq!(cache.get(NAME, &locked), Err(NotKept::Damaged("its manifest has another digest than the lock")));
    }

    #[test]
    fn an_index_counts_that_is_the_locked_one_and_lists_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, locked) = filled(dir.path());
        let index = |of: &Digest| {
            let entry = json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "digest": of });
            json!({ "schemaVersion": 2, "manifests": [entry] }).to_string().into_bytes()
        };
        let (good, other) = (index(&locked.manifest), index(&Digest::of(b"other")));
        let found = |kept: &[u8], locked_one: &[u8]| {
            cache.put_index(NAME, &locked.manifest, kept).unwrap();
            let locked = Locked { index: Some(Digest::of(locked_one)), ..locked.clone() };
            cache.get(NAME, &locked).unwrap().index
        };
        assert_eq!(found(&good, &good), Some(Digest::of(&good)));
        assert_eq!((found(&other, &good), found(&good, &other), found(&other, &other)), (None, None, None));
        assert_eq!(cache.get(NAME, &locked).unwrap().index, None);
    }

    #[test]
    fn a_lock_that_was_changed_finds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, locked) = filled(dir.path());
        let other = Locked { component: Digest::of(b"other"), ..locked.clone() };
        assert!(matches!(cache.get(NAME, &other), Err(NotKept::Damaged(_))));
        let other = Locked { manifest: Digest::of(b"other"), ..locked };
        assert_eq!(cache.get(NAME, &other), Err(NotKept::Absent));
    }

    #[test]
    fn only_what_is_old_and_in_no_lock_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, locked) = filled(dir.path());
        let place = cache.place(NAME, &locked.manifest);
        cache.sweep([]);
        assert!(place.exists(), "it is new");
        let old = SystemTime::now() - Duration::from_secs(7200);
        File::open(&place).unwrap().set_modified(old).unwrap();
        cache.sweep([(NAME, &locked.manifest)]);
        assert!(place.exists(), "it is locked");
        cache.sweep([]);
        assert!(!place.exists() && !dir.path().join(NAME).exists());
    }
}
