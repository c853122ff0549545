//! `tinymcp.lock`: what runs of the plugins that come from registries, by digest. Only commands write it.
//!
//! It is a text for people and for version control: TOML, plugins by name, no times.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::reference::Repository;
use crate::atomic_file;

/// The version of the file's form. Another one is refused: half of a lock is none.
const VERSION: u32 = 1;

/// Bytes of the file: a thousand plugins have a third of that.
const MAX_BYTES: u64 = 1024 * 1024;

const HEAD: &str =
    "# Written by `tinymcp update`: which files of plugins from registries run here. Keep it with tinymcp.toml.\n\n";

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    version: u32,
    /// By the plugin's name in snake case.
    #[serde(default, rename = "plugin")]
    pub(crate) plugins: BTreeMap<String, Locked>,
}

/// The one artifact of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Locked {
    /// The name in the configuration that this was found for. It counts for no other.
    pub(crate) from: String,
    /// The repository, with its registry.
    #[serde(with = "as_text")]
    pub(crate) repository: Repository,
    /// The index that it was found in, whose signature counts for what it lists; none where the name led to a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<Digest>,
    /// The manifest.
    pub(crate) manifest: Digest,
    /// The component.
    pub(crate) component: Digest,
    /// Bytes of the component.
    pub(crate) size: u64,
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::Repository;

    pub(super) fn serialize<S: Serializer>(repository: &Repository, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(repository)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Repository, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Default for Lock {
    fn default() -> Self {
        Self { version: VERSION, plugins: BTreeMap::new() }
    }
}

impl Lock {
    /// Reads the file; one that is not there locks nothing.
    ///
    /// # Errors
    /// Why it cannot be read, with the cure.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{}` {why}", path.display());
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() || metadata.len() > MAX_BYTES => {
                return Err(wrong("is no lock file"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(wrong(&format!("cannot be read: {error}"))),
        }
        let text = fs::read_to_string(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        Self::parse(&text).map_err(|why| wrong(&why))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            format!(
                "is damaged at line {line} ({}): take back an older one, or delete it and run `tinymcp update`",
                error.message()
            )
        })?;
        match lock.version {
            VERSION => Ok(lock),
            other => {
                Err(format!("has version {other}, and this program knows {VERSION}: it was written by a newer one"))
            }
        }
    }

    /// Writes the file whole.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        atomic_file::replace_alike(path, format!("{HEAD}{text}").as_bytes())
    }

    /// What is locked for a plugin under the name that the configuration has now.
    pub(crate) fn of(&self, plugin: &str, from: &str) -> Option<&Locked> {
        self.plugins.get(plugin).filter(|locked| locked.from == from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        let locked = Locked {
            from: "oci://registry.example/org/weather:1.2".to_owned(),
            repository: "registry.example/org/weather".parse().unwrap(),
            index: None,
            manifest: Digest::of(b"1"),
            component: Digest::of(b"2"),
            size: 12345,
        };
        let mut lock = Lock::default();
        lock.plugins.insert("weather".to_owned(), locked);
        lock
    }

    #[test]
    fn what_is_written_is_read_and_is_for_one_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tinymcp.lock");
        assert_eq!(Lock::read(&path), Ok(Lock::default()));
        lock().write(&path).unwrap();
        assert_eq!(Lock::read(&path), Ok(lock()));
        let mut of_index = lock();
        of_index.plugins.get_mut("weather").unwrap().index = Some(Digest::of(b"3"));
        of_index.write(&path).unwrap();
        assert_eq!(Lock::read(&path), Ok(of_index));
        lock().write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        lock().write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert!(lock().of("weather", "oci://registry.example/org/weather:1.2").is_some());
        assert!(lock().of("weather", "oci://registry.example/org/weather:1.3").is_none());
    }

    #[test]
    fn a_damaged_lock_locks_nothing_by_halves() {
        let text = toml::to_string(&lock()).unwrap();
        for (wrong, said) in [
            (text.replace("version = 1", "version = 2"), "has version 2"),
            (text.replace("sha256:", "md5:"), "damaged at line"),
            (text.replace("size = 12345", "size = -1"), "damaged at line"),
            (text.replace("registry.example/org/weather\"", "registry.example/../weather\""), "damaged at line"),
            (format!("{text}extra = 1\n"), "damaged at line"),
            ("<<<<<<< ours".to_owned(), "damaged at line 1"),
        ] {
            let error = Lock::parse(&wrong).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
