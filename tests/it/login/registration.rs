//! `/register` (RFC 7591): lenient, stateless, bounded.

use serde_json::{Value, json};
use tinymcp_tests::http::{Answer, Request, content_type};
use tinymcp_tests::oauth::{Kind, OAuthClient, register};
use tinymcp_tests::world::World;

use super::{alice, refused};

async fn registered(world: &World, body: &Value) -> Value {
    let answer = register(&world.base, body).await;
    assert_eq!((answer.status, content_type(&answer.headers)), (201, "application/json"), "{body}: {answer:?}");
    assert!(answer.header("cache-control").contains("no-store"), "{answer:?}");
    answer.json()
}

fn minimal() -> Value {
    json!({ "redirect_uris": ["http://localhost:3118/callback"] })
}

/// The minimal body with something more, or other.
fn with(member: &str, value: Value) -> Value {
    let mut body = minimal();
    body[member] = value;
    body
}

#[tokio::test]
async fn every_real_client_is_registered_and_logs_in() {
    let world = World::local().await;
    for kind in Kind::ALL {
        let client = world.register(kind).await;
        let tokens = client.log_in(&mut alice()).await;
        assert!(client.is_live(&tokens.access).await, "{kind:?}");
        assert!(client.is_live(&client.renew(&tokens.refresh).await.access).await, "{kind:?}");
    }
}

