//! What a server's state directory remembers of the shared store that it has used: its mark, by which one that was emptied
//! is told from one that is new.

use serde::{Deserialize, Serialize};

use crate::redis::{Address, Mark};
use crate::state::StateDir;
use crate::state::record::RecordFile;

/// The file in the state directory.
const FILE: &str = "shared-store.json";

/// The file, and what is in it.
pub(in crate::store) struct Memory {
    file: RecordFile,
    known: Known,
    /// Where the store is now.
    at: String,
}

#[derive(Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// The store's URL without a password, and its prefix. Another one is another store, of which nothing is known.
    at: String,
    mark: String,
}

impl Memory {
    /// Reads it. A damaged file is an empty one.
    pub(in crate::store) fn open(state: &StateDir, address: &Address) -> Self {
        let loss = "an emptied store would be taken for a new one";
        let (file, known) = RecordFile::open(Some(state), FILE, loss);
        Self { file, known, at: format!("{} {}", address.url, address.prefix) }
    }

    /// The mark that the store had.
    pub(in crate::store) fn mark(&self) -> Option<Mark> {
        (self.known.at == self.at).then(|| Mark::of_text(self.known.mark.clone()))
    }

    /// Remembers the mark that it has.
    pub(in crate::store) fn keep(self, mark: &Mark) {
        let known = Known { at: self.at, mark: mark.text() };
        if known != self.known {
            self.file.write(&known, "which shared store it is cannot be remembered");
        }
    }
}
