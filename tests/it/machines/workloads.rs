//! Workloads: jobs and services that exchange their platform's token (RFC 7523).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::http::Answer;
use tinymcp_tests::provider::settings::{Settings, Signature};
use tinymcp_tests::provider::{Fault, Provider};
use tinymcp_tests::until_within;
use tinymcp_tests::world::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::{SOON, access, callable, change, confused, is_live, key_set, now_s, post, signed, token, unsigned, world};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A table for the platform.
fn table(name: &str, platform: &Provider, claims: &str, scopes: &str) -> String {
    let issuer = platform.issuer();
    format!(
        "[auth.workloads.{name}]\nissuer = \"{issuer}\"\nprivate = true\nscopes = [{scopes}]\nclaims = {{ {claims} }}\n"
    )
}

const CLAIMS: &str = "repository_id = \"123\", repository_owner_id = \"9\", ref = \"refs/heads/*\"";

/// The claims of a job's good token.
fn job(world: &World, platform: &Provider) -> Value {
    json!({
        "iss": platform.issuer(), "sub": "repo:octo/app:ref:refs/heads/main",
        "aud": world.base.as_str().trim_end_matches('/'), "exp": now_s() + 300, "iat": now_s(), "jti": "x",
        "repository": "octo/app", "repository_id": "123", "repository_owner_id": "9", "ref": "refs/heads/main",
    })
}

async fn exchange(world: &World, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let form = [&[("grant_type", JWT_BEARER), ("assertion", assertion)][..], more].concat();
    post(&world.base, "/token", &form).await
}

/// A platform, a server that takes its tokens, and a good one.
async fn deployed(claims: &str) -> (Provider, World, Value) {
    let platform = Provider::start(Settings::oidc()).await;
    let world = world(&table("deploy", &platform, claims, "\"read\"")).await;
    let job = job(&world, &platform);
    (platform, world, job)
}

fn refused(answer: &Answer) -> (u16, String) {
    answer.oauth_error()
}

fn bad() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

#[tokio::test]
async fn a_job_exchanges_its_token_for_as_long_as_that_lives() {
    let (platform, world, job) = deployed(CLAIMS).await;
    let assertion = platform.signed(Signature::Right, &job);
    let answer = exchange(&world, &assertion, &[]).await;
    let life = token(&answer)["expires_in"].as_u64().unwrap();
    assert!((280..=300).contains(&life) && token(&answer)["scope"] == "read", "{answer:?}");
    assert_eq!(callable(&world, &access(&answer)).await, ["open", "reading"]);
    // As a client's assertion too, which is what clients of MCP send; and more than once, as a mounted file is.
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion.as_str()),
    ];
    let answer = post(&world.base, "/token", &form).await;
    assert_eq!(callable(&world, &access(&answer)).await, ["open", "reading"]);
    // A quarter of an hour at most.
    let mut long = job.clone();
    long["exp"] = json!(now_s() + 24 * 3600);
    let answer = exchange(&world, &platform.signed(Signature::Right, &long), &[]).await;
    assert!(token(&answer)["expires_in"].as_u64().unwrap() <= 900);
    // The platform's token itself is nothing at the endpoint.
    assert!(!is_live(&world, &assertion).await);
    assert_eq!(world.leaked(&[assertion]), Vec::<String>::new());
    let line = world.server.log.wait_for("a machine has got a token").await;
    assert!(line.contains("workload") && line.contains("repo:octo/app"), "{line}");
}

