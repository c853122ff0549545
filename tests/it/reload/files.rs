//! Every way in which files come and go.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::server::Site;

use super::{V1, V2, greeter};

#[tokio::test]
async fn a_new_file_is_served() {
    let server = Site::new().start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, Vec::<String>::new());
    server.site().put("greeter.wasm", &guest("greeter-v1"));
    client.wait_for_tools(&V1).await;
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
}

#[tokio::test]
async fn a_replaced_file_is_served_anew() {
    let (server, client) = greeter().await;
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    client.wait_for_tools(&V2).await;
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v2 greets Ada");
    server.site().put("greeter.wasm", &guest("greeter-v1"));
    client.wait_for_tools(&V1).await;
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
}

#[tokio::test]
async fn a_renamed_file_renames_its_tools() {
    let (server, client) = greeter().await;
    let path = |file| server.site().plugin_path(file);
    fs::rename(path("greeter.wasm"), path("welcomer.wasm")).unwrap();
    client.wait_for_tools(&["welcomer_greet", "welcomer_wait"]).await;
    fs::rename(path("welcomer.wasm"), path("welcomer.txt")).unwrap();
    client.wait_for_tools(&[]).await;
}

#[tokio::test]
async fn a_deleted_file_takes_its_tools_along() {
    let (server, client) = greeter().await;
    server.site().remove("greeter.wasm");
    client.wait_for_tools(&[]).await;
    let answer = client.answer("tools/call", json!({ "name": "greeter_greet", "arguments": { "name": "" } })).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
}

