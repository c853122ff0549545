//! Files of plugins that come from elsewhere than the plugins directory, as whoever brings them says it.
//!
//! Nothing here knows where from. A file is loaded only if it has the digest that is said with it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::trust::Cosign;

/// Such files by the name of their plugin, in snake case.
pub type Sources = BTreeMap<String, Source>;

/// That of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its origin, as the configuration has it: with another one there, this counts for nothing.
    pub from: String,
    /// The file.
    pub state: SourceState,
    /// What an operator should know of it, beside what it is.
    pub note: Option<String>,
}

/// The state of such a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceState {
    /// It is there.
    File {
        /// Its place.
        path: PathBuf,
        /// Its SHA-256 digest, in hexadecimal.
        sha256: String,
        /// The signer of cosign that is known to have signed it, or why none is.
        cosign: Result<Cosign, String>,
    },
    /// It is not there yet, for this reason, and may be in a moment. A start waits for it, as for files that compile.
    Coming(String),
    /// It is not there, for this reason. What was served before goes on.
    Missing(String),
    /// Nothing says that anything may run, for this reason. What was served before ends.
    NotLocked(String),
}
