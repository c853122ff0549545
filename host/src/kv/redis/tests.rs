//! What is Redis's own: several servers at once, what is lost with a server or a connection, and what somebody has changed
//! in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::layout::{self, DUE, Head};
use super::shared::{Opened, Written};
use super::*;
use crate::kv::conformance::{self, QUOTA, get, names, person, plugin, set, swap, used, value};
use crate::kv::operations::Part;
use crate::kv::{Delta, ENTRY_BYTES, Kv, Operation, Outcome, Space};
use crate::redis::testing::{self, TestRedis};
use crate::redis::{Place, Step};
use crate::state::{SecretText, Secrets};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER_SECRET: &str = "another secret of more than 32 characters";

/// One of several servers.
struct Server {
    kv: Kv,
    shared: Arc<Shared>,
    _dir: TempDir,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    async fn of(redis: &TestRedis) -> Self {
        Self::with(redis, "tinymcp", SECRET, &[]).await
    }

    async fn with(redis: &TestRedis, prefix: &str, secret: &str, previous: &[&str]) -> Self {
        let address = crate::redis::Address { prefix: prefix.to_owned(), ..redis.address() };
        Self::over(testing::open(&address).await, secret, previous)
    }

    fn over(connected: Redis, secret: &str, previous: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = |secret: &&str| SecretText::parse(secret).unwrap();
        let secrets = Secrets { current: Some(text(&secret)), previous: previous.iter().map(text).collect() };
        let state = StateDir::open(dir.path(), &secrets).unwrap();
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared::new(connected, state));
        tokio::spawn(sweep::from_time_to_time(Arc::downgrade(&shared), stop.clone()));
        let kv = Kv::elsewhere(Arc::clone(&shared) as Arc<dyn Backend>);
        Self { kv, shared, _dir: dir, stop }
    }

    async fn set(&self, space: Space, name: &str, text: &str) {
        self.kv.run(space, QUOTA, set(name, text)).await.unwrap();
    }

    async fn at(&self, space: &Space) -> (Arc<Opened>, At) {
        let opened = self.shared.opened().await.unwrap();
        let name = opened.sealer.name(space);
        (opened, At { name })
    }
}

fn increment(name: &str) -> Operation {
    Operation::Increment { name: name.to_owned(), delta: Delta::Unsigned(1) }
}

/// Does something by hand to every key whose name has this in it. `key` is the key.
fn by_hand(redis: &TestRedis, kind: &str, lua: &str) -> String {
    let body = format!("for _, key in ipairs(redis.call('KEYS', '*{kind}*')) do {lua} end return 'done'");
    format!("{:?}", redis.ask(&["EVAL", &body, "0"]))
}

#[tokio::test]
async fn it_keeps_the_rules_of_every_place() {
    let redis = TestRedis::start();
    let stores = std::cell::Cell::new(0);
    conformance::check(async || {
        stores.set(stores.get() + 1);
        let server = Server::with(&redis, &format!("rule{}", stores.get()), SECRET, &[]).await;
        conformance::Fresh { kv: server.kv.clone(), _within: Box::new(server) }
    })
    .await;
}

/// Of what an earlier version does not read nothing is lost, and nothing passes for damage.
#[tokio::test]
async fn entries_of_a_later_format_are_read_where_it_is_known_and_left_alone_elsewhere() {
    let redis = TestRedis::start();
    let new = testing::open_up_to(2, &redis.address()).await;
    let later = Server::over(new.clone(), SECRET, &[]);
    let earlier = Server::over(testing::open_up_to(1, &redis.address()).await, SECRET, &[]);
    earlier.set(plugin("a"), "before", "one").await;
    new.raise_format(2).await.unwrap();
    later.set(plugin("a"), "after", "two").await;
    later.set(plugin("b"), "after", "two").await;
    let read = async |server: &Server, of: &str, name| get(&server.kv, &plugin(of), name).await;
    assert_eq!(read(&later, "a", "before").await, Ok(Some("one".to_owned())));
    assert_eq!(read(&later, "a", "after").await, Ok(Some("two".to_owned())));
    assert_eq!(read(&earlier, "a", "before").await, Ok(Some("one".to_owned())));
    for refused in [read(&earlier, "a", "after").await.map(drop), read(&earlier, "b", "after").await.map(drop)] {
        assert!(matches!(&refused, Err(KvError::Unavailable(why)) if why.contains("later version")), "{refused:?}");
    }
    assert!(earlier.kv.run(plugin("a"), QUOTA, increment("after")).await.is_err());
    assert_eq!(read(&later, "a", "after").await, Ok(Some("two".to_owned())));
}

