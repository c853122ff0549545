//! Credentials that the plugin does not hold: they reach the service, and nobody else.

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::server::Site;

use super::{ask, get, header, site};

const KEY: &str = "sk-test-0123456789abcdef";
const OTHER: &str = "sk-test-fedcba9876543210";

/// The base64 of [`KEY`] as a service could write it.
fn encoded() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(KEY)
}

#[tokio::test]
async fn a_credential_reaches_the_service_alone() {
    let peer = Peer::start(|request| match request.split(' ').nth(1).unwrap_or_default() {
        path if path.starts_with("/gzip") => Script::with(200, "content-encoding: gzip\r\n", "x"),
        _ => {
            let line = request.lines().find(|line| line.starts_with("authorization: ")).unwrap_or_default().to_owned();
            let lines =
                format!("x-echo: {line}\r\n{KEY}: x\r\nset-cookie: a=b\r\nwww-authenticate: Basic\r\nalt-svc: h3\r\n");
            Script::with(
                401,
                &lines,
                &format!("you sent {line}, which is {} and {}", encoded(), KEY.replace('-', "%2D")),
            )
        }
    })
    .await;
    let table = format!(
        "http = [{{ to = \"http://{}\", headers = {{ Authorization = \"Bearer ${{KEY}}\" }}, query = {{ api_key = \"${{KEY}}\" }} }}]",
        peer.address
    );
    let server = site(&table).variable("KEY", KEY).start().await;
    let client = Client::modern(&server);
    let request = json!({ "method": "GET", "url": peer.url("/x?API%5fKEY=mine&b=c"), "headers": [
        { "name": "authorization", "value": "Bearer mine" },
        { "name": "AUTHORIZATION", "value": "mine too" },
        { "name": "accept-encoding", "value": "gzip" },
        { "name": "range", "value": "bytes=0-1" },
    ]});
    let answer = ask(&client, request).await;
    let sent = peer.requests().remove(0);
    assert!(sent.starts_with(&format!("GET /x?b=c&api_key={KEY} HTTP/1.1\r\n")), "{sent}");
    assert!(sent.contains(&format!("\r\nauthorization: Bearer {KEY}\r\n")) && !sent.contains("mine"), "{sent}");
    assert!(sent.contains("accept-encoding: identity") && !sent.contains("range:"), "{sent}");
    let shown = answer.to_string();
    assert!(!shown.contains(KEY) && !shown.contains(&encoded()) && !shown.contains("%2Dtest"), "{shown}");
    let hidden = "*".repeat("Bearer ".len() + KEY.len());
    assert_eq!(header(&answer, "x-echo"), Some(format!("authorization: {hidden}").as_str()));
    for name in ["set-cookie", "www-authenticate", "alt-svc"] {
        assert_eq!(header(&answer, name), None);
    }
    let said = client.failure("fetch", get(&peer.url("/gzip"))).await;
    assert!(said.contains("HttpResponseContentCoding"), "{said}");
    assert!(!server.log.text().contains(KEY));
}

#[tokio::test]
async fn connections_are_shared_by_no_two_credentials_and_no_two_plugins() {
    let peer = Peer::start(|_| Script::text("hello")).await;
    let address = peer.address;
    let entry =
        |path: &str, key: &str| format!("{{ to = \"http://{address}{path}\", headers = {{ X-Key = \"{key}\" }} }}");
    let table = format!("http = [{}, {}, \"http://{address}/c\"]", entry("/a", KEY), entry("/b", OTHER));
    let config = format!("[plugin.fetch]\n{table}\n[plugin.other]\n{table}\n");
    let site = Site::new().plugin("fetch", &guest("fetch")).plugin("other", &guest("fetch")).config(&config);
    let server = site.start().await;
    let client = Client::modern(&server);
    for (tool, path, connections) in [
        ("fetch", "/a", 1),
        ("fetch", "/a/x", 1),
        ("fetch", "/b", 2),
        ("fetch", "/c", 3),
        ("fetch", "/a", 3),
        ("other_fetch", "/a", 4),
        ("other_fetch", "/c", 5),
        ("fetch", "/c", 5),
    ] {
        client.value(tool, get(&peer.url(path))).await;
        assert_eq!(peer.connections(), connections, "{tool} {path}");
    }
}
