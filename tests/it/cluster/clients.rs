//! Clients that were not written here, through the load balancer: nothing tells them that there are several servers.

use tinymcp_tests::command::{browser, finish, report, script, tool};
use tinymcp_tests::guests::{guest, shipped, tests_dir};
use tinymcp_tests::server::Site;
use tinymcp_tests::world;

use super::Cluster;

const NODE: &str = "node/node_modules/.bin/node";
const PYTHON: &str = "python/bin/python";

/// Both eras: sessions, streams, questions, cancellation, progress and tasks, each request at another server than the last.
#[tokio::test]
async fn the_official_suite_passes_in_both_eras() {
    let site = || Site::new().fixed().plugin("everything", &guest("everything"));
    let cluster = Cluster::of(site, "[plugin.everything]\nenabled = true\nprefix = \"\"\n").await;
    let mut command = script("bash", "conformance.sh");
    command.args([&format!("{}mcp", cluster.balancer.base()), "2025-11-25", "2026-07-28"]);
    command.env("CONFORMANCE_RESULTS", tests_dir().join(".results/conformance-cluster"));
    let finished = tokio::task::spawn_blocking(move || finish(&mut command)).await.unwrap();
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
}

/// They log in, call, and renew their tokens, which live for some seconds.
#[tokio::test]
async fn official_clients_log_in_and_renew() {
    let site = || world::local().variable("TINYMCP_AUTH_ACCESS_TTL", "5s").plugin("add", &shipped("add"));
    let cluster = Cluster::of(site, "").await;
    let url = format!("{}mcp", cluster.balancer.base());
    let runs = [
        (NODE, "login.mjs", "legacy", &["unauthorized", "connect", "add", "renew"][..]),
        (NODE, "login.mjs", "modern", &["unauthorized", "connect", "add", "renew"]),
        (PYTHON, "python_login.py", "legacy", &["connect", "add", "renew"]),
        (PYTHON, "python_login.py", "modern", &["connect", "add", "renew"]),
    ];
    let running = runs.map(|(program, name, era, checks)| {
        let mut command = script(tool(program), name);
        command.args([&url, browser().to_str().unwrap(), era]);
        (tokio::task::spawn_blocking(move || report(&finish(&mut command))), checks)
    });
    for (client, checks) in running {
        assert_eq!(client.await.unwrap(), checks);
    }
}
