//! The name of what is approved: `weather@sha256:…`, one file with everything that it shows.

use std::fmt;
use std::str::FromStr;

use super::face::Face;
use crate::plugins::digest::Sha256;

/// What is hashed begins with this, so that it is no digest of anything else.
const PURPOSE: &str = "tinymcp approval 1";

/// One state of one plugin: the digest covers its name, its file, all that it shows, run-time lists included, and what it
/// would be given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The plugin, in snake case.
    pub plugin: String,
    /// Of name, file, face and grants.
    pub digest: Sha256,
}

/// The reason that a text names nothing to be approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `NAME@sha256:` and 64 hexadecimal digits, as `tinymcp approve NAME` prints it")]
pub struct NotAReference;

impl Reference {
    /// What it would be given is in the words that are shown.
    pub(in crate::plugins) fn of(plugin: &str, file: Sha256, face: &Face, grants: &[String]) -> Self {
        let grants: String = grants.iter().map(|words| format!("\n{}:{words}", words.len())).collect();
        let text = format!("{PURPOSE}\n{plugin}\n{file}\n{}{grants}", face.canonical());
        Self { plugin: plugin.to_owned(), digest: Sha256::of(text.as_bytes()) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@sha256:{}", self.plugin, self.digest)
    }
}

impl FromStr for Reference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        let (plugin, digest) = text.split_once("@sha256:").ok_or(NotAReference)?;
        let plugin = crate::config::names::snake(plugin.strip_suffix(".wasm").unwrap_or(plugin));
        Ok(Self { plugin, digest: digest.parse().map_err(|_| NotAReference)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_as_it_is_printed() {
        let reference = Reference { plugin: "my_tool".to_owned(), digest: Sha256::of(b"") };
        assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
        assert_eq!(reference.to_string().replace('_', "-").parse(), Ok(reference.clone()));
        for wrong in ["my_tool", "my_tool@", "my_tool@sha256:", "my_tool@sha256:abc", "@sha256"] {
            assert_eq!(wrong.parse::<Reference>(), Err(NotAReference), "{wrong}");
        }
    }
}
