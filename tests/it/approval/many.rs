//! A directory full of files that wait.

use std::time::{Duration, Instant};

use tinymcp_tests::client::Client;
use tinymcp_tests::guests::exporting;
use tinymcp_tests::server::Site;

use super::{ON, approve, waiting};

#[tokio::test]
async fn a_thousand_files_wait_and_one_is_approved() {
    let component = exporting(&[("", "greet")], "");
    let site = (0..1000).fold(Site::new().config(ON), |site, number| site.plugin(&format!("p{number}"), &component));
    let server = site.launch().await;
    server.ready_within(Duration::from_secs(300)).await;
    assert_eq!(waiting(server.site()).len(), 1000);
    assert_eq!(server.log.lines("waits for approval").len(), 1000);
    let began = Instant::now();
    approve(server.site(), "p500");
    let elapsed = began.elapsed();
    assert_eq!(Client::modern(&server).tool_names().await, ["p500_greet"]);
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?} for looking and approving");
    assert_eq!(waiting(server.site()).len(), 999);
    // Nothing of those that wait is kept.
    let kept = std::fs::read_dir(server.site().path().join(".tinymcp/approved")).unwrap().count();
    assert!(kept <= 4, "{kept} files");
}
