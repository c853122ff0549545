//! The key under which everything is sealed: random, made by the server that comes first, itself sealed under the root
//! key.
//!
//! Its name is at each place where something was written. So a key that is gone is noticed, and never replaced by another
//! one under which nothing would be found.

use futures::future::{FutureExt, try_join_all};

use super::layout::KEY_NAME;
use super::outward::outward;
use super::scripts::Scripts;
use crate::kv::request::KvError;
use crate::kv::seal::{KEY_BYTES, RootSealer, Sealer};
use crate::records::{LATER, Unread};
use crate::redis::{Fault, Place, Redis, Step};
use crate::state::StateDir;

/// The place of the key.
const PLACE: Place = Place(0);

/// Places that are asked at once.
const AT_ONCE: usize = 32;

/// The reason that there is no key.
pub(super) enum NoKey {
    Fault(Fault),
    /// It cannot be opened.
    Wrong,
    /// A later version has written it.
    Later,
    /// It is gone, and something that it sealed is there.
    Gone,
}

impl From<Fault> for NoKey {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl NoKey {
    /// For the log.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Fault(fault) => fault.to_string(),
            Self::Wrong => "it was written under another root key: set TINYMCP_SECRET to the one of the other servers, or put an earlier one into TINYMCP_SECRET_PREVIOUS".to_owned(),
            Self::Later => format!("its key {LATER}: replace this server by one of the version that the others run"),
            Self::Gone => "its key is gone from Redis, and what was sealed under it is there: restore Redis from a backup; or delete the keys that have `:kv-` in them, and with them all that plugins have kept".to_owned(),
        }
    }

    /// For plugins.
    pub(super) fn outward(self) -> KvError {
        match self {
            Self::Fault(fault) => outward(fault),
            Self::Wrong | Self::Later | Self::Gone => KvError::Unavailable("its store has to be repaired".to_owned()),
        }
    }
}

/// Finds the key, or makes it where nothing was ever kept, and sees to it that it is sealed under the current root key.
pub(super) async fn find_or_make(redis: &Redis, scripts: &Scripts, state: &StateDir) -> Result<Sealer, NoKey> {
    let root = RootSealer::shared(state, redis);
    let sealed = match find(redis).await? {
        Some(sealed) => sealed,
        None if is_used(redis).await? => find(redis).await?.ok_or(NoKey::Gone)?,
        None => make(redis, scripts, &root).await?,
    };
    let key = root.open(&sealed).map_err(|unread| match unread {
        Unread::Later => NoKey::Later,
        Unread::UnknownKey | Unread::Damaged => NoKey::Wrong,
    })?;
    if !root.is_current(&sealed) {
        let step = Step::default().key(at(redis)).argument(sealed).argument(root.seal(&key));
        redis.run_until_done(&scripts.replace_key, PLACE, step).await?;
    }
    Ok(Sealer::shared(&key, redis))
}

fn at(redis: &Redis) -> Vec<u8> {
    redis.key(PLACE, "kv-key", b"")
}

async fn find(redis: &Redis) -> Result<Option<Vec<u8>>, Fault> {
    let reply = redis.get(PLACE, at(redis)).await?;
    Ok(reply.values.into_iter().next())
}

async fn make(redis: &Redis, scripts: &Scripts, root: &RootSealer) -> Result<Vec<u8>, Fault> {
    let key: [u8; KEY_BYTES] = rand::random();
    let step = Step::default().key(at(redis)).argument(root.seal(&key));
    let reply = redis.run_until_done(&scripts.make_key, PLACE, step).await?;
    reply.values.into_iter().next().ok_or(Fault::Unexpected("no key"))
}

/// True if something was written anywhere.
async fn is_used(redis: &Redis) -> Result<bool, Fault> {
    let places: Vec<Place> = Place::all().collect();
    for some in places.chunks(AT_ONCE) {
        let asked = some.iter().map(|place| redis.get(*place, redis.key(*place, KEY_NAME, b"")).boxed());
        if try_join_all(asked).await?.iter().any(|reply| !reply.values.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}
