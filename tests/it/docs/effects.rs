//! Effects of the guide's plugins on their clients, but for questions.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::server::Site;
use tinymcp_tests::until;
use tinymcp_tests::world::{World, local};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::guide::Guide;
use super::{serve, site};

async fn messages(client: &Client, method: &str, params: Value) -> Vec<Value> {
    client.request(method, params).1.messages().await
}

#[tokio::test]
async fn content_is_a_sound() {
    let server = serve(&["tone"]).await;
    let client = Client::modern(&server);
    assert!(client.tools().await.iter().all(|tool| tool.get("outputSchema").is_none()));
    let result = client.result("tools/call", json!({ "name": "tone_octave", "arguments": { "hertz": 440 } })).await;
    let content = &result["content"];
    assert_eq!(content[0], json!({ "type": "text", "text": "440 Hz, then 880 Hz" }));
    assert_eq!((&content[1]["type"], &content[1]["mimeType"]), (&json!("audio"), &json!("audio/wav")));
    let wav = BASE64.decode(content[2]["data"].as_str().unwrap()).unwrap();
    assert!(wav.len() == 4044 && wav.starts_with(b"RIFF\xc4\x0f\0\0WAVE"), "{} bytes", wav.len());
    assert!(result.get("structuredContent").is_none(), "{result}");
}

#[tokio::test]
async fn progress_reaches_whoever_asks_for_it() {
    let server = serve(&["primes"]).await;
    let client = Client::modern(&server);
    let call = json!({ "name": "primes", "arguments": { "below": 200_000 }, "_meta": { "progressToken": 7 } });
    let messages = messages(&client, "tools/call", call).await;
    let (answer, reports) = messages.split_last().unwrap();
    assert_eq!(answer["result"]["structuredContent"], json!({ "result": 17_984 }), "{answer}");
    assert!(reports.iter().all(|report| report["method"] == "notifications/progress"), "{reports:?}");
    let (first, last) = (&reports[0]["params"], &reports[reports.len() - 1]["params"]);
    assert_eq!((&first["progressToken"], &first["message"]), (&json!(7), &json!("168 so far")));
    assert_eq!(last["progress"], last["total"]);
}

#[tokio::test]
async fn messages_reach_whoever_asks_for_their_level() {
    let server = serve(&["total"]).await;
    let client = Client::modern(&server);
    let call = |level: &str| {
        let arguments = json!({ "text": "1\ntwo\n3.5" });
        json!({ "name": "total", "arguments": arguments, "_meta": { "io.modelcontextprotocol/logLevel": level } })
    };
    let heard = messages(&client, "tools/call", call("warning")).await;
    assert_eq!(heard[0]["params"], json!({ "level": "warning", "data": "line 2 is no number" }));
    assert_eq!(heard[1]["result"]["structuredContent"], json!({ "result": 4.5 }));
    assert_eq!(messages(&client, "tools/call", call("error")).await.len(), 1);
}

#[tokio::test]
async fn the_caller_is_who_has_logged_in() {
    let server = serve(&["whoami"]).await;
    assert_eq!(Client::modern(&server).value("whoami", json!({})).await, "somebody who has not logged in");
    let component = std::fs::read(server.site().plugin_path("whoami.wasm")).unwrap();
    let world = World::of(local().plugin("whoami", &component)).await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let said = world.modern(&tokens.access).value("whoami", json!({})).await;
    assert!(said.as_str().is_some_and(|said| said.starts_with("alice of http")), "{said}");
}

#[tokio::test]
async fn settings_change_with_the_next_call() {
    let server = serve(&["temperature"]).await;
    let client = Client::modern(&server);
    let boiling = async || client.value("temperature", json!({ "celsius": 100 })).await;
    assert_eq!(boiling().await, "212.0 °F");
    server.site().configure("");
    until("other settings", async || boiling().await == "100 °C").await;
}

