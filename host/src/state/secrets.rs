//! Secrets that operators hand in, in place of the key file or beside it.

use super::key_files::KEY_BYTES;

/// Fewest characters of a secret that an operator hands in. 32 hexadecimal digits are 128 bits; anything shorter can be
/// guessed, and a guess can be checked at leisure against any token.
pub(super) const MIN_SECRET_CHARS: usize = 32;

const SECRET_PURPOSE: &str = "tinymcp 2026 root key from TINYMCP_SECRET";

/// A secret that is too easy to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected at least {MIN_SECRET_CHARS} characters, found {found}: make one with `openssl rand -base64 32`")]
pub struct ShortSecret {
    /// Its characters.
    pub found: usize,
}

/// A secret that an operator handed in, long enough to derive keys from.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Takes any text of at least 32 characters; white space around it does not belong to it.
    ///
    /// # Errors
    /// [`ShortSecret`] if it is shorter.
    pub fn parse(raw: &str) -> Result<Self, ShortSecret> {
        let text = raw.trim();
        match text.chars().count() {
            found if found < MIN_SECRET_CHARS => Err(ShortSecret { found }),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// The root keys of the configuration; by default none, and the key file is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// `TINYMCP_SECRET`: the root key, instead of the key file's.
    pub current: Option<SecretText>,
    /// `TINYMCP_SECRET_PREVIOUS`: earlier ones, for reading.
    pub previous: Vec<SecretText>,
}

/// The root key that a secret gives.
pub(super) fn stretched(secret: &SecretText) -> [u8; KEY_BYTES] {
    blake3::derive_key(SECRET_PURPOSE, secret.0.as_bytes())
}
