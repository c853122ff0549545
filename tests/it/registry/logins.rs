//! Logins at registries: where they come from, and where they go.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::command::{finish, suite_path, tinymcp};
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::registry::{Registry, WASM, docker_config};
use tinymcp_tests::server::Site;

use super::{V1, first, refused, run_as};

const USER: &str = "alice";
const PASSWORD: &str = "hunter2-registry";

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_that_of_docker() {
    let registry = Registry::with_login(USER, PASSWORD).await;
    let to = registry.at("org/weather:1");
    let site = Site::new().plugin("weather", &first());
    let said = refused(&site, &["push", "plugins/weather.wasm", &to]);
    assert!(
        said.contains(&format!("`{}` asks for a login", registry.host())) && said.contains("docker login"),
        "{said}"
    );
    let wrong = docker_config(&registry.host(), USER, "wrong-password");
    let said = run_as(&site, wrong.path(), &["push", "plugins/weather.wasm", &to]);
    assert!(
        said.code == 1 && said.stderr.contains("asks for a login") && !said.stderr.contains("wrong-password"),
        "{said:?}"
    );
    let docker = docker_config(&registry.host(), USER, PASSWORD);
    for arguments in [&["push", "plugins/weather.wasm", &to][..], &["add", &to]] {
        let output = run_as(&site, docker.path(), arguments);
        assert_eq!(output.code, 0, "{output:?}");
    }
    // The server pulls with the same, and says nothing of it.
    site.remove("weather.wasm");
    fs::remove_dir_all(site.path().join(".tinymcp/pulled")).unwrap();
    let config = fs::read_to_string(site.path().join("tinymcp.toml")).unwrap();
    fs::write(site.path().join("tinymcp.toml"), format!("{config}\n[log]\nlevel = \"trace\"\n")).unwrap();
    let docker_path = docker.path().to_str().unwrap().to_owned();
    let server = site.variable("DOCKER_CONFIG", &docker_path).start().await;
    Client::modern(&server).wait_for_tools(&V1).await;
    let log = server.log.text();
    assert!(!log.contains(PASSWORD) && !log.contains(&STANDARD.encode(format!("{USER}:{PASSWORD}"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_is_asked_and_has_to_answer_soon() {
    let registry = Registry::with_login(USER, PASSWORD).await;
    let site = Site::new().plugin("weather", &first());
    let bin = site.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let helper = |name: &str, script: &str| {
        let path = bin.join(format!("docker-credential-{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let answer = json!({ "ServerURL": "", "Username": USER, "Secret": PASSWORD });
    helper("good", &format!("[ \"$1\" = get ] && [ \"$(cat)\" = {} ] && echo '{answer}'", registry.host()));
    helper("silent", "exec sleep 60");
    helper("absent", "echo 'credentials not found in native keychain'; exit 1");
    helper("broken", "echo hunter2-of-the-helper; echo hunter2-of-the-helper >&2; exit 1");
    let push = |helper: &str| {
        let docker = site.path().join(format!("docker-{helper}"));
        fs::create_dir_all(&docker).unwrap();
        let text = json!({ "credHelpers": { registry.host(): helper } }).to_string();
        fs::write(docker.join("config.json"), text).unwrap();
        let mut paths = vec![bin.clone()];
        paths.extend(std::env::split_paths(&suite_path()));
        let mut command = tinymcp(site.path());
        command.args(["push", "plugins/weather.wasm", &registry.at("org/weather:1")]);
        finish(command.env("DOCKER_CONFIG", docker).env("PATH", std::env::join_paths(paths).unwrap()))
    };
    let good = push("good");
    assert_eq!(good.code, 0, "{good:?}");
    for (name, said) in [
        ("silent", "`docker-credential-silent` did not answer within 10 seconds"),
        ("absent", "asks for a login"),
        ("broken", "the helper `docker-credential-broken` failed"),
        ("../bin/docker-credential-good", "the name of a helper is made of"),
        ("not-there", "`docker-credential-not-there` cannot be started"),
    ] {
        let output = if name.contains('/') {
            let docker = site.path().join("docker-path");
            fs::create_dir_all(&docker).unwrap();
            fs::write(docker.join("config.json"), json!({ "credsStore": name }).to_string()).unwrap();
            run_as(&site, &docker, &["push", "plugins/weather.wasm", &registry.at("org/weather:1")])
        } else {
            push(name)
        };
        assert!(output.code == 1 && output.stderr.contains(said), "{name}: {output:?}");
        assert!(!output.stderr.contains("hunter2-of-the-helper"), "{output:?}");
    }
}

/// A registry that asks for a token at a realm.
async fn asking(realm: impl Fn(&str) -> String + Send + Sync + 'static) -> Peer {
    Peer::start(move |request| {
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        if request.starts_with("GET /token") {
            return Script::text(r#"{"token":"token-of-the-registry"}"#);
        }
        if request.contains("authorization: Bearer token-of-the-registry") {
            return Script::with(404, "", "");
        }
        let challenge = format!("Bearer realm=\"{}\",service=\"registry\"", realm(host));
        Script::with(401, &format!("www-authenticate: {challenge}\r\n"), "")
    })
    .await
}

fn log_in_at(peer: &Peer) -> (Site, tempfile::TempDir) {
    (Site::new(), docker_config(&peer.address.to_string(), USER, PASSWORD))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_at_the_registrys_own_host() {
    let registry = asking(|host| format!("http://{host}/token")).await;
    let (site, docker) = log_in_at(&registry);
    let output = run_as(&site, docker.path(), &["add", &format!("oci://{}/org/weather:1", registry.address)]);
    assert!(output.stderr.contains("has no `1`"), "{output:?}");
    let requests = registry.requests();
    let of = |begin: &str| requests.iter().filter(|request| request.starts_with(begin)).cloned().collect::<Vec<_>>();
    let tokens = of("GET /token?scope=repository%3Aorg%2Fweather%3Apull&service=registry ");
    let login = format!("authorization: Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    assert_eq!(tokens.len(), 1, "{requests:?}");
    assert!(tokens[0].contains(&login), "{tokens:?}");
    // The password itself went nowhere else.
    assert!(of("GET /v2/").iter().all(|request| !request.contains("Basic ")), "{requests:?}");
    assert!(!output.stderr.contains(PASSWORD) && !output.stderr.contains("token-of-the-registry"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realm_elsewhere_gets_nothing_unless_it_is_listed() {
    let elsewhere = Peer::start(|_| Script::text(r#"{"token":"token-of-the-registry"}"#)).await;
    let port = elsewhere.address.port();
    let registry = asking(move |_| format!("http://localhost:{port}/token")).await;
    let (site, docker) = log_in_at(&registry);
    let reference = format!("oci://{}/org/weather:1", registry.address);
    let output = run_as(&site, docker.path(), &["add", &reference]);
    let said =
        format!("`{}` sends logins to `localhost`, which is another host: nothing was sent there", registry.address);
    assert!(output.code == 1 && output.stderr.contains(&said), "{output:?}");
    assert!(output.stderr.contains("realms = [\"localhost\"]"), "{output:?}");
    assert_eq!(elsewhere.connections(), 0);
    let site = site.config(&format!("[registry.\"{}\"]\nrealms = [\"localhost\"]\n", registry.address));
    let output = run_as(&site, docker.path(), &["add", &reference]);
    assert!(output.stderr.contains("has no `1`"), "{output:?}");
    assert_eq!(elsewhere.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_takes_no_login_along() {
    let component = first();
    let length = component.len();
    let store = Peer::start(move |_| {
        let head = format!("HTTP/1.1 200 X\r\ncontent-length: {length}\r\n\r\n");
        Script::Answer([head.as_bytes(), &component].concat())
    })
    .await;
    let manifest =
        tinymcp_tests::registry::manifest(&[tinymcp_tests::registry::descriptor(WASM, &first())]).to_string();
    let store_url = store.url("/somewhere");
    let registry = Peer::start(move |request| {
        if !request.contains("authorization: Basic ") {
            return Script::with(401, "www-authenticate: Basic realm=\"x\"\r\n", "");
        }
        if request.contains("/manifests/") {
            return Script::text(&manifest);
        }
        Script::with(307, &format!("location: {store_url}\r\n"), "")
    })
    .await;
    let (site, docker) = log_in_at(&registry);
    let output = run_as(&site, docker.path(), &["add", &format!("oci://{}/org/weather:1", registry.address)]);
    assert_eq!(output.code, 0, "{output:?}");
    let sent = store.requests();
    assert!(sent.len() == 1 && !sent[0].contains("authorization"), "{sent:?}");
}
