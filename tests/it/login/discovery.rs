//! Discovery before a registration: challenges (RFC 6750 §3, RFC 9728 §5.1) and metadata (RFC 9728, RFC 8414).

use serde_json::{Value, json};
use tinymcp_tests::client::{LEGACY, initialize};
use tinymcp_tests::http::{Answer, Request, content_type};
use tinymcp_tests::oauth::{Kind, challenge};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::{World, local};

const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const SERVER: &str = "/.well-known/oauth-authorization-server";

async fn document(world: &World, path: &str) -> Value {
    let answer = world.server.get(path).await;
    assert_eq!((answer.status, content_type(&answer.headers)), (200, "application/json"), "{answer:?}");
    answer.json()
}

fn base(world: &World) -> String {
    world.base.as_str().trim_end_matches('/').to_owned()
}

#[tokio::test]
async fn the_resource_is_described_at_both_places() {
    let world = World::local().await;
    let mut described = Vec::new();
    for path in [RESOURCE.to_owned(), format!("{RESOURCE}/mcp")] {
        let request = Request::to(&world.base.join(&path).unwrap(), "GET");
        let answer = request.send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        assert_eq!(body["resource"], format!("{}/mcp", base(&world)));
        assert_eq!(body["authorization_servers"], json!([base(&world)]));
        assert_eq!(body["bearer_methods_supported"], json!(["header"]));
        assert!(body["resource_name"].is_string(), "{body}");
        described.push(body);
    }
    assert_eq!(described[0], described[1]);
}

