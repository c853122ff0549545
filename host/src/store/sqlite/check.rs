//! A look at the whole file: is every row what was written, and can it be found?

use rusqlite::Connection;

use crate::store::contract::{Key, Millis};
use crate::store::seal::{Seal, Sealer};

/// Why a file may not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("a row is sealed under a key that is gone")]
    WrongKey,
    /// Something is not what was written.
    #[error("{0}")]
    Damage(String),
}

/// What is wrong with the file, if anything is. Reads all of it.
pub(super) fn find_fault(connection: &Connection, sealer: &Sealer, now: Millis) -> rusqlite::Result<Option<Fault>> {
    // Tables against their indexes too: a row that its index does not have is lost.
    let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Ok(Some(Fault::Damage(verdict)));
    }
    let mut statement = connection.prepare("SELECT kind, key, value, revision, expires_ms FROM rows")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, key, expires) = (row.get(0)?, Key(row.get(1)?), row.get(4)?);
        let sealed = row.get_ref(2)?.as_blob()?;
        match sealer.check_row(kind, &key, row.get::<_, i64>(3)?.cast_unsigned(), expires, sealed) {
            Seal::Current | Seal::Previous => {}
            Seal::UnknownKey if expires <= now => {}
            Seal::UnknownKey => return Ok(Some(Fault::WrongKey)),
            Seal::Broken => return Ok(Some(Fault::Damage(format!("row {key:?} is not what was written")))),
        }
    }
    Ok(None)
}
