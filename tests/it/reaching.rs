//! The plugins of the project that reach outside, against stand-ins of what they ask; and components of others that do.

use std::fs;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::{copy_changed, guest, kept_dir, project_dir, shipped};
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::world::{World, local};
use tinymcp_tests::{BUILDING, until};

/// Bytes of a component with a language's runtime inside.
const LARGE: usize = 4_000_000;

/// The configuration of a server with one plugin. What takes long to compile is kept from one run to the next.
fn config(name: &str, component: &[u8], table: &str) -> String {
    let state = kept_dir(&format!("state-{name}"));
    let kept =
        if component.len() > LARGE { format!("[state]\ndir = \"{}\"\n", state.display()) } else { String::new() };
    format!("{kept}[plugin.{name}]\n{table}")
}

/// A server with one plugin.
async fn serve(name: &str, component: &[u8], table: &str) -> (Server, Client) {
    let server = Site::new().config(&config(name, component, table)).plugin(name, component).launch().await;
    server.ready_within(BUILDING).await;
    let client = Client::modern(&server);
    (server, client)
}

/// A stand-in for the service of `plugins/weather`, which knows the weather of Helsinki and of the South Pole.
async fn weather_service() -> Peer {
    Peer::start(|request| {
        let helsinki = r#"{"current":{"time":"2026-11-30T12:00","temperature_2m":-3.5,"wind_speed_10m":18.25,"weather_code":71,"x":"ä"}}"#;
        let fields = "&current=temperature_2m,wind_speed_10m,weather_code HTTP/1.1";
        let target = request.lines().next().unwrap_or_default().strip_prefix("GET /v1/forecast?").unwrap_or_default();
        match target.strip_suffix(fields).unwrap_or_default() {
            "latitude=60.17&longitude=24.94" => Script::text(helsinki),
            // Moved, and then moved back by another way of saying where.
            "latitude=60.5&longitude=24.94" => Script::with(302, "location: /v1/moved?a=b#c\r\n", "moved"),
            "latitude=-90&longitude=0" | "latitude=-90.0&longitude=0.0" => Script::text("no JSON"),
            _ if request.starts_with("GET /v1/moved?a=b HTTP/1.1") => Script::text(helsinki),
            _ => Script::with(503, "", "busy"),
        }
    })
    .await
}

/// What a plugin for the weather does, in whatever language.
async fn tells_the_weather(folder: &str, follows_redirects: bool) {
    let (name, component) = (folder.replace('-', "_"), shipped(folder));
    let tool = if name == "weather" { "weather_now".to_owned() } else { format!("{name}_now") };
    let peer = weather_service().await;
    let setting = format!("settings = {{ url = \"http://{}\" }}\n", peer.address);
    let granted = format!("{setting}http = [\"http://{}/v1/\"]\n", peer.address);
    let (server, client) = serve(&name, &component, &granted).await;
    let place = |latitude: f64, longitude: f64| json!({ "latitude": latitude, "longitude": longitude });
    let here = json!({ "time": "2026-11-30T12:00", "sky": "snow", "temperature": -3.5, "wind-speed": 18.25 });

    assert_eq!(client.call(&tool, place(60.17, 24.94)).await.structured, here);
    if follows_redirects {
        assert_eq!(client.call(&tool, place(60.5, 24.94)).await.structured, here);
    }
    for (latitude, longitude, said) in [
        (1.0, 2.0, "the weather service answers 503"),
        (-90.0, 0.0, "the weather service does not answer as it did"),
        (91.0, 0.0, "91, 0 is nowhere on earth"),
    ] {
        let failure = client.failure(&tool, place(latitude, longitude)).await.replace(".0", "");
        assert!(failure.contains(said), "{failure}");
    }

    server.site().configure(&config(&name, &component, &setting));
    let refused = format!("no grant for http://{}: ask the operator", peer.address);
    until("a grant that is gone", async || {
        let outcome = client.try_call(&tool, place(60.17, 24.94)).await.unwrap();
        outcome.text.contains("the weather service cannot be asked") && outcome.text.contains(&refused)
    })
    .await;
    let asked_meanwhile = peer.requests().len();
    client.failure(&tool, place(60.17, 24.94)).await;
    assert_eq!(peer.requests().len(), asked_meanwhile, "nothing is sent without a grant");
}

#[tokio::test]
async fn the_weather_is_told_in_rust() {
    tells_the_weather("weather", false).await;
}

#[tokio::test]
async fn the_weather_is_told_in_python() {
    tells_the_weather("weather-py", true).await;
}

