//! Callers without a browser, from outside: clients that call for themselves, operators' tokens, workloads, devices.

mod clients;
mod devices;
mod nobody;
mod tokens;
mod workloads;

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tinymcp_tests::guests::{guest, tests_dir};
use tinymcp_tests::http::{Answer, Request};
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{World, local};
use url::Url;

/// A rules change applies within two seconds of the file's change; busy machines look later.
const SOON: std::time::Duration = std::time::Duration::from_secs(60);

/// Three plugins: one that is open, and two that need a scope each. They are small, since every server compiles them.
fn guarded() -> Site {
    let greeter = guest("greeter-v1");
    local().plugin("open", &greeter).plugin("reading", &greeter).plugin("writing", &greeter)
}

const GUARDS: &str = "[plugin.reading]\nscopes = [\"read\"]\n[plugin.writing]\nscopes = [\"write\"]\n";

/// A server with these plugins and these tables.
async fn world(tables: &str) -> World {
    World::of(guarded().config(&format!("{GUARDS}{tables}"))).await
}

/// Writes other tables into the configuration of a server.
fn change(world: &World, tables: &str) {
    world.server.site().configure(&format!("{GUARDS}{tables}"));
}

/// Sends a form to an endpoint.
async fn post(base: &Url, path: &str, form: &[(&str, &str)]) -> Answer {
    Request::to(&base.join(path).unwrap(), "POST").form(form).send().await
}

/// The answer with a token, which must be a good one of a machine: without a refresh token.
fn token(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("cache-control").contains("no-store"), "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["token_type"], "Bearer", "{answer}");
    assert!(answer.get("refresh_token").is_none() && answer["expires_in"].as_u64() > Some(0), "{answer}");
    answer
}

fn access(answer: &Answer) -> String {
    token(answer)["access_token"].as_str().unwrap().to_owned()
}

/// The plugins that a token may call: of `open`, `reading` and `writing`.
async fn callable(world: &World, token: &str) -> Vec<&'static str> {
    let client = world.modern(token);
    let mut callable = Vec::new();
    for plugin in ["open", "reading", "writing"] {
        let (_, request) =
            client.request("tools/call", json!({ "name": format!("{plugin}_greet"), "arguments": { "name": "Ada" } }));
        let answer = request.send().await;
        match answer.status {
            200 if answer.json()["result"]["isError"] != json!(true) && answer.json().get("error").is_none() => {
                callable.push(plugin);
            }
            200 | 400 | 403 | 404 => {}
            status => panic!("{status}: {answer:?}"),
        }
    }
    callable
}

/// Tells whether a token is taken at all.
async fn is_live(world: &World, token: &str) -> bool {
    let initialize = tinymcp_tests::client::initialize("2025-11-25");
    let request = Request::to(&world.base.join("/mcp").unwrap(), "POST").json(&initialize).bearer(token);
    match request.send().await.status {
        200 => true,
        401 => false,
        status => panic!("{status}"),
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn pem(name: &str) -> Vec<u8> {
    fs::read(tests_dir().join(format!("fixtures/keys/{name}.pem"))).unwrap()
}

fn key(name: &str) -> EncodingKey {
    EncodingKey::from_rsa_pem(&pem(name)).unwrap()
}

/// The public half of a key, as a key set.
fn key_set(name: &str) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key(name), Algorithm::RS256).unwrap()).unwrap();
    jwk["kid"] = json!(name);
    json!({ "keys": [jwk] })
}

/// A token under one of the keys.
fn signed(name: &str, algorithm: Algorithm, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &key(name)).unwrap()
}

/// A token with HS256 under a public key: whoever takes the algorithm from the token takes it.
fn confused(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(&pem("first.pub"))).unwrap()
}

/// A token with no signature.
fn unsigned(claims: &Value) -> String {
    let encoded = |value: &Value| tinymcp_tests::encoding::base64url(value.to_string().as_bytes());
    format!("{}.{}.", encoded(&json!({ "alg": "none", "typ": "JWT" })), encoded(claims))
}
