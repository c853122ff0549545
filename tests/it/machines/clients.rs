//! `client_credentials`: declared clients that call for themselves (RFC 6749 §4.4), by a secret or by a key (RFC 7523).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tinymcp_tests::encoding::random;
use tinymcp_tests::http::{Answer, Request};
use tinymcp_tests::oauth::OAuthClient;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::until_within;
use tinymcp_tests::world::{World, local};

use super::{SOON, access, callable, change, confused, is_live, key_set, now_s, post, signed, token, unsigned, world};

const CI: &str =
    "[auth.clients.ci]\ngrants = [\"client_credentials\"]\nscopes = [\"read\"]\nsecret = \"the secret of ci\"\n";

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

async fn with_secret(world: &World, more: &[(&str, &str)]) -> Answer {
    let form = [&[GRANT, ("client_id", "ci"), ("client_secret", "the secret of ci")][..], more].concat();
    post(&world.base, "/token", &form).await
}

fn refused(answer: &Answer) -> (u16, String) {
    answer.oauth_error()
}

#[tokio::test]
async fn a_client_calls_for_itself_with_its_own_scopes() {
    let world = world(CI).await;
    let answer = with_secret(&world, &[]).await;
    assert_eq!((token(&answer)["scope"].as_str(), token(&answer)["expires_in"].as_u64()), (Some("read"), Some(3600)));
    assert_eq!(callable(&world, &access(&answer)).await, ["open", "reading"]);
    // In the header, as RFC 6749 has it first.
    let header = format!("Basic {}", BASE64.encode("ci:the secret of ci"));
    let request = Request::to(&world.base.join("/token").unwrap(), "POST").form(&[GRANT]);
    let answer = request.header("authorization", &header).send().await;
    assert!(is_live(&world, &access(&answer)).await);
    // What it asks for beyond its own is left out, and what it does not ask for too.
    for (scope, granted, callable_with) in [
        ("read write openid", "read", &["open", "reading"][..]),
        ("write", "", &["open"]),
        ("unheard-of", "", &["open"]),
    ] {
        let answer = with_secret(&world, &[("scope", scope)]).await;
        assert_eq!(token(&answer)["scope"], granted, "{scope}");
        assert_eq!(callable(&world, &access(&answer)).await, callable_with, "{scope}");
    }
    let resource = format!("{}mcp", world.base);
    assert!(is_live(&world, &access(&with_secret(&world, &[("resource", &resource)]).await)).await);
    let elsewhere = with_secret(&world, &[("resource", "https://other.example/mcp")]).await;
    assert_eq!(refused(&elsewhere), (400, "invalid_target".to_owned()));
    assert_eq!(world.leaked(&["the secret of ci".to_owned()]), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_else_gets_a_token_so() {
    let tables = format!(
        "{CI}[auth.clients.app]\nredirect_uris = [\"http://localhost:1/cb\"]\nsecret = \"the secret of app\"\n\
         [auth.clients.public]\nredirect_uris = [\"http://localhost:1/cb\"]\n"
    );
    let world = world(&tables).await;
    let invalid = (401, "invalid_client".to_owned());
    for form in [
        &[GRANT, ("client_id", "ci")][..],
        &[GRANT, ("client_id", "ci"), ("client_secret", "the secret of app")],
        &[GRANT, ("client_id", "ci"), ("client_secret", "")],
        &[GRANT, ("client_id", "nobody"), ("client_secret", "the secret of ci")],
        &[GRANT],
    ] {
        assert_eq!(refused(&post(&world.base, "/token", form).await), invalid, "{form:?}");
    }
    let unauthorized = (400, "unauthorized_client".to_owned());
    let app = [GRANT, ("client_id", "app"), ("client_secret", "the secret of app")];
    assert_eq!(refused(&post(&world.base, "/token", &app).await), unauthorized);
    assert_eq!(refused(&post(&world.base, "/token", &[GRANT, ("client_id", "public")]).await), unauthorized);
    // Those who have registered by themselves neither.
    let body = json!({ "redirect_uris": ["http://localhost:1/cb"], "token_endpoint_auth_method": "client_secret_post",
                       "grant_types": ["authorization_code", "client_credentials"] });
    let registered = tinymcp_tests::oauth::register(&world.base, &body).await.json();
    let (id, secret) = (registered["client_id"].as_str().unwrap(), registered["client_secret"].as_str().unwrap());
    let form = [GRANT, ("client_id", id), ("client_secret", secret)];
    assert_eq!(refused(&post(&world.base, "/token", &form).await), unauthorized);
    // And nobody logs in through a client that has no such grant.
    let client = OAuthClient::known(&world.base, "ci", "http://localhost:1/cb");
    let page = tinymcp_tests::browser::Browser::of("alice").open(&client.authorization().url()).await.page();
    assert_eq!(page.status, 400, "{page:?}");
}

#[tokio::test]
async fn the_metadata_says_what_there_is() {
    let grants = async |world: &World| {
        let document = Request::to(&world.base.join("/.well-known/oauth-authorization-server").unwrap(), "GET");
        let document = document.send().await.json();
        assert!(document.get("device_authorization_endpoint").is_none(), "{document}");
        assert!(
            document["token_endpoint_auth_methods_supported"].to_string().contains("private_key_jwt"),
            "{document}"
        );
        let algorithms = document["token_endpoint_auth_signing_alg_values_supported"].to_string();
        assert!(
            algorithms.contains("RS256") && !algorithms.contains("HS") && !algorithms.contains("none"),
            "{document}"
        );
        document["grant_types_supported"].clone()
    };
    let without = World::of(local()).await;
    assert_eq!(grants(&without).await, json!(["authorization_code", "refresh_token"]));
    let form = [GRANT, ("client_id", "ci"), ("client_secret", "x")];
    let unsupported = (400, "unsupported_grant_type".to_owned());
    assert_eq!(refused(&post(&without.base, "/token", &form).await), unsupported);
    let world = world(CI).await;
    assert_eq!(grants(&world).await, json!(["authorization_code", "refresh_token", "client_credentials"]));
}

#[tokio::test]
async fn a_token_ends_with_its_table_and_loses_scopes_with_it() {
    let world = world(CI).await;
    let token = access(&with_secret(&world, &[]).await);
    let mut stream = world.modern(&token).listen().await;
    assert_eq!(callable(&world, &token).await, ["open", "reading"]);
    change(&world, &CI.replace("\"read\"", "\"write\""));
    until_within(SOON, "a token without its scope", async || callable(&world, &token).await == ["open"]).await;
    assert_eq!(callable(&world, &access(&with_secret(&world, &[]).await)).await, ["open", "writing"]);
    // A secret that was replaced may be known to others, and so may tokens.
    change(&world, &CI.replace("the secret of ci", "another secret"));
    until_within(SOON, "a token of the old secret", async || !is_live(&world, &token).await).await;
    let ended = tokio::time::timeout(SOON, async { while stream.next().await.is_some() {} }).await;
    assert!(ended.is_ok(), "the stream goes on");
    assert_eq!(refused(&with_secret(&world, &[]).await), (401, "invalid_client".to_owned()));
    // Back, and gone.
    change(&world, CI);
    until_within(SOON, "the secret again", async || with_secret(&world, &[]).await.status == 200).await;
    let token = access(&with_secret(&world, &[]).await);
    assert!(is_live(&world, &token).await);
    change(&world, "");
    until_within(SOON, "a token without a table", async || !is_live(&world, &token).await).await;
    assert_eq!(refused(&with_secret(&world, &[]).await), (400, "unsupported_grant_type".to_owned()));
}

#[tokio::test]
async fn a_token_outlives_a_kill_and_ends_in_time_or_when_it_is_revoked() {
    let auth = "[auth]\nprovider = \"local\"\naccess_ttl = \"10m\"\n";
    let site = super::guarded().auth(auth).config(&format!("{}{CI}", super::GUARDS)).with_clock();
    let world = World::of(site).await;
    let token = access(&with_secret(&world, &[]).await);
    let world = world.killed().await;
    assert_eq!(callable(&world, &token).await, ["open", "reading"]);
    let other = access(&with_secret(&world, &[]).await);
    let revoke = async |token: &str| {
        let form = [("token", token), ("client_id", "ci"), ("client_secret", "the secret of ci")];
        assert_eq!(post(&world.base, "/revoke", &form).await.status, 200);
    };
    let mut stream = world.modern(&other).listen().await;
    revoke(&other).await;
    assert!(!is_live(&world, &other).await && is_live(&world, &token).await);
    let ended = tokio::time::timeout(SOON, async { while stream.next().await.is_some() {} }).await;
    assert!(ended.is_ok(), "the stream goes on");
    world.server.advance(std::time::Duration::from_secs(601));
    assert!(!is_live(&world, &token).await);
}

#[tokio::test]
async fn a_denied_client_is_turned_away() {
    let world = world(CI).await;
    let token = access(&with_secret(&world, &[]).await);
    let auth = "denied_clients = [\"ci\"]\n[plugin.reading]";
    let text = std::fs::read_to_string(world.server.site().path().join("tinymcp.toml")).unwrap();
    std::fs::write(world.server.site().path().join("tinymcp.toml"), text.replace("[plugin.reading]", auth)).unwrap();
    until_within(SOON, "a client that is turned away", async || !is_live(&world, &token).await).await;
    assert_eq!(refused(&with_secret(&world, &[]).await), (401, "invalid_client".to_owned()));
}

/// A client with the key `first`, in the place that a line says.
fn keyed(place: &str) -> String {
    format!("[auth.clients.robot]\ngrants = [\"client_credentials\"]\nscopes = [\"read\"]\n{place}\n")
}

fn issuer(world: &World) -> String {
    world.base.as_str().trim_end_matches('/').to_owned()
}

/// The claims of a good assertion.
fn claims(world: &World) -> Value {
    json!({ "iss": "robot", "sub": "robot", "aud": issuer(world), "exp": now_s() + 120, "iat": now_s(), "jti": random("jti") })
}

async fn assert_with(world: &World, assertion: &str) -> Answer {
    let form = [GRANT, ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)];
    post(&world.base, "/token", &form).await
}

#[tokio::test]
async fn a_client_proves_itself_by_its_key_wherever_that_is() {
    let provider = Provider::start(Settings::oidc()).await;
    let public = String::from_utf8(super::pem("first.pub")).unwrap();
    let url = format!("{}/.well-known/jwks.json", provider.url);
    for place in [
        format!("public_key = \"\"\"\n{public}\"\"\""),
        format!("jwks = '{}'", key_set("first")),
        format!("jwks_uri = \"{url}\"\nprivate = true"),
    ] {
        let world = world(&keyed(&place)).await;
        let answer = assert_with(&world, &signed("first", Algorithm::RS256, &claims(&world))).await;
        assert_eq!(callable(&world, &access(&answer)).await, ["open", "reading"], "{place}");
        let foreign = assert_with(&world, &signed("foreign", Algorithm::RS256, &claims(&world))).await;
        assert_eq!(refused(&foreign), (401, "invalid_client".to_owned()), "{place}");
    }
}

#[tokio::test]
async fn assertions_that_are_not_right_are_refused() {
    let world = world(&keyed(&format!("jwks = '{}'", key_set("first")))).await;
    let (good, base) = (claims(&world), issuer(&world));
    let with = |name: &str, value: Value| {
        let mut changed = claims(&world);
        changed[name] = value;
        changed
    };
    let without = |name: &str| {
        let mut changed = claims(&world);
        changed.as_object_mut().unwrap().remove(name);
        changed
    };
    let sign = |claims: &Value| signed("first", Algorithm::RS256, claims);
    for (what, assertion) in [
        ("alg none", unsigned(&good)),
        ("HS256 with the public key", confused(&good)),
        ("a foreign key", signed("foreign", Algorithm::RS256, &good)),
        ("a list of audiences", sign(&with("aud", json!([base])))),
        ("further audiences", sign(&with("aud", json!([base, "https://other.example"])))),
        ("another audience", sign(&with("aud", json!("https://other.example")))),
        ("the token endpoint as audience", sign(&with("aud", json!(format!("{base}/token"))))),
        ("a slash", sign(&with("aud", json!(format!("{base}/"))))),
        ("no audience", sign(&without("aud"))),
        ("another issuer", sign(&with("iss", json!("other")))),
        ("another subject", sign(&with("sub", json!("other")))),
        ("no subject", sign(&without("sub"))),
        ("expired", sign(&with("exp", json!(now_s() - 120)))),
        ("no end", sign(&without("exp"))),
        ("an end far ahead", sign(&with("exp", json!(now_s() + 3600)))),
        ("an end in words", sign(&with("exp", json!((now_s() + 60).to_string())))),
        ("not yet", sign(&with("nbf", json!(now_s() + 600)))),
        ("no jti", sign(&without("jti"))),
        ("an empty jti", sign(&with("jti", json!("")))),
        ("nothing", String::new()),
        ("no token", "a.b.c".to_owned()),
    ] {
        let answer = assert_with(&world, &assertion).await;
        assert_eq!(refused(&answer), (401, "invalid_client".to_owned()), "{what}");
    }
    // Once, and not twice.
    let once = sign(&good);
    assert_eq!(assert_with(&world, &once).await.status, 200);
    assert_eq!(refused(&assert_with(&world, &once).await), (401, "invalid_client".to_owned()));
    // Two ways at once are none (RFC 6749 §2.3), and a secret proves nothing for a client with a key.
    let fresh = sign(&claims(&world));
    let both = [
        GRANT,
        ("client_id", "robot"),
        ("client_secret", "x"),
        ("client_assertion", fresh.as_str()),
        ("client_assertion_type", ASSERTION_TYPE),
    ];
    assert_eq!(refused(&post(&world.base, "/token", &both).await), (401, "invalid_client".to_owned()));
    for form in [&[GRANT, ("client_id", "robot")][..], &[GRANT, ("client_id", "robot"), ("client_secret", "x")]] {
        assert_eq!(refused(&post(&world.base, "/token", form).await), (401, "invalid_client".to_owned()));
    }
    assert_eq!(world.leaked(&[once, fresh]), Vec::<String>::new());
}

#[tokio::test]
async fn keys_behind_a_url_are_fetched_from_public_addresses_alone() {
    let provider = Provider::start(Settings::oidc()).await;
    let tables = format!(
        "{CI}[auth.clients.robot]\ngrants = [\"client_credentials\"]\njwks_uri = \"https://localhost:{}/.well-known/jwks.json\"\n",
        provider.url.rsplit_once(':').unwrap().1
    );
    let refusal = super::guarded().config(&tables).refusal();
    assert!(refusal.code == 2 && refusal.stderr.contains("private = true"), "{refusal:?}");
}
