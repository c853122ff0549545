//! Files of the state directory that only this server has written: JSON under a signature. One that was changed is told
//! from one that is not there, since what is kept in them is never to be made up.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic_file;
use crate::vault::Vault;

/// Reads a file that [`write()`] has written under the same name; none if there is none.
///
/// # Errors
/// It cannot be read, or is not as it was written; in words, for a sentence.
pub(super) fn read<T: DeserializeOwned>(path: &Path, vault: &Vault, name: &str) -> Result<Option<T>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let parts =
        text.split_once('\n').and_then(|(signature, body)| Some((STANDARD_NO_PAD.decode(signature).ok()?, body)));
    match parts {
        Some((signature, body)) if vault.verify(&message(name, body), &signature) => {
            serde_json::from_str(body).map(Some).map_err(|error| error.to_string())
        }
        _ => Err("it was changed, or written under another key".to_owned()),
    }
}

/// Replaces a file, which is on the disk when this returns.
///
/// # Errors
/// The system's, and then the file is as it was.
pub(super) fn write<T: Serialize>(path: &Path, vault: &Vault, name: &str, value: &T) -> io::Result<()> {
    let body = serde_json::to_string_pretty(value)?;
    let signature = STANDARD_NO_PAD.encode(vault.sign(&message(name, &body)));
    atomic_file::replace_durably(path, format!("{signature}\n{body}").as_bytes())
}

/// With the name in it, no file stands in for another.
fn message(name: &str, body: &str) -> Vec<u8> {
    [name.as_bytes(), b"\n", body.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_told_from_what_is_not_there() {
        let (scratch, vault) = (tempfile::tempdir().unwrap(), Vault::for_tests(1));
        let path = scratch.path().join("a");
        assert_eq!(read::<Vec<u32>>(&path, &vault, "a"), Ok(None));
        write(&path, &vault, "a", &[1, 2]).unwrap();
        assert_eq!(read(&path, &vault, "a"), Ok(Some(vec![1, 2])));
        assert!(
            read::<Vec<u32>>(&path, &vault, "b").is_err()
                && read::<Vec<u32>>(&path, &Vault::for_tests(2), "a").is_err()
        );
        let text = fs::read_to_string(&path).unwrap();
        for changed in [text.replace('2', "3"), String::new(), "\n".to_owned(), text[..text.len() - 1].to_owned()] {
            fs::write(&path, &changed).unwrap();
            assert!(read::<Vec<u32>>(&path, &vault, "a").is_err(), "{changed:?}");
        }
    }
}
