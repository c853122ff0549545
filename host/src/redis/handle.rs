//! The handle to a shared store: how it is opened, and what is done in it.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::stream::BoxStream;

use super::address::Address;
use super::demands;
use super::fault::{Fault, OpenError};
use super::format::{self, Agreed};
use super::link::Link;
use super::mark::{self, Mark};
use super::place::Place;
use super::primary::Primary;
use super::rights;
use super::script::{Reply, Script, Step};

/// The time within which a server that starts wants to have found Redis: longer than a failover takes.
const START_MAX: Duration = Duration::from_secs(20);

/// The same for a command, for which somebody waits.
const COMMAND_MAX: Duration = Duration::from_secs(2);

/// Time between two tries at a start.
const START_PAUSE: Duration = Duration::from_millis(500);

/// The time within which something that failed is tried again, and the pause before.
const AGAIN_MAX: Duration = Duration::from_millis(800);
const AGAIN_PAUSE: Duration = Duration::from_millis(50);

/// What is asked of a store at each beat.
pub(crate) struct Vitals {
    /// Its clock, in milliseconds since 1970.
    pub(crate) time_ms: i64,
    /// The servers that write, in order.
    pub(crate) primaries: Vec<Primary>,
    /// The format that stands in it; none where that was lost.
    pub(crate) format: Option<u32>,
}

/// A handle to a shared store.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    link: Link,
    mark: Mark,
    format: Agreed,
    prefix: String,
    shown: String,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis(..)")
    }
}

impl Redis {
    /// Connects, holds the server to what it must be like, and finds the store's mark or sets it. `check` judges the check
    /// value of a store that is there; `fresh` makes that of a new one, and without it none is made. `known` is the mark of
    /// the store that was used here before.
    ///
    /// # Errors
    /// [`OpenError`]. A Redis that cannot be reached is tried for some seconds.
    pub async fn open(
        address: &Address,
        known: Option<&Mark>,
        fresh: Option<impl Fn() -> Vec<u8> + Send + Sync>,
        check: impl Fn(&[u8]) -> bool + Send + Sync,
    ) -> Result<Self, OpenError> {
        // Whoever opens one is deep in futures already.
        Self::open_up_to(format::latest(), address, known, fresh, check).boxed().await
    }

    /// The same for a server that reads formats up to `latest`.
    pub(super) async fn open_up_to(
        latest: u8,
        address: &Address,
        known: Option<&Mark>,
        fresh: Option<impl Fn() -> Vec<u8>>,
        check: impl Fn(&[u8]) -> bool,
    ) -> Result<Self, OpenError> {
        let shown = address.url.to_string();
        let link = Link::new(address).map_err(|fault| OpenError::Unusable { url: shown.clone(), fault })?;
        let begin = tokio::time::Instant::now();
        // Only servers make stores.
        let patience = if fresh.is_some() { START_MAX } else { COMMAND_MAX };
        loop {
            let opened = Self::try_open(&link, latest, address, known, fresh.as_ref(), &check).await;
            match opened {
                Err(OpenError::Unusable { fault: Fault::Unreachable(cause), .. }) if begin.elapsed() < patience => {
                    tracing::warn!(url = shown, "the shared store cannot be reached yet: {cause}");
                    tokio::time::sleep(START_PAUSE).await;
                }
                Err(error) => return Err(error),
                Ok((mark, format)) => {
                    let (prefix, format) = (address.prefix.clone(), Agreed::new(format, latest));
                    return Ok(Self(Arc::new(Inner { link, mark, format, prefix, shown })));
                }
            }
        }
    }

