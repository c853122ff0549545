//! The names on record whose files a server has not got.
//!
//! A file may be missing at one server alone, so no server decides by its own directory that a name is free. Each says what
//! it lacks, which is nothing as a rule; whoever has not said so yet may have everything.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time for which a server that left may come back with its files.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(30);

/// What a server has not got of what is on record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lacks {
    /// Files that own names, and are not here, or are switched off.
    pub files: BTreeSet<String>,
    /// Claims, each with its file, which the file as it is here does not make any more.
    pub claims: BTreeSet<(String, String)>,
}

impl Lacks {
    /// True if this claim of a file is among them.
    pub(crate) fn has(&self, claim: &str, file: &str) -> bool {
        self.files.contains(file) || self.claims.iter().any(|(lacked, of)| lacked == claim && of == file)
    }

    /// True for a server that has everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.claims.is_empty()
    }
}

/// What the other servers lack; nothing for one that has not said so.
#[derive(Debug, Clone, Default)]
pub(crate) struct OthersLack {
    /// Those that are there.
    pub(crate) there: Vec<Option<Lacks>>,
    /// Those that have left within [`BACK_WITHIN`], as they were.
    pub(crate) left: Vec<Option<Lacks>>,
}

impl OthersLack {
    /// True if no server that is there has the file of a claim.
    pub(crate) fn nobody_has(&self, claim: &str, file: &str) -> bool {
        all_lack(&self.there, claim, file)
    }

    /// True if one that may come back had it.
    pub(crate) fn may_come_back(&self, claim: &str, file: &str) -> bool {
        !all_lack(&self.left, claim, file)
    }
}

fn all_lack(servers: &[Option<Lacks>], claim: &str, file: &str) -> bool {
    servers.iter().all(|lacks| lacks.as_ref().is_some_and(|lacks| lacks.has(claim, file)))
}
