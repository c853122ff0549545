//! Servers of two versions: when they agree on the later format, and what becomes of one that does not read it.

use std::time::{Duration, Instant};

use serde_json::Value;
use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::initialize;
use tinymcp_tests::cut::Way;
use tinymcp_tests::http::Request;
use tinymcp_tests::oauth::{Kind, OAuthClient};
use tinymcp_tests::redis::Redis;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::{until, until_within, world};

use super::SECRET;

/// The format of the later version.
const LATER: u8 = 2;

/// Time without a word after which a server counts as gone, and the time between two words.
const GONE_AFTER: Duration = Duration::from_secs(15);
const WORD_EVERY: Duration = Duration::from_secs(3);

/// A server of a store that is found at a port.
fn site(site: Site, base: &str, port: u16) -> Site {
    let url = format!("redis://127.0.0.1:{port}");
    let config = format!("[server]\nbase_url = \"{base}\"\n[state]\nurl = \"{url}\"\n");
    site.config(&config).variable("TINYMCP_SECRET", SECRET)
}

/// Those who hold the later format back, as a server sees it.
async fn holding(server: &Server) -> usize {
    let details = Request::new(server.address, "GET", "/readyz?details").send().await.json();
    details["format"]["held_back_by"].as_array().map_or(0, Vec::len)
}

/// It is no goodbye to be cut off: whoever is silent holds the format back for as long as it may come back. One that comes back
/// later finds a format that it does not read.
#[tokio::test]
async fn a_silent_server_holds_the_format_back_until_it_counts_as_gone_and_serves_nobody_then() {
    let redis = Redis::durable();
    let way = Way::to(redis.port).await;
    let (first, second) = (world::local(), world::local());
    let (here, there) = (first.base(), second.base());
    let published = here.as_str().trim_end_matches('/').to_owned();
    let earlier = site(first, &published, way.port).start().await;
    let later = site(second, &published, redis.port).of_later_version(LATER).start().await;
    let client = OAuthClient::register(&here, Kind::ClaudeCode).await;
    let tokens = client.log_in(&mut Browser::of("alice")).await;
    let elsewhere = client.through(&there);
    assert!(client.is_live(&tokens.access).await && elsewhere.is_live(&tokens.access).await);
    until("the later one knows of it", async || holding(&later).await == 1).await;

    way.cut(true);
    let cut = Instant::now();
    until_within(GONE_AFTER * 2, "the format is raised", async || redis.format() == LATER).await;
    assert!(cut.elapsed() > GONE_AFTER - WORD_EVERY - Duration::from_secs(1), "{:?}", cut.elapsed());
    let tokens = elsewhere.renew(&tokens.refresh).await;

    way.cut(false);
    earlier.log.wait_for("is written in format 2 from now on, and this server reads up to 1").await;
    assert_eq!(earlier.get("/readyz").await.status, 503);
    let refused = client.try_renew(&tokens.refresh).await;
    assert!(refused.status == 503 && !refused.header("retry-after").is_empty(), "{refused:?}");
    let called = client.request("POST", "/mcp").json(&initialize("2025-11-25")).bearer(&tokens.access).send().await;
    assert_eq!(called.status, 503, "{called:?}");
    let details: Value = Request::new(earlier.address, "GET", "/readyz?details").send().await.json();
    assert_eq!((&details["store"], &details["format"]["written"]), (&"written by a later version".into(), &2.into()));
    // It has done nothing to what it does not understand.
    let tokens = elsewhere.renew(&tokens.refresh).await;
    assert!(elsewhere.is_live(&tokens.access).await);
}

#[tokio::test]
async fn an_earlier_server_that_joins_meanwhile_holds_the_format_back() {
    let redis = Redis::durable();
    let (first, second) = (world::local(), world::local());
    let published = first.base().as_str().trim_end_matches('/').to_owned();
    let earlier = site(first, &published, redis.port).start().await;
    let later = site(second, &published, redis.port).of_later_version(LATER).start().await;
    until("the later one knows of it", async || holding(&later).await == 1).await;
    // As a power cut would: it says no goodbye.
    let place = earlier.kill();
    let killed = Instant::now();
    tokio::time::sleep(GONE_AFTER / 3).await;
    let mut again = place.start().await;
    until("both are known", async || holding(&later).await == 2).await;
    until_within(GONE_AFTER * 2, "the first is gone", async || holding(&later).await == 1).await;
    assert!(killed.elapsed() > GONE_AFTER - WORD_EVERY - Duration::from_secs(1), "{:?}", killed.elapsed());
    tokio::time::sleep(GONE_AFTER / 5).await;
    assert_eq!(redis.format(), 1);

    again.terminate();
    again.ended().await;
    until_within(Duration::from_secs(5), "the format is raised", async || redis.format() == LATER).await;
    let refused = again.kill().refusal();
    assert!(refused.code == 2 && refused.stderr.contains("has format 2"), "{refused:?}");
}