#[tokio::test]
async fn servers_that_write_one_key_at_once_lose_nothing() {
    let redis = TestRedis::start();
    let servers = [Server::of(&redis).await, Server::of(&redis).await, Server::of(&redis).await];
    let mut writers = JoinSet::new();
    for number in 0..45 {
        let kv = servers[number % 3].kv.clone();
        writers.spawn(async move {
            kv.run(plugin("a"), QUOTA, increment("sum")).await.unwrap();
            // Another one that reads, adds and swaps.
            loop {
                let before = get(&kv, &plugin("a"), "swapped").await.unwrap();
                let sum = before.as_deref().unwrap_or("0").parse::<u32>().unwrap() + 1;
                let swapped = swap("swapped", before.as_deref(), Some(&sum.to_string()));
                if kv.run(plugin("a"), QUOTA, swapped).await.unwrap() == Outcome::Done {
                    return;
                }
            }
        });
    }
    writers.join_all().await;
    for name in ["sum", "swapped"] {
        assert_eq!(get(&servers[0].kv, &plugin("a"), name).await, Ok(Some("45".to_owned())));
    }
    assert_eq!(used(&servers[0].kv, "a").await, 2 * ENTRY_BYTES + 10 + 4);
}

#[tokio::test]
async fn a_quota_holds_for_servers_that_write_at_once() {
    let redis = TestRedis::start();
    let servers = [Server::of(&redis).await, Server::of(&redis).await];
    let quota = 20 * (ENTRY_BYTES + 4);
    let mut writers = JoinSet::new();
    for number in 0..40 {
        let kv = servers[number % 2].kv.clone();
        writers.spawn(async move { kv.run(plugin("a"), quota, set(&format!("k{number:03}"), "")).await });
    }
    let written = writers.join_all().await;
    assert_eq!(written.iter().filter(|outcome| outcome.is_ok()).count(), 20);
    let full = Err(KvError::Quota { used_bytes: quota, quota_bytes: quota });
    assert!(written.iter().all(|outcome| outcome.is_ok() || *outcome == full), "{written:?}");
    assert_eq!(used(&servers[1].kv, "a").await, quota);
    assert_eq!(names(&servers[1].kv, &plugin("a"), "", None).await.0.len(), 20);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_and_what_comes_meanwhile_fails() {
    let mut redis = TestRedis::start();
    let server = Server::of(&redis).await;
    let sum = async || server.kv.run(plugin("a"), QUOTA, increment("n")).await;
    let count = std::cell::Cell::new(0);
    let crash = async {
        while count.get() < 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        redis.kill();
    };
    let writes = async {
        while sum().await.is_ok() {
            count.set(count.get() + 1);
        }
    };
    tokio::join!(writes, crash);
    let acknowledged = count.get();
    let away = Instant::now();
    let failed = sum().await.unwrap_err();
    assert_eq!(failed, KvError::Unavailable("its store cannot be reached now".to_owned()));
    assert!(get(&server.kv, &plugin("a"), "n").await.is_err() && away.elapsed() < Duration::from_secs(6));
    redis.revive();
    let back = Instant::now();
    let found = loop {
        match get(&server.kv, &plugin("a"), "n").await {
            Ok(found) => break found.unwrap().parse::<u64>().unwrap(),
            Err(_) => assert!(back.elapsed() < Duration::from_secs(2)),
        }
    };
    // The last one may have been written, and its answer lost with the server.
    assert!((acknowledged..=acknowledged + 1).contains(&found), "{acknowledged} {found}");
}

/// A change whose answer was lost is sent again, and made once, although another server has made others since.
#[tokio::test]
async fn a_change_is_made_once_although_its_connection_breaks() {
    let redis = TestRedis::start();
    let servers = [Server::of(&redis).await, Server::of(&redis).await];
    for _ in 0..30 {
        let [one, other] = servers.each_ref().map(|server| server.kv.run(plugin("a"), QUOTA, increment("n")));
        let (one, other, _) = tokio::join!(one, other, async { redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]) });
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    }
    assert_eq!(get(&servers[0].kv, &plugin("a"), "n").await, Ok(Some("60".to_owned())));
}

