//! Two servers at one Redis, and leases that live for a moment only.

use tempfile::TempDir;

use super::*;
use crate::clock;
use crate::redis::testing::TestRedis;
use crate::state::{SecretText, Secrets, StateDir};
use crate::store::{Committed, Write};

/// The life of a lease here.
const SHORT: Duration = Duration::from_millis(500);

struct TestServer {
    store: Store,
    turns: SharedTurns,
    in_flight: TaskTracker,
    _dir: TempDir,
}

impl TestServer {
    async fn at(redis: &TestRedis) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let current = SecretText::parse("0123456789abcdef0123456789abcdef").ok();
        let state = StateDir::open(dir.path(), &Secrets { current, previous: Vec::new() }).unwrap();
        let connected = Store::connect(&redis.address(), &state, true).await.unwrap();
        let store = Store::shared(connected, &Replicas::default(), &state, Duration::ZERO);
        let in_flight = TaskTracker::new();
        let turns = SharedTurns { life: SHORT, ..SharedTurns::of(&store, in_flight.clone()) };
        Self { store, turns, in_flight, _dir: dir }
    }

    async fn read(&self, key: Key) -> Revision {
        self.store.get(Table::Session, &key).await.unwrap().unwrap().revision
    }

    async fn write(&self, write: Write) {
        assert_eq!(self.store.commit(vec![write]).await, Ok(Committed::Done));
    }

    async fn replace(&self, key: Key) {
        let (revision, expires) = (self.read(key).await, clock::now() + Duration::from_secs(60));
        self.write(Write::Replace { table: Table::Session, key, revision, value: Vec::new(), expires }).await;
    }

    /// Takes a turn that is free.
    async fn turn(&self, key: Key) -> SharedTurn {
        match self.turns.take(key, self.read(key).await).await.unwrap() {
            Waited::Turn(turn) => turn,
            Waited::Changed => panic!("the row has changed"),
            Waited::Busy => panic!("another server has the turn"),
        }
    }
}

/// Two servers, and a row that both have read.
async fn two() -> (TestRedis, [TestServer; 2], Key) {
    let redis = TestRedis::start();
    let servers = [TestServer::at(&redis).await, TestServer::at(&redis).await];
    let (key, expires) = (Key::of(b"session"), clock::now() + Duration::from_secs(60));
    servers[0].write(Write::Insert { table: Table::Session, key, value: Vec::new(), expires }).await;
    (redis, servers, key)
}

fn leases_in(redis: &TestRedis) -> usize {
    match redis.ask(&["KEYS", "tinymcp:*:l2:*"]) {
        ::redis::Value::Array(keys) => keys.len(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_turn_is_kept_up_for_as_long_as_it_takes_and_nobody_waits_for_ever() {
    let (_redis, [one, other], key) = two().await;
    let turn = one.turn(key).await;
    let began = Instant::now();
    let read = other.read(key).await;
    assert!(matches!(other.turns.take(key, read).await, Ok(Waited::Busy)));
    assert!(began.elapsed() > SHORT, "{:?}", began.elapsed());
    drop(turn);
    // Nothing is left of it, and nobody waits for its end.
    one.in_flight.close();
    one.in_flight.wait().await;
    drop(other.turn(key).await);
}

#[tokio::test]
async fn whoever_waits_goes_on_at_once_when_the_row_has_changed_or_the_turn_is_over() {
    let (redis, [one, other], key) = two().await;
    let turn = one.turn(key).await;
    let read = other.read(key).await;
    let (waited, ()) = tokio::join!(other.turns.take(key, read), one.replace(key));
    assert!(matches!(waited, Ok(Waited::Changed)), "the row is read again, whoever has the turn");
    let read = other.read(key).await;
    let (waited, ()) = tokio::join!(other.turns.take(key, read), async { drop(turn) });
    let Ok(Waited::Turn(turn)) = waited else { panic!("the turn was over") };
    assert_eq!(leases_in(&redis), 1);
    // A session that has ended has no turns.
    one.write(Write::Remove { table: Table::Session, key }).await;
    assert!(matches!(one.turns.take(key, read).await, Ok(Waited::Changed)));
    drop(turn);
    other.in_flight.close();
    other.in_flight.wait().await;
    assert_eq!(leases_in(&redis), 0);
}

#[tokio::test]
async fn the_turn_of_a_server_that_was_killed_ends_by_itself() {
    let (_redis, [one, other], key) = two().await;
    // Nobody keeps this one up.
    let lease = Lease::of(Table::Session, key);
    let read = one.read(key).await;
    assert_eq!(one.store.leases().unwrap().take(&lease, read, SHORT).await, Ok(Leased::Taken));
    let began = Instant::now();
    let _turn = other.turn(key).await;
    assert!(began.elapsed() > SHORT / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_turn_that_the_store_has_lost_is_taken_again() {
    let (redis, [one, other], key) = two().await;
    let _turn = one.turn(key).await;
    assert_eq!(leases_in(&redis), 1);
    let lost = "for _, key in ipairs(redis.call('KEYS', '*:l2:*')) do redis.call('DEL', key) end";
    redis.ask(&["EVAL", lost, "0"]);
    while leases_in(&redis) == 0 {
        tokio::task::yield_now().await;
    }
    let read = other.read(key).await;
    assert!(matches!(other.turns.take(key, read).await, Ok(Waited::Busy)));
}

#[tokio::test]
async fn while_the_store_is_away_nobody_asks() {
    let (mut redis, [one, _other], key) = two().await;
    let read = one.read(key).await;
    redis.kill();
    assert!(matches!(one.turns.take(key, read).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_server_alone_waits_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path(), &Secrets::default()).unwrap();
    let (tasks, in_flight) = (TaskTracker::new(), TaskTracker::new());
    let store = Store::open(&state, &tasks, CancellationToken::new()).unwrap();
    let turns = SharedTurns::of(&store, in_flight.clone());
    let (key, expires) = (Key::of(b"session"), clock::now() + Duration::from_secs(60));
    store.commit(vec![Write::Insert { table: Table::Session, key, value: Vec::new(), expires }]).await.unwrap();
    let read = store.get(Table::Session, &key).await.unwrap().unwrap().revision;
    let one = turns.take(key, read).await;
    let other = turns.take(key, read).await;
    assert!(matches!((one, other), (Ok(Waited::Turn(_)), Ok(Waited::Turn(_)))));
    assert!(in_flight.is_empty());
}
