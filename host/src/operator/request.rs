//! What is asked for and what is answered, as data. It is JSON on the control socket.
//!
//! Requests are exact: whom a word means is decided by the command that was typed, which can ask back.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::auth::desk::ListedSession;
use crate::mcp::ListedTask;
use crate::principal::Principal;
use crate::state::ListedKey;
use crate::switches::{BlockedPerson, SwitchedOff};

/// Something to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A page of the sessions.
    Sessions {
        /// The place at which the page before ended.
        after: Option<String>,
    },
    /// Ends sessions.
    End {
        /// Which.
        which: Which,
    },
    /// Everything that is switched off.
    SwitchedOff,
    /// Keeps a person out, and ends their sessions.
    Block {
        /// The person.
        person: BlockedPerson,
    },
    /// Lets a person in again.
    Unblock {
        /// The person.
        person: PersonId,
    },
    /// Ends a person's sessions, and deletes everything that is theirs.
    Forget {
        /// The person.
        person: PersonId,
    },
    /// The tasks of a person.
    Tasks {
        /// The person.
        person: PersonId,
    },
    /// Says that everything of a person is about to be read, and gives their tasks.
    Export {
        /// The person.
        person: PersonId,
    },
    /// Switches a plugin on or off.
    SwitchPlugin {
        /// Its name.
        name: String,
        /// On.
        is_on: bool,
    },
    /// The older versions that are served in place of files that are refused.
    OlderVersions,
    /// The root keys.
    Keys,
    /// Makes a new root key.
    Rotate,
    /// Makes copies of the databases in a directory of their own, which is whoever's that asked.
    Snapshot,
    /// Compares a configuration with the one that runs.
    Compare {
        /// The text of the file.
        text: String,
        /// Its name, for problems.
        name: String,
    },
}

/// Which sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// One, by its id.
    Session(String),
    /// All of a person.
    Person(PersonId),
    /// All of these clients, by their ids.
    Clients(Vec<String>),
    /// Those of a person through these clients.
    Through(PersonId, Vec<String>),
    /// Every one, also those whose rows are copies of now.
    All,
}

/// A person, by the provider's names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PersonId {
    /// The provider's issuer URL.
    pub issuer: String,
    /// The provider's name for the person.
    pub subject: String,
}

impl PersonId {
    /// See [`Principal::person`].
    pub fn key(&self) -> [u8; 32] {
        Principal::person_of(&self.issuer, &self.subject)
    }

    /// True for the same person.
    pub(super) fn is(&self, blocked: &BlockedPerson) -> bool {
        self.issuer == blocked.issuer && self.subject == blocked.subject
    }

    pub(super) fn has(&self, session: &ListedSession) -> bool {
        self.issuer == session.issuer && self.subject == session.subject
    }
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A page of sessions.
    Sessions {
        /// The sessions.
        sessions: Vec<ListedSession>,
        /// The place of the next page.
        next: Option<String>,
    },
    /// Sessions have ended.
    Ended {
        /// So many.
        sessions: u64,
    },
    /// Everything that is switched off.
    SwitchedOff(SwitchedOff),
    /// It is so now.
    Changed {
        /// It was otherwise before.
        is_other: bool,
    },
    /// A person is forgotten.
    Forgotten {
        /// Sessions that were ended.
        sessions: u64,
        /// Entries of plugins' state that were deleted.
        entries: u64,
        /// Tasks that were dropped.
        tasks: u64,
    },
    /// Tasks.
    Tasks(Vec<ListedTask>),
    /// Older versions that are served.
    OlderVersions(Vec<OlderVersion>),
    /// The root keys.
    Keys(Vec<ListedKey>),
    /// A directory with copies.
    Snapshot {
        /// The directory, which is to be removed.
        directory: PathBuf,
        /// The copies, by the names that they have in a state directory.
        files: Vec<SnapshotFile>,
    },
    /// What a configuration would change.
    Compared(Comparison),
}

/// The version of a plugin that is served in place of its file, which is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OlderVersion {
    /// The file.
    pub file: String,
    /// The digest of the version that is served.
    pub digest: String,
    /// Its tools: each name, and the first line of its description.
    pub tools: Vec<(String, String)>,
}

/// A copy of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// The name of the copy.
    pub copy: String,
    /// The path in a state directory.
    pub of: String,
}

/// What a configuration would change in a running server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Its problems: a server would not take it.
    pub problems: Vec<String>,
    /// Keys that apply at once.
    pub live: Vec<String>,
    /// Keys, and other things, that need a restart.
    pub restart: Vec<String>,
}
