//! `tinymcp backup`, its restore as `docs/operations.md` has it, and `tinymcp check --against running`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::command::{finish, program, tinymcp};
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{World, local};

use super::{done, json as printed, refused, unpack};

const SHARED: &str = "[plugin.state]\nkv = { quota = '4MiB' }\n";

#[tokio::test]
async fn a_backup_under_load_is_whole_and_gives_everything_back() {
    let site = local().plugin("state", &guest("state")).plugin("greeter", &guest("greeter-v1")).config(SHARED);
    let world = World::of(site).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let mcp = world.modern(&tokens.access);
    mcp.call("state_set", json!({ "key": "kept", "value": "before" })).await;
    done(world.server.site(), &["plugin", "disable", "greeter"]);
    // Writers of both databases, all the while.
    let stop = Arc::new(AtomicBool::new(false));
    let (writing, reader) = (Arc::clone(&stop), mcp.clone());
    let writer = tokio::spawn(async move {
        let mut number = 0;
        while !writing.load(Ordering::Relaxed) {
            let pair = json!({ "key": format!("k{number}"), "value": "x".repeat(1000) });
            reader.call("state_set", pair).await;
            number += 1;
        }
        number
    });
    let (renewing, other) = (Arc::clone(&stop), world.register(Kind::Codex).await);
    let mut others = other.log_in(&mut tinymcp_tests::browser::Browser::of("bob")).await;
    let renewer = tokio::spawn(async move {
        while !renewing.load(Ordering::Relaxed) {
            others = other.renew(&others.refresh).await;
        }
    });
    let site = world.server.site();
    for name in ["one.tar", "two.tar"] {
        let path = site.path().join(name);
        let said = done(site, &["backup", path.to_str().unwrap()]).stderr;
        assert!(said.contains("while the server runs") && said.contains("keep it like a password"), "{said}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 0);
    renewer.await.unwrap();
    let left: Vec<String> = fs::read_dir(site.path().join(".tinymcp"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with(".backup"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let mut tar = std::process::Command::new("tar");
    let listed = finish(tar.current_dir(site.path()).args(["-tf", "two.tar"])).stdout;
    for expected in ["backup.json", "key", "store/store.db", "kv/kv.db", "names.json", "switched-off"] {
        assert!(listed.lines().any(|line| line == expected), "{expected}: {listed}");
    }
    assert!(!listed.contains("code") && !listed.contains("socket") && !listed.contains("lock"), "{listed}");

    // The restore, as the documents have it.
    mcp.call("state_set", json!({ "key": "kept", "value": "after" })).await;
    let site = world.server.kill();
    fs::rename(site.path().join(".tinymcp"), site.path().join("aside")).unwrap();
    fs::create_dir(site.path().join(".tinymcp")).unwrap();
    fs::set_permissions(site.path().join(".tinymcp"), fs::Permissions::from_mode(0o700)).unwrap();
    unpack(&site, "two.tar", &[]);
    let world = World::of(site).await;
    assert!(client.is_live(&tokens.access).await);
    let mcp = world.modern(&tokens.access);
    assert_eq!(mcp.value("state_get", json!({ "key": "kept" })).await, "before");
    client.renew(&tokens.refresh).await;
    let names = mcp.tool_names().await;
    assert!(names.iter().all(|name| !name.starts_with("greeter")), "what was switched off still is: {names:?}");
    let people = printed(world.server.site(), &["people", "--json"]);
    assert_eq!(people.as_array().unwrap().len(), 2, "{people}");
}

#[tokio::test]
async fn a_backup_goes_to_a_pipe_and_works_without_a_server() {
    let server = Site::with(&["state"]).config(SHARED).start().await;
    let client = Client::modern(&server);
    client.call("state_set", json!({ "key": "a", "value": "one" })).await;
    let site = server.kill();
    let mut command = tinymcp(site.path());
    let output = command.args(["backup", "-"]).stdout(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::write(site.path().join("piped.tar"), &output.stdout).unwrap();
    fs::remove_dir_all(site.path().join(".tinymcp")).unwrap();
    fs::create_dir(site.path().join(".tinymcp")).unwrap();
    unpack(&site, "piped.tar", &[]);
    let server = site.start().await;
    assert_eq!(Client::modern(&server).value("state_get", json!({ "key": "a" })).await, "one");
    let said = refused(server.site(), &["backup", "missing/state.tar"]);
    assert!(said.contains("backup not written"), "{said}");
    assert!(program().is_file());
}

#[tokio::test]
async fn a_configuration_is_compared_with_the_one_that_runs() {
    let server = Site::with(&["greeter-v1"]).config("[limits]\nrate = \"60/min\"\n").start().await;
    let site = server.site();
    assert!(done(site, &["check", "--against", "running"]).stderr.contains("has all of it"));
    let auth = "[auth]\nprovider = \"none\"\n";
    fs::write(
        site.path().join("next.toml"),
        format!(
            "{auth}access_ttl = \"2h\"\n[limits]\nrate = \"10/min\"\n[server]\ngrace = \"5s\"\n[plugin.greeter-v1]\nenabled = false\n"
        ),
    )
    .unwrap();
    let compare = |file: &str| printed(site, &["check", "--config", file, "--against", "running", "--json"]);
    let compared = compare("next.toml");
    assert_eq!(compared["live"], json!(["limits.rate", "plugin.greeter_v1"]), "{compared}");
    assert_eq!(compared["restart"], json!(["server.grace", "auth.access_ttl"]), "{compared}");
    let said = done(site, &["check", "--config", "next.toml", "--against", "running"]).stdout;
    assert!(said.contains("at once\n  limits.rate") && said.contains("after a restart\n  server.grace"), "{said}");
    let saids = refused(&Site::new(), &["check", "--against", "running"]);
    assert!(saids.contains("no server is running"), "{saids}");
}
