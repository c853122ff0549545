use tokio_util::sync::CancellationToken;

use super::*;
use crate::plugins::approval::face::Face;
use crate::plugins::plugin::Sha256;
use crate::redis::testing::{TestRedis, open_up_to};
use crate::replicas::About;
use crate::state::{SecretText, Secrets};

/// A state directory, by a secret that all have.
fn state(dir: &tempfile::TempDir) -> StateDir {
    let secret = SecretText::parse("a secret that all servers of this test share").unwrap();
    StateDir::open(dir.path(), &Secrets { current: Some(secret), previous: Vec::new() }).unwrap()
}

fn sha(text: &str) -> Sha256 {
    Sha256::of(text.as_bytes())
}

fn approval(text: &str) -> Approval {
    Approval::after(None, sha(text), Face::default(), "a test")
}

fn approved(records: &SharedRecords, plugin: &str) -> Option<Sha256> {
    records.now().records.approvals.get(plugin)?.as_ref().ok().map(|approval| approval.sha256)
}

async fn approve(records: &SharedRecords, plugin: &str, text: &str) {
    records.change(&Row::Approval(plugin.to_owned()), |_| Some(approval(text))).await.unwrap();
}

#[tokio::test]
async fn what_a_directory_has_is_taken_over_by_the_first_server_alone() {
    let (redis, scratch) = (TestRedis::start(), tempfile::tempdir().unwrap());
    let state = state(&scratch);
    let mut store = Store::open(Some(&state));
    store.approve("one", sha("a"), Face::default(), "a test").unwrap();
    store
        .serve_signed("one", &Signed { key: "k".to_owned(), version: 3, sha256: sha("a"), text: String::new() })
        .unwrap();
    store.ask_of(Store::places(std::iter::empty(), true));
    let serving = BTreeMap::from([("one.wasm".to_owned(), vec!["greet".to_owned()])]);
    Ledger::open(Some(&state)).update(&serving, &BTreeSet::from(["one.wasm".to_owned()]));
    drop(store);
    let redis = redis.open().await;
    // A command takes nothing over.
    let looking = SharedRecords::open(redis.clone(), &state, false).await.unwrap();
    assert_eq!(approved(&looking, "one"), None);
    let first = SharedRecords::open(redis.clone(), &state, true).await.unwrap();
    let known = first.now();
    assert_eq!(approved(&first, "one"), Some(sha("a")));
    assert_eq!(known.records.signed.as_ref().unwrap()["one"].version, 3);
    assert!(known.records.turned_on.as_ref().unwrap().contains("*"));
    assert_eq!(known.owners["greet"], "one.wasm");
    // What is approved later counts, though the directory has what was before.
    approve(&first, "one", "b").await;
    let again = SharedRecords::open(redis, &state, true).await.unwrap();
    assert_eq!(approved(&again, "one"), Some(sha("b")));
}

#[tokio::test]
async fn a_directory_whose_versions_cannot_be_read_is_not_taken_over() {
    let (redis, scratch) = (TestRedis::start(), tempfile::tempdir().unwrap());
    let state = state(&scratch);
    Store::open(Some(&state)).approve("one", sha("a"), Face::default(), "a test").unwrap();
    std::fs::write(scratch.path().join("approved/signed-versions.json"), "{}").unwrap();
    let refused = SharedRecords::open(redis.open().await, &state, true).await.err().unwrap().to_string();
    assert!(refused.contains("signed-versions.json"), "{refused}");
}

