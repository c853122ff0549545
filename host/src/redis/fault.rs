//! Why something was not done in the shared store.

/// The reason that one step failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No server answers that may write, or not in time. It may have been done or not.
    #[error("Redis cannot be reached: {0}")]
    Unreachable(String),
    /// The server answers with an error, and has done nothing.
    #[error("Redis refuses: {0}")]
    Refused(String),
    /// The store's mark is gone: the store was emptied, or it is another one.
    #[error("Redis has lost the store: its mark is gone. It was emptied, or this is another one")]
    Lost,
    /// What is stored has a format that this server does not read: others have agreed on it. Nothing was done.
    #[error(
        "the shared store is written in format {found}, and this version reads up to {known}: replace this server by one of the version that the others run"
    )]
    Newer {
        /// The format.
        found: u32,
        /// The latest that this version knows.
        known: u8,
    },
    /// The server answers with something else than the script returns.
    #[error("Redis answers with something unexpected: {0}")]
    Unexpected(&'static str),
}

/// The reason that a shared store cannot be used at all. A server without its store does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached, or refuses.
    #[error("the store at {url} (`state.url`) cannot be used: {fault}")]
    Unusable {
        /// Its URL, without a password.
        url: String,
        /// The reason.
        fault: Fault,
    },
    /// Redis is not run as it must be.
    #[error("Redis at {url} (`state.url`) {wrong}: {cure}")]
    Unfit {
        /// Its URL, without a password.
        url: String,
        /// What is wrong.
        wrong: String,
        /// What helps.
        cure: &'static str,
    },
    /// It was written under another key.
    #[error(
        "the store at {url} was written under another key: set TINYMCP_SECRET to the one of the other servers, or put an earlier one into TINYMCP_SECRET_PREVIOUS; or choose another `state.prefix`, where nobody is logged in"
    )]
    WrongKey {
        /// Its URL, without a password.
        url: String,
    },
    /// A later version has written it.
    #[error(
        "the store at {url} has format {found}, and this version knows {known}: run the version that wrote it or a later one"
    )]
    Newer {
        /// Its URL, without a password.
        url: String,
        /// Its format.
        found: u32,
        /// The latest that this version knows.
        known: u8,
    },
    /// Nothing is there, and only a server makes a store.
    #[error("there is no store at {url}: no server has used it yet, or it was emptied")]
    Nothing {
        /// Its URL, without a password.
        url: String,
    },
    /// It is not the one that this server has used before.
    #[error(
        "the store at {url} is not the one that this server has used: Redis was emptied, or somebody made the store anew. Restore Redis from a backup; or, to go on with what is there now, remove `shared-store.json` from the state directory: everybody has to log in again, and what was revoked or blocked is forgotten"
    )]
    Another {
        /// Its URL, without a password.
        url: String,
    },
    /// Its mark is gone, and other things of it are there.
    #[error(
        "the store at {url} has lost its mark, and other keys that begin with `{prefix}:` are there: restore Redis from a backup; or delete those keys, which logs everybody out; or choose another `state.prefix`"
    )]
    Lost {
        /// Its URL, without a password.
        url: String,
        /// The beginning of its keys.
        prefix: String,
    },
}
