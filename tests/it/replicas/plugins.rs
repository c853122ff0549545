//! Several servers of one store decide about plugins as one: approvals, names, versions and rates.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::http::Request;
use tinymcp_tests::redis::Redis;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;

use super::{Pair, SECRET, sharing};

/// Tools of the guests `greeter-v1` and `greeter-v2` as the plugin `greeter`.
const V1: [&str; 2] = ["greeter_greet", "greeter_wait"];
const V2: [&str; 3] = ["greeter_greet", "greeter_part", "greeter_wait"];

const ON: &str = "[plugins]\napprove = true\n";

/// The name of what waits of a plugin, as soon as something does.
async fn reference(site: &Site, plugin: &str) -> String {
    let begin = Instant::now();
    loop {
        let shown = site.run(&["approve", plugin, "--json"]);
        if shown.code == 0 {
            let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
            return shown["waiting"]["reference"].as_str().unwrap().to_owned();
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{shown:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Approves what waits of a plugin.
async fn approve(site: &Site, plugin: &str) {
    let approved = site.run(&["approve", &reference(site, plugin).await]);
    assert_eq!(approved.code, 0, "{approved:?}");
}

/// Waits until a server has these tools, for a second.
async fn has_within_a_second(server: &Server, tools: &[&str]) {
    let (client, begin) = (Client::modern(server), Instant::now());
    loop {
        let names = client.tool_names().await;
        if names == tools {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(1), "{names:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a server has kept the bytes of two versions, which it does beside serving them.
async fn until_two_are_kept(server: &Server) {
    let folder = server.site().path().join(".tinymcp/approved");
    let is_code = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".wasm");
    until("two versions are kept", async || {
        let files = fs::read_dir(&folder).into_iter().flatten().flatten();
        files.filter(|file| is_code(&file.file_name())).count() == 2
    })
    .await;
}

#[tokio::test]
async fn an_approval_and_its_withdrawal_count_at_all_servers() {
    let redis = Redis::durable();
    let one = sharing(&redis, ON).plugin("greeter", &guest("greeter-v1")).start().await;
    let other = sharing(&redis, ON).plugin("greeter", &guest("greeter-v1")).start().await;
    assert!(Client::modern(&other).tool_names().await.is_empty());
    reference(other.site(), "greeter").await;
    approve(one.site(), "greeter").await;
    has_within_a_second(&one, &V1).await;
    has_within_a_second(&other, &V1).await;
    // Another version comes to both, and is approved on the other server.
    one.site().put("greeter.wasm", &guest("greeter-v2"));
    other.site().put("greeter.wasm", &guest("greeter-v2"));
    reference(one.site(), "greeter").await;
    approve(other.site(), "greeter").await;
    has_within_a_second(&other, &V2).await;
    has_within_a_second(&one, &V2).await;
    for server in [&one, &other] {
        until_two_are_kept(server).await;
    }
    // A server that starts anew finds it so, and serves what it has kept though its file is another.
    let site = one.kill();
    site.put("greeter.wasm", &guest("greeter-v1"));
    let one = site.start().await;
    assert_eq!(Client::modern(&one).tool_names().await, V2);
    // The first version is taken back on one: the other takes the second out of force, and serves the first, which it has kept.
    approve(one.site(), "greeter").await;
    has_within_a_second(&one, &V1).await;
    has_within_a_second(&other, &V1).await;
    let waits = other.site().run(&["approve"]);
    assert!(waits.stdout.contains("another file; the approved version is served"), "{waits:?}");
    let other = other.kill().start().await;
    assert_eq!(Client::modern(&other).tool_names().await, V1);
    // One that comes without anything of its own needs nobody to look once more.
    let third = sharing(&redis, ON).plugin("greeter", &guest("greeter-v1")).start().await;
    assert_eq!(Client::modern(&third).tool_names().await, V1);
}

#[tokio::test]
async fn a_command_where_no_server_runs_approves_for_all() {
    let redis = Redis::durable();
    let server = sharing(&redis, ON).plugin("greeter", &guest("greeter-v1")).start().await;
    let elsewhere = sharing(&redis, ON).plugin("greeter", &guest("greeter-v1"));
    // A state directory is there after a first start.
    let elsewhere = elsewhere.start().await.kill();
    let approved = elsewhere.run(&["approve", &reference(&elsewhere, "greeter").await]);
    assert!(approved.code == 0 && approved.stderr.contains("by every server of the shared store"), "{approved:?}");
    has_within_a_second(&server, &V1).await;
    // Commands see the same as servers.
    let called = elsewhere.run(&["call", "greeter_greet", r#"{"name":"Ada"}"#]);
    assert!(called.stdout.contains("v1 greets Ada"), "{called:?}");
}

#[tokio::test]
async fn what_a_server_approved_alone_it_brings_along() {
    let redis = Redis::durable();
    let alone = Site::new().config(ON).variable("TINYMCP_SECRET", SECRET).plugin("greeter", &guest("greeter-v1"));
    let alone = alone.start().await;
    approve(alone.site(), "greeter").await;
    let site = alone.kill();
    site.put("greeter.wasm", &guest("greeter-v2"));
    site.configure(&format!("{ON}[state]\nurl = \"{}\"\n", redis.url()));
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
    let other = sharing(&redis, ON).plugin("greeter", &guest("greeter-v1")).start().await;
    assert_eq!(Client::modern(&other).tool_names().await, V1);
}

#[tokio::test]
async fn what_was_served_when_approval_was_turned_on_counts_at_all_servers() {
    let redis = Redis::durable();
    let one = sharing(&redis, "").plugin("greeter", &guest("greeter-v1")).start().await;
    let other = sharing(&redis, "").plugin("greeter", &guest("greeter-v2")).start().await;
    let turn_on = |server: &Server| server.site().configure(&format!("{ON}[state]\nurl = \"{}\"\n", redis.url()));
    turn_on(&one);
    one.log.wait_for("configuration reloaded").await;
    until("it is on record", async || redis.ask(&["HEXISTS", "tinymcp:{00}:plugins", "approval greeter"]) == "1").await;
    assert_eq!(Client::modern(&one).tool_names().await, V1);
    // The other still asks for nothing.
    assert_eq!(Client::modern(&other).tool_names().await, V2);
    turn_on(&other);
    until("what nobody approved waits", async || Client::modern(&other).tool_names().await.is_empty()).await;
    approve(other.site(), "greeter").await;
    has_within_a_second(&other, &V2).await;
    // The first has no such file, and what it served is not approved any more.
    has_within_a_second(&one, &[]).await;
    one.site().put("greeter.wasm", &guest("greeter-v2"));
    Client::modern(&one).wait_for_tools(&V2).await;
}

#[tokio::test]
async fn without_the_store_nothing_is_approved_and_calls_go_on() {
    let mut redis = Redis::durable();
    let server = sharing(&redis, ON).plugin("greeter", &guest("greeter-v1")).start().await;
    approve(server.site(), "greeter").await;
    server.site().put("greeter.wasm", &marked(&guest("greeter-v1"), 1));
    let waiting = reference(server.site(), "greeter").await;
    redis.kill();
    let begin = Instant::now();
    let refused = server.site().run(&["approve", &waiting]);
    assert!(refused.code == 1 && refused.stderr.contains("not approved: Redis cannot be reached"), "{refused:?}");
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    let client = Client::modern(&server);
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    redis.revive();
    until("it is approved", async || server.site().run(&["approve", &waiting]).code == 0).await;
}

/// The answer of a tool that may not be there yet.
async fn y_greet(server: &Server) -> String {
    let called = Client::modern(server).try_call("y_greet", json!({ "name": "Ada" })).await;
    called.map_or_else(|error| error.to_string(), |called| called.text)
}

#[tokio::test]
async fn one_file_serves_a_name_on_all_servers() {
    let redis = Redis::durable();
    let config = "[plugin.a]\nprefix = \"x\"\n[plugin.b]\nprefix = \"x\"\n";
    let (v1, v2) = (guest("greeter-v1"), guest("greeter-v2"));
    let greeting = async |server: &Server| Client::modern(server).value("x_greet", json!({ "name": "Ada" })).await;
    let one = sharing(&redis, config).plugin("b", &v2).start().await;
    until("it is on record", async || redis.ask(&["HEXISTS", "tinymcp:{00}:plugins", "owners"]) == "1").await;
    // By the order of names the other would give them to `a`.
    let other = sharing(&redis, config).plugin("a", &v1).plugin("b", &v2).start().await;
    assert_eq!((greeting(&one).await, greeting(&other).await), (json!("v2 greets Ada"), json!("v2 greets Ada")));
    let listed = other.site().run(&["list", "--json"]);
    assert!(listed.stdout.contains("belongs to `b.wasm`"), "{listed:?}");
    // Two that find both at once, in whatever order, end with one.
    let put = |server: &Server, order: [&str; 2]| {
        for name in order {
            server.site().put(&format!("{name}.wasm"), if name == "c" { &v1 } else { &v2 });
        }
    };
    for server in [&one, &other] {
        server.site().configure(&format!(
            "[plugin.c]\nprefix = \"y\"\n[plugin.d]\nprefix = \"y\"\n{config}[state]\nurl = \"{}\"\n",
            redis.url()
        ));
        server.log.wait_for("configuration reloaded").await;
    }
    put(&one, ["c", "d"]);
    put(&other, ["d", "c"]);
    until("both give the name to one file", async || {
        let (one, other) = (y_greet(&one).await, y_greet(&other).await);
        one == other && one.contains("greets Ada")
    })
    .await;
    // Where its owner goes, the name goes to the other file.
    let owner = if Client::modern(&one).tool_names().await.iter().any(|name| name == "y_part") { "d" } else { "c" };
    for server in [&one, &other] {
        server.site().remove(&format!("{owner}.wasm"));
    }
    let expected = if owner == "d" { "v1 greets Ada" } else { "v2 greets Ada" };
    for server in [&one, &other] {
        until("the other file has the name", async || y_greet(server).await.contains(expected)).await;
    }
}

/// Two plugins that want the same names.
const SAME: &str = "[plugin.aa]\nprefix = \"same\"\n[plugin.bb]\nprefix = \"same\"\n";

const AA: &str = "v1 greets Ada";
const BB: &str = "v2 greets Ada";

/// The answer of the tool that both want; none where it is not served.
async fn same_greet(server: &Server) -> Option<String> {
    Client::modern(server).try_call("same_greet", json!({ "name": "Ada" })).await.ok().map(|called| called.text)
}

fn put_aa(server: &Server) {
    server.site().put("aa.wasm", &guest("greeter-v1"));
}

fn put_bb(server: &Server) {
    server.site().put("bb.wasm", &guest("greeter-v2"));
}

/// Waits until all give the name to one file, or to none.
async fn all_serve(servers: &[&Server], expected: Option<&str>) {
    for server in servers {
        until("it serves the name as all do", async || same_greet(server).await.as_deref() == expected).await;
    }
}

/// The same, and that it stays so.
async fn all_stay(servers: &[&Server], expected: Option<&str>) {
    all_serve(servers, expected).await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        for server in servers {
            assert_eq!(same_greet(server).await.as_deref(), expected);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn are_recorded(redis: &Redis) {
    until("they are on record", async || redis.ask(&["HEXISTS", "tinymcp:{00}:plugins", "owners"]) == "1").await;
}

#[tokio::test]
async fn a_name_is_of_the_file_that_had_it_first_wherever_that_came_first() {
    let redis = Redis::durable();
    let one = sharing(&redis, SAME).start().await;
    let other = sharing(&redis, SAME).start().await;
    let third = sharing(&redis, SAME).start().await;
    put_bb(&other);
    all_serve(&[&other], Some(BB)).await;
    are_recorded(&redis).await;
    // It has another program for the name, and does not serve it.
    put_aa(&one);
    one.log.wait_for("belongs to `bb.wasm`").await;
    one.log.wait_for("`bb.wasm` is not served here").await;
    all_stay(&[&one, &third], None).await;
    until("the difference is named", async || {
        let details = String::from_utf8_lossy(&Request::new(one.address, "GET", "/readyz?details").send().await.body)
            .into_owned();
        details.contains("more plugins that own names") && details.contains("bb.wasm")
    })
    .await;
    put_bb(&one);
    put_aa(&other);
    put_aa(&third);
    put_bb(&third);
    all_stay(&[&one, &other, &third], Some(BB)).await;
}

#[tokio::test]
async fn a_file_that_is_removed_on_one_server_keeps_its_name_until_it_is_gone_on_all() {
    let redis = Redis::durable();
    let one = sharing(&redis, SAME).plugin("bb", &guest("greeter-v2")).start().await;
    are_recorded(&redis).await;
    let other = sharing(&redis, SAME).plugin("bb", &guest("greeter-v2")).start().await;
    put_aa(&one);
    put_aa(&other);
    all_stay(&[&one, &other], Some(BB)).await;
    // Both have known each other for long enough by then.
    tokio::time::sleep(Duration::from_secs(7)).await;
    one.site().remove("bb.wasm");
    all_serve(&[&one], None).await;
    all_stay(&[&one], None).await;
    all_stay(&[&other], Some(BB)).await;
    let begin = Instant::now();
    other.site().remove("bb.wasm");
    all_stay(&[&one, &other], Some(AA)).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    // Where it comes back, it is a newcomer.
    put_bb(&one);
    put_bb(&other);
    all_stay(&[&one, &other], Some(AA)).await;
}

#[tokio::test]
async fn a_restart_gives_no_name_away() {
    let redis = Redis::durable();
    let with_aa = sharing(&redis, SAME).start().await;
    let with_bb = sharing(&redis, SAME).plugin("bb", &guest("greeter-v2")).start().await;
    are_recorded(&redis).await;
    put_aa(&with_aa);
    with_aa.log.wait_for("belongs to `bb.wasm`").await;
    // The server that alone has the owner is replaced, and the other one, too.
    let site = with_bb.kill();
    all_stay(&[&with_aa], None).await;
    let with_bb = site.start().await;
    all_stay(&[&with_bb], Some(BB)).await;
    all_stay(&[&with_aa], None).await;
    let site = with_aa.kill();
    site.put("bb.wasm", &guest("greeter-v2"));
    let with_aa = site.start().await;
    put_aa(&with_bb);
    all_stay(&[&with_aa, &with_bb], Some(BB)).await;
    // All are stopped, and come back without it: nobody says so, and its names are free after a while.
    let sites = [with_aa.kill(), with_bb.kill()];
    sites.iter().for_each(|site| site.remove("bb.wasm"));
    let [one, other] = sites;
    let (one, other) = (one.start().await, other.start().await);
    all_stay(&[&one, &other], None).await;
    let begin = Instant::now();
    all_stay(&[&one, &other], Some(AA)).await;
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn another_version_is_told_by_a_server_that_has_not_seen_the_one_before() {
    let redis = Redis::durable();
    let config = "[plugin.greeter]\nsecrets = { API_KEY = \"a value of a test\" }\n";
    let one = sharing(&redis, config).plugin("greeter", &guest("greeter-v1")).start().await;
    until("it is on record", async || redis.ask(&["HEXISTS", "tinymcp:{00}:plugins", "version greeter"]) == "1").await;
    // The same is no news.
    let same = sharing(&redis, config).plugin("greeter", &guest("greeter-v1")).start().await;
    assert!(!same.log.text().contains("another version"), "{}", same.log.text());
    let other = sharing(&redis, config).plugin("greeter", &guest("greeter-v2")).start().await;
    other.log.wait_for("another version of plugin `greeter` inherits").await;
    assert!(!one.log.text().contains("another version"), "{}", one.log.text());
}

#[tokio::test]
async fn what_a_person_calls_counts_at_all_servers() {
    let limits = "[limits]\nrate = \"8/h\"\n";
    let mut pair = Pair::with_plugins(Redis::durable(), limits, &["hostile"]).await;
    let (_, _, tokens) = pair.log_in().await;
    let [one, other] = [&pair.one, &pair.other].map(|server| Client::modern(server).with_token(&tokens.access));
    let calls = async |client: &Client, tries: usize| {
        let mut done = 0;
        for _ in 0..tries {
            done += usize::from(!client.call("hostile_now", json!({})).await.is_error);
        }
        done
    };
    assert_eq!((calls(&one, 3).await, calls(&other, 3).await), (3, 3));
    let refused = async |client: &Client| client.call("hostile_now", json!({})).await.text;
    pair.redis.kill();
    // Each has a share of four, of which three are used as far as it knows of the eight.
    until("the store is away", async || pair.one.log.text().contains("the shared store is away")).await;
    let given = calls(&one, 9).await + calls(&other, 9).await;
    assert!((1..=4).contains(&given), "{given}");
    pair.redis.revive();
    for server in [&pair.one, &pair.other] {
        server.log.wait_for("the shared store is back").await;
    }
    until("both know that all is used", async || {
        let said = [refused(&one).await, refused(&other).await];
        said.iter().all(|said| said.starts_with("too many calls: this plugin allows 8/h for each person"))
    })
    .await;
    // A restart forgets nothing.
    let Pair { one, redis: _redis, .. } = pair;
    let one = one.kill().start().await;
    let client = Client::modern(&one).with_token(&tokens.access);
    assert!(refused(&client).await.contains("too many calls"), "it is counted still");
}
