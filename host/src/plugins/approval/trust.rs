//! `trust`: the check of a file's bytes before they are compiled.
//!
//! Whoever calls it compiles the very bytes that were checked. A signature is one of minisign, whose trusted comment names
//! the plugin and a version, as in `plugin:weather version:3`: a file that was signed for another plugin, or that is older
//! than one that was served, is refused.

use minisign_verify::{PublicKey, Signature};
use serde::{Deserialize, Serialize};

use crate::config::names::snake;
use crate::config::trust::Trust;
use crate::plugins::digest::Sha256;

/// Bytes of a signature's file: two comments and two signatures.
pub(in crate::plugins) const MAX_SIGNATURE_BYTES: u64 = 8 * 1024;

/// A signature that was found good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::plugins) struct Signed {
    /// The key, as it is configured.
    pub(in crate::plugins) key: String,
    /// The version that the signature names.
    pub(in crate::plugins) version: u64,
    /// The file that was signed.
    pub(in crate::plugins) sha256: Sha256,
    /// The signature's file, to be kept with the bytes.
    #[serde(skip)]
    pub(in crate::plugins) text: String,
}

/// The reason that a file is not trusted, with the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::plugins) enum Distrust {
    #[error(
        "`trust` names the file with the SHA-256 digest {expected}, and this one has {found}: put that file back, or write this digest if you trust it"
    )]
    Digest { expected: String, found: Sha256 },
    #[error("`trust` demands a signature, and `{0}` cannot be read ({1}): put the signature beside the file")]
    Missing(String, String),
    #[error("`{0}` is no signature of minisign: sign the file anew (`minisign -Sm FILE`)")]
    Unreadable(String),
    #[error("`trust` has a key that cannot be used ({0})")]
    Key(String),
    #[error(
        "its signature is not one of this file by the key of `trust`: put file and signature there together, or change the key if you trust another"
    )]
    Forged,
    #[error(
        "its signature does not say for which plugin and version it is: sign it with the trusted comment `plugin:{0} version:N` (`minisign -Sm {0}.wasm -t …`)"
    )]
    Unsaid(String),
    #[error("it was signed for the plugin `{0}`, and not for `{1}`")]
    OtherPlugin(String, String),
    #[error(
        "it is signed as version {found}, and version {highest} was served already: an older file is never taken back; sign it anew with a higher version if it is meant"
    )]
    Rollback { found: u64, highest: u64 },
    #[error("it is signed as version {0}, which was another file before: every file needs a version of its own")]
    SameVersion(u64),
    #[error("{0}")]
    Unknown(String),
}

/// The highest version that was served.
pub(in crate::plugins) type Highest = Result<Option<Signed>, String>;

/// Checks a file against the rule. `signature` reads the file beside it, and is called only if the rule asks for one.
///
/// # Errors
/// [`Distrust`].
pub(in crate::plugins) fn check(
    trust: &Trust,
    plugin: &str,
    bytes: &[u8],
    highest: &Highest,
    signature: impl FnOnce() -> (String, Result<String, String>),
) -> Result<Option<Signed>, Distrust> {
    let sha256 = Sha256::of(bytes);
    if let Some(expected) = &trust.sha256
        && expected.as_str() != sha256.to_string()
    {
        return Err(Distrust::Digest { expected: expected.to_string(), found: sha256 });
    }
    let Some(key) = &trust.minisign else { return Ok(None) };
    let (file, text) = signature();
    let text = text.map_err(|error| Distrust::Missing(file.clone(), error))?;
    let read = Signature::decode(&text).map_err(|_| Distrust::Unreadable(file))?;
    let public = PublicKey::from_base64(key.as_str()).map_err(|error| Distrust::Key(error.to_string()))?;
    // Hashed before it is signed, as minisign does since 2015: the other kind is for files of its old versions.
    public.verify(bytes, &read, false).map_err(|_| Distrust::Forged)?;
    let version = named(read.trusted_comment(), plugin)?;
    let highest = highest.as_ref().map_err(|damage| Distrust::Unknown(damage.clone()))?;
    // Another key counts anew.
    if let Some(highest) = highest.as_ref().filter(|highest| highest.key == key.as_str()) {
        if version < highest.version {
            return Err(Distrust::Rollback { found: version, highest: highest.version });
        }
        if version == highest.version && sha256 != highest.sha256 {
            return Err(Distrust::SameVersion(version));
        }
    }
    Ok(Some(Signed { key: key.to_string(), version, sha256, text }))
}

/// The version in a trusted comment that names this plugin. Words that are none of ours are the signer's.
fn named(comment: &str, plugin: &str) -> Result<u64, Distrust> {
    let unsaid = || Distrust::Unsaid(plugin.to_owned());
    let only = |label: &str| {
        let mut values = comment.split_ascii_whitespace().filter_map(|word| word.strip_prefix(label));
        // Two of a kind say nothing.
        values.next().filter(|_| values.next().is_none()).ok_or_else(unsaid)
    };
    let (name, version) = (only("plugin:")?, only("version:")?);
    let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    let version = version.parse().ok().filter(|_| is_number).ok_or_else(unsaid)?;
    if snake(name) != plugin {
        return Err(Distrust::OtherPlugin(crate::sanitize::escape(name), plugin.to_owned()));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_names_plugin_and_version_once() {
        assert_eq!(named("plugin:weather version:3", "weather"), Ok(3));
        assert_eq!(named("timestamp:1 version:10 file:weather.wasm plugin:my-tool", "my_tool"), Ok(10));
        for unsaid in [
            "",
            "plugin:weather",
            "version:3",
            "plugin:weather version:",
            "plugin:weather version:-3",
            "plugin:weather version:+3",
            "plugin:weather version:3.1",
            "plugin:weather version:99999999999999999999",
            "plugin:weather version:3 version:4",
            "plugin:weather plugin:other version:3",
        ] {
            assert_eq!(named(unsaid, "weather"), Err(Distrust::Unsaid("weather".to_owned())), "{unsaid}");
        }
        assert_eq!(
            named("plugin:weather2 version:3", "weather"),
            Err(Distrust::OtherPlugin("weather2".to_owned(), "weather".to_owned()))
        );
    }

    #[test]
    fn a_digest_is_of_all_bytes() {
        let sha256 = Sha256::of(b"a").to_string().parse().unwrap();
        let trust = Trust::of(Some(sha256), None);
        let unasked = || unreachable!("a digest needs no signature");
        assert_eq!(check(&trust, "a", b"a", &Ok(None), unasked), Ok(None));
        assert!(matches!(check(&trust, "a", b"ab", &Ok(None), unasked), Err(Distrust::Digest { .. })));
    }
}
