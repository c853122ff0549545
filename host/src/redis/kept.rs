//! A value that all servers share, changed by one at a time: it is replaced only if it is still as it was read. It stands
//! alone, or is a row of a table that is read whole.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::fault::Fault;
use super::handle::Redis;
use super::place::Place;
use super::script::{Reply, Script, Step};

/// `KEYS`: mark, value. `ARGV`: mark, the revision before, the new value, and a channel and a message if others are to be
/// told. A value that is there already was written by the same call: its answer was lost.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::writing(
        "
local is = redis.call('GETRANGE', KEYS[2], 0, 7)
if is == string.sub(ARGV[3], 1, 8) then return {primary, 'done'} end
if is ~= ARGV[2] then return {primary, 'conflict'} end
redis.call('SET', KEYS[2], ARGV[3])
if ARGV[4] then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return {primary, 'done'}
",
    )
});

/// The same for a row of a table. `ARGV`: mark, the row's name, and then as above.
static REPLACE_ROW: LazyLock<Script> = LazyLock::new(|| {
    Script::writing(
        "
local is = string.sub(redis.call('HGET', KEYS[2], ARGV[2]) or '', 1, 8)
if is == string.sub(ARGV[4], 1, 8) then return {primary, 'done'} end
if is ~= ARGV[3] then return {primary, 'conflict'} end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
if ARGV[5] then redis.call('PUBLISH', ARGV[5], ARGV[6]) end
return {primary, 'done'}
",
    )
});

/// `KEYS`: mark, table. `ARGV`: mark, and the name of a row if only that is asked for. The answer has names and rows.
static ROWS: LazyLock<Script> = LazyLock::new(|| {
    Script::reading(
        "
local answer = {primary}
if ARGV[2] then
  local row = redis.call('HGET', KEYS[2], ARGV[2])
  if row then answer[2], answer[3] = ARGV[2], row end
  return answer
end
for at, part in ipairs(redis.call('HGETALL', KEYS[2])) do answer[at + 1] = part end
return answer
",
    )
});

/// The place of all such values: they are few.
const PLACE: Place = Place(0);

/// A value as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Random, and another one after each change; empty where there is no value.
    revision: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Kept {
    fn of(read: Option<&[u8]>) -> Self {
        match read.and_then(|value| value.split_first_chunk::<8>()) {
            Some((revision, value)) => Self { revision: revision.to_vec(), value: Some(value.to_vec()) },
            None => Self::default(),
        }
    }
}

impl Redis {
    /// Reads a value.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn kept(&self, name: &str) -> Result<Kept, Fault> {
        let Reply { values, .. } = self.get(PLACE, self.key(PLACE, name, b"")).await?;
        Ok(Kept::of(values.first().map(Vec::as_slice)))
    }

    /// Reads all rows of a table, or one.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn kept_rows(&self, table: &str, row: Option<&str>) -> Result<BTreeMap<String, Kept>, Fault> {
        let mut step = Step::default().key(self.key(PLACE, table, b""));
        if let Some(row) = row {
            step = step.argument(row);
        }
        let Reply { values, .. } = self.run_until_done(&ROWS, PLACE, step).await?;
        let rows = values.chunks_exact(2).filter_map(|pair| {
            let [name, row] = pair else { return None };
            Some((String::from_utf8(name.clone()).ok()?, Kept::of(Some(row))))
        });
        Ok(rows.collect())
    }

    /// Replaces a row of a table that is as it was read; false if it is not. Others are told in the same step.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn keep_row(
        &self,
        (table, row): (&str, &str),
        before: &Kept,
        value: &[u8],
        told: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Result<bool, Fault> {
        let step = Step::default().key(self.key(PLACE, table, b"")).argument(row);
        self.run_until_done(&REPLACE_ROW, PLACE, replacing(step, before, value, told)).await?.is_done()
    }

    /// Replaces a value that is as it was read; false if it is not. Others are told in the same step.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn keep(
        &self,
        name: &str,
        before: &Kept,
        value: &[u8],
        told: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Result<bool, Fault> {
        let step = Step::default().key(self.key(PLACE, name, b""));
        self.run_until_done(&REPLACE, PLACE, replacing(step, before, value, told)).await?.is_done()
    }
}

/// Adds what both replacements are told.
fn replacing(step: Step, before: &Kept, value: &[u8], told: Option<(Vec<u8>, Vec<u8>)>) -> Step {
    let revision: [u8; 8] = rand::random();
    let step = step.argument(before.revision.clone()).argument([revision.as_slice(), value].concat());
    match told {
        Some((channel, message)) => step.argument(channel).argument(message),
        None => step,
    }
}
