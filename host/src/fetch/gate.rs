//! Limits on the fetches that strangers cause: one at a time for a URL, so many for a host, so many in all.
//!
//! Without this, anybody could point a flood at somebody else by naming their URLs at `/authorize`.

use std::collections::HashMap;
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

/// The most hosts that are counted. [`ALL`] allows for some 160 in the time after which a host's bucket is empty again.
const MAX_HOSTS: usize = 1024;

/// The fetches in progress, and the limits on new ones.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<Counters>,
}

#[derive(Default)]
struct Counters {
    all: Bucket,
    hosts: HashMap<String, Bucket>,
    /// By URL.
    in_progress: HashMap<String, WeakShared<Fetch>>,
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
        fetch: impl FnOnce() -> Fetch,
    ) -> Result<Shared<Fetch>, FetchError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_progress.retain(|_, fetch| fetch.upgrade().is_some_and(|fetch| fetch.peek().is_none()));
        if let Some(fetch) = state.in_progress.get(url).and_then(WeakShared::upgrade) {
            return Ok(fetch);
        }
        state.count(host, Instant::now())?;
        let fetch = fetch().shared();
        if let Some(weak) = fetch.downgrade() {
            state.in_progress.insert(url.to_owned(), weak);
        }
        Ok(fetch)
    }
}

impl Counters {
    fn count(&mut self, host: &str, now: Instant) -> Result<(), FetchError> {
        // A refused fetch counts nowhere, so that a flood of hosts fills nothing.
        if !self.all.has_room(ALL, now) {
            return Err(FetchError::Limited);
        }
        if self.hosts.len() >= MAX_HOSTS {
            self.hosts.retain(|_, bucket| !bucket.is_idle(HOST, now));
        }
        if self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(host) {
            return Err(FetchError::Limited);
        }
        let bucket = self.hosts.entry(host.to_owned()).or_default();
        // A host with too many fetches takes nothing from the others.
        if !bucket.has_room(HOST, now) {
            return Err(FetchError::Limited);
        }
        bucket.add(HOST, now);
        self.all.add(ALL, now);
        Ok(())
    }
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
        let mut begins = |host: &str, after: u64| state.count(host, start + Duration::from_secs(after)).is_ok();

        assert_eq!((0..20).filter(|_| begins("a.example", 0)).count(), 10);
        assert!(begins("b.example", 0));
        assert!(begins("a.example", 2));
        assert!(!begins("a.example", 2));

        assert_eq!((0..10_000).filter(|host| begins(&format!("{host}.example"), 2)).count(), 58);
        assert!(!begins("c.example", 2));
        assert!(begins("c.example", 3600));
        assert!(state.hosts.len() < 100);
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
            gate.join("https://a.example/c", "a.example", || fetch.boxed()).unwrap()
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