#[tokio::test]
async fn the_authorization_server_is_described() {
    let world = World::local().await;
    let body = document(&world, SERVER).await;
    let base = base(&world);
    assert_eq!(body["issuer"], json!(base));
    for (member, path) in [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/token"),
        ("registration_endpoint", "/register"),
        ("revocation_endpoint", "/revoke"),
    ] {
        assert_eq!(body[member], format!("{base}{path}"), "{member}");
    }
    assert_eq!(body["response_types_supported"], json!(["code"]));
    assert_eq!(body["response_modes_supported"], json!(["query"]));
    assert_eq!(body["grant_types_supported"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(body["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(body["client_id_metadata_document_supported"], true);
    assert_eq!(body["authorization_response_iss_parameter_supported"], true);
    for member in ["token_endpoint_auth_methods_supported", "revocation_endpoint_auth_methods_supported"] {
        let methods = body[member].as_array().unwrap_or_else(|| panic!("{member}: {body}"));
        for method in ["none", "client_secret_post", "client_secret_basic"] {
            assert!(methods.contains(&json!(method)), "{member}: {body}");
        }
    }
    assert!(
        body["scopes_supported"].as_array().is_some_and(|scopes| scopes.contains(&json!("offline_access"))),
        "{body}"
    );
}

#[tokio::test]
async fn what_there_is_not_is_left_out_and_never_null_or_empty() {
    let world = World::local().await;
    for path in [RESOURCE, SERVER] {
        for (member, value) in document(&world, path).await.as_object().unwrap() {
            assert!(!value.is_null() && value != "", "{path}: {member} is {value}");
        }
    }
    let body = document(&world, SERVER).await;
    for member in ["jwks_uri", "userinfo_endpoint", "introspection_endpoint", "end_session_endpoint"] {
        assert!(body.get(member).is_none(), "{member}: {body}");
    }
}

#[tokio::test]
async fn scopes_are_listed_and_offline_access_for_clients_only() {
    let world = World::of(local().config("[auth.scopes]\n\"weather:read\" = [\"*@example.com\"]\n")).await;
    assert_eq!(document(&world, RESOURCE).await["scopes_supported"], json!(["weather:read"]));
    let body = document(&world, SERVER).await;
    let scopes = body["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("weather:read")) && scopes.contains(&json!("offline_access")), "{body}");
}

#[tokio::test]
async fn other_well_knowns_are_not_there_in_json() {
    let world = World::local().await;
    for path in [
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp",
        "/mcp/.well-known/oauth-authorization-server",
        "/mcp/.well-known/oauth-protected-resource",
        "/mcp/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource/other",
        "/.well-known/nothing",
    ] {
        let answer = world.server.request("GET", path).header("origin", "https://page.example").send().await;
        assert_eq!((answer.status, content_type(&answer.headers)), (404, "application/json"), "{path}: {answer:?}");
        assert!(answer.json().is_object(), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_discover_and_register() {
    let world = World::local().await;
    for (path, method) in
        [(RESOURCE, "GET"), (SERVER, "GET"), ("/register", "POST"), ("/token", "POST"), ("/revoke", "POST")]
    {
        let preflight = world
            .server
            .request("OPTIONS", path)
            .header("origin", "https://page.example")
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "content-type,mcp-protocol-version,authorization")
            .send()
            .await;
        assert!(preflight.status == 204 || preflight.status == 200, "{path}: {preflight:?}");
        assert_eq!(preflight.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(preflight.header("access-control-allow-credentials"), "", "{path}");
        let answer = world.server.request(method, path).header("origin", "https://page.example").send().await;
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{path}");
    }
}

#[tokio::test]
async fn other_origins_see_no_page_for_people() {
    let world = World::local().await;
    for path in ["/authorize", "/auth/callback"] {
        let answer = world.server.request("GET", path).header("origin", "https://page.example").send().await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn any_protocol_version_may_be_said_at_discovery() {
    let world = World::local().await;
    for path in [RESOURCE, SERVER] {
        for version in ["2024-11-05", "2999-01-01", "nonsense"] {
            let answer = world.server.request("GET", path).header("mcp-protocol-version", version).send().await;
            assert_eq!(answer.status, 200, "{path} {version}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn published_urls_come_from_the_configuration_alone() {
    let world = World::local().await;
    for path in [RESOURCE, SERVER] {
        let plain = Request::to(&world.base.join(path).unwrap(), "GET").send().await.json();
        let forwarded = Request::to(&world.base.join(path).unwrap(), "GET")
            .header("x-forwarded-host", "evil.example")
            .header("x-forwarded-proto", "https")
            .header("forwarded", "host=evil.example;proto=https")
            .send()
            .await;
        // The built-in login refuses what a proxy has forwarded; nothing may lead to the other host.
        assert!(forwarded.status == 403 || forwarded.json() == plain, "{path}: {forwarded:?}");
        assert!(!forwarded.text().contains("evil.example"), "{forwarded:?}");
    }
}

/// A strict client compares `resource` with the URL that it was given (RFC 9728 §3.3).
#[tokio::test]
async fn an_alias_of_this_machine_is_the_resource_and_the_issuer_stays() {
    let world = World::local().await;
    let port = world.server.address.port();
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let host = format!("{host}:{port}");
        let answer = world.server.request("GET", &format!("{RESOURCE}/mcp")).header("host", &host).send().await;
        let body = answer.json();
        assert_eq!(body["resource"], format!("http://{host}/mcp"));
        assert_eq!(body["authorization_servers"], json!([base(&world)]));
        let answer =
            world.server.request("POST", "/mcp").header("host", &host).json(&initialize(LEGACY[0])).send().await;
        assert_eq!(challenge(&answer)["resource_metadata"], format!("http://{host}{RESOURCE}/mcp"));
        let answer = world.server.request("GET", SERVER).header("host", &host).send().await;
        assert_eq!(answer.json()["issuer"], json!(base(&world)));
    }
}

async fn unauthorized(request: Request) -> Answer {
    let answer = request.send().await;
    assert_eq!((answer.status, content_type(&answer.headers)), (401, "application/json"), "{answer:?}");
    answer
}

#[tokio::test]
async fn whoever_has_no_token_is_told_where_to_get_one() {
    let world = World::local().await;
    let to = |method: &str, path: &str| Request::to(&world.base.join(path).unwrap(), method);
    let discover = json!({ "jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {} });
    for request in [
        to("POST", "/mcp").json(&initialize(LEGACY[0])),
        to("POST", "/mcp/").json(&initialize(LEGACY[0])),
        to("POST", "/mcp").json(&discover),
        to("POST", "/mcp"),
        to("GET", "/mcp").header("accept", "text/event-stream"),
        to("DELETE", "/mcp").header("mcp-session-id", "forged"),
        to("POST", "/mcp").header("authorization", "Basic YTpi").json(&discover),
    ] {
        let challenge = challenge(&unauthorized(request).await);
        assert_eq!(challenge["resource_metadata"], format!("{}{RESOURCE}/mcp", base(&world)));
        assert_eq!(challenge.get("error"), None, "RFC 6750 §3.1");
    }
}

#[tokio::test]
async fn a_bad_token_is_told_apart_from_none() {
    let world = World::local().await;
    let (_, tokens) = world.log_in(tinymcp_tests::oauth::Kind::ClaudeCode, "alice").await;
    let altered = format!("{}x", tokens.access);
    for token in ["x", "tmcp_at_", "eyJhbGciOiJub25lIn0.e30.", &tokens.refresh, &altered, &"a".repeat(5000)] {
        let request = world.server.request("POST", "/mcp").json(&initialize(LEGACY[0])).bearer(token);
        let challenge = challenge(&unauthorized(request).await);
        assert_eq!(challenge["error"], "invalid_token", "{token}");
        assert!(challenge.contains_key("error_description") && challenge.contains_key("resource_metadata"));
    }
}

#[tokio::test]
async fn a_token_counts_in_the_header_only() {
    let world = World::local().await;
    let (_, tokens) = world.log_in(tinymcp_tests::oauth::Kind::ClaudeCode, "alice").await;
    let body = initialize(LEGACY[0]);
    let path = format!("/mcp?access_token={}", tokens.access);
    let answer = unauthorized(world.server.request("POST", &path).json(&body)).await;
    assert_eq!(challenge(&answer).get("error"), None);
    let form = world.server.request("POST", "/mcp").form(&[("access_token", &tokens.access)]);
    unauthorized(form).await;
    let both = world.server.request("POST", "/mcp").json(&body).bearer(&tokens.access);
    let both = both.also("authorization", &format!("Bearer {}", tokens.access)).send().await;
    assert_eq!(both.status, 400, "{both:?}");
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = world.server.request("POST", "/mcp").json(&body);
        let answer = request.header("authorization", &format!("{scheme} {}", tokens.access)).send().await;
        assert_eq!(answer.status, 200, "{scheme}: {answer:?}");
    }
}

#[tokio::test]
async fn a_page_reads_the_challenge_and_its_preflight_needs_no_token() {
    let world = World::local().await;
    let origin = "http://localhost:6274";
    let preflight = world
        .server
        .request("OPTIONS", "/mcp")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,mcp-protocol-version,mcp-method,mcp-name")
        .send()
        .await;
    assert!(preflight.status == 204 || preflight.status == 200, "{preflight:?}");
    let allowed = preflight.header("access-control-allow-headers").to_ascii_lowercase();
    assert!(allowed.contains("authorization") && allowed.contains("mcp-method"), "{allowed}");
    let answer =
        world.server.request("POST", "/mcp").header("origin", origin).json(&initialize(LEGACY[0])).send().await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, origin), "{answer:?}");
    assert!(answer.header("access-control-expose-headers").to_ascii_lowercase().contains("www-authenticate"));
    let bare = world.server.request("OPTIONS", "/mcp").send().await;
    assert_ne!(bare.status, 401, "{bare:?}");
}

#[tokio::test]
async fn the_challenge_asks_for_what_the_tools_need() {
    let site = local().plugin("hello", &tinymcp_tests::guests::guest("greeter-v1"));
    let world = World::of(site.config("[plugin.hello]\nscopes = [\"weather:read\"]\n")).await;
    let answer = unauthorized(world.server.request("POST", "/mcp").json(&initialize(LEGACY[0]))).await;
    assert_eq!(challenge(&answer)["scope"], "weather:read");
}

#[tokio::test]
async fn metadata_may_be_kept_for_an_hour_at_most() {
    let world = World::local().await;
    for path in [RESOURCE, SERVER] {
        let answer = world.server.get(path).await;
        let cache = answer.header("cache-control").to_owned();
        let age = cache.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse::<u32>().ok());
        assert!(age.is_none_or(|age| age <= 3600), "{path}: {cache}");
    }
}

#[tokio::test]
async fn endpoints_of_clients_answer_in_json_and_never_with_a_server_error() {
    let world = World::local().await;
    for path in ["/register", "/token", "/revoke"] {
        let nonsense = [
            world.server.request("POST", path),
            world.server.request("POST", path).body("{"),
            world.server.request("POST", path).json(&json!([])),
            world.server.request("POST", path).json(&json!({ "redirect_uris": 7 })),
            world.server.request("POST", path).header("content-type", "text/plain").body("a=b"),
            world.server.request("POST", path).form(&[("a", "b")]),
            world
                .server
                .request("POST", path)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(vec![0xff, 0xfe, b'=']),
            world.server.request("GET", path),
            world.server.request("PUT", path),
            world.server.request("DELETE", path),
        ];
        for request in nonsense {
            let answer = request.send().await;
            assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
            assert_eq!(content_type(&answer.headers), "application/json", "{path}: {answer:?}");
            assert!(answer.json()["error"].is_string(), "{path}: {answer:?}");
        }
        for method in ["GET", "PUT", "DELETE"] {
            let answer = world.server.request(method, path).send().await;
            assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
            assert!(answer.header("allow").contains("POST"), "{method} {path}: {answer:?}");
        }
    }
}

/// A member that a login can do without may be wrong; the login goes on without it, and the log names it.
#[tokio::test]
async fn slips_in_optional_members_of_the_provider_cost_the_member() {
    let provider = Provider::start(Settings::oidc()).await;
    provider.change(|settings| {
        settings.discovery_members = [
            ("revocation_endpoint", json!("")),
            ("introspection_endpoint", json!("/relative")),
            ("end_session_endpoint", json!("http://id.example/logout")),
            ("scopes_supported", json!("openid profile")),
            ("code_challenge_methods_supported", json!(null)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    });
    let world = World::with(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert!(client.is_live(&tokens.access).await);
    for member in ["revocation_endpoint", "introspection_endpoint", "scopes_supported"] {
        world.server.log.wait_for(&format!("`{member}` of the document is left out")).await;
    }
    assert_eq!(client.revoke(&tokens.refresh).await.status, 200);
}
