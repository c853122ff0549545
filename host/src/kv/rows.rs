//! The schema of the file, and each statement about entries. The caller decides on the transaction.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::operations::{Entry, Expired, Millis, Part};
use super::pages::end_of;

/// Version of the schema below, kept as `user_version`. A change of it comes with a migration in `open`.
pub(super) const SCHEMA_VERSION: i64 = 1;

/// Tells our files from other SQLite files: "tMKV".
pub(super) const APPLICATION_ID: i64 = 0x744d_4b56;

/// `meta` has one row, `key`: the file's own key, sealed. `seal` of a space is its random id and its owner, sealed, and
/// `owner` a tag by which it is found: empty for the plugin itself. `value` of an entry is sealed, its name is not: lists
/// are by prefix. `turn` counts the entries that a space has had.
pub(super) const SCHEMA: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE TABLE spaces (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        plugin TEXT NOT NULL,
        owner BLOB NOT NULL,
        seal BLOB NOT NULL,
        bytes INTEGER NOT NULL,
        turn INTEGER NOT NULL,
        UNIQUE (plugin, owner)
    ) STRICT;
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        space INTEGER NOT NULL,
        name BLOB NOT NULL,
        turn INTEGER NOT NULL,
        value BLOB NOT NULL,
        bytes INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        expires_ms INTEGER,
        UNIQUE (space, name),
        UNIQUE (space, turn)
    ) STRICT;
    CREATE INDEX entries_by_expiry ON entries (expires_ms) WHERE expires_ms IS NOT NULL;
";

/// The most entries that one transaction of a sweep removes, so that nobody waits long for it.
const SWEEP_ENTRIES: i64 = 500;

/// The most pages that one transaction of a sweep gives back.
const SWEEP_PAGES: i64 = 256;

/// Free pages that the file keeps, 1 MiB: they are soon used again.
const SPARE_PAGES: i64 = 256;

/// What is stored under a name, expired or not.
pub(super) fn entry(connection: &Connection, space: i64, name: &[u8], part: Part) -> Result<Option<Entry>> {
    let head = "SELECT turn, bytes, revision, expires_ms, x'' FROM entries WHERE space = ?1 AND name = ?2";
    let whole = "SELECT turn, bytes, revision, expires_ms, value FROM entries WHERE space = ?1 AND name = ?2";
    let statement = match part {
        Part::Head => head,
        Part::Whole => whole,
    };
    let number = |number: i64| number.max(0).cast_unsigned();
    connection
        .prepare_cached(statement)?
        .query_row(params![space, name], |row| {
            Ok(Entry {
                turn: number(row.get(0)?),
                bytes: number(row.get(1)?),
                revision: row.get::<_, i64>(2)?.cast_unsigned(),
                expires_ms: row.get(3)?,
                sealed: row.get(4)?,
            })
        })
        .optional()
}

/// Writes an entry. One that is written over keeps its turn.
pub(super) fn put(connection: &Connection, space: i64, name: &[u8], entry: &Entry) -> Result<()> {
    let Entry { turn, bytes, revision, expires_ms, sealed } = entry;
    let mut statement = connection.prepare_cached(
        "INSERT INTO entries (space, name, turn, value, bytes, revision, expires_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (space, name) DO UPDATE SET value = excluded.value, bytes = excluded.bytes,
         revision = excluded.revision, expires_ms = excluded.expires_ms",
    )?;
    let (turn, bytes, revision) = (turn.cast_signed(), bytes.cast_signed(), revision.cast_signed());
    statement.execute(params![space, name, turn, sealed, bytes, revision, expires_ms])?;
    Ok(())
}

pub(super) fn remove(connection: &Connection, space: i64, name: &[u8]) -> Result<()> {
    connection.prepare_cached("DELETE FROM entries WHERE space = ?1 AND name = ?2")?.execute(params![space, name])?;
    Ok(())
}

/// The entries of a space that have expired, with their bytes.
pub(super) fn expired(connection: &Connection, space: i64, now: Millis) -> Result<Expired> {
    let mut statement =
        connection.prepare_cached("SELECT name, bytes FROM entries WHERE space = ?1 AND expires_ms <= ?2")?;
    let entries = statement
        .query_map(params![space, now], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.max(0).cast_unsigned())))?;
    entries.collect()
}

/// Names between two, the first not included, in their order.
pub(super) fn names(
    connection: &Connection,
    space: i64,
    after: Option<&[u8]>,
    prefix: &[u8],
    now: Millis,
    limit: usize,
) -> Result<Vec<Vec<u8>>> {
    let mut statement = connection.prepare_cached(
        "SELECT name FROM entries
         WHERE space = ?1 AND name >= ?2 AND (?3 IS NULL OR name > ?3) AND (?4 IS NULL OR name < ?4)
         AND (expires_ms IS NULL OR expires_ms > ?5) ORDER BY name LIMIT ?6",
    )?;
    let from = after.unwrap_or(prefix).max(prefix);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let names = statement.query_map(params![space, from, after, end_of(prefix), now, limit], |row| row.get(0))?;
    names.collect()
}

/// Names after a turn, with their turns, in the order in which they were made.
pub(super) fn names_in_turn(
    connection: &Connection,
    space: i64,
    after: u64,
    now: Millis,
    limit: usize,
) -> Result<Vec<(Vec<u8>, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, turn FROM entries WHERE space = ?1 AND turn > ?2
         AND (expires_ms IS NULL OR expires_ms > ?3) ORDER BY turn LIMIT ?4",
    )?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let names = statement
        .query_map(params![space, after, now, limit], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?;
    names.collect()
}

/// Removes some expired entries, and gives back some of the pages that are free. Returns whether there is more to do.
pub(super) fn sweep(connection: &Connection, now: Millis) -> Result<bool> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires_ms <= ?1 LIMIT ?2)
         RETURNING space, bytes",
    )?;
    let removed = statement.query_map(params![now, SWEEP_ENTRIES], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let removed: Vec<(i64, i64)> = removed.collect::<Result<_>>()?;
    for (space, bytes) in &removed {
        connection
            .prepare_cached("UPDATE spaces SET bytes = bytes - ?2 WHERE id = ?1")?
            .execute(params![space, bytes])?;
    }
    let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    let surplus = free - SPARE_PAGES;
    if surplus > 0 {
        // Each step gives back one page.
        let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({})", surplus.min(SWEEP_PAGES)))?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
    }
    Ok(i64::try_from(removed.len()) == Ok(SWEEP_ENTRIES) || surplus > SWEEP_PAGES)
}
