//! Several servers of one store, and a store that goes away, comes back, and forgets.

mod clients;
mod lock;
mod plugins;
mod renewals;
mod rollout;
mod split;
pub(crate) mod tasks;

use std::time::{Duration, Instant};

use tinymcp_tests::browser::Browser;
use tinymcp_tests::command::run;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::redis::Redis;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::{until, world};
use url::Url;

const SECRET: &str = "a secret that all servers of this test share";

/// Two servers of one store, which publish the URL of the first.
struct Pair {
    redis: Redis,
    one: Server,
    other: Server,
    bases: [Url; 2],
}

impl Pair {
    async fn of(redis: Redis) -> Self {
        Self::with(redis, "").await
    }

    async fn with(redis: Redis, state: &str) -> Self {
        Self::with_plugins(redis, state, &[]).await
    }

    /// The same with guests as plugins.
    async fn with_plugins(redis: Redis, state: &str, guests: &[&str]) -> Self {
        let (first, second) = (world::local(), world::local());
        let bases = [first.base(), second.base()];
        let published = bases[0].as_str().trim_end_matches('/').to_owned();
        let configured = |site: Site| {
            let url = redis.url();
            let site = guests.iter().fold(site, |site, name| site.plugin(name, &guest(name)));
            site.config(&format!("[server]\nbase_url = \"{published}\"\n[state]\nurl = \"{url}\"\n{state}\n"))
                .variable("TINYMCP_SECRET", SECRET)
        };
        let one = configured(first).start().await;
        let other = configured(second).start().await;
        Self { redis, one, other, bases }
    }

    /// A client, and its tokens after somebody has logged in through the first server; and the same client through the other.
    async fn log_in(&self) -> (OAuthClient, OAuthClient, Tokens) {
        let client = OAuthClient::register(&self.bases[0], Kind::ClaudeCode).await;
        let tokens = client.log_in(&mut Browser::of("alice")).await;
        let elsewhere = client.through(&self.bases[1]);
        (client, elsewhere, tokens)
    }
}

/// A site whose server keeps in this store what servers share.
fn sharing(redis: &Redis, config: &str) -> Site {
    let url = redis.url();
    let site = Site::new().config(&format!("{config}[state]\nurl = \"{url}\"\n")).variable("TINYMCP_SECRET", SECRET);
    // For commands.
    std::fs::write(site.path().join(".env"), format!("TINYMCP_SECRET=\"{SECRET}\"\n")).unwrap();
    site
}

