//! The backend's own rules: its server, what is lost with it, and a store that was emptied.

use std::time::Duration;

use tempfile::TempDir;

use crate::redis::testing::{TestCluster, TestRedis, TestSentinel, open_up_to};
use crate::redis::{Address, OpenError, Redis};
use crate::replicas::Replicas;
use crate::state::{SecretText, Secrets, StateDir};
use crate::store::conformance::{self, commit, insert, remove, replace, row, value};
use crate::store::{Committed, Key, Lease, Leased, Revision, Store, StoreError, Table, Write};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A server's state directory, with the root key that all servers share.
fn state(secret: &str) -> (TempDir, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let secrets = Secrets { current: SecretText::parse(secret).ok(), previous: Vec::new() };
    let state = StateDir::open(dir.path(), &secrets).unwrap();
    (dir, state)
}

async fn connect(redis: &TestRedis, secret: &str) -> Result<(Store, TempDir), OpenError> {
    connect_to(&redis.address(), secret).await
}

async fn connect_to(address: &Address, secret: &str) -> Result<(Store, TempDir), OpenError> {
    let (dir, state) = state(secret);
    let connected: Redis = Store::connect(address, &state, true).await?;
    Ok((Store::shared(connected, &Replicas::default(), &state, Duration::ZERO), dir))
}

async fn open(redis: &TestRedis) -> (Store, TempDir) {
    connect(redis, SECRET).await.unwrap()
}