#[tokio::test]
async fn a_secret_that_is_needed_is_granted_with_the_next_call() {
    let server = serve(&["quota"]).await;
    let client = Client::modern(&server);
    let is_ready = async || client.value("quota_is_ready", json!({})).await;
    assert_eq!(is_ready().await, false);
    server.site().configure("[plugin.quota]\nsecrets = { OTHER = 'x' }\nenv = { API_KEY = 'x' }\n");
    server.log.wait_for("plugin `quota` is granted nothing").await;
    assert_eq!(is_ready().await, false);
    server.site().configure("[plugin.quota]\nsecrets = { API_KEY = 'x' }\n");
    until("the secret", async || is_ready().await == true).await;
}

#[tokio::test]
async fn tools_are_made_of_settings() {
    let server = serve(&["letters"]).await;
    let client = Client::modern(&server);
    let tools = client.tools().await;
    assert_eq!(tools[1]["description"], "Write the letter `welcome` to somebody.");
    assert_eq!(tools[1]["inputSchema"]["properties"]["name"]["minLength"], 1);
    assert_eq!(tools[1]["annotations"]["readOnlyHint"], true);
    let called = client.call("letters_welcome", json!({ "name": "Ada" })).await;
    assert_eq!((called.text.as_str(), &called.structured), ("Welcome, Ada!", &json!({ "text": "Welcome, Ada!" })));
    let refused = client.failure("letters_welcome", json!({ "name": "" })).await;
    assert!(refused.starts_with("argument `$.name`: "), "{refused}");
}

#[tokio::test]
async fn resources_are_read_by_uri() {
    let server = serve(&["numbers"]).await;
    let client = Client::modern(&server);
    let read = async |uri: &str| client.answer("resources/read", json!({ "uri": uri })).await;
    assert_eq!(read("numbers://pi").await["result"]["contents"][0]["text"], "3.141592653589793");
    assert_eq!(read("numbers://squares/12").await["result"]["contents"][0]["text"], "144");
    assert_eq!(read("numbers://squares/twelve").await["error"]["code"], -32602);
    assert!(read("numbers://squares/1/2").await.get("error").is_some());
}

#[tokio::test]
async fn skills_are_resources() {
    let server = serve(&["manners"]).await;
    let client = Client::modern(&server);
    let skills = client.result("skills/list", json!({})).await;
    let skill = &skills["skills"][0];
    assert_eq!(skill["uri"], "skill://manners/letters/SKILL.md", "{skills}");
    assert_eq!(skill["frontmatter"]["description"], "Use when writing a letter to a customer.", "{skills}");
}

#[tokio::test]
async fn prompts_are_filled_in_with_suggestions() {
    let server = serve(&["write"]).await;
    let client = Client::modern(&server);
    let poem = json!({ "name": "write_poem", "arguments": { "language": "French" } });
    let got = client.result("prompts/get", poem).await;
    assert_eq!(got["messages"][0]["content"]["text"], "Write a poem of four lines in French.");
    let refused = client.answer("prompts/get", json!({ "name": "write_poem" })).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let typed = json!({ "name": "language", "value": "f" });
    let reference = json!({ "type": "ref/prompt", "name": "write_poem" });
    let completed = client.result("completion/complete", json!({ "ref": reference, "argument": typed })).await;
    assert_eq!(completed["completion"]["values"], json!(["Finnish", "French"]));
}

#[tokio::test]
async fn changes_are_told() {
    let server = serve(&["clock"]).await;
    let client = Client::modern(&server);
    let wanted = json!({ "resourcesListChanged": true, "resourceSubscriptions": ["clock://now"] });
    let opened = client.request("subscriptions/listen", json!({ "notifications": wanted })).1.open().await;
    let mut events = opened.events();
    assert_eq!(events.expect("an acknowledgement").await["method"], "notifications/subscriptions/acknowledged");
    let listed = async || client.result("resources/list", json!({})).await["resources"][0]["description"].clone();
    let before = listed().await;
    client.call("clock_set", json!({})).await;
    let updated = events.expect("an update").await;
    assert_eq!(updated["method"], "notifications/resources/updated");
    assert_eq!(updated["params"]["uri"], "clock://now");
    assert_eq!(events.expect("another list").await["method"], "notifications/resources/list_changed");
    assert_ne!(listed().await, before);
}

