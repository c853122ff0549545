//! No secret of anybody is in the log, in the state's files, or in the answer to somebody else.

use std::fs;
use std::path::{Path, PathBuf};

use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::provider::{Fault, Provider};
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{World, behind};

use super::{alice, mallory};

/// All files of a server's state.
fn files(site: &Site) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![site.path().join(".tinymcp")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

/// A life full of logins, renewals, mistakes and attacks, with every secret that occurred in it.
async fn lived(world: &World, provider: &Provider) -> Vec<String> {
    let client = world.register(Kind::Inspector).await;
    let confidential = world.register(Kind::Confidential).await;
    let mut secrets: Vec<String> = confidential.secret.clone().into_iter().collect();
    let mut person = alice();
    for client in [&client, &confidential] {
        let authorization = client.authorization();
        let code = client.code_of(authorization.clone(), &mut person).await;
        let tokens = client.redeem(&code).await;
        let renewed = client.renew(&tokens.refresh).await;
        client.try_renew(&format!("{}x", renewed.refresh)).await;
        client.try_redeem(&code).await;
        client.revoke(&renewed.refresh).await;
        world.modern(&renewed.access).request("tools/list", serde_json::json!({})).1.send().await;
        secrets.extend([code.code, code.verifier, authorization.state, tokens.access, tokens.refresh]);
        secrets.extend([renewed.access, renewed.refresh]);
    }
    // A callback without its cookie, and one with an error.
    let page = person.open(&client.authorization().url()).await.page();
    let login = person.decide(&page, "approve").await.page();
    secrets.extend(person.jar.cookies.iter().map(|cookie| cookie.value.clone()));
    let sealed = page.form_with_button("decision", "approve").field("request").to_owned();
    secrets.push(sealed);
    let mut stranger = mallory();
    stranger.log_in(&login).await;
    provider.fail("/token", Fault::Garbage);
    person.walk(&client.authorization().url()).await;
    provider.mend();
    secrets.extend(provider.secrets());
    for sent in provider.sent("/") {
        let names = ["state", "nonce", "code_challenge", "code_verifier", "code", "client_secret", "refresh_token"];
        secrets.extend(names.iter().filter_map(|name| sent.parameter(name)).map(str::to_owned));
    }
    secrets.push("upstream/secret+with:odd characters".to_owned());
    secrets
}

#[tokio::test]
async fn the_log_has_no_secret_at_any_level() {
    for format in ["text", "json"] {
        let provider = Provider::start(Settings::oidc()).await;
        let site = behind(&provider).config(&format!("[log]\nlevel = \"trace\"\nformat = \"{format}\"\n"));
        let world = World::of(site).await;
        let secrets = lived(&world, &provider).await;
        assert!(secrets.len() > 30);
        assert_eq!(world.leaked(&secrets), Vec::<String>::new(), "{format}");
        let log = world.server.log.text();
        for person in ["alice@example.com", "alice%40example.com"] {
            assert!(!log.contains(person), "{person} is nobody's business");
        }
    }
}

#[tokio::test]
async fn the_state_has_no_secret_in_the_clear() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let mut secrets = lived(&world, &provider).await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    secrets.extend([tokens.access, tokens.refresh, "alice@example.com".to_owned()]);
    secrets.extend(provider.secrets());
    let mut read = 0;
    for path in files(world.server.site()) {
        let name = path.display().to_string();
        // The control socket is no file.
        let Ok(bytes) = fs::read(&path) else { continue };
        read += bytes.len();
        for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there && !name.contains(secret.as_str()), "{name} has {secret}");
        }
    }
    assert!(read > 4096, "the store is read");
}

#[tokio::test]
async fn files_of_the_state_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::local().await;
    world.log_in(Kind::ClaudeCode, "alice").await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.server.site().path().join(".tinymcp")), 0o700);
    for path in files(world.server.site()) {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}

#[tokio::test]
async fn check_and_health_have_no_secret() {
    let provider = Provider::start(Settings::auth0()).await;
    let site = behind(&provider);
    fs::write(site.path().join(".env"), "AUTH0_DOMAIN=a.b\nAUTH0_CLIENT_ID=id\nAUTH0_CLIENT_SECRET=hunter2hunter2\nTINYMCP_SECRET=0123456789abcdef0123456789abcdef\n").unwrap();
    let finished = site.run(&["check"]);
    for secret in ["hunter2", "0123456789abcdef"] {
        assert!(!finished.stdout.contains(secret) && !finished.stderr.contains(secret), "{finished:?}");
    }
    let world = World::of(site).await;
    for path in ["/healthz", "/readyz", "/", "/llms.txt"] {
        let text = world.server.get(path).await.text();
        assert!(!text.contains("upstream/secret") && !text.contains("upstream-client-id"), "{path}: {text}");
    }
}

#[tokio::test]
async fn a_key_of_the_configuration_takes_the_place_of_the_file() {
    let secret = "a-secret-that-was-made-for-this-server";
    let site = tinymcp_tests::world::local().variable("TINYMCP_SECRET", secret);
    let world = World::of(site).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let site = world.server.kill();
    // The old key still reads, and the new one writes.
    let next = "another-secret-that-was-made-for-this-server";
    let world = World::of(site.variable("TINYMCP_SECRET", next).variable("TINYMCP_SECRET_PREVIOUS", secret)).await;
    assert!(client.is_live(&tokens.access).await || client.try_renew(&tokens.refresh).await.status == 200);
    assert!(client.is_live(&client.log_in(&mut alice()).await.access).await, "ids outlive a rotation");
    let site = world.server.kill();
    let finished = site.variable("TINYMCP_SECRET", "too short").refusal();
    assert!(finished.code == 2 && finished.stderr.contains("TINYMCP_SECRET"), "{finished:?}");
    assert!(!finished.stderr.contains("too short"), "{finished:?}");
}

/// One store, one server.
#[tokio::test]
async fn a_second_server_on_the_same_state_is_refused() {
    let world = World::local().await;
    let finished = world.server.site().run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(finished.code, 2, "{finished:?}");
    assert!(finished.stderr.contains(".tinymcp"), "{finished:?}");
    // Commands that only look work beside it.
    assert_eq!(world.server.site().run(&["list"]).code, 0);
}

#[tokio::test]
async fn a_damaged_store_is_named_and_never_taken_for_empty() {
    let world = World::local().await;
    world.log_in(Kind::ClaudeCode, "alice").await;
    let site = world.server.kill();
    let mut stores = files(&site);
    stores.retain(|path| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3")));
    assert_eq!(stores.len(), 1, "{stores:?}");
    let bytes = fs::read(&stores[0]).unwrap();
    fs::write(&stores[0], vec![b'x'; bytes.len()]).unwrap();
    let finished = site.refusal();
    assert_eq!(finished.code, 2, "{finished:?}");
    assert!(finished.stderr.contains(stores[0].file_name().unwrap().to_str().unwrap()), "{finished:?}");
    assert_eq!(fs::read(&stores[0]).unwrap(), vec![b'x'; bytes.len()], "it is left as it was");
}
