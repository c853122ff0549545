use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::plugins::names::FunctionName;
use crate::redis::testing::TestRedis;
use crate::replicas::About;
use crate::state::{SecretText, Secrets};

/// A server of a store, and what it knows by itself.
struct Server {
    shared: SharedRates,
    rates: Rates,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn of(redis: &TestRedis) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets {
            current: Some(SecretText::parse("a secret that all servers of this test share").unwrap()),
            previous: Vec::new(),
        };
        let state = StateDir::open(dir.path(), &secrets).unwrap();
        let connected = redis.open().await;
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let replicas = Replicas::join(connected.clone(), &state, About::default(), &tracker, stop.clone());
        let shared = SharedRates::new(connected, replicas, &state);
        Self { shared, rates: Rates::default(), stop, _dir: dir }
    }

    fn set(&mut self, plugin: Option<&str>, tool: Option<&str>) {
        let tool: BTreeMap<String, Rate> =
            tool.map(|text| ("draw_map".to_owned(), text.parse().unwrap())).into_iter().collect();
        self.rates = self.rates.replaced(plugin.map(|text| text.parse().unwrap()), tool);
    }

    async fn ask(&self, of_tool: bool, number: u8) -> Result<(), TooMany> {
        let tool = FunctionName { interface: None, function: "draw-map".to_owned() };
        let tool: Option<Arc<Bucket>> = self.rates.of_tool(&tool).filter(|_| of_tool);
        self.shared.count(&self.rates, "maps", tool.as_deref(), Some([number; 32])).await
    }

    async fn calls(&self, number: u8, tries: usize) -> usize {
        let mut done = 0;
        for _ in 0..tries {
            done += usize::from(self.ask(true, number).await.is_ok());
        }
        done
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn two(redis: &TestRedis) -> [Server; 2] {
    let servers = [Server::of(redis).await, Server::of(redis).await];
    let begin = Instant::now();
    while servers.iter().any(|server| server.shared.replicas.alive() < 2) {
        assert!(begin.elapsed() < Duration::from_secs(20), "the servers do not hear of each other");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    servers
}

#[tokio::test]
async fn two_servers_count_as_one() {
    let redis = TestRedis::start();
    let [mut one, mut other] = two(&redis).await;
    for server in [&mut one, &mut other] {
        server.set(Some("6/h"), Some("4/h"));
    }
    assert_eq!((one.calls(1, 3).await, other.calls(1, 3).await), (3, 1), "four of the tool");
    let refused = one.ask(true, 1).await.unwrap_err().to_string();
    assert!(refused.starts_with("too many calls: this tool allows 4/h for each person, try again in 1"), "{refused}");
    // A refused call is counted nowhere: two are left of the plugin.
    assert!(other.ask(false, 1).await.is_ok() && one.ask(false, 1).await.is_ok());
    let refused = other.ask(false, 1).await.unwrap_err().to_string();
    assert!(refused.contains("this plugin allows 6/h"), "{refused}");
    assert_eq!(other.calls(2, 5).await, 4, "another person has their own");
    // What was used of the tool, a half at the higher rate, stays used.
    one.set(None, Some("8/h"));
    assert_eq!(one.calls(1, 9).await, 4);
    // What does not count asks nothing.
    one.set(None, None);
    drop(redis);
    let begin = Instant::now();
    assert_eq!(one.calls(1, 1000).await, 1000);
    assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_call_comes_back_when_its_time_is_over() {
    let redis = TestRedis::with(&[]);
    let mut server = Server::of(&redis).await;
    server.set(Some("10/s"), None);
    assert_eq!(server.calls(1, 10).await, 10);
    // Some are back by the time that the others are counted.
    let begin = Instant::now();
    let mut done = 0;
    while begin.elapsed() < Duration::from_millis(1500) {
        done += server.calls(1, 1).await;
    }
    assert!((14..=19).contains(&done), "{done}");
}

#[tokio::test]
async fn while_the_store_is_away_each_server_gives_its_share_of_what_is_left() {
    let mut redis = TestRedis::start();
    let [mut one, mut other] = two(&redis).await;
    for server in [&mut one, &mut other] {
        server.set(Some("8/h"), None);
    }
    assert_eq!(one.calls(1, 4).await, 4);
    redis.kill();
    // This one knows that a half is used, and gives a half of its share of four; the other has heard of none.
    assert_eq!((one.calls(1, 9).await, other.calls(1, 9).await), (2, 4));
    redis.revive();
    let begin = Instant::now();
    while !matches!(one.shared.replicas.hearing(), Hearing::Clear)
        || !matches!(other.shared.replicas.hearing(), Hearing::Clear)
    {
        assert!(begin.elapsed() < Duration::from_secs(5), "the store is back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Both have given all that they may.
    assert_eq!((other.calls(1, 9).await, one.calls(1, 9).await), (0, 0));
    // At least one, however many servers.
    for server in [&mut one, &mut other] {
        server.set(Some("1/h"), None);
    }
    redis.kill();
    assert_eq!((one.calls(7, 3).await, other.calls(7, 3).await), (1, 1));
}

#[tokio::test]
async fn a_counted_call_is_one_round_trip() {
    let redis = TestRedis::with(&[]);
    let mut server = Server::of(&redis).await;
    server.set(Some("1000000/s"), Some("1000000/s"));
    let calls = || match redis.ask(&["INFO", "commandstats"]) {
        ::redis::Value::BulkString(text) => {
            let text = String::from_utf8(text).unwrap();
            let line = text.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap_or_default();
            line.split(['=', ',']).nth(1).and_then(|calls| calls.parse::<u32>().ok()).unwrap_or_default()
        }
        other => panic!("{other:?}"),
    };
    assert!(server.ask(true, 1).await.is_ok());
    let before = calls();
    assert_eq!(server.calls(1, 2000).await, 2000);
    let asked = calls() - before;
    // Its beats are few beside.
    assert!((2000..2100).contains(&asked), "{asked}");
}
