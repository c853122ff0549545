//! Several servers of one store change over together to what a new lock names.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tinymcp_tests::client::Client;
use tinymcp_tests::cut::Way;
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::{Answer, Request};
use tinymcp_tests::redis::Redis;
use tinymcp_tests::registry::{Registry, WASM};
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;

use super::sharing;

const V1: [&str; 2] = ["greeter_greet", "greeter_wait"];
const V2: [&str; 3] = ["greeter_greet", "greeter_part", "greeter_wait"];

/// A registry with two versions of a plugin, and a lock for each.
struct Published {
    registry: Registry,
    from: String,
    first: String,
    second: String,
}

impl Published {
    async fn new() -> Self {
        let registry = Registry::start().await;
        let from = format!("[plugin.greeter]\nfrom = \"{}\"\n", registry.at("org/greeter:1"));
        // Where an operator works, and no server runs.
        let desk = Site::new().config(&from);
        let mut locks = Vec::new();
        for version in ["greeter-v1", "greeter-v2"] {
            registry.put("org/greeter", "1", &[(WASM, &guest(version))]).await;
            let updated = desk.run(&["update"]);
            assert_eq!(updated.code, 0, "{updated:?}");
            locks.push(fs::read_to_string(desk.path().join("tinymcp.lock")).unwrap());
        }
        let [first, second] = locks.try_into().unwrap();
        Self { registry, from, first, second }
    }

    /// A server that serves the first version.
    async fn server(&self, redis: &Redis, config: &str) -> Server {
        let site = sharing(redis, &format!("{config}{}", self.from));
        lock(&site, &self.first);
        let server = site.start().await;
        Client::modern(&server).wait_for_tools(&V1).await;
        server
    }
}

/// Brings a lock, as a deployment does.
fn lock(site: &Site, text: &str) {
    let coming = site.path().join("coming.lock");
    fs::write(&coming, text).unwrap();
    fs::rename(coming, site.path().join("tinymcp.lock")).unwrap();
}

async fn tools(server: &Server) -> Vec<String> {
    Client::modern(server).tool_names().await
}

async fn ready(server: &Server) -> Answer {
    Request::new(server.address, "GET", "/readyz?details").send().await
}

