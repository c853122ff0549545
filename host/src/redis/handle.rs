//! The handle to a shared store: how it is opened, and what is done in it.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures::stream::BoxStream;

use super::address::Address;
use super::demands;
use super::fault::{Fault, OpenError};
use super::link::Link;
use super::mark::{self, Mark};
use super::place::Place;
use super::primary::Primary;
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
}

/// A handle to a shared store.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    link: Link,
    mark: Mark,
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
        fresh: Option<impl Fn() -> Vec<u8>>,
        check: impl Fn(&[u8]) -> bool,
    ) -> Result<Self, OpenError> {
        let shown = address.url.to_string();
        let link = Link::new(address).map_err(|fault| OpenError::Unusable { url: shown.clone(), fault })?;
        let begin = tokio::time::Instant::now();
        // Only servers make stores.
        let patience = if fresh.is_some() { START_MAX } else { COMMAND_MAX };
        loop {
            let opened = Self::try_open(&link, address, known, fresh.as_ref(), &check).await;
            match opened {
                Err(OpenError::Unusable { fault: Fault::Unreachable(cause), .. }) if begin.elapsed() < patience => {
                    tracing::warn!(url = shown, "the shared store cannot be reached yet: {cause}");
                    tokio::time::sleep(START_PAUSE).await;
                }
                Err(error) => return Err(error),
                Ok(mark) => {
                    // Where it has gone again, the first beat says so.
                    let _ = demands::warn(&link).await;
                    let prefix = address.prefix.clone();
                    return Ok(Self(Arc::new(Inner { link, mark, prefix, shown })));
                }
            }
        }
    }

    /// Looks whether a server could use this Redis, once, and changes nothing. True if a store is there already, of
    /// whatever key.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) async fn look(address: &Address) -> Result<bool, OpenError> {
        let unusable = |fault| OpenError::Unusable { url: address.url.to_string(), fault };
        let link = Link::new(address).map_err(unusable)?;
        match Self::try_open(&link, address, None, None::<fn() -> Vec<u8>>, |_| true).await {
            Ok(_) => Ok(true),
            Err(OpenError::Nothing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn try_open(
        link: &Link,
        address: &Address,
        known: Option<&Mark>,
        fresh: Option<impl Fn() -> Vec<u8>>,
        check: impl Fn(&[u8]) -> bool,
    ) -> Result<Mark, OpenError> {
        let url = address.url.to_string();
        let unusable = |fault| OpenError::Unusable { url: url.clone(), fault };
        demands::hold(link, &url).await?;
        let found = mark::find_or_set(link, &address.prefix, known, fresh).await.map_err(unusable)?;
        match found {
            mark::Found::Sound { mark, check: value } if check(&value) => Ok(mark),
            mark::Found::Sound { .. } => Err(OpenError::WrongKey { url }),
            mark::Found::Newer { format } => Err(OpenError::Newer { url, found: format, known: mark::FORMAT }),
            mark::Found::Another => Err(OpenError::Another { url }),
            mark::Found::Nothing => Err(OpenError::Nothing { url }),
            mark::Found::Lost => Err(OpenError::Lost { url, prefix: address.prefix.clone() }),
        }
    }

    /// Its mark.
    pub fn mark(&self) -> &Mark {
        &self.0.mark
    }

    /// Its URL, without a password.
    pub fn shown(&self) -> &str {
        &self.0.shown
    }

    /// Does one step at one place. The script is told the store's mark, and answers nothing else if that is not there.
    ///
    /// # Errors
    /// [`Fault`]: after [`Fault::Unreachable`] it may have been done or not.
    pub(crate) async fn run(&self, script: &Script, place: Place, step: Step) -> Result<Reply, Fault> {
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

    /// The store's clock, and the servers that write.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn vitals(&self) -> Result<Vitals, Fault> {
        static TIME: LazyLock<Script> =
            LazyLock::new(|| Script::reading("local time = redis.call('TIME') return {primary, time[1], time[2]}"));
        let Reply { primary, values } = self.run(&TIME, Place(0), Step::default()).await?;
        let number = |at: usize| {
            let text = values.get(at).and_then(|value| std::str::from_utf8(value).ok());
            text.and_then(|text| text.parse::<i64>().ok()).ok_or(Fault::Unexpected("no time"))
        };
        let time_ms = number(0)? * 1000 + number(1)? / 1000;
        let primaries = match self.0.link.primaries_of_cluster().await? {
            Some(primaries) => primaries,
            None => vec![primary],
        };
        Ok(Vitals { time_ms, primaries })
    }

    /// What is wrong with Redis by now, with the cure: somebody may have changed its settings, or another server writes.
    ///
    /// # Errors
    /// As for [`Redis::run`].
    pub(crate) async fn unfit(&self) -> Result<Option<String>, Fault> {
        match demands::hold(&self.0.link, &self.0.shown).await {
            Ok(()) => Ok(None),
            Err(OpenError::Unusable { fault, .. }) => Err(fault),
            Err(error) => Ok(Some(error.to_string())),
        }
    }

    /// A key at a place: the prefix, the place, a word for its kind, and what tells it from others of the kind.
    pub(crate) fn key(&self, place: Place, kind: &str, id: &[u8]) -> Vec<u8> {
        place.key(&self.0.prefix, kind, id)
    }
}
