//! Spaces in the file: who has state, and how much.

use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use super::limits::SPACES;
use super::operations::Held;
use super::request::{KvError, Owner, OwnerState, Space, SpaceState};
use super::seal::{SealedSpace, Sealer};

/// A space that is there, with the id of its row.
pub(super) fn find(connection: &Connection, sealer: &Sealer, space: &Space) -> Result<Option<(i64, Held)>, Fault> {
    let tag = sealer.tag(&space.owner);
    let found: Option<(i64, Vec<u8>, i64, i64)> = connection
        .prepare_cached("SELECT id, seal, bytes, turn FROM spaces WHERE plugin = ?1 AND owner = ?2")?
        .query_row(params![space.plugin, tag], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((id, seal, bytes, turn)) = found else { return Ok(None) };
    let sealed = sealer.open_space(&space.plugin, &tag, &seal).ok_or(KvError::Damaged)?;
    // A count that somebody has changed is none that makes room.
    Ok(Some((id, Held { sealed, bytes: bytes.max(0).cast_unsigned(), turn: turn.max(0).cast_unsigned() })))
}

/// Makes a space, and returns the id of its row.
pub(super) fn make(
    connection: &Connection,
    sealer: &Sealer,
    space: &Space,
    sealed: &SealedSpace,
) -> Result<i64, Fault> {
    let seal = sealer.seal_space(space, sealed);
    connection.execute(
        "INSERT INTO spaces (plugin, owner, seal, bytes, turn) VALUES (?1, ?2, ?3, 0, 0)",
        params![space.plugin, sealer.tag(&space.owner), seal],
    )?;
    Ok(connection.last_insert_rowid())
}

/// Notes what a space has.
pub(super) fn update(connection: &Connection, id: i64, held: &Held) -> Result<(), Fault> {
    let (bytes, turn) = (held.bytes.cast_signed(), held.turn.cast_signed());
    connection
        .prepare_cached("UPDATE spaces SET bytes = ?2, turn = ?3 WHERE id = ?1")?
        .execute(params![id, bytes, turn])?;
    Ok(())
}

/// Removes a space with all of its entries, and returns their number.
pub(super) fn clear(connection: &Connection, sealer: &Sealer, space: &Space) -> Result<u64, Fault> {
    let tag = sealer.tag(&space.owner);
    let entries = "DELETE FROM entries WHERE space IN (SELECT id FROM spaces WHERE plugin = ?1 AND owner = ?2)";
    let removed = connection.execute(entries, params![space.plugin, tag])?;
    connection.execute("DELETE FROM spaces WHERE plugin = ?1 AND owner = ?2", params![space.plugin, tag])?;
    Ok(removed as u64)
}

/// Those who have state of a plugin. A space that is not what was written is left out.
pub(super) fn owners(connection: &Connection, sealer: &Sealer, plugin: &str) -> Result<Vec<OwnerState>, Fault> {
    let mut statement = connection.prepare(
        "SELECT owner, seal, bytes, (SELECT count(*) FROM entries WHERE space = spaces.id) FROM spaces
         WHERE plugin = ?1 ORDER BY owner",
    )?;
    let rows = statement.query_map([plugin], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
    })?;
    let mut owners = Vec::new();
    for row in rows {
        let (tag, seal, bytes, entries) = row?;
        if let Some(sealed) = sealer.open_space(plugin, &tag, &seal) {
            let (bytes, entries) = (bytes.max(0).cast_unsigned(), entries.cast_unsigned());
            owners.push(OwnerState { owner: sealed.owner, entries, bytes });
        }
    }
    Ok(owners)
}

/// A page of all spaces. One that is not what was written is left out.
pub(super) fn all(
    connection: &Connection,
    sealer: &Sealer,
    after: Option<i64>,
) -> Result<(Vec<SpaceState>, Option<i64>), Fault> {
    let mut statement = connection.prepare(
        "SELECT id, plugin, owner, seal, bytes, (SELECT count(*) FROM entries WHERE space = spaces.id) FROM spaces
         WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let most = i64::try_from(SPACES).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![after.unwrap_or(i64::MIN), most])?;
    let (mut spaces, mut last, mut count) = (Vec::new(), None, 0);
    while let Some(row) = rows.next()? {
        let (plugin, tag, seal): (String, Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let (bytes, entries): (i64, i64) = (row.get(4)?, row.get(5)?);
        (last, count) = (Some(row.get(0)?), count + 1);
        if let Some(sealed) = sealer.open_space(&plugin, &tag, &seal) {
            let space = Space { plugin, owner: sealed.owner };
            let (bytes, entries) = (bytes.max(0).cast_unsigned(), entries.max(0).cast_unsigned());
            spaces.push(SpaceState { space, entries, bytes });
        }
    }
    Ok((spaces, last.filter(|_| count == SPACES)))
}

/// Removes all spaces of an owner, of every plugin, and returns the number of their entries.
pub(super) fn forget(connection: &Connection, sealer: &Sealer, owner: &Owner) -> Result<u64, Fault> {
    let tag = sealer.tag(owner);
    let entries = "DELETE FROM entries WHERE space IN (SELECT id FROM spaces WHERE owner = ?1)";
    let removed = connection.execute(entries, params![tag])?;
    connection.execute("DELETE FROM spaces WHERE owner = ?1", params![tag])?;
    Ok(removed as u64)
}

/// Hands all spaces of a plugin to another that has none with anything in it, and returns their number.
pub(super) fn hand_over(connection: &Connection, sealer: &Sealer, from: &str, to: &str) -> Result<u64, Fault> {
    if owners(connection, sealer, to)?.iter().any(|owner| owner.entries > 0) {
        return Err(KvError::Occupied(to.to_owned()).into());
    }
    connection.execute("DELETE FROM spaces WHERE plugin = ?1", [to])?;
    let mut moved = 0;
    for OwnerState { owner, .. } in owners(connection, sealer, from)? {
        let space = Space { plugin: from.to_owned(), owner };
        let Some((id, held)) = find(connection, sealer, &space)? else { continue };
        let space = Space { plugin: to.to_owned(), owner: space.owner };
        let seal = sealer.seal_space(&space, &held.sealed);
        connection.execute("UPDATE spaces SET plugin = ?2, seal = ?3 WHERE id = ?1", params![id, to, seal])?;
        moved += 1;
    }
    Ok(moved)
}
