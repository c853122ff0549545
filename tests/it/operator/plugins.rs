//! `tinymcp plugin disable` and `enable`.

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::Site;
use tinymcp_tests::{until, until_within};

use super::{SOON, done, json as printed, refused};

/// Processor time that a process has taken, in hundredths of a second (`/proc/PID/stat`).
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn a_plugin_that_is_switched_off_is_gone_at_once_with_its_calls_and_stays_so() {
    let site = Site::with(&["hostile", "greeter-v1"]).config("[limits]\ntimeout = \"10m\"\n");
    let server = site.start().await;
    let client = Client::modern(&server);
    let mut stream = client.listen().await;
    let sleep = json!({ "name": "hostile_sleep_ms", "arguments": { "ms": 600_000 } });
    let spin = json!({ "name": "hostile_spin", "arguments": {} });
    let sleeping = tokio::spawn(client.request("tools/call", sleep).1.try_send());
    let spinning = tokio::spawn(client.request("tools/call", spin).1.try_send());
    // One that spins takes processor time, which is seen from outside.
    let before = cpu_ticks(server.pid());
    until("calls under way", async || cpu_ticks(server.pid()) > before + 50).await;
    let site = server.site();
    let begun = std::time::Instant::now();
    let said = done(site, &["plugin", "disable", "hostile.wasm"]).stderr;
    assert!(said.contains("is switched off"), "{said}");
    for call in [sleeping, spinning] {
        let answer = tokio::time::timeout(SOON, call).await.expect("a call goes on").unwrap().unwrap();
        assert!(answer.text().contains("switched off by whoever runs this server"), "{answer:?}");
    }
    eprintln!("out after {:?}", begun.elapsed());
    assert_eq!(stream.expect("a change").await["method"], "notifications/tools/list_changed");
    let names = client.tool_names().await;
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("greeter_v1")), "{names:?}");
    // It is seen wherever somebody looks for it.
    server.log.wait_for("plugin `hostile` is switched off").await;
    let listed = printed(site, &["list", "--json"]);
    let status = listed["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == "hostile").unwrap();
    assert!(status["disabled"] == true && status["problem"].as_str().unwrap().contains("plugin enable"), "{status}");
    assert!(server.get("/").await.text().contains("switched off by whoever runs this server"));
    // Over a kill and a start too, and a new file changes nothing.
    let server = server.kill().start().await;
    server.site().put("hostile.wasm", &guest("hostile"));
    let client = Client::modern(&server);
    assert!(client.tool_names().await.iter().all(|name| name.starts_with("greeter_v1")));
    let site = server.site();
    assert!(done(site, &["plugin", "disable", "hostile"]).stderr.contains("was switched off already"));
    assert!(done(site, &["plugin", "enable", "hostile"]).stderr.contains("is switched on again"));
    until_within(SOON, "the tools", async || client.tool_names().await.iter().any(|name| name == "hostile_now")).await;
    assert!(!client.call("hostile_now", json!({})).await.is_error);
    // Without a server too.
    let site = server.kill();
    done(&site, &["plugin", "disable", "greeter-v1"]);
    let server = site.start().await;
    let names = Client::modern(&server).tool_names().await;
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("hostile")), "{names:?}");
    let said = refused(server.site(), &["plugin", "disable", "hostle"]);
    assert!(said.contains("there is no plugin `hostle`; did you mean `hostile`?"), "{said}");
}
