//! Links that are swapped elsewhere than in the plugins directory. No regular look helps: the next one is far away.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};

use super::{V1, V2};

/// A server that relies on events, and a directory elsewhere with both versions below `v1` and `v2`.
async fn start() -> (Server, Client, tempfile::TempDir) {
    let elsewhere = tempfile::tempdir().unwrap();
    for version in ["v1", "v2"] {
        let dir = elsewhere.path().join(version);
        fs::create_dir(&dir).unwrap();
        // The name of what a link names may be any.
        fs::write(dir.join("built"), guest(&format!("greeter-{version}"))).unwrap();
    }
    let server = Site::new().config("[plugins]\nrescan = \"1h\"\n").start().await;
    let client = Client::modern(&server);
    (server, client, elsewhere)
}

/// Puts another link in a link's place, in one step.
fn turn(target: impl AsRef<Path>, link: &Path) {
    let draft = link.with_extension("draft");
    symlink(target, &draft).and_then(|()| fs::rename(&draft, link)).unwrap();
}

#[tokio::test]
async fn a_link_to_a_directory_on_the_way_may_be_turned() {
    let (server, client, elsewhere) = start().await;
    let current = elsewhere.path().join("current");
    symlink("v1", &current).unwrap();
    symlink(current.join("built"), server.site().plugin_path("greeter.wasm")).unwrap();
    client.wait_for_tools(&V1).await;
    turn("v2", &current);
    client.wait_for_tools(&V2).await;
    // Not in one step: for a moment it names nothing.
    fs::remove_file(&current).unwrap();
    client.wait_for_tools(&[]).await;
    symlink("v1", &current).unwrap();
    client.wait_for_tools(&V1).await;
}

#[tokio::test]
async fn a_link_to_a_link_may_be_turned() {
    let (server, client, elsewhere) = start().await;
    let second = elsewhere.path().join("second");
    symlink("v1/built", &second).unwrap();
    symlink(&second, server.site().plugin_path("greeter.wasm")).unwrap();
    client.wait_for_tools(&V1).await;
    turn("v2/built", &second);
    client.wait_for_tools(&V2).await;
    // What it names now is watched as well.
    let built: PathBuf = elsewhere.path().join("v2/built");
    let draft = elsewhere.path().join("draft");
    fs::write(&draft, guest("greeter-v1")).and_then(|()| fs::rename(&draft, &built)).unwrap();
    client.wait_for_tools(&V1).await;
}

#[tokio::test]
async fn a_directory_that_a_link_leads_into_may_be_replaced() {
    let (server, client, elsewhere) = start().await;
    let at = |name: &str| elsewhere.path().join(name);
    symlink(at("v1").join("built"), server.site().plugin_path("greeter.wasm")).unwrap();
    client.wait_for_tools(&V1).await;
    fs::rename(at("v1"), at("before")).unwrap();
    client.wait_for_tools(&[]).await;
    fs::rename(at("v2"), at("v1")).unwrap();
    client.wait_for_tools(&V2).await;
}

/// Two directories above the file, and another directory or a link in the place of one.
#[tokio::test]
async fn a_directory_further_up_may_be_replaced() {
    let (server, client, elsewhere) = start().await;
    let at = |name: &str| elsewhere.path().join(name);
    for version in ["v1", "v2"] {
        fs::create_dir_all(at(&format!("releases-{version}/app/bin"))).unwrap();
        fs::rename(at(&format!("{version}/built")), at(&format!("releases-{version}/app/bin/built"))).unwrap();
    }
    symlink(at("releases-v1/app/bin/built"), server.site().plugin_path("greeter.wasm")).unwrap();
    client.wait_for_tools(&V1).await;
    fs::rename(at("releases-v1"), at("before"))
        .and_then(|()| fs::rename(at("releases-v2"), at("releases-v1")))
        .unwrap();
    client.wait_for_tools(&V2).await;
    let app = at("releases-v1/app");
    fs::rename(&app, at("releases-v1/app-v2")).and_then(|()| symlink(at("before/app"), &app)).unwrap();
    client.wait_for_tools(&V1).await;
}

#[tokio::test]
async fn the_directory_itself_may_be_reached_through_a_link_that_is_turned() {
    let root = tempfile::tempdir().unwrap();
    for version in ["v1", "v2"] {
        let plugins = root.path().join(version).join("plugins");
        fs::create_dir_all(&plugins).unwrap();
        fs::write(plugins.join("greeter.wasm"), guest(&format!("greeter-{version}"))).unwrap();
    }
    let current = root.path().join("current");
    symlink("v1", &current).unwrap();
    let config = format!("[plugins]\ndir = \"{}\"\nrescan = \"1h\"\n", current.join("plugins").display());
    let server = Site::new().config(&config).start().await;
    let client = Client::modern(&server);
    client.wait_for_tools(&V1).await;
    turn("v2", &current);
    client.wait_for_tools(&V2).await;
}