    /// Looks whether a server could use this Redis, once, and changes nothing. `known` and `check` are as for [`Self::open`].
    /// True if a store is there already.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) async fn look(
        address: &Address,
        known: Option<&Mark>,
        check: impl Fn(&[u8]) -> bool + Send + Sync,
    ) -> Result<bool, OpenError> {
        let unusable = |fault| OpenError::Unusable { url: address.url.to_string(), fault };
        let link = Link::new(address).map_err(unusable)?;
        let opened = Self::try_open(&link, format::latest(), address, known, None::<fn() -> Vec<u8>>, check).await;
        let is_there = match opened {
            Ok(_) => true,
            Err(OpenError::Nothing { .. }) => false,
            Err(error) => return Err(error),
        };
        rights::look(&link, &address.prefix).await.map_err(unusable)?;
        Ok(is_there)
    }

    async fn try_open(
        link: &Link,
        latest: u8,
        address: &Address,
        known: Option<&Mark>,
        fresh: Option<impl Fn() -> Vec<u8>>,
        check: impl Fn(&[u8]) -> bool,
    ) -> Result<(Mark, u32), OpenError> {
        let url = address.url.to_string();
        let unusable = |fault| OpenError::Unusable { url: url.clone(), fault };
        let infos = demands::hold(link, &url).await?;
        infos.iter().for_each(|info| demands::warn_of_losses(info));
        let found = mark::find_or_set(link, &address.prefix, latest, known, fresh).await.map_err(unusable)?;
        match found {
            mark::Found::Sound { mark, format, check: value } if check(&value) => Ok((mark, format)),
            mark::Found::Sound { .. } => Err(OpenError::WrongKey { url }),
            mark::Found::Newer { format } => Err(OpenError::Newer { url, found: format, known: latest }),
            mark::Found::Another => Err(OpenError::Another { url }),
            mark::Found::Nothing => Err(OpenError::Nothing { url }),
            mark::Found::Lost => Err(OpenError::Lost { url, prefix: address.prefix.clone() }),
        }
    }

    /// Its mark.
    pub fn mark(&self) -> &Mark {
        &self.0.mark
    }

    /// The format in which its servers write.
    pub(crate) fn format(&self) -> &Agreed {
        &self.0.format
    }

    /// Its URL, without a password.
    pub fn shown(&self) -> &str {
        &self.0.shown
    }

    /// Does one step at one place. The script is told the store's mark, and answers nothing else if that is not there.
    /// Where the store has a format that is not read here nothing is done.
    ///
    /// # Errors
    /// [`Fault`]: after [`Fault::Unreachable`] it may have been done or not.
    pub(crate) async fn run(&self, script: &Script, place: Place, step: Step) -> Result<Reply, Fault> {
        match self.format().unread() {
            Some(found) => Err(Fault::Newer { found, known: self.format().latest() }),
            None => self.run_in_any_format(script, place, step).await,
        }
    }

    async fn run_in_any_format(&self, script: &Script, place: Place, step: Step) -> Result<Reply, Fault> {
        let mark = self.key(place, "mark", b"");
        self.0.link.run(script, mark, &self.0.mark.0, step).await
    }

    /// The same for a script that may be run twice: one whose answer was lost is run again, for a moment. That bridges a
    /// server that is started anew, and a failover that is quick.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn run_until_done(&self, script: &Script, place: Place, step: Step) -> Result<Reply, Fault> {
        let begin = Instant::now();
        loop {
            match self.run(script, place, step.clone()).await {
                Err(Fault::Unreachable(_)) if begin.elapsed() < AGAIN_MAX => tokio::time::sleep(AGAIN_PAUSE).await,
                done => return done,
            }
        }
    }

    /// Reads the value of a key, if it has one.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn get(&self, place: Place, key: Vec<u8>) -> Result<Reply, Fault> {
        static GET: LazyLock<Script> = LazyLock::new(|| {
            Script::reading(
                "
local value = redis.call('GET', KEYS[2])
if value then return {primary, value} end
return {primary}
",
            )
        });
        self.run_until_done(&GET, place, Step::default().key(key)).await
    }

    /// A channel of this store.
    pub(crate) fn channel(&self, name: &str) -> Vec<u8> {
        format!("{}:tell:{name}", self.0.prefix).into_bytes()
    }

    /// Tells something on a channel.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn publish(&self, channel: &[u8], message: &[u8]) -> Result<(), Fault> {
        self.0.link.publish(channel, message).await
    }

    /// What is told on channels from now on, until the connection ends.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn subscribe(&self, channels: &[Vec<u8>]) -> Result<BoxStream<'static, Vec<u8>>, Fault> {
        self.0.link.subscribe(channels).await
    }

    /// The store's clock, the servers that write, and the format in which they do.
    ///
    /// # Errors
    /// As for [`Redis::run`], but for [`Fault::Newer`].
    pub(crate) async fn vitals(&self) -> Result<Vitals, Fault> {
        static LOOK: LazyLock<Script> = LazyLock::new(|| {
            Script::reading(
                "
local time = redis.call('TIME')
return {primary, time[1], time[2], redis.call('GETRANGE', KEYS[2], 0, 3)}
",
            )
        });
        let step = Step::default().key(mark::about(&self.0.prefix));
        let Reply { primary, values } = self.run_in_any_format(&LOOK, Place(0), step).await?;
        let number = |at: usize| {
            let text = values.get(at).and_then(|value| std::str::from_utf8(value).ok());
            text.and_then(|text| text.parse::<i64>().ok()).ok_or(Fault::Unexpected("no time"))
        };
        let time_ms = number(0)? * 1000 + number(1)? / 1000;
        let primaries = match self.0.link.primaries_of_cluster().await? {
            Some(primaries) => primaries,
            None => vec![primary],
        };
        let format = values.get(2).and_then(|about| mark::format_of(about));
        Ok(Vitals { time_ms, primaries, format })
    }

    /// Raises the format in which servers write to this one, unless it is as late already.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn raise_format(&self, to: u8) -> Result<(), Fault> {
        // What is not there is not made: without its check value it would be none.
        static RAISE: LazyLock<Script> = LazyLock::new(|| {
            Script::writing(
                "
local about = redis.call('GETRANGE', KEYS[2], 0, 3)
if #about == 4 and struct.unpack('>I4', about) < struct.unpack('>I4', ARGV[2]) then
  redis.call('SETRANGE', KEYS[2], 0, ARGV[2])
end
return {primary, redis.call('GETRANGE', KEYS[2], 0, 3)}
",
            )
        });
        let step = Step::default().key(mark::about(&self.0.prefix)).argument(u32::from(to).to_be_bytes());
        let Reply { values, .. } = self.run(&RAISE, Place(0), step).await?;
        let format = values.first().and_then(|about| mark::format_of(about));
        self.format().note(format.ok_or(Fault::Unexpected("no format"))?);
        Ok(())
    }

    /// What is wrong with Redis by now, with the cure: somebody may have changed its settings, or another server writes.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn unfit(&self) -> Result<Option<String>, Fault> {
        match demands::hold(&self.0.link, &self.0.shown).await {
            Ok(_) => Ok(None),
            Err(OpenError::Unusable { fault, .. }) => Err(fault),
            Err(error) => Ok(Some(error.to_string())),
        }
    }

    /// A key at a place: the prefix, the place, a word for its kind, and what tells it from others of the kind.
    pub(crate) fn key(&self, place: Place, kind: &str, id: &[u8]) -> Vec<u8> {
        place.key(&self.0.prefix, kind, id)
    }
}
