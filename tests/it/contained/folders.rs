//! Folders that a plugin was granted: what it may do in them, and what it may not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tinymcp_tests::client::{CallOutcome, Client};
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::{until, within};
use tokio::task::JoinSet;

/// A site with a folder `data`, and a plugin that may write there.
fn site(more: &str) -> Site {
    let site = Site::new().plugin("files", &guest("files"));
    fs::create_dir(site.path().join("data")).unwrap();
    let dirs = format!("[plugin.files]\ndirs = [{{ host = \"data\", guest = \"/data\", mode = \"rw\"{more} }}]\n");
    site.config(&dirs)
}

async fn started(more: &str) -> (Server, Client) {
    let server = site(more).start().await;
    let client = Client::modern(&server);
    (server, client)
}

/// Makes calls at the same time.
async fn at_once(client: &Arc<Client>, calls: impl Iterator<Item = (&'static str, Value)>) -> Vec<CallOutcome> {
    let mut set = JoinSet::new();
    for (tool, arguments) in calls {
        let client = Arc::clone(client);
        set.spawn(async move { client.call(tool, arguments).await });
    }
    within("calls at the same time", set.join_all()).await
}

/// True for the failure of a write through a stream. The interface says `quota` or `access`; the C library of Rust's
/// target asks for neither, and says that something failed.
fn is_failed_stream(said: &str) -> bool {
    ["Quota exceeded", "Permission denied", "Read-only file system", "I/O error"].iter().any(|text| said.contains(text))
}

fn held(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn a_plugin_works_with_the_files_of_its_folders() {
    let site = site(", quota = \"1MiB\"");
    fs::create_dir(site.path().join("texts")).unwrap();
    fs::write(site.path().join("texts/poem"), "of the operator").unwrap();
    let site = site.config(
        "[plugin.files]\ndirs = [{ host = \"data\", guest = \"/data\", mode = \"rw\", quota = \"1MiB\" }, { host = \"texts\", guest = \"/texts\" }]",
    );
    let server = site.start().await;
    let client = Client::modern(&server);
    let ok = async |tool: &str, arguments: Value| client.value(&format!("files_{tool}"), arguments).await;
    assert_eq!(ok("read_file", json!({ "path": "/texts/poem" })).await, "of the operator");
    ok("write_file", json!({ "path": "/data/a", "text": "one" })).await;
    ok("append", json!({ "path": "/data/a", "text": " and two" })).await;
    assert_eq!(ok("read_file", json!({ "path": "/data/a" })).await, "one and two");
    ok("make_folder", json!({ "path": "/data/deep" })).await;
    ok("move_to", json!({ "path": "/data/a", "to": "/data/deep/b" })).await;
    ok("hard_link", json!({ "path": "/data/deep/b", "to": "/data/c" })).await;
    ok("soft_link", json!({ "target": "deep/b", "path": "/data/d" })).await;
    assert_eq!(ok("target", json!({ "path": "/data/d" })).await, "deep/b");
    assert_eq!(ok("read_file", json!({ "path": "/data/d" })).await, "one and two");
    assert_eq!(ok("names", json!({ "path": "/data" })).await, json!(["c", "d", "deep"]));
    assert_eq!(ok("look", json!({ "path": "/data/d" })).await, "file of 11");
    assert_eq!(ok("look_at_link", json!({ "path": "/data/d" })).await, "link of 6");
    assert_eq!(ok("look", json!({ "path": "/data/deep" })).await, "folder");
    ok("set_size", json!({ "path": "/data/c", "bytes": 3 })).await;
    ok("poke", json!({ "path": "/data/c", "offset": 4 })).await;
    assert_eq!(ok("read_file", json!({ "path": "/data/deep/b" })).await, "one\0x");
    ok("touch", json!({ "path": "/data/c" })).await;
    ok("fill", json!({ "path": "/data/large", "bytes": 300_000 })).await;
    assert_eq!(ok("read_file", json!({ "path": "/data/large" })).await, "x".repeat(300_000));
    ok("remove_file", json!({ "path": "/data/large" })).await;
    ok("remove_file", json!({ "path": "/data/deep/b" })).await;
    ok("remove_folder", json!({ "path": "/data/deep" })).await;
    assert_eq!(ok("names", json!({ "path": "/data" })).await, json!(["c", "d"]));

    let data = server.site().path().join("data");
    let metadata = fs::metadata(data.join("c")).unwrap();
    assert_eq!(metadata.modified().unwrap(), std::time::UNIX_EPOCH);
    assert_eq!(metadata.permissions().mode() & 0o7111, 0, "no program, and nobody else's rights");
    assert_eq!(fs::read(data.join("c")).unwrap(), b"one\0x");
}

#[tokio::test]
async fn a_folder_with_many_files_is_listed_whole() {
    let site = site("");
    let mut names: Vec<String> = (0..1000).map(|number| format!("{number:04}")).collect();
    names.iter().for_each(|name| fs::write(site.path().join("data").join(name), "").unwrap());
    names.sort();
    let server = site.start().await;
    let found = Client::modern(&server).value("files_names", json!({ "path": "/data" })).await;
    assert_eq!(found, json!(names));
}

#[tokio::test]
async fn nothing_beside_the_folder_is_reached() {
    let site = site("");
    fs::write(site.path().join("secret"), "hunter2").unwrap();
    let data = site.path().join("data");
    symlink("../secret", data.join("link")).unwrap();
    symlink(site.path().join("secret"), data.join("absolute")).unwrap();
    symlink("..", data.join("up")).unwrap();
    let server = site.start().await;
    let client = Client::modern(&server);
    let secret = server.site().path().join("secret").display().to_string();
    for path in [
        "/data/link",
        "/data/absolute",
        "/data/up/secret",
        "/data/../secret",
        "/etc/passwd",
        "/",
        "secret",
        "/data/up/",
        "/data/up/tinymcp.toml",
        "/proc/self/environ",
        &secret,
    ] {
        client.failure("files_read_file", json!({ "path": path })).await;
        client.failure("files_write_file", json!({ "path": path, "text": "x" })).await;
    }
    for (target, path) in
        [("../secret", "/data/new"), (&*secret, "/data/new"), ("/etc/passwd", "/data/new"), ("c", "/data/up/new")]
    {
        client.failure("files_soft_link", json!({ "target": target, "path": path })).await;
    }
    for path in ["/data/up/secret", "/data/../secret"] {
        client.failure("files_hard_link", json!({ "path": path, "to": "/data/new" })).await;
        client.failure("files_move_to", json!({ "path": path, "to": "/data/new" })).await;
        client.failure("files_remove_file", json!({ "path": path })).await;
    }
    client.failure("files_move_to", json!({ "path": "/data/link", "to": "/data/up/moved" })).await;
    client.failure("files_names", json!({ "path": "/data/up" })).await;
    assert_eq!(fs::read_to_string(&secret).unwrap(), "hunter2");
    let logged = server.log.wait_for("leads out of `/data`").await;
    assert!(logged.contains("plugin `files`") && !server.log.text().contains(&secret), "{logged}");
}

#[tokio::test]
async fn a_folder_for_reading_is_not_written() {
    let site = site("");
    fs::write(site.path().join("data/file"), "text").unwrap();
    let site = site.config("[plugin.files]\ndirs = [{ host = \"data\", guest = \"/data\" }]");
    let server = site.start().await;
    let client = Client::modern(&server);
    for (tool, arguments) in [
        ("write_file", json!({ "path": "/data/file", "text": "x" })),
        ("append", json!({ "path": "/data/file", "text": "x" })),
        ("create", json!({ "path": "/data/new" })),
        ("set_size", json!({ "path": "/data/file", "bytes": 0 })),
        ("make_folder", json!({ "path": "/data/new" })),
        ("remove_file", json!({ "path": "/data/file" })),
        ("move_to", json!({ "path": "/data/file", "to": "/data/new" })),
        ("hard_link", json!({ "path": "/data/file", "to": "/data/new" })),
        ("soft_link", json!({ "target": "file", "path": "/data/new" })),
        ("touch", json!({ "path": "/data/file" })),
    ] {
        let said = client.failure(&format!("files_{tool}"), arguments).await;
        assert!(said.contains("Read-only"), "{tool}: {said}");
    }
    assert_eq!(client.value("files_read_file", json!({ "path": "/data/file" })).await, "text");
}

#[tokio::test]
async fn a_quota_holds_over_concurrent_calls() {
    const QUOTA: u64 = 1 << 20;
    let site = site(", quota = \"1MiB\"").config(
        "[limits]\nconcurrency = 16\n[plugin.files]\ndirs = [{ host = \"data\", guest = \"/data\", mode = \"rw\", quota = \"1MiB\" }]",
    );
    fs::write(site.path().join("data/before"), vec![0; 3 << 20]).unwrap();
    let server = site.start().await;
    let client = Arc::new(Client::modern(&server));
    let fill = |number| ("files_fill", json!({ "path": format!("/data/{number}"), "bytes": 200_000 }));
    let filled = at_once(&client, (0..16).map(fill)).await;
    let filled: Vec<Value> = filled.into_iter().map(|called| called.structured["result"].clone()).collect();
    let written: u64 = filled.iter().map(|filled| filled[0].as_u64().unwrap()).sum();
    let data = server.site().path().join("data");
    let added = held(&data) - (3 << 20);
    assert!(added <= QUOTA && written == added, "{written} {added}");
    assert!(added > QUOTA - 16 * 65_536, "{added}");
    let failures: Vec<&str> = filled.iter().filter_map(|filled| filled[1].as_str()).collect();
    assert!(failures.len() >= 11 && failures.iter().all(|failure| is_failed_stream(failure)), "{failures:?}");
    let said = client.failure("files_set_size", json!({ "path": "/data/sparse", "bytes": 1_u64 << 40 })).await;
    assert!(said.contains("uota exceeded"), "{said}");
    let said = client.failure("files_poke", json!({ "path": "/data/sparse", "offset": 1_u64 << 40 })).await;
    assert!(is_failed_stream(&said), "{said}");
    assert!(held(&data) <= QUOTA + (3 << 20));
    let logged = server.log.wait_for("may add no more to").await;
    assert!(logged.contains("raise its `quota`"), "{logged}");
    assert_eq!(server.log.lines("may add no more to").len(), 1);
    client.value("files_remove_file", json!({ "path": "/data/0" })).await;
    client.value("files_write_file", json!({ "path": "/data/0", "text": "room" })).await;
}

#[tokio::test]
async fn a_removed_file_that_is_open_takes_its_room() {
    let (_server, client) = started(", quota = \"1MiB\"").await;
    let arguments = json!({ "path": "/data/a", "count": 100, "bytes": 100_000 });
    for _ in 0..2 {
        let kept = client.value("files_keep_removed", arguments.clone()).await;
        assert_eq!(kept[0], 10, "{kept}");
        assert!(is_failed_stream(kept[1].as_str().unwrap()), "{kept}");
    }
}

#[tokio::test]
async fn nobody_waits_for_what_is_no_file() {
    let site = site("");
    let fifo = Command::new("mkfifo").arg(site.path().join("data/fifo")).status().unwrap();
    assert!(fifo.success());
    let server = site.start().await;
    let client = Arc::new(Client::modern(&server));
    let begun = Instant::now();
    let calls = (0..32).map(|number| match number % 2 {
        0 => ("files_read_file", json!({ "path": "/data/fifo" })),
        _ => ("files_write_file", json!({ "path": "/data/fifo", "text": "x" })),
    });
    for called in at_once(&client, calls).await {
        assert!(called.is_error && called.text.contains("ermission denied"), "{called:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(client.value("files_look", json!({ "path": "/data/fifo" })).await, "other of 0");
}

#[tokio::test]
async fn open_files_of_one_plugin_are_bounded() {
    let site = site("");
    fs::write(site.path().join("data/file"), "text").unwrap();
    let server = site.start().await;
    let client = Client::modern(&server);
    let opened = client.value("files_open_many", json!({ "path": "/data/file", "count": 2000 })).await;
    assert!(opened[0].as_u64().unwrap() < 256 && opened[1].is_string(), "{opened}");
    assert_eq!(client.value("files_read_file", json!({ "path": "/data/file" })).await, "text");
}

#[tokio::test]
async fn a_withdrawn_folder_ends_what_is_under_way() {
    const RO: &str = "[plugin.files]\ntimeout = \"10m\"\ndirs = [{ host = \"data\", guest = \"/data\" }]";
    const RW: &str =
        "[plugin.files]\ntimeout = \"10m\"\ndirs = [{ host = \"data\", guest = \"/data\", mode = \"rw\" }]";
    let site = site("").config(RW);
    fs::write(site.path().join("data/file"), "text").unwrap();
    let server = site.start().await;
    let client = Client::modern(&server);
    let configure = async |text: &str| {
        let mark = server.log.mark();
        server.site().configure(text);
        server.log.wait_since(mark, "configuration reloaded").await;
        Instant::now()
    };
    let written = server.site().path().join("data/written");
    let writing = client.call("files_write_for_ever", json!({ "path": "/data/written" }));
    let made_read_only = async {
        until("a first write", async || written.exists()).await;
        configure(RO).await
    };
    let (said, since) = within("the end of a write", async { tokio::join!(writing, made_read_only) }).await;
    assert!(since.elapsed() < Duration::from_secs(2));
    assert!(is_failed_stream(&said.text), "{said:?}");
    assert_eq!(client.value("files_read_file", json!({ "path": "/data/file" })).await, "text");

    let reading = client.call("files_read_for_ever", json!({ "path": "/data/file" }));
    let withdrawn = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        configure("").await
    };
    let (said, since) = within("the end of a read", async { tokio::join!(reading, withdrawn) }).await;
    assert!(since.elapsed() < Duration::from_secs(2));
    assert!(is_failed_stream(&said.text), "{said:?}");
    client.failure("files_read_file", json!({ "path": "/data/file" })).await;

    configure(RW).await;
    until("the folder again", async || {
        !client.call("files_write_file", json!({ "path": "/data/file", "text": "again" })).await.is_error
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_comes_later_is_seen_by_the_next_call() {
    let site = Site::new().plugin("files", &guest("files"));
    let site = site.config("[plugin.files]\ndirs = [{ host = \"data\", guest = \"/data\" }]");
    let server = site.start().await;
    let client = Client::modern(&server);
    server.log.wait_for("data` does not exist, and the plugin does not see it: create it").await;
    client.failure("files_names", json!({ "path": "/data" })).await;
    server.log.wait_for("plugin `files` does not see").await;
    fs::create_dir(server.site().path().join("data")).unwrap();
    assert_eq!(client.value("files_names", json!({ "path": "/data" })).await, json!([]));
}

#[test]
fn places_of_the_server_and_the_system_are_not_granted() {
    let site = site("").variable("API_KEY_FILE", "keys/api");
    for folder in ["keys", "keys/deep", ".tinymcp"] {
        fs::create_dir_all(site.path().join(folder)).unwrap();
    }
    fs::write(site.path().join("keys/api"), "hunter2").unwrap();
    symlink(".tinymcp", site.path().join("link")).unwrap();
    for (folder, reason) in [
        (".", "holds the state directory (`state.dir`)"),
        (".tinymcp", "is the state directory (`state.dir`)"),
        ("link", "is the state directory (`state.dir`)"),
        ("plugins", "is the plugins directory (`plugins.dir`)"),
        ("keys", "holds the file that `API_KEY_FILE` names"),
        ("/", "holds "),
        ("/proc", "is a folder of the system"),
        ("/proc/self", "is a folder of the system"),
        ("/dev", "is a folder of the system"),
    ] {
        site.configure(&format!("[plugin.files]\ndirs = [{{ host = \"{folder}\", guest = \"/data\" }}]"));
        let refused = site.refusal();
        let said = format!("{refused:?}");
        assert_ne!(refused.code, 0, "{folder}");
        assert!(
            said.contains(reason) && said.contains("plugin.files.dirs") && said.contains("grant a folder"),
            "{folder}: {said}"
        );
        assert!(!said.contains("hunter2"));
    }
    site.configure("[plugin.files]\ndirs = [{ host = \"data\", guest = \"/data\", mode = \"rw\" }]");
    let checked = site.run(&["check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(format!("{checked:?}").contains("has no `quota`: the plugin may fill the disk"), "{checked:?}");
}

#[test]
fn commands_serve_folders_too() {
    let site = site(", quota = \"1KiB\"");
    let called = site.run(&["call", "files_write_file", "{\"path\": \"/data/file\", \"text\": \"by a command\"}"]);
    assert_eq!(called.code, 0, "{called:?}");
    assert_eq!(fs::read_to_string(site.path().join("data/file")).unwrap(), "by a command");
    let inspected = site.run(&["inspect", "plugins/files.wasm"]);
    assert!(format!("{inspected:?}").contains("granted folders only (`dirs`)"), "{inspected:?}");
}
