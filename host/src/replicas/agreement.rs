//! The agreement of the servers of a store on the format in which they write ([`crate::redis`], `format`).
//!
//! Each server says which formats it reads, with all else that it says of itself. One that has heard everything for so long
//! that whoever is silent counts as gone raises the format to the latest that all read. It stands in the store, where each
//! server sees it with its next beat. A raise that a store has lost, since another server of it took over, is made again by
//! whoever remembers it.
//!
//! A server that finds a format which it does not read was cut off, or came in the very moment of the raise. It asks nothing
//! of the store any more, and hears nothing: what it would make of either could be wrong.

use super::member::{ANSWER_MAX, Member};

/// The format of a store, as a server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The one in which servers write.
    pub written: u32,
    /// The latest that this server reads.
    pub latest: u32,
    /// The servers that do not read that one, with their versions.
    pub held_back_by: Vec<String>,
}

impl Format {
    pub(super) fn of(member: &Member) -> Self {
        let format = member.redis.format();
        let latest = u32::from(format.latest());
        Self { written: format.seen(), latest, held_back_by: member.peers.who_reads_less_than(latest) }
    }

    /// True while this server could write a later one.
    fn is_held_back(&self) -> bool {
        self.written < self.latest
    }
}

/// This server's part in it.
#[derive(Default)]
pub(super) struct Agreement {
    /// Those whom the log has named as the ones that hold it back.
    named: Vec<String>,
}

impl Agreement {
    /// Notes the format that stands in the store, and raises it where that is due.
    pub(super) async fn keep(&mut self, member: &Member, stored: Option<u32>) {
        let before = member.redis.format().seen();
        if let Some(stored) = stored {
            member.redis.format().note(stored);
            raise_if_due(member, stored).await;
        }
        self.say(member, before);
    }

    fn say(&mut self, member: &Member, before: u32) {
        let format @ Format { written, latest, .. } = &Format::of(member);
        if *written > *latest && before <= *latest {
            tracing::error!(
                "the shared store is written in format {written} from now on, and this server reads up to {latest}: it serves nobody who logs in any more. Replace it by one of the version that the others run"
            );
            member.left.cancel();
        } else if *written > before {
            tracing::info!(
                "the shared store is written in format {written} from now on: servers of versions that do not read it cannot use it any more"
            );
        }
        let named = if format.is_held_back() { format.held_back_by.clone() } else { Vec::new() };
        if !named.is_empty() && named != self.named {
            tracing::info!(
                "the shared store is written in format {written} for as long as there are servers that do not read {latest}: {}",
                named.join(", ")
            );
        }
        self.named = named;
    }
}

async fn raise_if_due(member: &Member, stored: u32) {
    let format = member.redis.format();
    if format.unread().is_some() {
        return;
    }
    let has_heard_all = member.heard.unbroken_for() > member.peers.gone_after();
    let read_by_all = if has_heard_all { member.peers.read_by_all(format.latest()) } else { format.written() };
    let due = read_by_all.max(format.written());
    if stored < u32::from(due) {
        let raised = tokio::time::timeout(ANSWER_MAX, member.redis.raise_format(due)).await;
        if !matches!(raised, Ok(Ok(()))) {
            tracing::debug!(?raised, "the format of the shared store is raised at the next beat");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use crate::redis::Redis;
    use crate::redis::testing::{TestRedis, open_up_to};
    use crate::replicas::hearing::Hearing;
    use crate::replicas::{About, Replicas};
    use crate::state::{Secrets, StateDir};

    /// What stands in the store for the format.
    fn stored(redis: &TestRedis) -> u8 {
        let ::redis::Value::BulkString(about) = redis.ask(&["GET", "tinymcp:{00}:store"]) else { panic!("no store") };
        assert!(about.starts_with(&[0, 0, 0]) && about.ends_with(b"check"), "{about:?}");
        about[3]
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(10), async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{what}"));
    }

    struct Joined {
        redis: Redis,
        replicas: Replicas,
        stop: CancellationToken,
        _dir: tempfile::TempDir,
    }

    /// A server that reads formats up to one.
    async fn join(redis: &TestRedis, latest: u8) -> Joined {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), &Secrets::default()).unwrap();
        let (redis, stop) = (open_up_to(latest, &redis.address()).await, CancellationToken::new());
        let about = About { format: latest.into(), ..About::default() };
        let replicas = Replicas::join(redis.clone(), &state, about, &TaskTracker::new(), stop.clone());
        until("it hears", || replicas.hearing() == Hearing::Clear).await;
        Joined { redis, replicas, stop, _dir: dir }
    }

    #[tokio::test]
    async fn a_store_begins_with_the_first_format_and_is_raised_by_all_together_alone() {
        let redis = TestRedis::start();
        let new = join(&redis, 2).await;
        assert_eq!((stored(&redis), new.redis.format().written()), (1, 1));
        // It has not heard for long enough that there is nobody else.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(stored(&redis), 1);
        let format = new.replicas.format().unwrap();
        assert_eq!((format.written, format.latest, format.held_back_by), (1, 2, Vec::<String>::new()));
        new.stop.cancel();
    }

    #[tokio::test]
    async fn a_server_that_does_not_read_the_format_asks_nothing_and_hears_nothing_any_more() {
        let redis = TestRedis::start();
        let old = join(&redis, 1).await;
        let left = old.replicas.news().unwrap().left();
        let new = open_up_to(2, &redis.address()).await;
        new.raise_format(2).await.unwrap();
        assert_eq!(stored(&redis), 2);
        until("it is outdated", || old.replicas.hearing() == Hearing::Outdated).await;
        assert!(left.is_cancelled() && old.replicas.is_away_for_more_than(Duration::MAX));
        let fault = old.redis.kept("anything").await.unwrap_err().to_string();
        assert!(fault.contains("format 2") && fault.contains("replace this server"), "{fault}");
        // It lowers nothing, and raises nothing.
        new.raise_format(1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(stored(&redis), 2);
        old.stop.cancel();
    }

    #[tokio::test]
    async fn a_raise_that_the_store_has_lost_is_made_again() {
        let redis = TestRedis::start();
        let new = join(&redis, 2).await;
        new.redis.raise_format(2).await.unwrap();
        redis.ask(&["SETRANGE", "tinymcp:{00}:store", "3", "\u{1}"]);
        assert_eq!(new.redis.format().written(), 2);
        until("it is raised again", || stored(&redis) == 2).await;
        new.stop.cancel();
    }

    #[tokio::test]
    async fn a_store_without_a_description_gets_none_by_a_raise() {
        let redis = TestRedis::start();
        let new = open_up_to(2, &redis.address()).await;
        redis.ask(&["DEL", "tinymcp:{00}:store"]);
        assert!(new.raise_format(2).await.is_err());
        assert_eq!(redis.ask(&["GET", "tinymcp:{00}:store"]), ::redis::Value::Nil);
    }
}