#[tokio::test]
async fn tokens_that_are_not_right_are_refused() {
    let (platform, world, job) = deployed(CLAIMS).await;
    let base = world.base.as_str().trim_end_matches('/').to_owned();
    let with = |name: &str, value: Value| {
        let mut changed = job.clone();
        changed[name] = value;
        platform.signed(Signature::Right, &changed)
    };
    let without = |name: &str| {
        let mut changed = job.clone();
        changed.as_object_mut().unwrap().remove(name);
        platform.signed(Signature::Right, &changed)
    };
    // The operator reads what it was.
    assert_eq!(refused(&exchange(&world, &without("repository_id"), &[]).await), bad());
    world.server.log.wait_for("claim `repository_id` is missing").await;
    for (what, assertion) in [
        ("alg none", unsigned(&job)),
        ("HS256 with the public key", confused(&job)),
        ("HS256", platform.signed(Signature::Symmetric, &job)),
        ("a foreign key", platform.signed(Signature::Foreign, &job)),
        ("an algorithm that is not in the table", signed("first", jsonwebtoken::Algorithm::RS512, &job)),
        ("a foreign issuer", with("iss", json!("https://evil.example"))),
        ("the issuer with a slash", with("iss", json!(format!("{}/", platform.issuer())))),
        ("a list of audiences", with("aud", json!([base, "https://other.example"]))),
        ("the platform's own audience", with("aud", json!("https://github.com/octo"))),
        ("the endpoint as audience", with("aud", json!(format!("{base}/mcp")))),
        ("no audience", without("aud")),
        ("expired", with("exp", json!(now_s() - 1))),
        ("long expired", with("exp", json!(now_s() - 3600))),
        ("no end", without("exp")),
        ("not yet", with("nbf", json!(now_s() + 600))),
        ("another repository", with("repository_id", json!("1234"))),
        ("another owner", with("repository_owner_id", json!("99"))),
        ("a branch of two segments", with("ref", json!("refs/heads/feature/x"))),
        ("a tag", with("ref", json!("refs/tags/v1"))),
        ("no repository", without("repository_id")),
        ("no owner", without("repository_owner_id")),
        ("no branch", without("ref")),
        ("a list of branches", with("ref", json!(["refs/heads/main"]))),
        ("no subject", without("sub")),
        ("nothing of a token", "a.b.c".to_owned()),
    ] {
        assert_eq!(refused(&exchange(&world, &assertion, &[]).await), bad(), "{what}");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.as_str()),
        ];
        assert_eq!(refused(&post(&world.base, "/token", &form).await), (401, "invalid_client".to_owned()), "{what}");
    }
    assert_eq!(refused(&exchange(&world, "", &[]).await), (400, "invalid_request".to_owned()));
    let good = platform.signed(Signature::Right, &job);
    let elsewhere = exchange(&world, &good, &[("resource", "https://other.example/mcp")]).await;
    assert_eq!(refused(&elsewhere), (400, "invalid_target".to_owned()));
    assert_eq!(refused(&exchange(&world, &good, &[("client_id", "other")]).await), bad());
    assert_eq!(exchange(&world, &good, &[("client_id", "deploy")]).await.status, 200);
}

#[tokio::test]
async fn of_several_tables_one_has_to_be_meant() {
    let platform = Provider::start(Settings::oidc()).await;
    let world = world(
        &(table("deploy", &platform, CLAIMS, "\"read\"")
            + &table("test", &platform, "sub = \"repo:octo/app:ref:refs/heads/main\"", "")),
    )
    .await;
    let good = platform.signed(Signature::Right, &job(&world, &platform));
    assert_eq!(refused(&exchange(&world, &good, &[]).await), bad());
    world.server.log.wait_for("more than one workload fits").await;
    for (name, expected) in [("deploy", &["open", "reading"][..]), ("test", &["open"])] {
        let token = access(&exchange(&world, &good, &[("client_id", name)]).await);
        assert_eq!(callable(&world, &token).await, expected, "{name}");
    }
}

#[tokio::test]
async fn access_ends_with_the_table_and_with_its_rules() {
    let (platform, world, job) = deployed(CLAIMS).await;
    let good = platform.signed(Signature::Right, &job);
    let token = access(&exchange(&world, &good, &[]).await);
    let mut stream = world.modern(&token).listen().await;
    change(&world, &table("deploy", &platform, CLAIMS, "\"write\""));
    until_within(SOON, "a token without its scope", async || callable(&world, &token).await == ["open"]).await;
    // The old rule was too wide: what was given by it is over.
    change(&world, &table("deploy", &platform, &CLAIMS.replace("refs/heads/*", "refs/heads/main"), "\"read\""));
    until_within(SOON, "a token of the old rules", async || !is_live(&world, &token).await).await;
    let ended = tokio::time::timeout(SOON, async { while stream.next().await.is_some() {} }).await;
    assert!(ended.is_ok(), "the stream goes on");
    let token = access(&exchange(&world, &good, &[]).await);
    assert!(is_live(&world, &token).await);
    change(&world, "");
    until_within(SOON, "a token without a table", async || !is_live(&world, &token).await).await;
    assert_eq!(refused(&exchange(&world, &good, &[]).await), (400, "unsupported_grant_type".to_owned()));
}