#[tokio::test]
async fn a_change_is_known_everywhere_at_once_and_after_a_gap() {
    let (mut redis, scratch) = (TestRedis::start(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut servers = Vec::new();
    for dir in &scratch {
        let (state, connected) = (state(dir), redis.open().await);
        let replicas = Replicas::join(connected.clone(), &state, About::default(), &tracker, stop.clone());
        let records = SharedRecords::open(connected, &state, true).await.unwrap();
        records.follow(&replicas, &tracker);
        servers.push((records, replicas));
    }
    let within = async |records: &SharedRecords, text: &str, most: Duration| {
        let mut news = records.subscribe();
        let seen = news.wait_for(|known| {
            known.records.approvals.get("one").is_some_and(|record| record.as_ref().unwrap().sha256 == sha(text))
        });
        tokio::time::timeout(most, seen).await.unwrap_or_else(|_| panic!("`{text}` is not known")).unwrap();
    };
    // Both hear.
    for (_, replicas) in &servers {
        let mut gaps = replicas.gaps().unwrap();
        gaps.wait_for(|gaps| *gaps > 0).await.unwrap();
    }
    let (one, other) = (&servers[0].0, &servers[1].0);
    for text in ["a", "b", "c"] {
        approve(one, "one", text).await;
        within(other, text, Duration::from_secs(1)).await;
    }
    // Nobody is told of it. It is there before the gap: they may be back before anything is written after it.
    let third = SharedRecords::open(redis.open().await, &state(&scratch[0]), true).await.unwrap();
    approve(&third, "one", "d").await;
    redis.kill();
    assert!(one.change(&Row::Approval("one".to_owned()), |_| Some(approval("never"))).await.is_err());
    redis.revive();
    within(one, "d", Duration::from_secs(5)).await;
    within(other, "d", Duration::from_secs(5)).await;
    stop.cancel();
}

#[tokio::test]
async fn a_row_of_a_later_format_is_not_written_over() {
    let (redis, scratch) = (TestRedis::start(), tempfile::tempdir().unwrap());
    let state = state(&scratch);
    let (old, new) = (open_up_to(1, &redis.address()).await, open_up_to(2, &redis.address()).await);
    let by_old = SharedRecords::open(old, &state, true).await.unwrap();
    let by_new = SharedRecords::open(new.clone(), &state, true).await.unwrap();
    new.raise_format(2).await.unwrap();
    approve(&by_new, "one", "a").await;
    let row = Row::Approval("one".to_owned());
    let refused = by_old.change(&row, |_| Some(approval("b"))).await.unwrap_err();
    assert_eq!(refused, "`approval one` in the shared store was written by a later version");
    by_new.refresh().await.unwrap();
    assert_eq!(approved(&by_new, "one"), Some(sha("a")));
}

#[tokio::test]
async fn a_row_counts_in_its_own_place_and_a_damaged_one_is_no_approval() {
    let (redis, scratch) = (TestRedis::start(), tempfile::tempdir().unwrap());
    let state = state(&scratch);
    let records = SharedRecords::open(redis.open().await, &state, true).await.unwrap();
    approve(&records, "one", "a").await;
    let key = "tinymcp:{00}:plugins";
    let ::redis::Value::BulkString(row) = redis.ask(&["HGET", key, "approval one"]) else { panic!("no row") };
    let client = ::redis::Client::open(("127.0.0.1", redis.port)).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut put = |name: &str, row: &[u8]| {
        ::redis::cmd("HSET").arg(key).arg(name).arg(row).query::<()>(&mut connection).unwrap();
    };
    put("approval two", &row);
    put("signed two", &row);
    put("a row of a later version", &row);
    records.refresh().await.unwrap();
    let known = records.now();
    assert!(known.records.approvals["one"].is_ok());
    let damage = known.records.approvals["two"].as_ref().unwrap_err();
    assert_eq!(damage, "`approval two` in the shared store is damaged");
    assert!(known.records.signed.is_err());
    // An approval by somebody puts it right.
    approve(&records, "two", "b").await;
    assert_eq!(approved(&records, "two"), Some(sha("b")));
    let mut store = Store::of_shared(Some(&state));
    store.take(&known.records);
    assert!(store.of("two").is_err() && store.highest("one").is_err() && store.of("one").unwrap().is_some());
}
