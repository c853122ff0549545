//! Connections that are kept for the next request of the same plugin, with the same credential, to the same place.
//!
//! Invariant: a connection is only ever used under the key that it was made for. It is kept for half a minute without
//! use, within a bound over all, and goes when the grant that it was made by is withdrawn.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::{http1, http2};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::upkeep::Allowance;
use crate::grants::credentials::Fingerprint;
use crate::grants::host::Host;
use crate::grants::scheme::Scheme;

/// The body of a request. Its error ends the request, and is for whoever made the body.
pub type SentBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Time for which a connection is kept without use. Servers close theirs after 60 seconds or more, mostly.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// Connections that are kept, over all plugins; the longest unused makes room.
const IDLE_MAX: usize = 256;

/// Interval between looks for connections that were kept long enough.
const SWEEP: Duration = Duration::from_secs(5);

/// All that two requests must have in common to share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The plugin.
    pub(super) owner: Arc<str>,
    pub(super) credentials: Fingerprint,
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
    /// The entry lets the host have private addresses.
    pub(super) is_private: bool,
}

/// A connection, as a way to send requests.
pub(super) struct Link {
    pub(super) sender: Sender,
    /// Ends it. It is ended when the grant that it was made by is withdrawn.
    pub(super) ended: CancellationToken,
    /// What the other side may send that is part of no body.
    pub(super) allowance: Allowance,
}

/// HTTP/1.1 takes one request after the other, HTTP/2 many at once.
pub(super) enum Sender {
    One(http1::SendRequest<SentBody>),
    Many(http2::SendRequest<SentBody>),
}

struct Idle {
    link: Link,
    since: Instant,
}

/// The connections that are kept.
#[derive(Default)]
pub(super) struct Pool(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    links: HashMap<Key, VecDeque<Idle>>,
    count: usize,
    is_swept: bool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.kept().count)
    }
}

impl Link {
    fn is_closed(&self) -> bool {
        self.ended.is_cancelled()
            || match &self.sender {
                Sender::One(sender) => sender.is_closed(),
                Sender::Many(sender) => sender.is_closed(),
            }
    }

    /// The same connection for one more request, if it takes many at once.
    pub(super) fn shared(&self) -> Option<Self> {
        match &self.sender {
            Sender::One(_) => None,
            Sender::Many(sender) => {
                let (ended, allowance) = (self.ended.clone(), self.allowance.clone());
                Some(Self { sender: Sender::Many(sender.clone()), ended, allowance })
            }
        }
    }
}

impl Pool {
    /// A connection that was kept under this key, the last one first.
    pub(super) fn take(&self, key: &Key) -> Option<Link> {
        let mut kept = self.kept();
        loop {
            let last = kept.links.get_mut(key)?.back_mut()?;
            let is_old = last.since.elapsed() > IDLE_TIME;
            if !is_old && !last.link.is_closed() {
                last.since = Instant::now();
                if let Some(shared) = last.link.shared() {
                    return Some(shared);
                }
                return kept.pop_last(key).map(|idle| idle.link);
            }
            kept.pop_last(key);
        }
    }

    /// Keeps a connection.
    pub(super) fn put(self: &Arc<Self>, key: Key, link: Link, handle: &Handle) {
        if link.is_closed() {
            return;
        }
        let mut kept = self.kept();
        if kept.count >= IDLE_MAX {
            kept.drop_oldest(|_| true);
        }
        kept.links.entry(key).or_default().push_back(Idle { link, since: Instant::now() });
        kept.count += 1;
        if !kept.is_swept {
            kept.is_swept = true;
            handle.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Lets go of all connections under a key.
    pub(super) fn forget(&self, key: &Key) {
        let mut kept = self.kept();
        let gone = kept.links.remove(key).unwrap_or_default();
        kept.count -= gone.len();
    }

    /// Lets go of the longest unused connection. False if there is none.
    pub(super) fn drop_oldest(&self) -> bool {
        self.kept().drop_oldest(|_| true)
    }

    /// The same of one plugin.
    pub(super) fn drop_oldest_of(&self, owner: &str) -> bool {
        self.kept().drop_oldest(|key| &*key.owner == owner)
    }

    /// Lets go of what was kept long enough. True if something is left.
    fn sweep(&self) -> bool {
        let mut kept = self.kept();
        kept.links.retain(|_, links| {
            links.retain(|idle| idle.since.elapsed() <= IDLE_TIME && !idle.link.is_closed());
            !links.is_empty()
        });
        kept.count = kept.links.values().map(VecDeque::len).sum();
        kept.is_swept = kept.count > 0;
        kept.is_swept
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn pop_last(&mut self, key: &Key) -> Option<Idle> {
        let links = self.links.get_mut(key)?;
        let last = links.pop_back();
        if links.is_empty() {
            self.links.remove(key);
        }
        self.count -= usize::from(last.is_some());
        last
    }

    fn drop_oldest(&mut self, is_meant: impl Fn(&Key) -> bool) -> bool {
        let meant = self.links.iter().filter(|(key, _)| is_meant(key));
        let oldest = meant.filter_map(|(key, links)| Some((links.front()?.since, key))).min_by_key(|it| it.0);
        let Some(key) = oldest.map(|(_, key)| key.clone()) else { return false };
        let links = self.links.entry(key.clone()).or_default();
        self.count -= usize::from(links.pop_front().is_some());
        if links.is_empty() {
            self.links.remove(&key);
        }
        true
    }
}

/// Looks after the pool until nothing is in it.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}