/// The script itself: the same step sent twice, with another change in between.
#[tokio::test]
async fn a_step_that_is_sent_again_is_recognised() {
    let redis = TestRedis::start();
    let server = Server::of(&redis).await;
    server.set(plugin("a"), "x", "1").await;
    let (opened, at) = server.at(&plugin("a")).await;
    let head = server.shared.look(&opened, at, &[], Part::Head, 0).await.unwrap().head.unwrap();
    let before = head.version;
    let next = head.next(0, 1);
    let step = server.shared.marked(&opened, at).argument(before).argument(next.text()).argument(at.name.0);
    let step = step.argument("R").argument("x");
    let written = async |step| server.shared.written(&server.shared.scripts.remove, at.place(), step).await;
    assert_eq!(written(step.clone()).await, Ok(Written::Done));
    server.set(plugin("a"), "x", "2").await;
    assert_eq!(written(step).await, Ok(Written::Done));
    assert_eq!(get(&server.kv, &plugin("a"), "x").await, Ok(Some("2".to_owned())));
    // One with a mark of its own is another change, of something that has changed since.
    let other = server.shared.marked(&opened, at).argument(before).argument(next.text()).argument(at.name.0);
    assert_eq!(written(other.argument("R").argument("x")).await, Ok(Written::Conflict));
    assert_eq!(get(&server.kv, &plugin("a"), "x").await, Ok(Some("2".to_owned())));
}

#[tokio::test]
async fn what_somebody_has_changed_by_hand_is_noticed() {
    let copy_row = "if redis.call('HEXISTS', key, 'a') == 1 then redis.call('HSET', key, 'x', redis.call('HGET', 'moved', 'x')) end";
    let cases = [
        // One bit of the value; the revision; the life; no value at all.
        (
            "kv-entries",
            "local r = redis.call('HGET', key, 'x') redis.call('HSET', key, 'x', string.sub(r, 1, -2) .. string.char((string.byte(r, -1) + 1) % 256))",
        ),
        (
            "kv-entries",
            "local r = redis.call('HGET', key, 'x') redis.call('HSET', key, 'x', string.sub(r, 1, 16) .. 'revision' .. string.sub(r, 25))",
        ),
        (
            "kv-entries",
            "local r = redis.call('HGET', key, 'x') redis.call('HSET', key, 'x', string.sub(r, 1, 31) .. string.char(63) .. string.sub(r, 33))",
        ),
        ("kv-entries", "redis.call('HSET', key, 'x', 'short')"),
        // The value of another name, of the same space.
        ("kv-entries", "redis.call('HSET', key, 'x', redis.call('HGET', key, 'rich'))"),
        // The value that another plugin has under this name.
        ("kv-entries", copy_row),
    ];
    for (kind, lua) in cases {
        let redis = TestRedis::start();
        let server = Server::of(&redis).await;
        for (space, own) in [(plugin("a"), "a"), (plugin("b"), "b")] {
            for (name, text) in [(own, "1"), ("x", "1"), ("rich", "1000")] {
                server.set(space.clone(), name, text).await;
            }
        }
        by_hand(
            &redis,
            "kv-entries",
            "if redis.call('HEXISTS', key, 'b') == 1 then redis.call('COPY', key, 'moved') end",
        );
        by_hand(&redis, kind, lua);
        assert_eq!(get(&server.kv, &plugin("a"), "x").await, Err(KvError::Damaged), "{lua}");
        assert_eq!(get(&server.kv, &plugin("a"), "rich").await, Ok(Some("1000".to_owned())), "{lua}");
        assert_eq!(server.kv.run(plugin("a"), QUOTA, increment("x")).await, Err(KvError::Damaged), "{lua}");
        if !lua.contains("short") {
            // It can be written anew.
            server.set(plugin("a"), "x", "5").await;
            assert_eq!(get(&server.kv, &plugin("a"), "x").await, Ok(Some("5".to_owned())), "{lua}");
        }
    }
}