#[tokio::test]
async fn a_table_is_kept() {
    let server = site(&["sieve"]).start().await;
    let client = Client::modern(&server);
    for (number, is_prime) in [(2, true), (999_983, true), (999_981, false)] {
        assert_eq!(client.value("sieve_is_prime", json!({ "number": number })).await, is_prime, "{number}");
    }
    let refused = client.failure("sieve_is_prime", json!({ "number": 1_000_000 })).await;
    assert!(refused.contains("ends at 999999"), "{refused}");
}

#[tokio::test]
async fn a_page_is_asked_for_its_status() {
    let peer =
        Peer::start(|request| Script::with(if request.starts_with("HEAD /v1/a ") { 204 } else { 500 }, "", "")).await;
    let site = site(&["status"]);
    let entry = format!("{{ to = \"http://{}/v1/\", methods = [\"HEAD\"] }}", peer.address);
    site.configure(&format!("[plugin.status]\nhttp = [{entry}]\n"));
    let server = site.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.value("status", json!({ "url": peer.url("/v1/a") })).await, 204);
    let refused = client.failure("status", json!({ "url": peer.url("/v2/a") })).await;
    assert!(refused.contains("cannot be asked") && refused.contains("ask the operator"), "{refused}");
}

#[tokio::test]
async fn the_length_of_a_page_is_told_in_javascript() {
    let (module, world) = Guide::read().fetching;
    let peer = Peer::start(|_| Script::text("twelve bytes")).await;
    let site = Site::new().config(&format!("[plugin.length]\nhttp = [\"http://{}\"]\n", peer.address));
    fs::create_dir_all(site.plugin_path("length/wit")).unwrap();
    fs::write(site.plugin_path("length/plugin.js"), module).unwrap();
    fs::write(site.plugin_path("length/wit/world.wit"), world).unwrap();
    let built = site.run(&["build", "length"]);
    assert_eq!(built.code, 0, "{built:#?}");
    let server = site.start().await;
    assert_eq!(Client::modern(&server).value("length", json!({ "url": peer.url("/") })).await, 12);
}

#[tokio::test]
async fn visits_are_counted() {
    let server = serve(&["visits"]).await;
    let client = Client::modern(&server);
    for visits in 1..4 {
        assert_eq!(client.value("visits_visit", json!({})).await, visits);
    }
}

#[tokio::test]
async fn a_journal_is_kept_in_a_folder() {
    let site = site(&["journal"]);
    fs::create_dir(site.path().join("journal")).unwrap();
    let server = site.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.value("journal_add_line", json!({ "line": "one" })).await, 1);
    assert_eq!(client.value("journal_add_line", json!({ "line": "two\nlines" })).await, 2);
    let kept = fs::read_to_string(server.site().path().join("journal/lines.txt")).unwrap();
    assert_eq!(kept, "one\ntwo lines\n");
}

#[tokio::test]
async fn a_server_is_asked_through_a_socket() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let redis = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 6];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"PING\r\n");
        stream.write_all(b"+PONG\r\n").await.unwrap();
    });
    let site = site(&["ping"]);
    site.configure(&format!("[plugin.ping]\ntcp = [\"{redis}\"]\n"));
    let server = site.start().await;
    assert_eq!(Client::modern(&server).value("ping", json!({ "address": redis.to_string() })).await, "PONG");
}

#[tokio::test]
async fn the_environment_is_what_is_granted() {
    let server = serve(&["zone"]).await;
    assert_eq!(Client::modern(&server).value("zone", json!({})).await, "Europe/Helsinki");
}
