//! A check of the whole file: every row is as it was written, and its index finds it.

use rusqlite::Connection;

use crate::store::contract::{Key, Millis};
use crate::store::seal::{Seal, Sealer};

/// The reason that a file may not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DatabaseFault {
    #[error("a row is sealed under a key that is gone")]
    WrongKey,
    /// Something in it is not as it was written.
    #[error("{0}")]
    Damage(String),
}

/// Reads all of the file, and finds its fault, if it has one.
pub(super) fn find_fault(
    connection: &Connection,
    sealer: &Sealer,
    now: Millis,
) -> rusqlite::Result<Option<DatabaseFault>> {
    // Tables against their indexes too: a row that its index does not have is lost.
    let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Ok(Some(DatabaseFault::Damage(verdict)));
    }
    let mut statement = connection.prepare("SELECT kind, key, value, revision, expires_ms FROM rows")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, key, expires) = (row.get(0)?, Key(row.get(1)?), row.get(4)?);
        let sealed = row.get_ref(2)?.as_blob()?;
        match sealer.check_row(kind, &key, row.get::<_, i64>(3)?.cast_unsigned(), expires, sealed) {
            Seal::Sound => {}
            Seal::UnknownKey if expires <= now => {}
            Seal::UnknownKey => return Ok(Some(DatabaseFault::WrongKey)),
            Seal::Broken => return Ok(Some(DatabaseFault::Damage(format!("row {key:?} is not what was written")))),
        }
    }
    Ok(None)
}
