//! Counting across the servers of a shared store: as one server would count, by the store's clock.
//!
//! Each counted call is one script. What the store says is noted in the local buckets too: while the store is away, they
//! go on from there, and each server gives its share alone; when it is back, it is told what was given meanwhile.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::{Bucket, Person, Rates, TooMany, interval};
use crate::config::units::Rate;
use crate::log_limiter::LogLimiter;
use crate::redis::{Fault, Place, Redis, Script, Step};
use crate::replicas::Replicas;
use crate::replicas::hearing::Hearing;
use crate::state::StateDir;
use crate::vault::Vault;

const PURPOSE: &str = "tinymcp 2026 rates";

/// A call waits no longer for its count: then this server counts it alone.
const COUNT_MAX: Duration = Duration::from_secs(1);

/// Counts a call in all of some buckets, or in none.
///
/// `KEYS`: mark, one for each bucket. `ARGV`: mark, and for each bucket the interval at which one call is back, the number
/// of calls, and the time after which all are back as far as the asker knows; in microseconds. The answer is for each
/// bucket the time to wait, which is 0 where the call is allowed, and the time after which all calls are back.
///
/// A key holds the moment at which all calls are back, and the interval. At another rate it stands for as many calls.
static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::writing(
        "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer, back, refused = {primary}, {}, false
for at = 2, #KEYS do
  local first = (at - 2) * 3 + 2
  local interval, calls, left = tonumber(ARGV[first]), tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local value = redis.call('GET', KEYS[at])
  if value then
    local moment, before = string.match(value, '^(%d+) (%d+)$')
    local known = moment - now
    if tonumber(before) ~= interval then known = math.min(known / before, calls) * interval end
    left = math.max(left, known)
  end
  left = math.max(left, 0)
  local wait = math.max(left + interval - interval * calls, 0)
  if wait > 0 then refused = true else left = left + interval end
  back[at] = {left, interval}
  answer[#answer + 1] = string.format('%.0f', math.ceil(wait))
  answer[#answer + 1] = string.format('%.0f', left)
end
if refused then return answer end
for at = 2, #KEYS do
  local value = string.format('%.0f %.0f', now + back[at][1], back[at][2])
  redis.call('SET', KEYS[at], value, 'PX', string.format('%.0f', math.ceil(back[at][1] / 1000)))
end
return answer
",
    )
});

static ALONE: LogLimiter = LogLimiter::new("calls that a server counts alone, since the shared store does not");

/// The way to the counts that all servers share.
#[derive(Clone)]
pub struct SharedRates {
    redis: Redis,
    replicas: Replicas,
    /// Nobody who reads the store finds out who calls what.
    ids: Vault,
}

impl fmt::Debug for SharedRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedRates(..)")
    }
}

/// A bucket, as it is counted in.
struct Counted<'b> {
    what: &'static str,
    bucket: &'b Bucket,
    rate: Rate,
    key: Vec<u8>,
}

impl SharedRates {
    /// Those of a store.
    pub fn new(redis: Redis, replicas: Replicas, state: &StateDir) -> Self {
        Self { redis, replicas, ids: Vault::of(state, PURPOSE) }
    }

    /// Counts a call of a person, as [`Rates::count`].
    ///
    /// # Errors
    /// [`TooMany`], and nothing is counted.
    pub(in crate::plugins) async fn count(
        &self,
        rates: &Rates,
        plugin: &str,
        tool: Option<&Bucket>,
        person: Person,
    ) -> Result<(), TooMany> {
        if !rates.are_asked(tool) {
            return Ok(());
        }
        // Where it is known to be away nobody waits for it.
        if !matches!(self.replicas.hearing(), Hearing::Away(_) | Hearing::Outdated) {
            let counted = self.counted(rates, plugin, tool, person);
            match self.ask(counted, person).await {
                Ok(outcome) => return outcome,
                Err(fault) => ALONE.log(|| {
                    tracing::warn!(plugin, "a call is counted by this server alone: {fault}");
                }),
            }
        }
        rates.count_at(tool, person, Instant::now(), self.replicas.alive())
    }

    /// The buckets of a call, all of whose keys have one place.
    fn counted<'b>(
        &self,
        rates: &'b Rates,
        plugin: &str,
        tool: Option<&'b Bucket>,
        person: Person,
    ) -> (Place, Vec<Counted<'b>>) {
        let id = |function: &str| {
            let person = person.unwrap_or_default();
            self.ids.derive(&[plugin.as_bytes(), b"\0", function.as_bytes(), b"\0", &person].concat())
        };
        let [first, ..] = id("");
        let place = Place(first);
        let of_plugin = rates.plugin.as_deref().map(|bucket| ("this plugin", bucket));
        let of_tool = tool.map(|bucket| ("this tool", bucket));
        let counted = [of_plugin, of_tool].into_iter().flatten().map(|(what, bucket)| {
            let id = id(&bucket.function);
            let key = self.redis.key(place, "rate", id.first_chunk::<16>().map_or(&id[..], |id| &id[..]));
            Counted { what, bucket, rate: bucket.rate(), key }
        });
        (place, counted.collect())
    }

    async fn ask(
        &self,
        (place, counted): (Place, Vec<Counted<'_>>),
        person: Person,
    ) -> Result<Result<(), TooMany>, Fault> {
        // What is noted is never later than the store's own moment, however long the answer takes.
        let asked = Instant::now();
        let mut step = Step::default();
        for Counted { bucket, rate, key, .. } in &counted {
            let left = bucket.left(person, asked);
            step = step.key(key.clone());
            step = step.number(interval(*rate).as_micros()).number(rate.calls()).number(left.as_micros());
        }
        let answered = tokio::time::timeout(COUNT_MAX, self.redis.run(&COUNT, place, step));
        let answered = answered.await.map_err(|_| Fault::Unreachable("no answer in time".to_owned()))??;
        let mut times = answered.values.iter().map(|value| {
            let text = std::str::from_utf8(value).ok();
            let time = text.and_then(|text| text.parse().ok()).map(Duration::from_micros);
            time.ok_or(Fault::Unexpected("no time"))
        });
        let mut time = || times.next().unwrap_or(Err(Fault::Unexpected("too few times")));
        let mut refusal: Option<TooMany> = None;
        let mut noted = Vec::new();
        for Counted { what, bucket, rate, .. } in counted {
            let (wait, left) = (time()?, time()?);
            if !wait.is_zero() && refusal.as_ref().is_none_or(|longest| longest.wait < wait) {
                refusal = Some(TooMany { what, rate, wait });
            }
            noted.push((bucket, left));
        }
        if let Some(refusal) = refusal {
            return Ok(Err(refusal));
        }
        for (bucket, left) in noted {
            bucket.note(person, asked, left);
        }
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests;
