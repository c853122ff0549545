//! Limits on the fetches that strangers cause: one at a time for a URL, so many for a host, for an address that asks,
//! and in all.
//!
//! Without this, anybody could point a flood at somebody else by naming their URLs at `/authorize`, or use up the
//! fetches of everybody else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

use super::{Document, FetchError};

type Fetch = BoxFuture<'static, Result<Document, FetchError>>;

/// All hosts together.
const ALL: Rate = Rate { burst: 60.0, per_second: 5.0 };

/// One host. Clients of one vendor share a host, and each of its users may have a document.
const HOST: Rate = Rate { burst: 10.0, per_second: 0.5 };

/// One address that asks. Fetches for no address, of keys, are counted like those of one.
const ASKER: Rate = Rate { burst: 12.0, per_second: 0.5 };

/// No address has more than one of so many parts of the rest, so that there is always some for one that has nothing.
const PARTS: u8 = 4;

/// Fetches in progress at once: each holds a connection with TLS and up to 64 KiB, some 200 KiB, for as long as a
/// stranger's server likes to take.
const IN_PROGRESS: u8 = 32;

/// The most hosts that are counted, and the most addresses. [`ALL`] allows for some 160 in the time after which a host's
/// bucket is empty again.
const MAX_COUNTED: usize = 1024;

/// The fetches in progress, and the limits on new ones.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<Counters>,
}

#[derive(Default)]
struct Counters {
    all: Bucket,
    hosts: HashMap<String, Bucket>,
    askers: HashMap<Option<IpAddr>, Bucket>,
    /// By URL.
    in_progress: HashMap<String, InProgress>,
}

struct InProgress {
    fetch: WeakShared<Fetch>,
    asker: Option<IpAddr>,
}

impl InProgress {
    fn join(&self) -> Option<Shared<Fetch>> {
        self.fetch.upgrade().filter(|fetch| fetch.peek().is_none())
    }
}

impl Gate {
    /// Joins the fetch of this URL that is in progress, or begins one. It ends with its last caller.
    ///
    /// # Errors
    /// [`FetchError::Limited`] if a new one would be one too many.
    pub(super) fn join(
        &self,
        url: &str,
        host: &str,
        asker: Option<IpAddr>,
        fetch: impl FnOnce() -> Fetch,
    ) -> Result<Shared<Fetch>, FetchError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_progress.retain(|_, fetch| fetch.join().is_some());
        if let Some(fetch) = state.in_progress.get(url).and_then(InProgress::join) {
            return Ok(fetch);
        }
        state.require_place(asker)?;
        state.count(host, asker, Instant::now())?;
        let fetch = fetch().shared();
        if let Some(weak) = fetch.downgrade() {
            state.in_progress.insert(url.to_owned(), InProgress { fetch: weak, asker });
        }
        Ok(fetch)
    }
}

/// The most that one of many may have of what is left: a part, and one thing as long as there is one.
fn share(total: f64, taken: f64) -> f64 {
    ((total - taken) / f64::from(PARTS)).max(1.0)
}

impl Counters {
    /// Refuses a fetch beyond those that may be in progress, in all and for one address.
    fn require_place(&self, asker: Option<IpAddr>) -> Result<(), FetchError> {
        let own = self.in_progress.values().filter(|fetch| fetch.asker == asker).count();
        let (own, taken) = (own as f64, self.in_progress.len() as f64);
        let total = f64::from(IN_PROGRESS);
        if taken + 1.0 > total || own + 1.0 > share(total, taken) {
            return Err(FetchError::Limited);
        }
        Ok(())
    }

    fn count(&mut self, host: &str, asker: Option<IpAddr>, now: Instant) -> Result<(), FetchError> {
        // A refused fetch counts nowhere, so that a flood of hosts fills nothing.
        if !self.all.has_room(ALL, now) {
            return Err(FetchError::Limited);
        }
        let left_of_all = share(ALL.burst, self.all.level_at(ALL, now));
        let of_asker = Rate { burst: ASKER.burst.min(left_of_all), ..ASKER };
        let of_asker = room(&mut self.askers, asker, of_asker, now)?;
        let of_host = room(&mut self.hosts, host.to_owned(), HOST, now)?;
        // A host or an address with too many fetches takes nothing from the others.
        of_host.add(HOST, now);
        of_asker.add(ASKER, now);
        self.all.add(ALL, now);
        Ok(())
    }
}

