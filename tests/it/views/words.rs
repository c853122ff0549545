//! The server's own words: its name, its instructions and its picture, of now and of each view.

use std::fs;

use serde_json::{Value, json};
use tinymcp_tests::client::{Client, LEGACY, initialize};
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::until;

/// A picture of one pixel.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

const WORDS: &str = "[server]\ntitle = \"Acme\"\ndescription = \"Tools of Acme.\"\nwebsite = \"https://acme.example/\"\n\
    icon = \"icon.bin\"\ninstructions_file = \"read.me\"\n\
    [view.ops]\ntitle = \"Acme ops\"\ninstructions = \"Be careful.\"\n[view.same]\n";

async fn introduced(server: &Server, path: &str, version: &str) -> Value {
    server.request("POST", path).json(&initialize(version)).send().await.json()["result"].clone()
}

#[tokio::test]
async fn clients_of_both_eras_are_told_what_they_know() {
    let site = Site::new().config(WORDS);
    fs::write(site.path().join("icon.bin"), GIF).unwrap();
    fs::write(site.path().join("read.me"), "Ask first.\n").unwrap();
    let server = site.start().await;
    for (path, title, instructions) in
        [("/mcp", "Acme", "Ask first."), ("/mcp/ops", "Acme ops", "Be careful."), ("/mcp/same", "Acme", "Ask first.")]
    {
        let modern = Client::modern(&server).at(path);
        let discovered = modern.result("server/discover", json!({})).await;
        let of_discovery = discovered["_meta"]["io.modelcontextprotocol/serverInfo"].clone();
        assert_eq!(discovered["instructions"], instructions, "{discovered}");
        for version in LEGACY {
            let told = introduced(&server, path, version).await;
            assert_eq!(told["instructions"], instructions, "{told}");
            let info = &told["serverInfo"];
            assert_eq!((&info["name"], &info["title"]), (&json!("tinymcp"), &json!(title)), "{path} {version}");
            // Versions of before know no more, and some clients refuse what they do not know.
            assert_eq!(info.get("websiteUrl").is_some(), version == LEGACY[0], "{version}: {info}");
            if version == LEGACY[0] {
                assert_eq!(*info, of_discovery);
            }
        }
        assert_eq!(of_discovery["description"], "Tools of Acme.");
        assert_eq!(of_discovery["websiteUrl"], "https://acme.example/");
        let icon = &of_discovery["icons"][0];
        assert_eq!(icon["mimeType"], "image/gif");
        assert!(icon["src"].as_str().unwrap().starts_with("data:image/gif;base64,R0lGODlh"), "{icon}");
        // Every other result names the server, and does not repeat the rest.
        let listed = modern.result("tools/list", json!({})).await;
        let named = &listed["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert_eq!((named["title"].as_str(), named.get("icons")), (Some(title), None), "{named}");
    }
}

#[tokio::test]
async fn words_change_with_their_keys_and_files() {
    let site = Site::new().config(WORDS);
    fs::write(site.path().join("icon.bin"), GIF).unwrap();
    fs::write(site.path().join("read.me"), "One.").unwrap();
    let server = site.start().await;
    let client = Client::modern(&server);
    let said = async || client.result("server/discover", json!({})).await["instructions"].clone();
    assert_eq!(said().await, "One.");
    fs::write(server.site().path().join("read.me"), "Two.").unwrap();
    until("the other text", async || said().await == "Two.").await;
    // A file that is gone keeps what it gave, and holds nothing else up.
    fs::remove_file(server.site().path().join("read.me")).unwrap();
    server.log.wait_for("what it gave last stays in force").await;
    server.site().configure(&WORDS.replace("\"Acme\"", "\"Acme two\""));
    until("the other title", async || {
        let discovered = client.result("server/discover", json!({})).await;
        discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["title"] == "Acme two"
    })
    .await;
    assert_eq!(said().await, "Two.");
    // Without any of them all is as ever.
    server.site().configure("");
    until("the usual text", async || said().await.as_str().unwrap().contains("list the tools again")).await;
    let discovered = client.result("server/discover", json!({})).await;
    assert_eq!(discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["title"], "TinyMCP");
}

#[test]
fn words_that_cannot_be_shown_are_refused() {
    let site = Site::new();
    fs::write(site.path().join("icon.png"), "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").unwrap();
    for (key, told) in [
        ("icon = \"icon.png\"", "it is no PNG, JPEG, GIF or WebP"),
        ("icon = \"missing.png\"", "No such file"),
        ("icon = \"http://acme.example/icon.png\"", "is neither a file nor a URL of https"),
        ("icon = \"data:image/png;base64,AAAA\"", "is neither a file nor a URL of https"),
        ("website = \"javascript:alert(1)\"", "a page has a URL of https, or of http"),
        ("instructions_file = \"missing.md\"", "No such file"),
        ("instructions_file = \".\"", "it is no regular file"),
    ] {
        site.configure(&format!("[server]\n{key}\n"));
        let refused = site.run(&["check"]);
        assert!(refused.code == 2 && refused.stderr.contains(told), "{key}: {refused:?}");
    }
    site.configure(&format!("[server]\ninstructions = \"{}\"\n", "x".repeat(3000)));
    let warned = site.run(&["check"]);
    assert!(warned.code == 0 && warned.stderr.contains("3000 bytes, of which some clients show"), "{warned:?}");
}
