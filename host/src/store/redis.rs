//! The store of several servers: rows in Redis or Valkey.
//!
//! A row is one key with its revision, its expiry and the sealed value. It lives by Redis's clock, which all servers
//! share. Beside the rows of a place and a table stands the ordered set of their keys, for lists. Whatever is changed
//! together is changed by one script.
//!
//! Invariant: a row is only replaced on the server that it was read on ([`Revision`]). What another one has acknowledged
//! and lost is read again first.

mod keys;
mod leases;
mod memory;
mod removed;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use futures::future::try_join_all;

use self::keys::place;
pub use self::leases::{Lease, Leased, Leases};
pub(super) use self::memory::Memory;
use self::removed::Removed;
use super::contract::{Backend, Change, Committed, Key, Millis, Revision, SealedRow, SealedWrite, StoreError, Table};
use crate::redis::{Fault, Place, Primary, Redis, Reply, Script, Step};
use crate::replicas::{Hint, Replicas};

/// The most rows of which one step reads the values.
const LIST_PART: usize = 256;

/// Places that are asked at once for a list.
const LIST_PLACES: usize = 32;

/// `KEYS`: mark, set. `ARGV`: mark, the beginning of the rows' keys, the key to begin after, the most rows. Returns the
/// key and the row of each, and cleans the set of rows whose time is over.
const LIST: &str = "
local out, from, most = {primary}, '-', tonumber(ARGV[4])
if ARGV[3] ~= '' then from = '(' .. ARGV[3] end
while most > 0 do
  local keys = redis.call('ZRANGEBYLEX', KEYS[2], from, '+', 'LIMIT', 0, most)
  if #keys == 0 then break end
  for _, key in ipairs(keys) do
    local row = redis.call('GET', ARGV[2] .. key)
    if row then
      out[#out + 1] = key
      out[#out + 1] = row
      most = most - 1
    else
      redis.call('ZREM', KEYS[2], key)
    end
  end
  from = '(' .. keys[#keys]
end
return out
";

/// `KEYS`: mark, then for each write its row and its set. `ARGV`: mark, then for each write five: `I`, `R` or `D`; the
/// revision and the server that it must have; the row; its life in milliseconds. The key in the set is the end of the
/// row's own. All conditions are held before anything is written.
///
/// Behind the writes stand a channel and a message, if others are to be told: they are told in the same step, so that no
/// crash comes between.
///
/// A write that is there already was made by the same commit: its answer was lost, and it is sent again.
///
/// Each new row looks at two others of its set, and takes them out if their time is over: so the set stays in proportion.
const COMMIT: &str = "
local writes = (#KEYS - 1) / 2
for i = 1, writes do
  local kind = ARGV[5 * i - 3]
  if kind ~= 'D' then
    local is, old, new = redis.call('GETRANGE', KEYS[2 * i], 0, 7), ARGV[5 * i - 2], string.sub(ARGV[5 * i], 1, 8)
    if is == new then return {primary, 'done'} end
    if is ~= old or (kind == 'R' and ARGV[5 * i - 1] ~= primary) then return {primary, 'conflict'} end
  end
end
for i = 1, writes do
  local row, set, kind, life = KEYS[2 * i], KEYS[2 * i + 1], ARGV[5 * i - 3], tonumber(ARGV[5 * i + 1])
  local key, beginning = string.sub(row, -32), string.sub(row, 1, -33)
  if kind == 'D' or life <= 0 then
    redis.call('DEL', row)
    redis.call('ZREM', set, key)
  else
    redis.call('SET', row, ARGV[5 * i], 'PX', life)
    redis.call('ZADD', set, 0, key)
    if kind == 'I' then
      for _, other in ipairs(redis.call('ZRANDMEMBER', set, 2)) do
        if redis.call('EXISTS', beginning .. other) == 0 then redis.call('ZREM', set, other) end
      end
    end
  end
end
if ARGV[5 * writes + 2] then redis.call('PUBLISH', ARGV[5 * writes + 2], ARGV[5 * writes + 3]) end
return {primary, 'done'}
";

/// The tables whose rows servers keep in memory.
const KEPT_IN_MEMORY: [Table; 3] = [Table::Session, Table::Machine, Table::Operator];

/// The backend.
pub(super) struct RedisRows {
    redis: Redis,
    replicas: Replicas,
    removed: Removed,
    list: Script,
    commit: Script,
    remove: Script,
}

impl RedisRows {
    pub(super) fn new(redis: Redis, replicas: Replicas) -> Self {
        Self {
            redis,
            replicas,
            removed: Removed::default(),
            list: Script::reading(LIST),
            commit: Script::writing(COMMIT),
            // The same for what only removes, which is possible even where memory is full.
            remove: Script::reading(COMMIT),
        }
    }

    /// The leases of these rows.
    pub(super) fn leases(&self) -> Leases {
        Leases::new(self.redis.clone())
    }

    fn row(&self, table: Table, key: &Key) -> Vec<u8> {
        keys::row(&self.redis, table, key)
    }

    fn set(&self, table: Table, place: Place) -> Vec<u8> {
        self.redis.key(place, &format!("s{}", table.id()), b"")
    }

    /// Makes the changes of one place.
    async fn commit_at(&self, place: Place, writes: &[SealedWrite], now: Millis) -> Result<Committed, StoreError> {
        let mut step = Step::default();
        for SealedWrite { table, key, change } in writes {
            step = step.key(self.row(*table, key)).key(self.set(*table, place));
            step = match change {
                Change::Insert(row) => with(step.argument("I").argument("").argument(""), row, now),
                Change::Replace(Revision { number, primary }, row) => {
                    let step = step.argument("R").argument(number.to_le_bytes()).argument(primary.text());
                    with(step, row, now)
                }
                Change::Remove => step.argument("D").argument("").argument("").argument("").argument("0"),
            };
        }
        if let Some((channel, message)) = self.told(writes) {
            step = step.argument(channel).argument(message);
        }
        let is_removal = writes.iter().all(|write| matches!(write.change, Change::Remove));
        let script = if is_removal { &self.remove } else { &self.commit };
        if !self.redis.run_until_done(script, place, step).await?.is_done()? {
            return Ok(Committed::Conflict);
        }
        self.removed.note(writes);
        Ok(Committed::Done)
    }

    /// What others are told of these writes: which sessions and tokens to look at. Of new ones nobody knows anything yet, but
    /// for the one row of operators' tokens, which others may know not to be there.
    fn told(&self, writes: &[SealedWrite]) -> Option<(Vec<u8>, Vec<u8>)> {
        let is_known = |write: &&SealedWrite| {
            let is_new = matches!(write.change, Change::Insert(_)) && write.table != Table::Operator;
            KEPT_IN_MEMORY.contains(&write.table) && !is_new
        };
        let rows: Vec<_> = writes.iter().filter(is_known).map(|it| (it.table.id(), it.key.to_hex())).collect();
        if rows.is_empty() { None } else { self.replicas.message(Hint::Rows(rows)) }
    }

    /// Removes once more what this server has removed of late: another server writes now, which may not know of it.
    pub(super) async fn repeat_removals(&self) -> Result<(), StoreError> {
        let table_and_keys = self.removed.of_late();
        let writes = table_and_keys.into_iter().map(|(table, key)| SealedWrite { table, key, change: Change::Remove });
        self.commit(writes.collect(), 0).await.map(drop)
    }

    async fn list_at(
        &self,
        table: Table,
        place: Place,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Vec<(Key, SealedRow)>, StoreError> {
        let mut rows = Vec::new();
        let mut after = after.filter(|after| keys::place(after) == place);
        while rows.len() < limit {
            let part = (limit - rows.len()).min(LIST_PART);
            let step = Step::default()
                .key(self.set(table, place))
                .argument(self.redis.key(place, &format!("r{}:", table.id()), b""))
                .argument(after.map(|after| after.0.to_vec()).unwrap_or_default())
                .number(part);
            let Reply { primary, values } = self.redis.run_until_done(&self.list, place, step).await?;
            let before = rows.len();
            for pair in values.chunks(2) {
                let [key, row] = pair else { return Err(Fault::Unexpected("a key without its row").into()) };
                let key = key.as_slice().try_into().map(Key).map_err(|_| Fault::Unexpected("a key that is none"))?;
                rows.push((key, read(row, primary)?));
            }
            after = rows.last().map(|(key, _)| *key);
            if rows.len() - before < part {
                break;
            }
        }
        Ok(rows)
    }
}

#[async_trait]
impl Backend for RedisRows {
    async fn get(&self, table: Table, key: Key, _now: Millis) -> Result<Option<SealedRow>, StoreError> {
        let Reply { primary, values } = self.redis.get(place(&key), self.row(table, &key)).await?;
        values.first().map(|row| read(row, primary)).transpose()
    }

    async fn list(
        &self,
        table: Table,
        after: Option<Key>,
        limit: usize,
        _now: Millis,
    ) -> Result<Vec<(Key, SealedRow)>, StoreError> {
        let first = after.map_or(0, |after| usize::from(after.place()));
        let places: Vec<Place> = Place::all().skip(first).collect();
        let mut rows = Vec::new();
        for some in places.chunks(LIST_PLACES) {
            let lists = some.iter().map(|place| self.list_at(table, *place, after, limit - rows.len()));
            rows.extend(try_join_all(lists).await?.into_iter().flatten());
            if rows.len() >= limit {
                break;
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }

    async fn commit(&self, mut writes: Vec<SealedWrite>, now: Millis) -> Result<Committed, StoreError> {
        let Some(first) = writes.first().map(|write| place(&write.key)) else { return Ok(Committed::Done) };
        if writes.iter().all(|write| place(&write.key) == first) {
            return self.commit_at(first, &writes, now).await;
        }
        // Rows without conditions need not go together: whoever removes them again finds them gone.
        if !writes.iter().all(|write| matches!(write.change, Change::Remove)) {
            return Err(StoreError::Unavailable("rows of several places cannot be written together".to_owned()));
        }
        writes.sort_by_key(|write| place(&write.key));
        let groups = writes.chunk_by(|one, other| place(&one.key) == place(&other.key));
        try_join_all(groups.filter_map(|group| Some(self.commit_at(place(&group.first()?.key), group, now)))).await?;
        Ok(Committed::Done)
    }
}

/// A row as an argument, and its life.
fn with(step: Step, row: &SealedRow, now: Millis) -> Step {
    let value = [&row.revision.number.to_le_bytes(), &row.expires.to_le_bytes(), row.sealed.as_slice()].concat();
    step.argument(value).number(row.expires.saturating_sub(now).max(0))
}

fn read(row: &[u8], primary: Primary) -> Result<SealedRow, StoreError> {
    let parts = row.split_first_chunk::<8>().and_then(|(number, rest)| {
        let (expires, sealed) = rest.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*number), i64::from_le_bytes(*expires), sealed.to_vec()))
    });
    let (number, expires, sealed) =
        parts.ok_or_else(|| StoreError::Damaged("a row in Redis is shorter than its head".to_owned()))?;
    Ok(SealedRow { sealed, revision: Revision { number, primary }, expires })
}