async fn error_of(redis: &TestRedis, secret: &str) -> OpenError {
    connect(redis, secret).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn it_keeps_the_rules_of_every_backend() {
    let redis = TestRedis::start();
    let (store, _dir) = open(&redis).await;
    conformance::check(&store).await;
}

#[tokio::test]
async fn it_keeps_them_in_a_cluster() {
    let cluster = TestCluster::start();
    let (store, _dir) = connect_to(&cluster.address(), SECRET).await.unwrap();
    conformance::check(&store).await;
    // Each server has its part.
    for number in 0..64_u8 {
        commit(&store, [insert(Key::of(&[b'c', number]), "one")]).await;
    }
    for server in &cluster.servers {
        let ::redis::Value::Int(keys) = server.ask(&["DBSIZE"]) else { panic!("a number") };
        assert!(keys > 60, "{keys}");
    }
    // One of them is emptied: what it had is an error, and all else goes on.
    cluster.servers[1].ask(&["FLUSHALL"]);
    let (mut lost, mut found) = (0, 0);
    for number in 0..64_u8 {
        match store.get(Table::Session, &Key::of(&[b'c', number])).await {
            Ok(Some(_)) => found += 1,
            Err(StoreError::Damaged(_)) => lost += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(lost > 5 && found > 20, "{lost} lost, {found} found");
    let error = connect_to(&cluster.address(), SECRET).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Lost { .. }), "{error}");
}

#[tokio::test]
async fn it_follows_the_sentinels_to_the_server_that_takes_over() {
    let mut sentinel = TestSentinel::start();
    let (store, _dir) = connect_to(&sentinel.address(), SECRET).await.unwrap();
    let key = Key::of(b"taken over");
    commit(&store, [insert(key, "first")]).await;
    let before = row(&store, key).await.unwrap();
    sentinel.catch_up();
    let acknowledged = sentinel.primary.ask(&["WAIT", "1", "2000"]);
    assert_eq!(acknowledged, ::redis::Value::Int(1));
    sentinel.primary.kill();
    let killed = std::time::Instant::now();
    let after = loop {
        match store.get(Table::Session, &key).await {
            Ok(after) => break after.unwrap(),
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(killed.elapsed() < Duration::from_secs(20));
    };
    assert_eq!(after.value, before.value);
    assert_ne!(after.revision.primary, before.revision.primary);
    assert_eq!(commit(&store, [replace(key, before.revision, "on what was read before")]).await, Committed::Conflict);
    assert_eq!(commit(&store, [replace(key, after.revision, "second")]).await, Committed::Done);
    // The one that was killed comes back as a secondary, and is not read.
    sentinel.primary.revive();
    assert_eq!(value(&store, key).await.as_deref(), Some("second"));
    drop(sentinel.secondary.ask(&["PING"]));
}

#[tokio::test]
async fn what_one_server_writes_another_reads() {
    let redis = TestRedis::start();
    let [(one, _one), (other, _other)] = [open(&redis).await, open(&redis).await];
    let key = Key::of(b"shared");
    commit(&one, [insert(key, "first")]).await;
    let read = row(&other, key).await.unwrap();
    assert_eq!(commit(&other, [replace(key, read.revision, "second")]).await, Committed::Done);
    assert_eq!(commit(&one, [replace(key, read.revision, "late")]).await, Committed::Conflict);
    assert_eq!(value(&one, key).await.as_deref(), Some("second"));
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_and_a_row_is_read_again_first() {
    let mut redis = TestRedis::start();
    let (store, _dir) = open(&redis).await;
    let key = Key::of(b"crash");
    commit(&store, [insert(key, "first")]).await;
    let before = row(&store, key).await.unwrap();
    redis.kill();
    redis.revive();
    let after = row(&store, key).await.unwrap();
    assert_eq!((after.value.as_slice(), after.revision.number), (b"first".as_slice(), before.revision.number));
    // A server that starts anew may have lost something: nothing is built on what was read before.
    assert_ne!(after.revision.primary, before.revision.primary);
    assert_eq!(commit(&store, [replace(key, before.revision, "on what was read before")]).await, Committed::Conflict);
    assert_eq!(commit(&store, [replace(key, after.revision, "second")]).await, Committed::Done);
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_and_back_at_once() {
    let mut redis = TestRedis::start();
    let (store, _dir) = open(&redis).await;
    let key = Key::of(b"away");
    commit(&store, [insert(key, "first")]).await;
    redis.kill();
    let began = std::time::Instant::now();
    let away = store.get(Table::Session, &key).await;
    assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    redis.revive();
    let back = std::time::Instant::now();
    while store.get(Table::Session, &key).await.is_err() {
        assert!(back.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn an_emptied_store_is_an_error_and_not_an_empty_one() {
    let redis = TestRedis::start();
    let (store, _dir) = open(&redis).await;
    let key = Key::of(b"emptied");
    commit(&store, [insert(key, "first")]).await;
    redis.ask(&["FLUSHALL"]);
    assert!(matches!(store.get(Table::Session, &key).await, Err(StoreError::Damaged(_))));
    let write = store.commit(vec![insert(key, "again")]).await;
    assert!(matches!(write, Err(StoreError::Damaged(_))), "{write:?}");
    assert!(matches!(store.list(Table::Session, None, 10).await, Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn a_store_without_a_part_of_its_mark_is_refused_at_the_start() {
    let redis = TestRedis::start();
    drop(open(&redis).await);
    redis.ask(&["DEL", "tinymcp:{07}:mark"]);
    let error = error_of(&redis, SECRET).await;
    assert!(matches!(error, OpenError::Lost { .. }), "{error}");
    assert!(error.to_string().contains("restore Redis from a backup"), "{error}");
    // What is left where the server of the first place was emptied.
    redis.ask(&["DEL", "tinymcp:{00}:mark", "tinymcp:{00}:store"]);
    assert!(matches!(error_of(&redis, SECRET).await, OpenError::Lost { .. }));
}

#[tokio::test]
async fn a_server_takes_no_emptied_store_for_a_new_one() {
    let redis = TestRedis::start();
    let (_dir, own) = state(SECRET);
    let start = async || Store::connect(&redis.address(), &own, true).await;
    let error = |started: Result<Redis, OpenError>| started.map(drop).unwrap_err().to_string();
    start().await.unwrap();
    start().await.unwrap();
    // Without the description, though every mark is there.
    redis.ask(&["DEL", "tinymcp:{00}:store"]);
    assert!(error(start().await).contains("lost its mark"));
    redis.ask(&["FLUSHALL"]);
    assert!(error(start().await).contains("Redis was emptied"));
    assert_eq!(redis.ask(&["DBSIZE"]), ::redis::Value::Int(0));
    // A server that knows nothing of it makes it anew; the one that knows better says so.
    let (_other_dir, other) = state(SECRET);
    Store::connect(&redis.address(), &other, true).await.unwrap();
    assert!(error(start().await).contains("shared-store.json"));
    // Whoever goes on knowingly does what the message says.
    std::fs::remove_file(own.path().join("shared-store.json")).unwrap();
    start().await.unwrap();
    // Another prefix is another store.
    let elsewhere = Address { prefix: "other".to_owned(), ..redis.address() };
    Store::connect(&elsewhere, &own, true).await.unwrap();
}

#[tokio::test]
async fn what_stays_wrong_is_said_at_once_and_with_its_cure() {
    let redis = TestRedis::start();
    redis.ask(&["ACL", "SETUSER", "weak", "on", ">pw", "~*", "&*", "+get", "+set"]);
    let started = std::time::Instant::now();
    let (_dir, state) = state(SECRET);
    let check = async |credentials: &str, said: &str| {
        let error = Store::connect(&redis.address_with(credentials), &state, true).await.map(drop).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(!error.to_string().contains("pw"), "{error}");
    };
    check("weak:another@", "does not take the user and password").await;
    check("weak:pw@", "lacks a right").await;
    redis.ask(&["ACL", "SETUSER", "admin", "on", ">pw", "~*", "&*", "+@all"]);
    redis.ask(&["CONFIG", "SET", "requirepass", "pw"]);
    check("", "demands a password").await;
    check(":another@", "does not take the user and password").await;
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// The rights that the documentation lists are enough.
#[tokio::test]
async fn a_user_with_the_rights_of_the_documentation_is_enough() {
    let page = include_str!("../../../../docs/replicas.md");
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER")).unwrap();
    let redis = TestRedis::start();
    let words: Vec<&str> = line.split(' ').collect();
    redis.ask(&words);
    let (store, _dir) = connect_to(&redis.address_with("tinymcp:PASSWORD@"), SECRET).await.unwrap();
    conformance::check(&store).await;
}

#[tokio::test]
async fn who_only_looks_makes_no_store() {
    let redis = TestRedis::start();
    let (_dir, state) = state(SECRET);
    let error = Store::connect(&redis.address(), &state, false).await.unwrap_err();
    assert!(matches!(error, OpenError::Nothing { .. }), "{error}");
    assert_eq!(redis.ask(&["DBSIZE"]), ::redis::Value::Int(0));
    drop(open(&redis).await);
    Store::connect(&redis.address(), &state, false).await.unwrap();
}

#[tokio::test]
async fn a_start_that_was_cut_short_is_gone_on_with() {
    let redis = TestRedis::start();
    redis.ask(&["SET", "tinymcp:{00}:mark", "0123"]);
    redis.ask(&["SET", "tinymcp:{01}:mark", "0123"]);
    let (store, _dir) = open(&redis).await;
    commit(&store, [insert(Key::of(b"begun"), "first")]).await;
}

#[tokio::test]
async fn servers_that_start_at_once_have_one_store() {
    let redis = TestRedis::start();
    let stores = futures::future::join_all((0..8).map(|_| open(&redis))).await;
    for (number, (store, _dir)) in stores.iter().enumerate() {
        commit(store, [insert(Key::of(&[u8::try_from(number).unwrap()]), "one")]).await;
    }
}

#[tokio::test]
async fn another_root_key_is_refused() {
    let redis = TestRedis::start();
    drop(open(&redis).await);
    let error = error_of(&redis, "another secret of more than 32 characters").await;
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error}");
}

/// What a server does in the moment before it knows that the others write otherwise.
#[tokio::test]
async fn a_row_of_a_later_format_is_not_taken_for_damage_and_is_left_alone() {
    let redis = TestRedis::start();
    let (_dir, state) = state(SECRET);
    let of = |redis: &Redis| Store::shared(redis.clone(), &Replicas::default(), &state, Duration::ZERO);
    let new = open_up_to(2, &redis.address()).await;
    let (earlier, later) = (of(&open_up_to(1, &redis.address()).await), of(&new));
    let key = Key::of(b"a");
    commit(&earlier, [insert(key, "one")]).await;
    assert_eq!(value(&later, key).await.as_deref(), Some("one"));
    new.raise_format(2).await.unwrap();
    let read = row(&later, key).await.unwrap();
    assert_eq!(commit(&later, [replace(key, read.revision, "two")]).await, Committed::Done);
    let refused = earlier.get(Table::Session, &key).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable(why) if why.contains("later version")), "{refused}");
    // By what it has read before.
    assert_eq!(commit(&earlier, [replace(key, read.revision, "late")]).await, Committed::Conflict);
    assert_eq!(value(&later, key).await.as_deref(), Some("two"));
    let error = error_of(&redis, SECRET).await;
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_redis_that_throws_keys_away_is_refused() {
    let redis = TestRedis::with(&["--maxmemory-policy", "allkeys-lru"]);
    let error = error_of(&redis, SECRET).await;
    assert!(error.to_string().contains("noeviction"), "{error}");
}

#[tokio::test]
async fn a_secondary_is_not_read() {
    let primary = TestRedis::start();
    let (store, _dir) = open(&primary).await;
    let key = Key::of(b"secondary");
    commit(&store, [insert(key, "first")]).await;
    let elsewhere = TestRedis::start();
    primary.ask(&["REPLICAOF", "127.0.0.1", &elsewhere.port.to_string()]);
    let read = store.get(Table::Session, &key).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert!(error_of(&primary, SECRET).await.to_string().contains("secondary"));
}

/// Where memory is full, what only removes is still done: sessions can be ended.
#[tokio::test]
async fn a_full_memory_is_an_error_and_ends_sessions_still() {
    let redis = TestRedis::start();
    let (store, _dir) = open(&redis).await;
    let key = Key::of(b"full");
    commit(&store, [insert(key, "first")]).await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let write = store.commit(vec![insert(Key::of(b"more"), "second")]).await;
    assert!(matches!(write, Err(StoreError::Unavailable(_))), "{write:?}");
    assert_eq!(value(&store, key).await.as_deref(), Some("first"));
    assert_eq!(commit(&store, [remove(key)]).await, Committed::Done);
    assert_eq!(value(&store, key).await, None);
}

/// A commit whose answer was lost is sent again, and is what it was.
#[tokio::test]
async fn a_commit_is_done_once_although_its_connection_breaks() {
    let redis = TestRedis::start();
    let (store, _dir) = open(&redis).await;
    let key = Key::of(b"breaks");
    commit(&store, [insert(key, "0")]).await;
    for number in 1..=40 {
        let read = row(&store, key).await.unwrap();
        let written = store.commit(vec![replace(key, read.revision, &number.to_string())]);
        let (written, _) = tokio::join!(written, async { redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]) });
        assert_eq!(written, Ok(Committed::Done), "{number}");
    }
    assert_eq!(value(&store, key).await.as_deref(), Some("40"));
}

#[tokio::test]
async fn a_lease_has_one_holder_and_begins_while_its_row_is_as_it_was_read() {
    let redis = TestRedis::start();
    let [(one, _one), (other, _other)] = [open(&redis).await, open(&redis).await];
    let key = Key::of(b"leased");
    commit(&one, [insert(key, "first")]).await;
    let read = row(&one, key).await.unwrap().revision;
    let [first, second] = [(); 2].map(|()| Lease::of(Table::Session, key));
    let (one_leases, other_leases) = (one.leases().unwrap(), other.leases().unwrap());
    let minute = Duration::from_secs(60);
    assert_eq!(one_leases.take(&first, read, minute).await, Ok(Leased::Taken));
    assert_eq!(other_leases.take(&second, read, minute).await, Ok(Leased::Held));
    // One whose answer was lost is asked for again.
    assert_eq!(one_leases.take(&first, read, minute).await, Ok(Leased::Taken));
    // Nobody ends or keeps another's.
    other_leases.release(&second).await.unwrap();
    assert_eq!(other_leases.keep(&second, minute).await, Ok(false));
    assert_eq!(other_leases.take(&second, read, minute).await, Ok(Leased::Held));
    one_leases.release(&first).await.unwrap();
    assert_eq!(other_leases.take(&second, read, minute).await, Ok(Leased::Taken));
    other_leases.release(&second).await.unwrap();

    // The row decides first: whoever read an earlier one reads it again.
    assert_eq!(commit(&other, [replace(key, read, "second")]).await, Committed::Done);
    assert_eq!(one_leases.take(&first, read, minute).await, Ok(Leased::Changed));
    let read = row(&one, key).await.unwrap().revision;
    assert_eq!(one_leases.take(&first, read, minute).await, Ok(Leased::Taken));
    commit(&other, [remove(key)]).await;
    assert_eq!(other_leases.take(&second, read, minute).await, Ok(Leased::Changed));
}

#[tokio::test]
async fn a_lease_ends_by_itself_and_one_that_was_lost_is_taken_again() {
    let mut redis = TestRedis::start();
    let (store, _dir) = open(&redis).await;
    let key = Key::of(b"leased");
    commit(&store, [insert(key, "first")]).await;
    let read = row(&store, key).await.unwrap().revision;
    let [first, second] = [(); 2].map(|()| Lease::of(Table::Session, key));
    let (leases, short) = (store.leases().unwrap(), Duration::from_millis(50));
    assert_eq!(leases.take(&first, read, short).await, Ok(Leased::Taken));
    while leases.take(&second, read, Duration::from_secs(60)).await != Ok(Leased::Taken) {}
    assert_eq!(leases.keep(&first, short).await, Ok(false));
    // A server that is started anew is another one, by which nothing begins that was read before; and what it has lost is there
    // again when it is kept up.
    redis.kill();
    redis.revive();
    assert_eq!(leases.take(&second, read, short).await, Ok(Leased::Changed));
    redis.ask(&["EVAL", "for _, key in ipairs(redis.call('KEYS', '*:l2:*')) do redis.call('DEL', key) end", "0"]);
    assert_eq!(leases.keep(&second, Duration::from_secs(60)).await, Ok(true));
    let read = row(&store, key).await.unwrap().revision;
    assert_eq!(leases.take(&first, read, short).await, Ok(Leased::Held));
    // Where memory is full nobody begins what could not be written down, and a lease ends still.
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    leases.release(&second).await.unwrap();
    let refused = leases.take(&first, read, short).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_lease_is_beside_its_row_in_a_cluster() {
    let cluster = TestCluster::start();
    let (store, _dir) = connect_to(&cluster.address(), SECRET).await.unwrap();
    let leases = store.leases().unwrap();
    for number in 0..16_u8 {
        let key = Key::of(&[b'l', number]);
        commit(&store, [insert(key, "one")]).await;
        let read = row(&store, key).await.unwrap().revision;
        let [first, second] = [(); 2].map(|()| Lease::of(Table::Session, key));
        assert_eq!(leases.take(&first, read, Duration::from_secs(60)).await, Ok(Leased::Taken));
        assert_eq!(leases.take(&second, read, Duration::from_secs(60)).await, Ok(Leased::Held));
    }
}

#[tokio::test]
async fn sets_of_keys_stay_in_proportion() {
    let redis = TestRedis::start();
    let (store, _dir) = open(&redis).await;
    // All at one place, and over at once.
    for number in 0..400_u16 {
        let mut key = Key::of(&number.to_be_bytes());
        key.0[0] = 9;
        let expires = std::time::SystemTime::now() + Duration::from_millis(30);
        commit(&store, [Write::Insert { table: Table::Once, key, value: Vec::new(), expires }]).await;
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    let keys = match redis.ask(&["ZCARD", "tinymcp:{09}:s3"]) {
        ::redis::Value::Int(keys) => keys,
        other => panic!("{other:?}"),
    };
    assert!(keys < 300, "{keys}");
    assert!(store.list(Table::Once, None, 1000).await.unwrap().is_empty());
    assert_eq!(redis.ask(&["EXISTS", "tinymcp:{09}:s3"]), ::redis::Value::Int(0));
}

#[test]
fn a_revision_of_another_server_is_another_one() {
    let of = |byte| Revision { number: 1, primary: crate::store::Primary::of_bytes([byte; 8]) };
    assert_ne!(of(1), of(2));
}
