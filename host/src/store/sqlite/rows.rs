//! The schema, and each operation on rows. The caller decides on the transaction.

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::store::contract::{Change, Committed, Key, Millis, Primary, Revision, SealedRow, SealedWrite, Table};

/// Version of the schema below, kept as `user_version`. A change of it comes with a migration in `open`.
pub(super) const SCHEMA_VERSION: i64 = 1;

/// Tells our files from other SQLite files: "tMCP".
pub(super) const APPLICATION_ID: i64 = 0x744d_4350;

/// `meta` has one row, `check`: a sealed value that a wrong key does not open. A row's `value` is sealed, its `key` a
/// hash. Rows are found by their table and key, and by their expiry.
///
/// `rows` has row ids although its key is unique: values of a kilobyte and more would not fit the pages of a table
/// without, and each would take a page of its own.
pub(super) const SCHEMA: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE TABLE rows (
        id INTEGER PRIMARY KEY,
        kind INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        revision INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL,
        UNIQUE (kind, key)
    ) STRICT;
    CREATE INDEX rows_by_expiry ON rows (expires_ms);
";

/// The most rows that one transaction of a sweep removes, so that nobody waits long for it.
const SWEEP_ROWS: usize = 500;

/// The most pages that one transaction of a sweep gives back.
const SWEEP_PAGES: i64 = 256;

/// Free pages that the file keeps, 1 MiB: they are soon used again.
const SPARE_PAGES: i64 = 256;

/// The progress of a sweep after one transaction.
pub(super) struct SweepProgress {
    pub(super) is_changed: bool,
    pub(super) has_more: bool,
}

pub(super) fn get(connection: &Connection, table: Table, key: &Key, now: Millis) -> Result<Option<SealedRow>> {
    connection
        .prepare_cached(
            "SELECT value, revision, expires_ms FROM rows WHERE kind = ?1 AND key = ?2 AND expires_ms > ?3",
        )?
        .query_row(params![table.id(), key.0, now], |row| {
            Ok(SealedRow { sealed: row.get(0)?, revision: of(row.get(1)?), expires: row.get(2)? })
        })
        .optional()
}

/// Live rows of a table in the order of their keys, after this one.
pub(super) fn list(
    connection: &Connection,
    table: Table,
    after: Option<Key>,
    limit: usize,
    now: Millis,
) -> Result<Vec<(Key, SealedRow)>> {
    let mut statement = connection.prepare_cached(
        "SELECT key, value, revision, expires_ms FROM rows
         WHERE kind = ?1 AND key > ?2 AND expires_ms > ?3 ORDER BY key LIMIT ?4",
    )?;
    // The empty blob is before all keys.
    let after = after.map(|key| key.0.to_vec()).unwrap_or_default();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![table.id(), after, now, limit], |row| {
        let sealed = SealedRow { sealed: row.get(1)?, revision: of(row.get(2)?), expires: row.get(3)? };
        Ok((Key(row.get(0)?), sealed))
    })?;
    rows.collect()
}

/// Makes all changes, or none: every condition is checked before anything is written.
pub(super) fn commit(connection: &Connection, writes: &[SealedWrite], now: Millis) -> Result<Committed> {
    for SealedWrite { table, key, change } in writes {
        let holds = match change {
            Change::Insert(_) => revision(connection, *table, key, now)?.is_none(),
            Change::Replace(expected, _) => revision(connection, *table, key, now)? == Some(*expected),
            Change::Remove => true,
        };
        if !holds {
            return Ok(Committed::Conflict);
        }
    }
    for SealedWrite { table, key, change } in writes {
        match change {
            Change::Insert(row) | Change::Replace(_, row) => put(connection, *table, key, row)?,
            Change::Remove => remove(connection, *table, key)?,
        }
    }
    Ok(Committed::Done)
}

/// Removes some expired rows, and gives back some of the pages that are free.
pub(super) fn sweep(connection: &Connection, now: Millis) -> Result<SweepProgress> {
    let removed = connection
        .prepare_cached("DELETE FROM rows WHERE id IN (SELECT id FROM rows WHERE expires_ms <= ?1 LIMIT ?2)")?
        .execute(params![now, i64::try_from(SWEEP_ROWS).expect("a small number")])?;
    let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    let surplus = free - SPARE_PAGES;
    if surplus > 0 {
        // Each step gives back one page.
        let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({})", surplus.min(SWEEP_PAGES)))?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
    }
    Ok(SweepProgress {
        is_changed: removed > 0 || surplus > 0,
        has_more: removed == SWEEP_ROWS || surplus > SWEEP_PAGES,
    })
}

/// Moves the write-ahead log into the file, as far as no reader is in the way. The file's size changes here.
pub(super) fn checkpoint(connection: &Connection) -> Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// A revision as its column has it. The file loses nothing that was acknowledged.
fn of(number: i64) -> Revision {
    Revision { number: number.cast_unsigned(), primary: Primary::LASTING }
}

fn revision(connection: &Connection, table: Table, key: &Key, now: Millis) -> Result<Option<Revision>> {
    connection
        .prepare_cached("SELECT revision FROM rows WHERE kind = ?1 AND key = ?2 AND expires_ms > ?3")?
        .query_row(params![table.id(), key.0, now], |row| row.get(0).map(of))
        .optional()
}

fn put(connection: &Connection, table: Table, key: &Key, row: &SealedRow) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO rows (kind, key, value, revision, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (kind, key) DO UPDATE
         SET value = excluded.value, revision = excluded.revision, expires_ms = excluded.expires_ms",
    )?;
    statement.execute(params![table.id(), key.0, row.sealed, row.revision.number.cast_signed(), row.expires])?;
    Ok(())
}

fn remove(connection: &Connection, table: Table, key: &Key) -> Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM rows WHERE kind = ?1 AND key = ?2")?;
    statement.execute(params![table.id(), key.0])?;
    Ok(())
}