#[tokio::test]
async fn a_file_written_in_pieces_is_served_when_it_is_whole() {
    let (server, client) = greeter().await;
    let mut file =
        OpenOptions::new().write(true).truncate(true).open(server.site().plugin_path("greeter.wasm")).unwrap();
    for piece in guest("greeter-v2").chunks(8 * 1024) {
        file.write_all(piece).unwrap();
        // The time between two pieces is what is tested.
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(client.tool_names().await, V1);
    }
    drop(file);
    client.wait_for_tools(&V2).await;
    assert_eq!(server.log.lines("not reloaded"), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_copied_in_pieces_by_several_writers_is_served_when_it_is_whole() {
    let server = Site::new().start().await;
    let client = Client::modern(&server);
    // Each piece is opened and closed on its own, as some copy programs and network shares do, which takes time.
    for piece in guest("greeter-v1").chunks(12 * 1024) {
        let path = server.site().plugin_path("greeter.wasm");
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(piece).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    client.wait_for_tools(&V1).await;
    assert_eq!(server.log.lines("not loaded"), Vec::<String>::new());
}

#[tokio::test]
async fn a_writer_that_never_closes_is_not_waited_for_forever() {
    let server = Site::new().start().await;
    let client = Client::modern(&server);
    let mut file = fs::File::create(server.site().plugin_path("greeter.wasm")).unwrap();
    file.write_all(&guest("greeter-v1")).unwrap();
    client.wait_for_tools(&V1).await;
    drop(file);
}

#[tokio::test]
async fn many_files_at_once_are_few_changes() {
    let server = Site::new().start().await;
    let client = Client::modern(&server);
    let mut changes = client.listen().await;
    let component = guest("greeter-v1");
    let began = Instant::now();
    for number in 0..30 {
        fs::write(server.site().plugin_path(&format!("g{number:02}.wasm")), marked(&component, number)).unwrap();
    }
    let expected: Vec<String> =
        (0..30).flat_map(|number| [format!("g{number:02}_greet"), format!("g{number:02}_wait")]).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    client.wait_for_tools(&expected).await;
    let elapsed = began.elapsed();
    server.terminate();
    let mut told = 0;
    while let Some(message) = changes.next().await {
        told += usize::from(message["method"] == "notifications/tools/list_changed");
    }
    // One within 150 ms at most, for however long they take to compile.
    let at_most = usize::try_from(elapsed.as_millis() / 150).unwrap() + 1;
    assert!((1..=at_most.min(29)).contains(&told), "{told} changes for 30 files in {elapsed:?}");
}

#[tokio::test]
async fn a_symbolic_link_is_followed_and_may_be_turned() {
    let elsewhere = tempfile::tempdir().unwrap();
    for version in ["greeter-v1", "greeter-v2"] {
        fs::write(elsewhere.path().join(version), guest(version)).unwrap();
    }
    let server = Site::new().start().await;
    let client = Client::modern(&server);
    let link = server.site().plugin_path("greeter.wasm");
    symlink(elsewhere.path().join("greeter-v1"), &link).unwrap();
    client.wait_for_tools(&V1).await;

    // Turned in one step, as deployment tools do.
    let draft = server.site().path().join("draft");
    symlink(elsewhere.path().join("greeter-v2"), &draft).unwrap();
    fs::rename(&draft, &link).unwrap();
    client.wait_for_tools(&V2).await;
}

#[tokio::test]
async fn what_a_link_leads_to_may_change() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("built.wasm");
    fs::write(&target, guest("greeter-v1")).unwrap();
    let server = Site::new().start().await;
    let client = Client::modern(&server);
    symlink(&target, server.site().plugin_path("greeter.wasm")).unwrap();
    client.wait_for_tools(&V1).await;
    let draft = elsewhere.path().join("draft");
    fs::write(&draft, guest("greeter-v2")).unwrap();
    fs::rename(&draft, &target).unwrap();
    client.wait_for_tools(&V2).await;
    fs::write(&target, guest("greeter-v1")).unwrap();
    client.wait_for_tools(&V1).await;
    fs::remove_file(&target).unwrap();
    client.wait_for_tools(&[]).await;
}

#[tokio::test]
async fn a_directory_link_may_be_turned_as_a_config_map_is() {
    // Kubernetes: `greeter.wasm -> ..data/greeter.wasm`, and `..data` is turned to a new directory.
    let server = Site::new().start().await;
    let client = Client::modern(&server);
    let plugins = server.site().path().join("plugins");
    for version in ["greeter-v1", "greeter-v2"] {
        fs::create_dir(plugins.join(format!("..{version}"))).unwrap();
        fs::write(plugins.join(format!("..{version}/greeter.wasm")), guest(version)).unwrap();
    }
    symlink("..greeter-v1", plugins.join("..data")).unwrap();
    symlink("..data/greeter.wasm", plugins.join("greeter.wasm")).unwrap();
    client.wait_for_tools(&V1).await;
    symlink("..greeter-v2", plugins.join("..draft")).unwrap();
    fs::rename(plugins.join("..draft"), plugins.join("..data")).unwrap();
    client.wait_for_tools(&V2).await;
}

#[tokio::test]
async fn the_directory_itself_may_be_replaced() {
    let (server, client) = greeter().await;
    let root = server.site().path().to_owned();
    fs::create_dir(root.join("next")).unwrap();
    fs::write(root.join("next/greeter.wasm"), guest("greeter-v2")).unwrap();
    fs::rename(root.join("plugins"), root.join("before")).unwrap();
    // While it is away, what is loaded goes on.
    assert_eq!(client.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");
    fs::rename(root.join("next"), root.join("plugins")).unwrap();
    client.wait_for_tools(&V2).await;
    // The new one is watched like the old one.
    server.site().put("other.wasm", &guest("no-tools"));
    server.log.wait_for("plugin `other` not loaded").await;
}

#[tokio::test]
async fn an_editors_save_is_one_change() {
    let (server, client) = greeter().await;
    let path = |file: &str| server.site().plugin_path(file);
    // As vim does: the old one becomes a backup, a new one is written, the backup goes.
    fs::rename(path("greeter.wasm"), path("greeter.wasm~")).unwrap();
    fs::write(path("greeter.wasm"), guest("greeter-v2")).unwrap();
    fs::remove_file(path("greeter.wasm~")).unwrap();
    client.wait_for_tools(&V2).await;
    // As others do: a hidden draft beside it, then a rename.
    fs::write(path(".greeter.wasm.swp.wasm"), guest("greeter-v1")).unwrap();
    fs::rename(path(".greeter.wasm.swp.wasm"), path("greeter.wasm")).unwrap();
    client.wait_for_tools(&V1).await;
}

#[tokio::test]
async fn polling_finds_what_no_event_tells_of() {
    let site = Site::new().config("[plugins]\npoll = \"200ms\"\n").plugin("greeter", &guest("greeter-v1"));
    let server = site.start().await;
    let client = Client::modern(&server);
    server.site().put("greeter.wasm", &guest("greeter-v2"));
    client.wait_for_tools(&V2).await;
    fs::write(server.site().plugin_path("greeter.wasm"), guest("greeter-v1")).unwrap();
    client.wait_for_tools(&V1).await;
    server.site().remove("greeter.wasm");
    client.wait_for_tools(&[]).await;
}

#[tokio::test]
async fn other_files_and_directories_are_no_plugins() {
    let (server, client) = greeter().await;
    fs::write(server.site().plugin_path("notes.txt"), "notes").unwrap();
    fs::write(server.site().plugin_path(".hidden.wasm"), guest("greeter-v2")).unwrap();
    fs::create_dir(server.site().plugin_path("folder.wasm")).unwrap();
    symlink("nowhere", server.site().plugin_path("dangling.wasm")).unwrap();
    server.site().put("last.wasm", &guest("no-tools"));
    server.log.wait_for("plugin `last` not loaded").await;
    assert_eq!(client.tool_names().await, V1);
    assert_eq!(server.log.lines("not loaded").len(), 1, "{}", server.log.text());
}
