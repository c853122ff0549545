//! The listings of `docs/shaping.md` are read, and do what the page says.

use std::fs;

use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{guest, tests_dir};
use tinymcp_tests::server::Site;

/// The listings, in their order.
fn listings() -> Vec<String> {
    let page = fs::read_to_string(tests_dir().join("../docs/shaping.md")).unwrap();
    let listings = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    listings.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_listing_of_shaping_does_what_the_page_says() {
    let listings = listings();
    let shown: [&[&str]; 6] = [
        &["greeter_greet"],
        &["greeter_greet"],
        &["greeter_wait", "say_hello"],
        &["greeter_greet", "greeter_wait"],
        &["greeter_greet", "greeter_wait"],
        &["greeter_greet", "greeter_wait"],
    ];
    assert_eq!(listings.len(), shown.len(), "{listings:#?}");
    let server = Site::new().plugin("greeter", &guest("greeter-v1")).start().await;
    let client = Client::modern(&server);
    for (listing, shown) in listings.iter().zip(shown) {
        server.site().configure(listing);
        let checked = server.site().run(&["check"]);
        // Nobody logs in here, of which it warns.
        let mut warnings = checked.stderr.lines().filter(|line| !line.contains("scopes"));
        assert!(checked.code == 0 && warnings.next().is_none(), "{listing}\n{checked:?}");
        client.wait_for_tools(shown).await;
    }
    let before = server.log.mark();
    server.site().configure(&listings[4]);
    server.log.wait_since(before, "configuration reloaded").await;
    for (path, shown) in [("/mcp/ops", vec!["greeter_greet", "greeter_wait"]), ("/mcp/small", vec!["greeter_greet"])] {
        client.clone().at(path).wait_for_tools(&shown).await;
    }
    let connected = server.site().run(&["connect", "claude-code", "--view", "ops"]);
    assert!(connected.code == 0 && connected.stdout.contains("/mcp/ops"), "{connected:?}");
}
