//! Why an operation is not done.

use super::open::OpenError;
use super::request::KvError;

/// The reason that an operation is not done: an answer for who asked, or a failure of the file.
#[derive(Debug)]
pub(super) enum Fault {
    Kv(KvError),
    Sqlite(rusqlite::Error),
    /// The file is not there any more.
    File(OpenError),
}

impl From<OpenError> for Fault {
    fn from(error: OpenError) -> Self {
        Self::File(error)
    }
}

impl From<KvError> for Fault {
    fn from(error: KvError) -> Self {
        Self::Kv(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}