#[tokio::test]
async fn a_space_of_another_plugin_or_person_is_noticed() {
    for other in [plugin("b"), person("a", 1)] {
        let redis = TestRedis::start();
        let server = Server::of(&redis).await;
        server.set(plugin("a"), "x", "1").await;
        server.set(other.clone(), "x", "2").await;
        let [(_, ours), (_, others)] = [server.at(&plugin("a")).await, server.at(&other).await];
        let hex = |at: At| at.name.0.iter().map(|byte| format!("\\{byte:03}")).collect::<String>();
        let moved = |kind: &str| {
            let (to, from) = (hex(ours), hex(others));
            let lua = format!(
                "local from, to = false, false
                 for _, key in ipairs(redis.call('KEYS', '*{kind}:*')) do
                   if string.sub(key, -32) == '{from}' then from = key end
                   if string.sub(key, -32) == '{to}' then to = key end
                 end
                 return redis.call('COPY', from, to, 'REPLACE')"
            );
            assert_eq!(redis.ask(&["EVAL", &lua, "0"]), ::redis::Value::Int(1));
        };
        moved("kv-entries");
        assert_eq!(get(&server.kv, &plugin("a"), "x").await, Err(KvError::Damaged));
        moved("kv-space");
        assert_eq!(get(&server.kv, &plugin("a"), "x").await, Err(KvError::Damaged));
        assert_eq!(server.kv.run(plugin("a"), QUOTA, set("x", "3")).await, Err(KvError::Damaged));
        let listed = server.kv.run(plugin("a"), QUOTA, Operation::Names { prefix: String::new(), cursor: None }).await;
        assert_eq!(listed, Err(KvError::Damaged));
        // Whoever runs the server can remove it.
        assert_eq!(server.kv.ask(Request::Clear { space: plugin("a") }).await, Ok(Answer::Changed(1)));
        server.set(plugin("a"), "x", "4").await;
    }
}

#[tokio::test]
async fn an_emptied_store_is_an_error_and_not_an_empty_one() {
    let redis = TestRedis::start();
    let server = Server::of(&redis).await;
    server.set(plugin("a"), "x", "1").await;
    redis.ask(&["FLUSHALL"]);
    let lost = KvError::Unavailable("its store has lost what was in it".to_owned());
    assert_eq!(get(&server.kv, &plugin("a"), "x").await, Err(lost.clone()));
    assert_eq!(server.kv.run(plugin("a"), QUOTA, set("x", "2")).await, Err(lost.clone()));
    for request in [
        Request::Owners { plugin: "a".to_owned() },
        Request::Spaces { after: None },
        Request::Clear { space: plugin("a") },
        Request::Move { from: "a".to_owned(), to: "b".to_owned() },
    ] {
        assert_eq!(server.kv.ask(request).await, Err(lost.clone()));
    }
}

#[tokio::test]
async fn a_change_of_the_root_key_is_followed() {
    let redis = TestRedis::start();
    Server::of(&redis).await.set(plugin("a"), "x", "1").await;
    let of = async |secret, previous: &[&str]| {
        let server = Server::with(&redis, "tinymcp", secret, previous).await;
        get(&server.kv, &plugin("a"), "x").await
    };
    let repair = Err(KvError::Unavailable("its store has to be repaired".to_owned()));
    assert_eq!(of(OTHER_SECRET, &[]).await, repair);
    assert_eq!(of(OTHER_SECRET, &[SECRET]).await, Ok(Some("1".to_owned())));
    // It was sealed anew: the earlier one is not needed any more.
    assert_eq!(of(OTHER_SECRET, &[]).await, Ok(Some("1".to_owned())));
    assert_eq!(of(SECRET, &[]).await, repair);
}

#[tokio::test]
async fn a_key_that_is_gone_is_not_replaced() {
    let redis = TestRedis::start();
    let server = Server::of(&redis).await;
    server.set(plugin("a"), "x", "1").await;
    redis.ask(&["DEL", "tinymcp:{00}:kv-key"]);
    let other = Server::of(&redis).await;
    let repair = KvError::Unavailable("its store has to be repaired".to_owned());
    assert_eq!(get(&other.kv, &plugin("a"), "x").await, Err(repair.clone()));
    assert_eq!(other.kv.run(plugin("b"), QUOTA, set("x", "2")).await, Err(repair.clone()));
    // Nor is anything taken that another key has sealed.
    by_hand(&redis, "kv-id", "redis.call('SET', key, 'another.')");
    assert_eq!(get(&server.kv, &plugin("a"), "x").await, Err(repair));
}