/// The time that a token lives on.
async fn dies_within(client: &OAuthClient, token: &str, most: Duration) {
    let begin = Instant::now();
    while client.is_live(token).await {
        assert!(begin.elapsed() < most, "alive after {:?}", begin.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_begins_at_one_server_goes_on_at_another_and_ends_at_both() {
    let pair = Pair::of(Redis::durable()).await;
    let (here, there, tokens) = pair.log_in().await;
    assert!(here.is_live(&tokens.access).await && there.is_live(&tokens.access).await);
    let renewed = there.renew(&tokens.refresh).await;
    assert!(here.is_live(&renewed.access).await && there.is_live(&renewed.access).await);
    assert_eq!(here.revoke(&renewed.access).await.status, 200);
    dies_within(&there, &renewed.access, Duration::from_secs(1)).await;
    let again = here.renew(&renewed.refresh).await;
    assert!(here.is_live(&again.access).await && there.is_live(&again.access).await);
    assert_eq!(there.revoke(&again.refresh).await.status, 200);
    dies_within(&here, &again.access, Duration::from_secs(1)).await;
    assert_eq!(here.try_renew(&again.refresh).await.status, 400);
}

#[tokio::test]
async fn of_redemptions_at_two_servers_one_wins() {
    let pair = Pair::of(Redis::durable()).await;
    let here = OAuthClient::register(&pair.bases[0], Kind::Cursor).await;
    let there = here.through(&pair.bases[1]);
    for _ in 0..8 {
        let code = here.code(&mut Browser::of("alice")).await;
        let (one, other) = tokio::join!(here.try_redeem(&code), there.try_redeem(&code));
        let statuses = [one.status, other.status];
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    }
}

#[tokio::test]
async fn refreshes_at_two_servers_get_one_answer() {
    let pair = Pair::of(Redis::durable()).await;
    let (here, there, mut tokens) = pair.log_in().await;
    for _ in 0..8 {
        let (one, other) = tokio::join!(here.try_renew(&tokens.refresh), there.try_renew(&tokens.refresh));
        let (one, other) = (Tokens::of(&one), Tokens::of(&other));
        assert_eq!(one.refresh, other.refresh);
        tokens = one;
    }
    assert!(there.is_live(&tokens.access).await);
}

#[tokio::test]
async fn who_is_blocked_at_one_server_is_at_all() {
    let pair = Pair::of(Redis::durable()).await;
    let (here, there, tokens) = pair.log_in().await;
    assert!(here.is_live(&tokens.access).await && there.is_live(&tokens.access).await);
    let blocked = pair.one.site().run(&["people", "block", "alice"]);
    assert!(blocked.code == 0, "{blocked:?}");
    dies_within(&there, &tokens.access, Duration::from_secs(1)).await;
    dies_within(&here, &tokens.access, Duration::from_secs(1)).await;
    let unblocked = pair.other.site().run(&["people", "unblock", "alice"]);
    assert!(unblocked.code == 0, "{unblocked:?}");
    until("alice is let in again", async || {
        let client = OAuthClient::register(&pair.bases[0], Kind::Cursor).await;
        let tokens = client.log_in(&mut Browser::of("alice")).await;
        client.is_live(&tokens.access).await
    })
    .await;
}

/// A machine on which no server runs has what servers share, and tells them what it changes.
#[tokio::test]
async fn a_command_without_a_server_reaches_all() {
    let pair = Pair::of(Redis::durable()).await;
    let (here, there, tokens) = pair.log_in().await;
    assert!(here.is_live(&tokens.access).await && there.is_live(&tokens.access).await);
    let (url, published) = (pair.redis.url(), pair.bases[0].as_str().trim_end_matches('/').to_owned());
    let shared = format!("[server]\nbase_url = \"{published}\"\n[state]\nurl = \"{url}\"\n");
    let elsewhere = world::local().config(&shared);
    std::fs::write(elsewhere.path().join(".env"), format!("TINYMCP_SECRET=\"{SECRET}\"\n")).unwrap();
    let sessions = elsewhere.run(&["sessions", "--json"]);
    assert!(sessions.code == 0 && sessions.stdout.contains("alice"), "{sessions:?}");
    let ended = elsewhere.run(&["sessions", "end", "alice"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    dies_within(&here, &tokens.access, Duration::from_secs(1)).await;
    dies_within(&there, &tokens.access, Duration::from_secs(1)).await;
    let made = elsewhere.run(&["token", "new", "job", "--scopes", "", "--expires", "1h"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(here.is_live(made.stdout.trim()).await && there.is_live(made.stdout.trim()).await);
}

#[tokio::test]
async fn while_the_store_is_away_what_was_verified_goes_on_and_nothing_begins() {
    let mut pair = Pair::of(Redis::durable()).await;
    let (here, there, tokens) = pair.log_in().await;
    assert!(here.is_live(&tokens.access).await && there.is_live(&tokens.access).await);
    pair.redis.kill();
    for client in [&here, &there] {
        assert!(client.is_live(&tokens.access).await);
        let refused = client.try_renew(&tokens.refresh).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
    }
    pair.redis.revive();
    let back = Instant::now();
    let renewed = loop {
        let answer = there.try_renew(&tokens.refresh).await;
        if answer.status == 200 {
            break Tokens::of(&answer);
        }
        assert!(back.elapsed() < Duration::from_secs(1), "{answer:?}");
    };
    assert!(here.is_live(&renewed.access).await);
}

#[tokio::test]
async fn a_frozen_store_holds_nobody_up_for_long() {
    let pair = Pair::of(Redis::durable()).await;
    let (here, _, tokens) = pair.log_in().await;
    assert!(here.is_live(&tokens.access).await);
    pair.redis.freeze(true);
    pair.one.log.wait_for("the shared store is away").await;
    let began = Instant::now();
    assert!(here.is_live(&tokens.access).await);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(here.try_renew(&tokens.refresh).await.status, 503);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    pair.redis.freeze(false);
    until("the store is back", async || here.try_renew(&tokens.refresh).await.status == 200).await;
}

#[tokio::test]
async fn with_nothing_stale_a_store_that_is_away_stops_everything() {
    let mut pair = Pair::with(Redis::durable(), "stale = \"0s\"").await;
    let (here, _, tokens) = pair.log_in().await;
    assert!(here.is_live(&tokens.access).await);
    pair.redis.kill();
    let call =
        || here.request("POST", "/mcp").json(&tinymcp_tests::client::initialize("2025-11-25")).bearer(&tokens.access);
    until("calls are refused", async || call().send().await.status == 503).await;
}

/// The last writes are lost: the redemption of a code, and a refresh.
#[tokio::test]
async fn a_store_that_forgets_gives_no_second_grant_and_ends_no_honest_session() {
    let mut pair = Pair::of(Redis::forgetful()).await;
    let here = OAuthClient::register(&pair.bases[0], Kind::Cursor).await;
    let there = here.through(&pair.bases[1]);

    let code = here.code(&mut Browser::of("alice")).await;
    pair.redis.save();
    let tokens = here.redeem(&code).await;
    pair.redis.kill();
    pair.redis.revive();
    for client in [&here, &there] {
        until("the code is refused", async || client.try_redeem(&code).await.status == 400).await;
    }
    let tokens = there.renew(&tokens.refresh).await;
    assert!(here.is_live(&tokens.access).await);

    pair.redis.save();
    let lost = here.renew(&tokens.refresh).await;
    let lost = there.renew(&lost.refresh).await;
    pair.redis.kill();
    pair.redis.revive();
    until("the store is back", async || here.try_renew("tmcp_rt_none").await.status == 400).await;
    let found = here.renew(&lost.refresh).await;
    assert!(there.is_live(&found.access).await);
    // It was taken once: what comes again is a retry, and gets the same answer.
    assert_eq!(there.renew(&lost.refresh).await.refresh, found.refresh);
    let next = there.renew(&found.refresh).await;
    // Anything older is theft.
    assert_eq!(here.try_renew(&tokens.refresh).await.status, 400);
    dies_within(&there, &next.access, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_was_ended_is_ended_again_where_the_store_has_forgotten_it() {
    let mut pair = Pair::of(Redis::forgetful()).await;
    let (here, there, tokens) = pair.log_in().await;
    pair.redis.save();
    assert_eq!(here.revoke(&tokens.refresh).await.status, 200);
    pair.redis.kill();
    pair.redis.revive();
    dies_within(&here, &tokens.access, Duration::from_secs(2)).await;
    dies_within(&there, &tokens.access, Duration::from_secs(2)).await;
    until("the session is gone", async || there.try_renew(&tokens.refresh).await.status == 400).await;
}

/// An access token that its client revoked and goes on without, and an operator's token.
#[tokio::test]
async fn what_was_revoked_alone_is_revoked_again_where_the_store_has_forgotten_it() {
    let mut pair = Pair::of(Redis::forgetful()).await;
    let (here, there, tokens) = pair.log_in().await;
    let operate = |arguments: &[&str]| {
        let done = pair.one.site().run(arguments);
        assert_eq!(done.code, 0, "{done:?}");
        done.stdout.trim().to_owned()
    };
    let job = operate(&["token", "new", "job", "--scopes", "", "--expires", "1h"]);
    let kept = operate(&["token", "new", "kept", "--scopes", "", "--expires", "1h"]);
    pair.redis.save();
    assert_eq!(here.revoke(&tokens.access).await.status, 200);
    operate(&["token", "revoke", "job"]);
    pair.redis.kill();
    pair.redis.revive();
    for server in [&pair.one, &pair.other] {
        server.log.wait_for("another server of the shared store writes now").await;
    }
    let revived = Instant::now();
    for (client, token) in [(&here, &tokens.access), (&there, &tokens.access), (&here, &job), (&there, &job)] {
        // It may have been read once more before it was revoked again; then it stays dead.
        let mut died = None::<Instant>;
        while died.is_none_or(|died| died.elapsed() < Duration::from_secs(1)) {
            died = if client.is_live(token).await { None } else { Some(died.unwrap_or_else(Instant::now)) };
            assert!(revived.elapsed() < Duration::from_secs(10), "it lives again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // All else goes on.
    assert!(here.is_live(&kept).await && there.is_live(&kept).await);
    let renewed = there.renew(&tokens.refresh).await;
    assert!(here.is_live(&renewed.access).await && there.is_live(&renewed.access).await);
}

#[tokio::test]
async fn an_emptied_store_is_an_error() {
    let pair = Pair::of(Redis::durable()).await;
    let (here, _, tokens) = pair.log_in().await;
    pair.redis.ask(&["FLUSHALL"]);
    assert_eq!(here.try_renew(&tokens.refresh).await.status, 503);
    pair.one.log.wait_for("its mark is gone").await;
}

#[tokio::test]
async fn forged_messages_are_dropped_and_servers_that_differ_are_named() {
    let redis = Redis::durable();
    let pair = Pair::of(redis).await;
    pair.redis.ask(&["PUBLISH", "tinymcp:tell:all", "a message of a stranger, long enough to have a head and a seal"]);
    pair.one.log.wait_for("not of a server with this root key").await;
    let details = |server: &Server| {
        let url: Url = format!("http://127.0.0.1:{}", server.address.port()).parse().unwrap();
        tinymcp_tests::http::Request::to(&url.join("/readyz?details").unwrap(), "GET")
    };
    until("the other is known", async || {
        details(&pair.one).send().await.json()["others"].as_array().is_some_and(|others| others.len() == 1)
    })
    .await;
    let answer = details(&pair.one).send().await.json();
    assert_eq!(answer["differences"], serde_json::json!([]), "{answer}");
    // By a name it says what any page may know.
    let by_name = tinymcp_tests::http::Request::to(&pair.bases[0].join("/readyz?details").unwrap(), "GET");
    assert!(by_name.send().await.json().get("others").is_none());
}

#[tokio::test]
async fn a_server_without_the_shared_key_does_not_start() {
    let redis = Redis::durable();
    let url = redis.url();
    let refused = world::local().config(&format!("[state]\nurl = \"{url}\"\n")).refusal();
    assert!(refused.stderr.contains("TINYMCP_SECRET"), "{refused:?}");
    for (url, cure) in [
        ("redis://10.0.0.1:6379", "rediss://"),
        ("rediss://10.0.0.1:6379", "password"),
        ("http://localhost", "redis or rediss"),
    ] {
        let refused = world::local().config(&format!("[state]\nurl = \"{url}\"\n")).variable("TINYMCP_SECRET", SECRET);
        let refused = refused.refusal();
        assert!(refused.stderr.contains(cure), "{refused:?}");
    }
}

/// The store is another one after a failover or a restart, with settings of its own.
#[tokio::test]
async fn a_store_that_begins_to_throw_keys_away_is_named() {
    let mut redis = Redis::durable();
    let server = sharing(&redis, "").start().await;
    redis.kill();
    redis.revive();
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    server.log.wait_for("set `maxmemory-policy noeviction`").await;
    let details = server.get("/readyz?details").await;
    assert!(details.text().contains("maxmemory-policy"), "{details:?}");
}

#[test]
fn doctor_looks_at_the_shared_store_and_makes_none() {
    let mut redis = Redis::durable();
    let site = sharing(&redis, "");
    let said = |site: &Site| {
        let findings: serde_json::Value = serde_json::from_str(&site.run(&["doctor", "--json"]).stdout).unwrap();
        let found =
            findings["findings"].as_array().unwrap().iter().find(|finding| finding["subject"] == "shared store");
        let found = found.unwrap_or_else(|| panic!("{findings}"));
        format!("{} {}", found["verdict"].as_str().unwrap(), found["seen"].as_str().unwrap())
    };
    assert!(said(&site).starts_with("ok redis://") && said(&site).contains("the first server makes one"));
    assert_eq!(redis.ask(&["DBSIZE"]), "0");
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert!(
        said(&site).starts_with("fail") && said(&site).contains("set `maxmemory-policy noeviction`"),
        "{}",
        said(&site)
    );
    redis.kill();
    let begin = Instant::now();
    assert!(said(&site).starts_with("fail"), "{}", said(&site));
    assert!(begin.elapsed() < Duration::from_secs(15));
}

/// What the next start would stumble over is seen before, and nothing is changed by looking.
#[tokio::test]
async fn doctor_sees_another_key_a_lost_store_and_missing_rights() {
    let redis = Redis::durable();
    let site = sharing(&redis, "");
    let dir = site.path().to_owned();
    let secret = |secret: &str| std::fs::write(dir.join(".env"), format!("TINYMCP_SECRET=\"{secret}\"\n")).unwrap();
    let said = || {
        let before = (redis.ask(&["DBSIZE"]), std::fs::read(dir.join(".tinymcp/shared-store.json")).ok());
        let findings: serde_json::Value = serde_json::from_str(&run(&dir, &["doctor", "--json"]).stdout).unwrap();
        let mut findings = findings["findings"].as_array().unwrap().iter();
        let found = findings.find(|finding| finding["subject"] == "shared store").unwrap();
        let after = (redis.ask(&["DBSIZE"]), std::fs::read(dir.join(".tinymcp/shared-store.json")).ok());
        assert_eq!(after, before);
        format!("{} {}", found["verdict"].as_str().unwrap(), found["seen"].as_str().unwrap())
    };
    // A machine that is new beside others has their key, or another.
    let other = sharing(&redis, "").start().await;
    assert!(said().starts_with("ok ") && said().contains("opens with this key"), "{}", said());
    secret("another secret, of which the others know nothing");
    assert!(said().starts_with("fail ") && said().contains("written under another key"), "{}", said());
    assert!(!dir.join(".tinymcp").exists());
    drop(other);
    secret(SECRET);
    let _site = site.start().await.kill();
    assert!(said().starts_with("ok "), "{}", said());
    // The store is the server's, and its user may do less than it did.
    redis.ask(&["ACL", "SETUSER", "default", "-evalsha"]);
    assert!(said().starts_with("fail ") && said().contains("lacks a right"), "{}", said());
    redis.ask(&["ACL", "SETUSER", "default", "+evalsha"]);
    redis.ask(&["FLUSHALL"]);
    assert!(said().starts_with("fail ") && said().contains("Redis was emptied"), "{}", said());
    assert_eq!(redis.ask(&["DBSIZE"]), "0");
}

/// Somebody waits for a command: it says soon that the store is away.
#[test]
fn a_command_does_not_wait_for_a_store_that_is_away() {
    let mut redis = Redis::durable();
    let site = sharing(&redis, "");
    redis.kill();
    let begin = Instant::now();
    let said = site.run(&["sessions"]);
    assert!(said.code == 1 && said.stderr.contains("cannot be reached"), "{said:?}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