#[tokio::test]
async fn the_answer_says_what_was_registered() {
    let world = World::local().await;
    let body = registered(&world, &Kind::Cursor.registration()).await;
    assert_eq!(body["redirect_uris"], Kind::Cursor.registration()["redirect_uris"]);
    assert_eq!(body["client_name"], "Cursor");
    assert_eq!(body["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(body["response_types"], json!(["code"]));
    assert_eq!(body["token_endpoint_auth_method"], "none");
    assert!(body["client_id_issued_at"].is_u64(), "{body}");
    assert!(body.get("client_secret").is_none() && body.get("client_secret_expires_at").is_none(), "{body}");
    for (member, value) in body.as_object().unwrap() {
        assert!(!value.is_null() && (value != "" || member == "scope"), "{member}: {body}");
    }
}

#[tokio::test]
async fn a_redirect_uri_is_enough() {
    let world = World::local().await;
    let body = registered(&world, &minimal()).await;
    assert_eq!((&body["token_endpoint_auth_method"], &body["response_types"]), (&json!("none"), &json!(["code"])));
    assert!(body.get("client_uri").is_none_or(|uri| uri != ""), "{body}");
}

#[tokio::test]
async fn members_that_do_not_matter_do_not_matter() {
    let world = World::local().await;
    for (member, value) in [
        ("application_type", json!("web")),
        ("application_type", json!("native")),
        ("client_id", json!("mine")),
        ("logo_uri", json!("https://client.example/logo.png")),
        ("software_statement", json!("eyJ")),
        ("contacts", json!(["a@b.example"])),
        ("unheard_of", json!({ "a": [1] })),
        ("scope", json!("anything at all")),
        ("client_uri", json!("")),
        ("grant_types", json!(["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"])),
    ] {
        let body = registered(&world, &with(member, value.clone())).await;
        assert_ne!(body["client_id"], "mine", "{member}");
    }
}

#[tokio::test]
async fn grants_and_responses_that_are_not_supported_are_refused() {
    let world = World::local().await;
    for body in [
        with("grant_types", json!(["client_credentials"])),
        with("grant_types", json!(["implicit"])),
        with("response_types", json!(["token"])),
        with("token_endpoint_auth_method", json!("tls_client_auth")),
    ] {
        let answer = register(&world.base, &body).await;
        assert_eq!(refused(&answer), (400, "invalid_client_metadata".to_owned()), "{body}");
    }
}

#[tokio::test]
async fn one_bad_redirect_uri_does_not_spoil_the_others() {
    let world = World::local().await;
    let good = "http://localhost:3118/callback";
    let body =
        json!({ "redirect_uris": ["http://evil.example/cb", "javascript:alert(1)", good, "https://a.example/cb#x"] });
    assert_eq!(registered(&world, &body).await["redirect_uris"], json!([good]));
}

#[tokio::test]
async fn without_an_acceptable_redirect_uri_there_is_no_client() {
    let world = World::local().await;
    for uris in [
        json!([]),
        json!(["http://evil.example/cb"]),
        json!(["javascript:alert(1)"]),
        json!(["data:text/html,x"]),
        json!(["file:///etc/passwd"]),
        json!(["https://user:password@a.example/cb"]),
        json!(["https://a.example/cb#fragment"]),
        json!(["https://a.example/../cb"]),
        json!(["https://a.example/%2e%2e/cb"]),
        json!(["http://127.1/cb"]),
        json!(["http://0x7f000001/cb"]),
        json!(["http://localhost.evil.example/cb"]),
        json!(["http://localhost:99999/cb"]),
        json!(["spotify://cb"]),
        json!(["https:///cb"]),
        json!(["/callback"]),
        json!(["https://a.example/c b"]),
        json!(["https://a.example/\ncb"]),
        json!(["*"]),
        json!([""]),
        json!([7]),
    ] {
        let answer = register(&world.base, &json!({ "redirect_uris": uris })).await;
        let (status, error) = refused(&answer);
        let is_named = error == "invalid_redirect_uri" || (uris == json!([7]) && error == "invalid_client_metadata");
        assert!(status == 400 && is_named, "{uris}: {answer:?}");
    }
    let answer = register(&world.base, &json!({ "client_name": "x" })).await;
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[tokio::test]
async fn schemes_of_known_and_reverse_domain_apps_are_accepted() {
    let world = World::local().await;
    for uri in [
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "cursor://anysphere.cursor-retrieval/oauth/user_x/callback",
        "vscode://vscode.github-authentication/did-authenticate",
        "vscode-insiders://x/y",
        "windsurf://x/y",
        "zed://x/y",
        "claude://x/y",
        "goose://x/y",
        "com.example.app:/oauth",
        "com.example.app://oauth/callback",
        "https://client.example/cb?a=b",
        "http://[::1]:8787/cb",
        "http://127.0.0.1/",
        "http://localhost",
    ] {
        let body = registered(&world, &json!({ "redirect_uris": [uri] })).await;
        assert_eq!(body["redirect_uris"], json!([uri]));
    }
}

#[tokio::test]
async fn the_same_registration_has_the_same_id_whatever_its_port() {
    let world = World::local().await;
    let id = async |port: u16| {
        let body = json!({ "client_name": "x", "redirect_uris": [format!("http://localhost:{port}/callback")] });
        registered(&world, &body).await["client_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(id(3118).await, id(40404).await);
    let other = registered(&world, &with("client_name", json!("y"))).await;
    assert_ne!(other["client_id"], json!(id(3118).await));
}

#[tokio::test]
async fn an_id_survives_a_restart_and_is_good_for_ever() {
    let world = World::local().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let world = world.killed().await;
    assert!(client.is_live(&tokens.access).await);
    let again = client.log_in(&mut alice()).await;
    assert!(client.is_live(&again.access).await);
    assert_eq!(world.register(Kind::ClaudeCode).await.id, client.id);
}

#[tokio::test]
async fn a_registration_writes_nothing() {
    let world = World::local().await;
    let size = || -> u64 {
        let files = std::fs::read_dir(world.server.site().path().join(".tinymcp/store")).unwrap().flatten();
        files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
    };
    world.register(Kind::Cursor).await;
    let before = size();
    for number in 0..50 {
        registered(&world, &with("client_name", json!(format!("client {number}")))).await;
    }
    assert_eq!(size(), before);
}

#[tokio::test]
async fn ids_of_real_clients_fit_into_a_url() {
    let world = World::local().await;
    for kind in Kind::ALL {
        let client = world.register(kind).await;
        assert!(client.id.len() <= 1024, "{kind:?}: {}", client.id.len());
        assert!(client.authorization().url().len() < 2048, "{kind:?}");
        assert!(client.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)), "{}", client.id);
    }
}

#[tokio::test]
async fn a_secret_is_given_to_those_only_who_want_one() {
    let world = World::local().await;
    for method in ["client_secret_post", "client_secret_basic"] {
        let body = registered(&world, &with("token_endpoint_auth_method", json!(method))).await;
        assert!(body["client_secret"].as_str().is_some_and(|secret| secret.len() >= 32), "{body}");
        assert_eq!(
            (&body["client_secret_expires_at"], &body["token_endpoint_auth_method"]),
            (&json!(0), &json!(method))
        );
        let again = registered(&world, &with("token_endpoint_auth_method", json!(method))).await;
        assert_ne!((&again["client_id"], &again["client_secret"]), (&body["client_id"], &body["client_secret"]));
    }
}

#[tokio::test]
async fn an_altered_id_is_unknown() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let at = client.id.len() / 2;
    let flip = |at: usize| {
        let mut id = client.id.clone().into_bytes();
        id[at] = if id[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(id).unwrap()
    };
    let shortened = &client.id[..client.id.len() - 1];
    for id in [flip(at), flip(client.id.len() - 4), flip(6), shortened.to_owned(), format!("{}A", client.id)] {
        let altered = OAuthClient { id, ..client.clone() };
        let answer = altered.try_renew("x").await;
        assert_eq!(refused(&answer), (401, "invalid_client".to_owned()), "{}", altered.id);
        assert_eq!(alice().open(&altered.authorization().url()).await.page().status, 400, "{}", altered.id);
    }
}

#[tokio::test]
async fn registrations_are_bounded() {
    let world = World::local().await;
    let big = with("unheard_of", json!("x".repeat(17 * 1024)));
    let answer = register(&world.base, &big).await;
    assert!(answer.status == 413 && answer.text().contains("16384 bytes"), "{answer:?}");
    let uris: Vec<String> = (0..11).map(|number| format!("https://a{number}.example/cb")).collect();
    let answer = register(&world.base, &json!({ "redirect_uris": uris })).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let long = format!("https://a.example/{}", "x".repeat(2048));
    assert_eq!(refused(&register(&world.base, &json!({ "redirect_uris": [long] })).await).0, 400);
    let body = registered(&world, &with("client_name", json!("x".repeat(5000)))).await;
    assert!(body["client_name"].as_str().is_none_or(|name| name.chars().count() <= 100), "{body}");
    let uris: Vec<String> = (0..9).map(|number| format!("https://a{number}.example/{}", "x".repeat(1500))).collect();
    let answer = register(&world.base, &json!({ "redirect_uris": uris })).await;
    let id = answer.json()["client_id"].as_str().map_or(0, str::len);
    assert!(answer.status == 400 || answer.status == 413 || id <= 4096, "{answer:?}");
}

#[tokio::test]
async fn a_body_of_another_type_is_no_registration() {
    let world = World::local().await;
    let send = async |content_type: &str, body: String| -> Answer {
        Request::to(&world.base.join("/register").unwrap(), "POST")
            .header("content-type", content_type)
            .body(body)
            .send()
            .await
    };
    assert_eq!(send("application/json; charset=utf-8", minimal().to_string()).await.status, 201);
    let answer = send("application/x-www-form-urlencoded", "redirect_uris=x".to_owned()).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    // A duplicate member is one client's trick against two readers.
    let twice = r#"{"redirect_uris":["https://a.example/cb"],"redirect_uris":["https://b.example/cb"]}"#;
    let answer = send("application/json", twice.to_owned()).await;
    assert!(answer.status == 400 || answer.json()["redirect_uris"].as_array().is_some_and(|uris| uris.len() == 1));
}

#[tokio::test]
async fn a_name_is_cleaned_before_it_is_shown() {
    let world = World::local().await;
    let name = "Evil\u{202e}\u{200b}\u{7}<script>alert(1)</script>";
    let body = registered(&world, &with("client_name", json!(name))).await;
    let id = body["client_id"].as_str().unwrap();
    let client = OAuthClient::known(&world.base, id, "http://localhost:3118/callback");
    let page = alice().open(&client.authorization().url()).await.page();
    assert!(page.asks_for_consent(), "{page:?}");
    for part in ["\u{202e}", "\u{200b}", "\u{7}", "<script"] {
        assert!(!page.html.contains(part), "{part:?}: {}", page.html);
    }
    assert!(page.text().contains("Evil"), "{page:?}");
}

#[tokio::test]
async fn a_client_of_the_configuration_need_not_register() {
    let config = "[auth.clients.ci]\nname = \"Continuous integration\"\nredirect_uris = [\"http://localhost:7777/callback\"]\nsecret = \"a secret of thirty-two characters\"\n[auth.clients.public]\nredirect_uris = [\"https://public.example/cb\"]\n";
    let world = World::of(tinymcp_tests::world::local().config(config)).await;
    let mut client = OAuthClient::known(&world.base, "ci", "http://localhost:7777/callback");
    client.secret = Some("a secret of thirty-two characters".to_owned());
    let page = alice().open(&client.authorization().url()).await.page();
    assert!(page.text().contains("Continuous integration"), "{page:?}");
    assert!(client.is_live(&client.log_in(&mut alice()).await.access).await);
    client.secret = Some("another secret".to_owned());
    assert_eq!(refused(&client.try_renew("x").await), (401, "invalid_client".to_owned()));
    let public = OAuthClient::known(&world.base, "public", "https://public.example/cb");
    assert!(public.is_live(&public.log_in(&mut alice()).await.access).await);
    let elsewhere = OAuthClient::known(&world.base, "public", "https://public.example/other");
    assert_eq!(alice().open(&elsewhere.authorization().url()).await.page().status, 400);
}