#[tokio::test]
async fn the_weather_is_told_in_javascript() {
    tells_the_weather("weather-js", true).await;
}

#[tokio::test]
async fn tickets_are_opened_with_a_token_that_the_plugin_never_sees() {
    let peer = Peer::start(|request| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let is_trusted = head.contains("\r\nauthorization: Bearer the-token-of-the-operator");
        let ticket = json!({ "id": "T-1", "title": "Leak", "status": "open", "text": "in the cellar" });
        match head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1") {
            _ if !is_trusted => Script::with(401, "", ""),
            "POST /api/tickets" => {
                // It comes in chunks: its length is not known beforehand.
                let object = body.find('{').zip(body.rfind('}')).map(|(begin, end)| &body[begin..=end]);
                let sent: Value = serde_json::from_str(object.unwrap()).unwrap();
                assert_eq!(sent, json!({ "title": "Leak", "text": "in the cellar" }));
                Script::with(201, "", &ticket.to_string())
            }
            "GET /api/tickets?limit=50&status=open" => Script::text(&json!([ticket]).to_string()),
            "GET /api/tickets/T-1" => Script::text(&ticket.to_string()),
            _ => Script::with(404, "", ""),
        }
    })
    .await;
    let table = |token: &str| {
        format!(
            "settings = {{ url = \"http://{0}/api\" }}\n\
             http = [{{ to = \"http://{0}/api/\", methods = [\"GET\", \"POST\"], headers = {{ Authorization = \"Bearer {token}\" }} }}]\n",
            peer.address
        )
    };
    let component = shipped("tickets");
    let (server, client) = serve("tickets", &component, &table("the-token-of-the-operator")).await;
    let ticket = json!({ "id": "T-1", "title": "Leak", "status": "open", "text": "in the cellar" });
    let created = client.call("tickets_create", json!({ "title": "Leak", "text": "in the cellar" })).await;
    assert_eq!(created.structured, ticket);
    assert_eq!(client.value("tickets_list", json!({ "status": "open" })).await, json!([ticket]));
    assert_eq!(client.call("tickets_get", json!({ "id": "T-1" })).await.structured, ticket);
    for (tool, arguments, said) in [
        ("tickets_get", json!({ "id": "T-2" }), "there is no such ticket"),
        ("tickets_get", json!({ "id": "../admin" }), "is no id of a ticket"),
        ("tickets_list", json!({ "status": "lost" }), "is no status"),
        ("tickets_create", json!({ "title": " ", "text": "" }), "the title is empty"),
    ] {
        let failure = client.failure(tool, arguments).await;
        assert!(failure.contains(said), "{failure}");
    }
    assert!(!server.log.text().contains("the-token-of-the-operator"));

    let (_server, client) = serve("tickets", &component, &table("some-token-that-is-wrong")).await;
    let failure = client.failure("tickets_get", json!({ "id": "T-1" })).await;
    assert!(failure.contains("refuses the token of this server"), "{failure}");
    let (_server, client) = serve("tickets", &component, "").await;
    assert!(client.failure("tickets_get", json!({ "id": "T-1" })).await.contains("no ticket service is set"));
}

#[tokio::test]
async fn notes_are_each_persons_own() {
    let site = local().plugin("notes", &shipped("notes"));
    let world = World::of(site.config("[plugin.notes]\nkv = { quota = \"1KiB\", per = \"person\" }\n")).await;
    let person = async |name: &str| world.modern(&world.log_in(Kind::ClaudeCode, name).await.1.access);
    let (alice, bob) = (person("alice").await, person("bob").await);
    for (text, id) in [("milk", 1), ("bread", 2), ("salt", 3)] {
        assert_eq!(alice.value("notes_add", json!({ "text": text })).await, id);
    }
    assert_eq!(alice.value("notes_get", json!({ "id": 2 })).await, "bread");
    alice.call("notes_remove", json!({ "id": 2 })).await;
    let left = json!([{ "id": 1, "text": "milk" }, { "id": 3, "text": "salt" }]);
    assert_eq!(alice.value("notes_list", json!({})).await, left);
    assert_eq!(bob.value("notes_list", json!({})).await, json!([]));
    for (arguments, tool, said) in [
        (json!({ "id": 2 }), "notes_get", "there is no note 2"),
        (json!({ "id": 2 }), "notes_remove", "there is no note 2"),
        (json!({ "text": "\n" }), "notes_add", "the note is empty"),
        (json!({ "text": "x".repeat(900) }), "notes_add", "there is no room for more"),
    ] {
        let failure = alice.failure(tool, arguments).await;
        assert!(failure.contains(said), "{failure}");
    }
    // A note that found no room leaves no trace but its number.
    assert_eq!(alice.value("notes_list", json!({})).await, left);
}

