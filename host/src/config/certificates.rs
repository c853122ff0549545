//! Files of certificates that the configuration names: PEM, at least one, and of a sensible size.

use std::path::Path;

/// The most bytes of such a file.
const BYTES_MAX: u64 = 4 << 20;

/// Reads one.
///
/// # Errors
/// What is wrong with it, in words that follow its path.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err("is no file of certificates".to_owned());
    }
    let pem = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    match crate::fetch::certificates(&pem) {
        Ok(0) => Err("holds no certificate (`-----BEGIN CERTIFICATE-----`)".to_owned()),
        Ok(_) => Ok(pem),
        Err(reason) => Err(format!("holds a certificate that cannot be read: {reason}")),
    }
}