/// The bucket of one of many, if there is room in it.
fn room<K: Eq + std::hash::Hash>(
    buckets: &mut HashMap<K, Bucket>,
    key: K,
    rate: Rate,
    now: Instant,
) -> Result<&mut Bucket, FetchError> {
    if buckets.len() >= MAX_COUNTED {
        buckets.retain(|_, bucket| !bucket.is_idle(rate, now));
    }
    if buckets.len() >= MAX_COUNTED && !buckets.contains_key(&key) {
        return Err(FetchError::Limited);
    }
    Some(buckets.entry(key).or_default()).filter(|bucket| bucket.has_room(rate, now)).ok_or(FetchError::Limited)
}

/// A burst at once, and a rate per second in the long run.
#[derive(Clone, Copy)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// A leaky bucket: recent fetches, less those that have leaked out.
#[derive(Default)]
struct Bucket {
    level: f64,
    since: Option<Instant>,
}

impl Bucket {
    fn has_room(&self, rate: Rate, now: Instant) -> bool {
        self.level_at(rate, now) + 1.0 <= rate.burst
    }

    fn add(&mut self, rate: Rate, now: Instant) {
        self.level = self.level_at(rate, now) + 1.0;
        self.since = Some(now);
    }

    fn is_idle(&self, rate: Rate, now: Instant) -> bool {
        self.level_at(rate, now) <= 0.0
    }

    fn level_at(&self, rate: Rate, now: Instant) -> f64 {
        let elapsed = self.since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
        (self.level - elapsed * rate.per_second).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::*;

    #[test]
    fn a_host_and_all_hosts_have_their_limits() {
        let mut state = Counters::default();
        let start = Instant::now();
        let mut address = 0;
        // Each asks from an address of its own.
        let mut begins = |host: &str, after: u64| {
            address += 1;
            state
                .count(
                    host,
                    Some(IpAddr::from(std::net::Ipv4Addr::from_bits(address))),
                    start + Duration::from_secs(after),
                )
                .is_ok()
        };

        assert_eq!((0..20).filter(|_| begins("a.example", 0)).count(), 10);
        assert!(begins("b.example", 0));
        assert!(begins("a.example", 2));
        assert!(!begins("a.example", 2));

        assert_eq!((0..10_000).filter(|host| begins(&format!("{host}.example"), 2)).count(), 58);
        assert!(!begins("c.example", 2));
        assert!(begins("c.example", 3600));
        assert!(state.hosts.len() < 100);
    }

    #[test]
    fn no_address_uses_up_what_others_need() {
        let mut state = Counters::default();
        let now = Instant::now();
        let address = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let mut hosts = 0;
        let mut begins = |asker: Option<IpAddr>| {
            hosts += 1;
            state.count(&format!("{hosts}.example"), asker, now).is_ok()
        };
        assert_eq!((0..1000).filter(|_| begins(address(1))).count(), 12);
        assert_eq!((0..1000).filter(|_| begins(None)).count(), 9);
        for other in 2..20 {
            assert!(begins(address(other)), "{other}");
        }
        assert!(!begins(address(1)));
    }

    #[tokio::test]
    async fn fetches_that_hang_leave_places_for_others() {
        let gate = Gate::default();
        let mut hanging = Vec::new();
        let mut join = |asker: u8, number: usize| {
            let (host, asker) = (format!("{asker}-{number}.example"), IpAddr::from([192, 0, 2, asker]));
            gate.join(&format!("https://{host}/"), &host, Some(asker), || futures::future::pending().boxed())
                .map(|fetch| hanging.push(fetch))
                .is_ok()
        };
        assert_eq!((0..100).filter(|number| join(1, *number)).count(), 6);
        assert!((2..20).all(|asker| join(asker, 0)));
        for asker in 20..100 {
            join(asker, 0);
        }
        assert_eq!(hanging.len(), usize::from(IN_PROGRESS));
        hanging.clear();
        let host = "a.example";
        let joined = gate.join("https://a.example/", host, None, || futures::future::pending().boxed());
        assert!(joined.is_ok());
    }

    #[tokio::test]
    async fn one_fetch_serves_all_who_wait() {
        let (gate, count, release) = (Gate::default(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let join = || {
            let (count, release) = (count.clone(), release.clone());
            let fetch = async move {
                count.fetch_add(1, Ordering::Relaxed);
                release.notified().await;
                Ok(Document { body: "{}".into(), max_age: None })
            };
            gate.join("https://a.example/c", "a.example", None, || fetch.boxed()).unwrap()
        };
        let (first, second, third) = (join(), join(), join());
        drop(first);
        release.notify_one();
        assert!(second.await.is_ok() && third.await.is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 1);

        drop(join());
        release.notify_one();
        assert!(join().await.is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
