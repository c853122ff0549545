//! Files that keys name and that are read with the configuration: of a sensible size, looked at for changes, and kept as they
//! were when one of them is gone.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::key::Key;
use super::problem::{Fault, Source};
use super::reader::Reader;

/// The largest of them.
const BYTES_MAX: u64 = 64 * 1024;

/// Reads one.
///
/// # Errors
/// What is wrong with it, in words that follow its path.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    // A pipe in the place of a file could keep its reader waiting for ever.
    if !fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("it is larger than {} KiB", BYTES_MAX / 1024));
    }
    Ok(bytes)
}

/// Reads one of text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    String::from_utf8(read(path)?).map_err(|_| "it is not UTF-8".to_owned())
}

/// What a file gives, or else what it gave before: whatever else has changed need not wait for it.
pub(super) fn kept(
    read: Result<String, String>,
    path: &Path,
    key: &Key,
    source: &Source,
    reader: &mut Reader<'_>,
) -> Option<String> {
    let (gives, kept) = match read {
        Ok(text) => (Some(text), None),
        Err(reason) => match reader.environment.last_of(path) {
            Some(last) => {
                let line = format!("`{key}`: `{}`: {reason}; what it gave last stays in force", path.display());
                (Some(last), Some(line))
            }
            None => {
                reader.problem(source, key, Fault::Conflict(format!("`{}`: {reason}", path.display())));
                (None, None)
            }
        },
    };
    reader.environment.note(path, gives.clone(), kept);
    gives
}
