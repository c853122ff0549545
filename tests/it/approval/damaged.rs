//! Records and bytes that are not as they were written: nothing counts as approved, and the words say so.

use std::fs;
use std::path::PathBuf;

use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::Site;

use super::{V1, approve, approved, shown, waiting};

fn record(site: &Site) -> PathBuf {
    site.path().join(".tinymcp/approved/greeter.json")
}

#[tokio::test]
async fn a_damaged_record_is_no_approval() {
    let site = approved().await.kill();
    let whole = fs::read_to_string(record(&site)).unwrap();
    let other = whole.replace("tinymcp approve", "somebody else ");
    let mut site = Some(site);
    for damaged in [String::new(), "{}".to_owned(), whole[..whole.len() / 2].to_owned(), other] {
        let here = site.take().unwrap();
        assert_ne!(damaged, whole);
        fs::write(record(&here), damaged).unwrap();
        let server = here.start().await;
        assert_eq!(Client::modern(&server).tool_names().await, Vec::<String>::new());
        assert_eq!(waiting(server.site()), ["greeter"]);
        server.log.wait_for("waits for approval: what was approved of it before cannot be read").await;
        let text = shown(server.site(), "greeter");
        assert!(text.contains("greeter.json") && text.contains("it was changed"), "{text}");
        site = Some(server.kill());
    }
    // Looking at it again mends it.
    let server = site.take().unwrap().start().await;
    approve(server.site(), "greeter");
    let server = server.kill().start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
}

#[tokio::test]
async fn damaged_bytes_are_not_served() {
    let site = approved().await.kill();
    let folder = site.path().join(".tinymcp/approved");
    let kept = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let kept: Vec<PathBuf> = kept.filter(|file| file.extension().is_some_and(|end| end == "wasm")).collect();
    assert_eq!(kept.len(), 1);
    fs::write(&kept[0], guest("greeter-v2")).unwrap();
    site.put("greeter.wasm", &guest("greeter-v2"));
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, Vec::<String>::new());
    server.log.wait_for("the approved file that the state directory keeps is damaged").await;
    // The file itself is back: it is served, whatever is kept.
    server.site().put("greeter.wasm", &guest("greeter-v1"));
    Client::modern(&server).wait_for_tools(&V1).await;
    // Without the bytes, nothing is served in place of another file.
    let site = server.kill();
    fs::remove_file(&kept[0]).unwrap();
    site.put("greeter.wasm", &guest("greeter-v2"));
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, Vec::<String>::new());
    server.log.wait_for("the approved file is not among those that the state directory keeps").await;
}

#[tokio::test]
async fn approvals_under_another_key_are_none() {
    let site = approved().await.kill();
    fs::remove_file(site.path().join(".tinymcp/key")).unwrap();
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, Vec::<String>::new());
    assert_eq!(waiting(server.site()), ["greeter"]);
}
