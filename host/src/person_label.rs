//! The name of a person in the log: enough to join the lines of one person, and nothing by which anybody who reads the log
//! could find out who it is.
//!
//! It is a keyed hash. Without a key, whoever knows the people of a company could hash all of their names and compare.
//! The log is one for the whole process, and so is the key.

use std::sync::OnceLock;

use crate::state::StateDir;
use crate::vault::Vault;

const PURPOSE: &str = "tinymcp 2026 names of people in the log";

/// Characters of a name: two of ten thousand people have the same with a probability of one in a hundred.
const CHARS: usize = 8;

static KEY: OnceLock<[u8; 32]> = OnceLock::new();

/// Makes names with the key of a state directory, so that they stay the same as long as the root key does: once, before
/// the first name.
pub(crate) fn use_key_of(state: &StateDir) {
    let _ = KEY.set(Vault::of(state, PURPOSE).derive(b"names"));
}

/// The key, for the commands that speak with this server as its user and print the same names.
pub(crate) fn shared_key() -> String {
    blake3::Hash::from_bytes(*KEY.get_or_init(rand::random)).to_hex().to_string()
}

/// Makes names with the key of the server that this command speaks with.
pub(crate) fn use_shared_key(hex: &str) {
    if let Ok(key) = blake3::Hash::from_hex(hex) {
        let _ = KEY.set(*key.as_bytes());
    }
}

/// The name of a person, by [`Principal::person`](crate::principal::Principal::person). Without a state directory it is
/// another one in each process.
pub(crate) fn label(person: &[u8; 32]) -> String {
    let key = KEY.get_or_init(rand::random);
    blake3::keyed_hash(key, person).to_hex()[..CHARS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Secrets;

    #[test]
    fn a_name_takes_the_key_to_be_made() {
        let scratch = tempfile::tempdir().unwrap();
        use_key_of(&StateDir::open(scratch.path(), &Secrets::default()).unwrap());
        let (alice, bob) = ([1; 32], [2; 32]);
        assert_eq!(label(&alice), label(&alice));
        assert_ne!(label(&alice), label(&bob));
        assert_eq!(label(&alice).len(), CHARS);
        assert_ne!(label(&alice), blake3::Hash::from_bytes(alice).to_hex()[..CHARS]);
        assert_ne!(label(&alice), blake3::hash(&alice).to_hex()[..CHARS]);
    }
}