/// Waits until all of these know of each other.
async fn are_known(servers: &[&Server]) {
    until("servers that know each other", async || {
        for server in servers {
            let details: Value = ready(server).await.json();
            if details["others"].as_array().unwrap().len() + 1 != servers.len() {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_lock_comes_into_force_on_all_servers_at_once() {
    let (redis, published) = (Redis::durable(), Published::new().await);
    let (one, other, late) =
        tokio::join!(published.server(&redis, ""), published.server(&redis, ""), published.server(&redis, ""));
    are_known(&[&one, &other, &late]).await;
    lock(one.site(), &published.second);
    lock(other.site(), &published.second);
    one.log.wait_for("at hand; other servers are waited for").await;
    other.log.wait_for("at hand; other servers are waited for").await;
    // Longer than a server takes that is alone.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for server in [&one, &other, &late] {
        assert_eq!(tools(server).await, V1);
        assert_eq!(ready(server).await.status, 200);
    }
    // A restart while it waits serves what it finds, and takes the others along; so no restart here.
    lock(late.site(), &published.second);
    let changed = async |server: &Server| {
        let begin = Instant::now();
        while tools(server).await != V2 {
            assert!(begin.elapsed() < Duration::from_secs(10), "it does not change over");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Instant::now()
    };
    let at = tokio::join!(changed(&one), changed(&other), changed(&late));
    let at = [at.0, at.1, at.2];
    let between = *at.iter().max().unwrap() - *at.iter().min().unwrap();
    assert!(between < Duration::from_secs(2), "{between:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_get_it_holds_nobody_up_and_is_not_ready() {
    let (redis, published) = (Redis::durable(), Published::new().await);
    let way = Way::to(published.registry.address.port()).await;
    let host = published.registry.host();
    let patient = "[plugins]\nupdate_wait = \"4s\"\n";
    let through = format!("{patient}[registry.\"{host}\"]\nmirror = \"127.0.0.1:{}\"\n", way.port);
    let one = published.server(&redis, patient).await;
    let behind = published.server(&redis, &through).await;
    are_known(&[&one, &behind]).await;
    way.cut(true);
    let begin = Instant::now();
    lock(behind.site(), &published.second);
    lock(one.site(), &published.second);
    Client::modern(&one).wait_for_tools(&V2).await;
    assert!(begin.elapsed() > Duration::from_secs(3), "it did not wait: {:?}", begin.elapsed());
    one.log.wait_for("have not got the plugins that the lock names after `plugins.update_wait`").await;
    // It says why no load balancer should choose it, and serves what it has.
    until("a server that says that it is behind", async || ready(&behind).await.status == 503).await;
    let details: Value = ready(&behind).await.json();
    assert_eq!(details["ahead"].as_array().map(Vec::len), Some(1), "{details}");
    assert_eq!(tools(&behind).await, V1);
    assert_eq!(ready(&one).await.status, 200);
    behind.log.wait_for("not all plugins that the lock names are at hand after `plugins.update_wait`").await;
    way.cut(false);
    Client::modern(&behind).wait_for_tools(&V2).await;
    until("a server that is ready again", async || ready(&behind).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_lock_is_named_and_stops_nobody() {
    let (redis, published) = (Redis::durable(), Published::new().await);
    let patient = "[plugins]\nupdate_wait = \"2s\"\n";
    let one = published.server(&redis, patient).await;
    let other = published.server(&redis, patient).await;
    are_known(&[&one, &other]).await;
    // Somebody tries the next version on one of them.
    lock(one.site(), &published.second);
    Client::modern(&one).wait_for_tools(&V2).await;
    other.log.wait_for("servers of one store differ: other plugins from registries").await;
    let details: Value = ready(&other).await.json();
    assert!(details["differences"].to_string().contains("other plugins from registries"), "{details}");
    assert_eq!((ready(&one).await.status, ready(&other).await.status), (200, 200));
    assert_eq!(tools(&other).await, V1);
    // The way back waits for nobody longer than that either.
    lock(one.site(), &published.first);
    Client::modern(&one).wait_for_tools(&V1).await;
}

/// A server whose state directory is new, as each of a rollout in containers: with the same lock, and with the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_is_not_ready_before_it_has_what_others_serve() {
    let (redis, published) = (Redis::durable(), Published::new().await);
    let one = published.server(&redis, "").await;
    let way = Way::to(published.registry.address.port()).await;
    let host = published.registry.host();
    let through = format!("[registry.\"{host}\"]\nmirror = \"127.0.0.1:{}\"\n", way.port);
    way.cut(true);
    let locks = [&published.first, &published.second];
    let mut new = Vec::new();
    for text in locks {
        let site = sharing(&redis, &format!("{through}{}", published.from)).variable("TINYMCP_PLUGINS_WAIT", "1s");
        lock(&site, text);
        new.push(site.launch().await);
    }
    let begin = Instant::now();
    new[1].log.wait_for("still being pulled or loaded after `plugins.wait`").await;
    while begin.elapsed() < Duration::from_secs(9) {
        for new in &new {
            assert_eq!(ready(new).await.status, 503, "{:?}", begin.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let details: Value = ready(&new[1]).await.json();
    assert_eq!(details["ahead"].as_array().map(Vec::len), Some(1), "{details}");
    way.cut(false);
    for (new, names) in new.iter().zip([&V1[..], &V2[..]]) {
        until("a server that is ready", async || ready(new).await.status == 200).await;
        assert_eq!(tools(new).await, names);
    }
    assert_eq!(tools(&one).await, V1);
}

/// It has nothing to go on with, and others have.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_damaged_lock_is_not_ready_beside_others() {
    let (redis, published) = (Redis::durable(), Published::new().await);
    let one = published.server(&redis, "").await;
    let site = sharing(&redis, &published.from);
    lock(&site, "<<<<<<< HEAD\n");
    let damaged = site.launch().await;
    damaged.log.wait_for("servers of one store differ: other plugins from registries").await;
    assert_eq!(ready(&damaged).await.status, 503);
    lock(damaged.site(), &published.first);
    until("a server that is ready", async || ready(&damaged).await.status == 200).await;
    assert_eq!(
        (tools(&damaged).await, tools(&one).await),
        (V1.map(String::from).to_vec(), V1.map(String::from).to_vec())
    );
}

/// It has the configuration, and nobody has brought its lock along.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_lock_lacks_what_others_serve_is_not_ready() {
    let (redis, published) = (Redis::durable(), Published::new().await);
    let one = published.server(&redis, "").await;
    let bare = sharing(&redis, &published.from).launch().await;
    bare.log.wait_for("lacked at its start what others serve, and it is not ready: `greeter`").await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(9) {
        assert_eq!(ready(&bare).await.status, 503, "{:?}", begin.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let details: Value = ready(&bare).await.json();
    assert_eq!(details["ahead"].as_array().map(Vec::len), Some(1), "{details}");
    assert!(details["differences"].to_string().contains("lacked at its start"), "{details}");
    assert_eq!(ready(&one).await.status, 200);
    lock(bare.site(), &published.first);
    until("a server that is ready", async || ready(&bare).await.status == 200).await;
    assert_eq!(tools(&bare).await, V1);
    // What is taken out of a lock later ends, and the server is ready: it may be meant.
    std::fs::remove_file(bare.site().path().join("tinymcp.lock")).unwrap();
    until("a plugin that ends", async || tools(&bare).await.is_empty()).await;
    assert_eq!(ready(&bare).await.status, 200);
}

/// Nobody has locked it, and then somebody tries a lock on one of them.
#[tokio::test(flavor = "multi_thread")]
async fn where_all_locks_lack_it_all_are_ready_and_stay_so() {
    let (redis, published) = (Redis::durable(), Published::new().await);
    let start = async || sharing(&redis, &format!("[plugins]\nupdate_wait = \"1s\"\n{}", published.from)).start().await;
    let (one, other) = tokio::join!(start(), start());
    are_known(&[&one, &other]).await;
    // Each has heard the other by now, and is a server of old.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!((ready(&one).await.status, ready(&other).await.status), (200, 200));
    lock(one.site(), &published.first);
    Client::modern(&one).wait_for_tools(&V1).await;
    other.log.wait_for("servers of one store differ: other plugins from registries").await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        assert_eq!((ready(&one).await.status, ready(&other).await.status), (200, 200), "{:?}", begin.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Only one of the servers gets another name for the plugin, and its lock a moment later.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missing_while_another_origin_waits_for_the_others() {
    let (redis, published) = (Redis::durable(), Published::new().await);
    let patient = "[plugins]\nupdate_wait = \"4s\"\n";
    let one = published.server(&redis, patient).await;
    let other = published.server(&redis, patient).await;
    are_known(&[&one, &other]).await;
    published.registry.put("org/greeter", "2", &[(WASM, &guest("greeter-v2"))]).await;
    let from = published.from.replace("org/greeter:1", "org/greeter:2");
    one.site().configure(&format!("{patient}{from}[state]\nurl = \"{}\"\n", redis.url()));
    let desk = Site::new().config(&from);
    assert_eq!(desk.run(&["update"]).code, 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    lock(one.site(), &fs::read_to_string(desk.path().join("tinymcp.lock")).unwrap());
    let begin = Instant::now();
    loop {
        let names = tools(&one).await;
        if names == V2 {
            break;
        }
        assert_eq!(names, V1);
        assert!(begin.elapsed() < Duration::from_secs(20), "it does not change over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begin.elapsed() > Duration::from_secs(2), "it did not wait");
    assert_eq!(tools(&other).await, V1);
}
