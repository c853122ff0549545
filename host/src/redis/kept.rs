//! A value that all servers share, changed by one at a time: it is replaced only if it is still as it was read.

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

/// The place of all such values: they are few.
const PLACE: Place = Place(0);

/// A value as it was read.
pub(crate) struct Kept {
    /// Random, and another one after each change; empty where there is no value.
    revision: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Redis {
    /// Reads a value.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn kept(&self, name: &str) -> Result<Kept, Fault> {
        let Reply { values, .. } = self.get(PLACE, self.key(PLACE, name, b"")).await?;
        let read = values.first().and_then(|value| value.split_first_chunk::<8>());
        Ok(match read {
            Some((revision, value)) => Kept { revision: revision.to_vec(), value: Some(value.to_vec()) },
            None => Kept { revision: Vec::new(), value: None },
        })
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
        let revision: [u8; 8] = rand::random();
        let mut step = Step::default()
            .key(self.key(PLACE, name, b""))
            .argument(before.revision.clone())
            .argument([revision.as_slice(), value].concat());
        if let Some((channel, message)) = told {
            step = step.argument(channel).argument(message);
        }
        self.run_until_done(&REPLACE, PLACE, step).await?.is_done()
    }
}
