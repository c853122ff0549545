//! A plugin that writes in a loop keeps nobody waiting.

use std::time::{Duration, Instant};

use serde_json::json;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::world::{World, local};
use tokio::task::JoinSet;

/// Logins that are measured.
const LOGINS: usize = 20;

/// Times that they are measured beside writers.
const ROUNDS: usize = 4;

/// The time that a login takes, in the middle of several.
async fn login_time(world: &World) -> Duration {
    let mut times = Vec::new();
    for number in 0..LOGINS {
        let began = Instant::now();
        world.log_in(Kind::ClaudeCode, &format!("person-{number}")).await;
        times.push(began.elapsed());
    }
    times.sort();
    times[LOGINS / 2]
}

#[tokio::test]
async fn a_plugin_that_writes_in_a_loop_delays_no_login() {
    let config = "[plugin.state]\nkv = { per = 'person' }\ntimeout = '10m'\n";
    let world = World::of(local().plugin("state", &guest("state")).config(config)).await;
    let alone = login_time(&world).await;
    let mut writers = JoinSet::new();
    for number in 0..4 {
        let token = world.log_in(Kind::ClaudeCode, &format!("writer-{number}")).await.1.access;
        let client = world.modern(&token);
        writers.spawn(async move { client.try_call("state_write_on", json!({})).await });
    }
    // The server and the tests share their processors with other tests: what delays a login each time is the writers.
    let mut beside = login_time(&world).await;
    for _ in 1..ROUNDS {
        beside = beside.min(login_time(&world).await);
    }
    eprintln!("a login takes {alone:?} alone, and {beside:?} beside four writers");
    assert!(writers.try_join_next().is_none(), "the writers have written all the time");
    writers.abort_all();
    assert!(beside < alone + Duration::from_millis(50), "{alone:?} alone, {beside:?} beside writers");
    // What was written is bounded by the pace, the file by the quota.
    let file = std::fs::metadata(world.server.site().path().join(".tinymcp/kv/kv.db")).unwrap().len();
    assert!(file < 16 << 20, "{file} bytes");
}