#[tokio::test]
async fn a_platform_that_is_down_is_asked_again_later() {
    let (platform, world, job) = deployed(CLAIMS).await;
    let good = platform.signed(Signature::Right, &job);
    platform.fail("/.well-known/openid-configuration", Fault::Status(500));
    for _ in 0..20 {
        let answer = exchange(&world, &good, &[]).await;
        assert_eq!(refused(&answer), (503, "temporarily_unavailable".to_owned()));
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    }
    assert!(platform.sent("/.well-known/openid-configuration").len() <= 4, "strangers do not decide how often");
    platform.mend();
    let again = async || exchange(&world, &good, &[]).await.status == 200;
    until_within(Duration::from_secs(60), "the platform is asked again", again).await;
    // Its keys are known from now on, and a token under new ones is taken too.
    platform.fail("/.well-known/openid-configuration", Fault::Status(500));
    assert_eq!(exchange(&world, &good, &[]).await.status, 200);
    platform.change(|settings| settings.keys = vec!["second", "first"]);
    let rotated = platform.signed(Signature::Right, &job);
    assert_eq!(exchange(&world, &rotated, &[]).await.status, 200);
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_not_followed() {
    let platform =
        Provider::start(Settings { discovery_issuer: Some("https://evil.example".to_owned()), ..Settings::oidc() })
            .await;
    let world = world(&table("deploy", &platform, CLAIMS, "\"read\"")).await;
    let good = platform.signed(Signature::Right, &job(&world, &platform));
    assert_eq!(refused(&exchange(&world, &good, &[]).await), (503, "temporarily_unavailable".to_owned()));
    world.server.log.wait_for("is of another issuer").await;
}

#[tokio::test]
async fn a_cluster_is_named_by_namespace_and_service_account() {
    let platform = Provider::start(Settings::oidc()).await;
    let keys = key_set("first");
    let table = format!(
        "[auth.workloads.cluster]\nissuer = \"https://kubernetes.default.svc.cluster.local\"\nscopes = [\"read\"]\njwks = '{keys}'\n\
         [auth.workloads.cluster.claims]\n\"kubernetes.io/namespace\" = \"prod\"\n\"kubernetes.io/serviceaccount/name\" = \"reporter\"\n"
    );
    let world = world(&table).await;
    let pod = |namespace: &str, name: &str| {
        let claims = json!({
            "iss": "https://kubernetes.default.svc.cluster.local", "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "aud": [world.base.as_str().trim_end_matches('/')], "exp": now_s() + 3600, "nbf": now_s(),
            "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": name, "uid": "x" }, "pod": { "name": "p" } },
        });
        platform.signed(Signature::Right, &claims)
    };
    let answer = exchange(&world, &pod("prod", "reporter"), &[]).await;
    assert_eq!(callable(&world, &access(&answer)).await, ["open", "reading"]);
    for (namespace, name) in [("dev", "reporter"), ("prod", "default"), ("prod", "reporter2")] {
        assert_eq!(refused(&exchange(&world, &pod(namespace, name), &[]).await), bad(), "{namespace} {name}");
    }
}

#[tokio::test]
async fn a_table_that_names_nobody_exactly_keeps_the_server_from_starting() {
    for claims in [
        "",
        "repository = \"octo/app\"",
        "sub = \"repo:octo/*:ref:refs/heads/main\"",
        "\"kubernetes.io/namespace\" = \"prod\"",
    ] {
        let table = format!(
            "[auth.workloads.job]\nissuer = \"https://token.actions.githubusercontent.com\"\nclaims = {{ {claims} }}\n"
        );
        let refusal = super::guarded().config(&table).refusal();
        assert!(refusal.code == 2 && refusal.stderr.contains("one workload must be named"), "{claims}: {refusal:?}");
    }
    let half = "[auth.workloads.job]\nissuer = \"https://id.example\"\nclaims = { sub = \"repo:octo/app*\" }\n";
    let refusal = super::guarded().config(half).refusal();
    assert!(refusal.code == 2 && refusal.stderr.contains("whole segment"), "{refusal:?}");
}

/// A server that speaks TLS under an authority of its own, and has this document at every path. Gives its port and the
/// authority's certificate.
async fn over_tls(document: Value) -> (u16, String) {
    let names = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let (authority_key, key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let certificate = names.signed_by(&key, &issuer).unwrap();
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let body = document.to_string();
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, pem)
}

#[tokio::test]
async fn a_cluster_has_an_authority_of_its_own() {
    let platform = Provider::start(Settings::oidc()).await;
    let (port, pem) = over_tls(key_set("first")).await;
    let table = |more: &str| {
        format!(
            "[auth.workloads.cluster]\nissuer = \"https://cluster.example\"\njwks_uri = \"https://localhost:{port}/keys\"\n\
             claims = {{ sub = \"a\" }}\n{more}"
        )
    };
    let site = super::guarded();
    std::fs::write(site.path().join("cluster-ca.pem"), pem).unwrap();
    let refusal = site.config(&table("ca_file = \"cluster-ca.pem\"\n"));
    let refused_start = refusal.refusal();
    assert!(refused_start.code == 2 && refused_start.stderr.contains("private = true"), "{refused_start:?}");
    let world = World::of(refusal.config(&table("private = true\n"))).await;
    let claims = json!({ "iss": "https://cluster.example", "sub": "a", "aud": world.base.as_str().trim_end_matches('/'),
                         "exp": now_s() + 60 });
    let good = platform.signed(Signature::Right, &claims);
    assert_eq!(refused(&exchange(&world, &good, &[]).await), (503, "temporarily_unavailable".to_owned()));
    world.server.site().configure(&table("private = true\nca_file = \"cluster-ca.pem\"\n"));
    let is_taken = async || exchange(&world, &good, &[]).await.status == 200;
    until_within(SOON, "the authority of the table is trusted", is_taken).await;
}
