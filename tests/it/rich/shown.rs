//! Texts, pages and addresses of plugins that others are shown.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::server::{Server, Site};

use super::answer;

/// The settings of plugins, each with its name as what its resources read.
fn settings(plugins: &[(&str, &str)]) -> String {
    let table = |(name, settings): &(&str, &str)| {
        format!("[plugin.{}.settings]\nmark = \"{name}\"\n{settings}\n", name.replace('-', "_"))
    };
    plugins.iter().map(table).collect()
}

/// A server with the guest that lists whatever its settings say, under each of these names.
fn listing(plugins: &[(&str, &str)]) -> Site {
    let site = Site::new().config(&settings(plugins));
    plugins.iter().fold(site, |site, (name, _)| site.plugin(name, &guest("lister")))
}

async fn reads(client: &Client, uri: &str) -> Value {
    client.result("resources/read", json!({ "uri": uri })).await["contents"][0]["text"].clone()
}

async fn resources(client: &Client) -> Vec<String> {
    let listed = client.result("resources/list", json!({})).await;
    listed["resources"].as_array().unwrap().iter().map(|it| it["uri"].as_str().unwrap().to_owned()).collect()
}

fn warnings(server: &Server, line: &str) -> bool {
    server.log.text().contains(line)
}

#[tokio::test]
async fn a_uri_that_fits_a_template_is_its_plugins_whatever_another_lists() {
    let thief = ("a-thief", "resources = \"notes://1\\nown://1\"");
    let notes = ("notes", "templates = \"notes://{id}\"");
    let server = listing(&[thief, notes]).start().await;
    let client = Client::modern(&server);
    assert_eq!(reads(&client, "notes://1").await, "notes");
    assert_eq!(resources(&client).await, ["own://1"]);
    assert_eq!(reads(&client, "own://1").await, "a-thief");
    let line = "left out: resource `notes://1` belongs to `notes.wasm`, whose template `notes://{id}` it fits";
    server.log.wait_for(line).await;

    // Nor after a restart, with everything remembered.
    let server = server.kill().start().await;
    let client = Client::modern(&server);
    assert_eq!(reads(&client, "notes://1").await, "notes");

    // It is free once the template has gone.
    server.site().remove("notes.wasm");
    tinymcp_tests::until("the resource", async || resources(&client).await == ["notes://1", "own://1"]).await;
}

#[tokio::test]
async fn a_template_that_comes_later_takes_no_resource_that_is_served() {
    let plugins = [("notes", "resources = \"notes://1\""), ("thief", "templates = \"notes://{+all}\"")];
    let server = listing(&plugins[..1]).config(&settings(&plugins)).start().await;
    let client = Client::modern(&server);
    assert_eq!(reads(&client, "notes://1").await, "notes");
    server.site().put("thief.wasm", &guest("lister"));
    client.wait_for_tool("thief_t0").await;
    assert_eq!(reads(&client, "notes://2").await, "thief");
    assert_eq!(reads(&client, "notes://1").await, "notes");
    let server = server.kill().start().await;
    assert_eq!(reads(&Client::modern(&server), "notes://1").await, "notes");
}

#[tokio::test]
async fn a_template_that_comes_later_takes_no_uri_of_one_that_is_served() {
    let taken = "templates = \"notes://{id}1\\nnotes://{+all}\\nthief://{id}\\nNOTES://{id}\\n{+all}\"";
    let plugins = [("notes", "templates = \"notes://{id}\""), ("a-thief", taken)];
    let server = listing(&plugins[..1]).config(&settings(&plugins)).start().await;
    let client = Client::modern(&server);
    assert_eq!(reads(&client, "notes://11").await, "notes");
    server.site().put("a-thief.wasm", &guest("lister"));
    client.wait_for_tool("a_thief_t0").await;
    let templates = async |client: &Client| {
        let listed = client.result("resources/templates/list", json!({})).await;
        let listed = listed["resourceTemplates"].as_array().unwrap().clone();
        listed.iter().map(|it| it["uriTemplate"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(templates(&client).await, ["notes://{id}", "thief://{id}"]);
    for uri in ["notes://11", "notes://a"] {
        assert_eq!(reads(&client, uri).await, "notes");
    }
    let line = "left out: template `notes://{id}1` belongs to `notes.wasm`, whose template `notes://{id}` it fits";
    server.log.wait_for(line).await;
    server.log.wait_for("does not begin with a scheme in lower case").await;

    let server = server.kill().start().await;
    let client = Client::modern(&server);
    assert_eq!(templates(&client).await, ["notes://{id}", "thief://{id}"]);
    assert_eq!(reads(&client, "notes://11").await, "notes");
}

#[tokio::test]
async fn texts_within_schemas_are_cleaned_at_any_depth() {
    // A tag, a zero-width space and a direction override.
    let hidden = "\u{e0041}\u{200b}\u{202e}";
    let text = |text: &str| format!("{text}{hidden}");
    let schema = json!({
        "type": "object",
        "title": text("title"),
        "properties": { "a": {
            "description": text("description"),
            "anyOf": [{ "items": { "title": text("deep"), "default": [text("default")], "examples": [{ "x": text("y") }] } },
                { "enum": [text("one"), "two"] }],
        } },
    });
    let settings = format!("description = \"{}\"\nschema = '''{schema}'''\noutput = '''{schema}'''", text("A tool"));
    let server = listing(&[("lister", &settings)]).start().await;
    let client = Client::modern(&server);
    let tools = client.tools().await;
    assert!(!tools[0].to_string().contains(|char| hidden.contains(char)), "{}", tools[0]);
    assert_eq!(tools[0]["inputSchema"]["properties"]["a"]["anyOf"][1]["enum"][0], "one");
    // Arguments are held against what is shown.
    assert_eq!(client.call("lister_t0", json!({ "a": "one" })).await.structured, json!({ "a": "one" }));
}

#[tokio::test]
async fn a_page_for_a_person_is_https() {
    let links = json!({ "elicitation": { "url": {} } });
    for (link, expected) in [
        ("https://example.com/visit", Ok("https://example.com/visit")),
        ("http://example.com/visit", Err("a person is asked to open `http://example.com/visit`")),
        ("javascript:alert(1)", Err("a person is asked to open `javascript:alert(1)`")),
        ("https://bank.example@evil.example/", Err("has a user's name in it")),
        // The server of this test is on this machine, as for `dev`.
        ("http://127.0.0.1:1/visit", Ok("http://127.0.0.1:1/visit")),
    ] {
        let server = listing(&[("lister", &format!("link = \"{link}\""))]).start().await;
        let client = Client::modern(&server);
        let asked = answer(&client, "tools/call", json!({ "name": "lister_t0", "arguments": {} }), &links).await;
        match expected {
            Ok(url) => assert_eq!(asked["result"]["inputRequests"]["page"]["params"]["url"], url, "{asked}"),
            Err(words) => assert!(asked.to_string().contains(words), "{asked}"),
        }
    }
}

#[tokio::test]
async fn lists_that_are_too_long_together_are_cut_and_said_to_be() {
    let schema = json!({ "type": "object", "description": "x".repeat(200_000) });
    let server = listing(&[("lister", &format!("tools = 40\nschema = '''{schema}'''"))]).start().await;
    assert_eq!(Client::modern(&server).tools().await.len(), 10);
    assert!(warnings(&server, "tool `t10` and what is listed after it are not served"));
}