#[tokio::test]
async fn notes_that_nobody_granted_say_so() {
    let (_server, client) = serve("notes", &shipped("notes"), "").await;
    let failure = client.failure("notes_add", json!({ "text": "milk" })).await;
    assert!(failure.contains("ask the operator for a grant of kv"), "{failure}");
}

#[tokio::test]
async fn a_component_of_starlingmonkey_calls_fetch() {
    let peer = Peer::start(|request| {
        let text =
            if request.starts_with("POST /echo HTTP/1.1") { request.split("\r\n\r\n").last().unwrap() } else { "?" };
        Script::with(200, "x-kind: echo\r\n", text)
    })
    .await;
    let table = format!("http = [\"http://{}\"]\n", peer.address);
    let (_server, client) = serve("js_fetch_sm", &guest("js-fetch-sm"), &table).await;
    let arguments = json!({ "url": peer.url("/echo"), "body": "grüß" });
    assert_eq!(client.value("js_fetch_sm_echo", arguments).await, "200 echo grüß");
    let failure = client.failure("js_fetch_sm_echo", json!({ "url": "http://127.0.0.1:9/", "body": "" })).await;
    assert!(failure.contains("no grant for http://127.0.0.1:9: ask the operator"), "{failure}");
}

#[tokio::test]
async fn the_same_fetch_is_there_in_quickjs() {
    let peer = Peer::start(|request| {
        let line = request.lines().next().unwrap_or_default();
        match line.trim_end_matches(" HTTP/1.1") {
            "POST /echo" => Script::text(request.split("\r\n\r\n").last().unwrap_or_default()),
            // As a browser does: the method changes, and the body goes.
            "POST /found" => Script::with(303, "location: ./sub/../seen\r\n", ""),
            "GET /seen" => Script::with(200, "x-a: 1\r\nx-a: 2\r\nset-cookie: a\r\nset-cookie: b\r\n", line),
            "PUT /kept" => Script::with(307, "location: /echo-put\r\n", ""),
            "PUT /echo-put" => Script::text(request.split("\r\n\r\n").last().unwrap_or_default()),
            "GET /loop" => Script::with(302, "location: /loop\r\n", ""),
            "GET /latin" => Script::Answer(b"HTTP/1.1 200 X\r\ncontent-length: 3\r\n\r\na\xe4b".to_vec()),
            "GET /big" => Script::text(&"0123456789".repeat(20_000)),
            "GET /cut" => Script::Last(b"HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\nabc".to_vec()),
            "GET /a%20b?%C3%A4" => Script::text("escaped"),
            _ => Script::with(404, "", ""),
        }
    })
    .await;
    let site = Site::new();
    copy_changed(&project_dir().join("tests/guests/js-fetch"), &site.plugin_path("js-fetch"));
    let built = site.run(&["build", "js-fetch"]);
    assert_eq!(built.code, 0, "{built:#?}");
    let left: Vec<_> = fs::read_dir(site.plugin_path("js-fetch")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing of the build is left beside the sources: {left:?}");
    let server = site.config(&format!("[plugin.js_fetch]\nhttp = [\"http://{}\"]\n", peer.address)).start().await;
    let client = Client::modern(&server);
    let ask = async |path: &str, method: &str, body: Value| {
        let arguments = json!({ "url": peer.url(path), "method": method, "body": body });
        client.call("js_fetch_ask", arguments).await
    };
    for (path, method, body, expected) in [
        ("/echo", "POST", json!("grüß 👍"), "200 grüß 👍"),
        ("/found", "POST", json!("x"), "200 GET /seen HTTP/1.1 redirected 1, 2 a|b"),
        ("/kept", "PUT", json!("x"), "200 x redirected"),
        ("/latin", "GET", Value::Null, "200 a\u{fffd}b"),
        ("/a b?ä#c", "GET", Value::Null, "200 escaped"),
        ("/none", "GET", Value::Null, "404 "),
    ] {
        assert_eq!(ask(path, method, body).await.text, expected, "{path}");
    }
    assert_eq!(ask("/big", "GET", Value::Null).await.text.len(), 200_004);
    assert_eq!(client.value("js_fetch_both", json!({ "url": peer.url("/big") })).await, 400_000);
    for (path, said) in [("/loop", "too many redirects"), ("/cut", "failed: ")] {
        let outcome = ask(path, "GET", Value::Null).await;
        assert!(outcome.text.starts_with("TypeError: ") && outcome.text.contains(said), "{path}: {outcome:?}");
    }
}