#[tokio::test]
async fn servers_that_begin_at_once_have_one_key() {
    let redis = TestRedis::start();
    let servers = futures::future::join_all((0..6).map(|_| Server::of(&redis))).await;
    let mut writers = JoinSet::new();
    for (number, server) in servers.iter().enumerate() {
        let kv = server.kv.clone();
        writers.spawn(async move { kv.run(plugin("a"), QUOTA, set(&number.to_string(), "x")).await.unwrap() });
    }
    writers.join_all().await;
    assert_eq!(names(&servers[0].kv, &plugin("a"), "", None).await.0.len(), 6);
}

#[tokio::test]
async fn no_key_tells_whose_it_is_and_no_value_what_it_is() {
    let redis = TestRedis::start();
    let server = Server::of(&redis).await;
    server.set(person("notebook", 7), "title", "a secret word").await;
    let lua = "local found = {}
        for _, key in ipairs(redis.call('KEYS', '*')) do
          local all = {key}
          local kind = redis.call('TYPE', key).ok
          if kind == 'string' then all[2] = redis.call('GET', key) end
          if kind == 'hash' then for _, value in ipairs(redis.call('HVALS', key)) do all[#all + 1] = value end end
          for _, text in ipairs(all) do
            for _, word in ipairs(ARGV) do
              if string.find(text, word, 1, true) then found[#found + 1] = word end
            end
          end
        end
        return found";
    let found = redis.ask(&["EVAL", lua, "0", "notebook", "subject-7", "id.example", "a secret word"]);
    assert_eq!(found, ::redis::Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_sweep_gives_memory_back() {
    let redis = TestRedis::start();
    let server = Server::of(&redis).await;
    server.stop.cancel();
    let entries = (0..700).map(|number| (number.to_string(), value("x"))).collect();
    let mortal = Operation::Set { entries, ttl: Some(Duration::ZERO) };
    server.kv.run(plugin("a"), QUOTA, mortal).await.unwrap();
    server.set(plugin("a"), "stays", "x").await;
    let (opened, at) = server.at(&plugin("a")).await;
    let of_plugin = async || {
        let all = server.shared.all(&opened).await.unwrap();
        all.iter().map(|found| (found.entries, found.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(of_plugin().await[0].0, 701);
    server.shared.sweep(at.place()).await.unwrap();
    assert_eq!(of_plugin().await, [(1, ENTRY_BYTES + 6)]);
    let due = server.shared.step(&opened, at.place()).key(server.shared.redis.key(at.place(), DUE, b"")).number(10);
    assert!(server.shared.run(&server.shared.scripts.due, at.place(), due).await.unwrap().is_empty());
}

/// More has expired than one step removes, and all of its room is needed.
#[tokio::test]
async fn room_is_made_in_several_steps() {
    let redis = TestRedis::start();
    let server = Server::of(&redis).await;
    let quota = 600 * (ENTRY_BYTES + 4);
    let entries = |letter: &str| (0..600).map(|number| (format!("{letter}{number:03}"), value(""))).collect();
    let mortal = Operation::Set { entries: entries("a"), ttl: Some(Duration::ZERO) };
    server.kv.run(plugin("a"), quota, mortal).await.unwrap();
    let lasting = Operation::Set { entries: entries("b"), ttl: None };
    assert_eq!(server.kv.run(plugin("a"), quota, lasting).await, Ok(Outcome::Done));
    assert_eq!(used(&server.kv, "a").await, quota);
}

/// Where memory is full, what only removes is still done.
#[tokio::test]
async fn a_full_memory_is_an_error_and_makes_room() {
    let redis = TestRedis::start();
    let server = Server::of(&redis).await;
    server.set(plugin("a"), "x", "1").await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let full = server.kv.run(plugin("a"), QUOTA, set("y", "2")).await;
    assert!(matches!(full, Err(KvError::Unavailable(_))), "{full:?}");
    assert_eq!(get(&server.kv, &plugin("a"), "x").await, Ok(Some("1".to_owned())));
    let gone = Operation::Delete { names: vec!["x".to_owned()] };
    assert_eq!(server.kv.run(plugin("a"), QUOTA, gone).await, Ok(Outcome::Deleted(1)));
    assert_eq!(server.kv.ask(Request::Clear { space: plugin("a") }).await, Ok(Answer::Changed(0)));
}

#[tokio::test]
async fn a_move_that_broke_off_is_gone_on_with() {
    let redis = TestRedis::start();
    let server = Server::of(&redis).await;
    let shift = async || server.kv.ask(Request::Move { from: "old".to_owned(), to: "new".to_owned() }).await;
    for id in 1..=3 {
        server.set(person("old", id), "x", &id.to_string()).await;
    }
    let (opened, source) = server.at(&person("old", 1)).await;
    let (_, target) = server.at(&person("new", 1)).await;
    // It breaks off after one space was put there, and before it was removed here; and with the next one frozen.
    let note = server.shared.redis.key(Place(0), "kv-handing", &opened.sealer.name_of_two("old", "new"));
    server.shared.asked(&server.shared.scripts.make_key, Step::default().key(note).argument("1")).await.unwrap();
    let head = server.shared.freeze(&opened, source).await.unwrap().unwrap();
    let sealed = head.open(&opened.sealer, source).unwrap().sealed;
    let (copy, entries) = server.shared.copy(&opened, source, target).await.unwrap();
    let seal = opened.sealer.seal_named(&target.name, "new", &sealed);
    let put = Head { version: layout::new_version(), seal, ..head };
    assert_eq!(server.shared.install(&opened, target, copy, &put, entries).await, Ok(Written::Done));
    // Its answer may be lost.
    assert_eq!(server.shared.install(&opened, target, copy, &put, entries).await, Ok(Written::Done));
    let (_, next) = server.at(&person("old", 2)).await;
    server.shared.freeze(&opened, next).await.unwrap();
    // What is read goes on; what is written waits for the operator.
    assert_eq!(get(&server.kv, &person("old", 2), "x").await, Ok(Some("2".to_owned())));
    let refused = server.kv.run(person("old", 2), QUOTA, set("x", "3")).await.unwrap_err();
    assert!(refused.to_string().contains("tinymcp kv OLD move NEW"), "{refused}");
    server.set(person("new", 1), "y", "since").await;
    assert_eq!(shift().await, Ok(Answer::Changed(3)));
    for id in 1..=3 {
        assert_eq!(get(&server.kv, &person("new", id), "x").await, Ok(Some(id.to_string())));
        assert_eq!(get(&server.kv, &person("old", id), "x").await, Ok(None));
        server.set(person("new", id), "x", "written").await;
    }
    assert_eq!(get(&server.kv, &person("new", 1), "y").await, Ok(Some("since".to_owned())));
    assert_eq!(shift().await, Err(KvError::Occupied("new".to_owned())));
    assert!(by_hand(&redis, "-copy", "error('a copy is left')").contains("done"));
}

/// A copy has all of a space: many entries, lives, turns and what may be read by prefix.
#[tokio::test]
async fn a_move_takes_everything_along() {
    let redis = TestRedis::start();
    let server = Server::of(&redis).await;
    let quota = 8 * QUOTA;
    let large = "x".repeat(700_000);
    for name in ["c", "b", "a"] {
        server.kv.run(plugin("old"), quota, set(name, &large)).await.unwrap();
    }
    let entries = (0..900).map(|number| (format!("n{number:03}"), value("x"))).collect();
    let mortal = Operation::Set { entries, ttl: Some(Duration::from_secs(600)) };
    server.kv.run(plugin("old"), quota, mortal).await.unwrap();
    let before = used(&server.kv, "old").await;
    let listed = async |name: &str| {
        let in_turn = server.kv.run(plugin(name), quota, Operation::NamesInTurn { cursor: None }).await;
        (in_turn, names(&server.kv, &plugin(name), "n1", None).await)
    };
    let lists = listed("old").await;
    let shifted = server.kv.ask(Request::Move { from: "old".to_owned(), to: "new".to_owned() }).await;
    assert_eq!(shifted, Ok(Answer::Changed(1)));
    assert_eq!((used(&server.kv, "new").await, used(&server.kv, "old").await), (before, 0));
    assert_eq!(listed("new").await, lists);
    assert_eq!(get(&server.kv, &plugin("new"), "b").await, Ok(Some(large)));
    let ends = by_hand(&redis, "kv-ends", "if redis.call('ZCARD', key) ~= 900 then error('lives are lost') end");
    assert!(ends.contains("done"), "{ends}");
}
