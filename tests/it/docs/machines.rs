//! `docs/machines.md`: every listing of it does what the page says, against a server that has the tables of the page.
//!
//! A listing stands after a line `<!-- listing: NAME -->`. What needs an account or a cluster is run with a stand-in for it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::command::{CommandOutput, finish, program, suite_path};
use tinymcp_tests::guests::{project_dir, shipped};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::{Settings, Signature};
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{World, local};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The server of the page.
const SERVER: &str = "https://mcp.example.com";

/// The place of a pod's token.
const PROJECTED: &str = "/var/run/secrets/tinymcp/token";

/// The listings by name and language.
struct Page(BTreeMap<(String, String), String>);

impl Page {
    fn read() -> Self {
        let text = fs::read_to_string(project_dir().join("docs/machines.md")).unwrap();
        let mut listings = BTreeMap::new();
        let mut name = None;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(marker) = line.strip_prefix("<!-- listing: ").and_then(|rest| rest.strip_suffix(" -->")) {
                name = Some(marker.to_owned());
            }
            if let Some(language) = line.strip_prefix("```") {
                let listing: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                let name =
                    name.take().unwrap_or_else(|| panic!("a listing in `{language}` that nobody runs: {listing:?}"));
                let before = listings.insert((name, language.to_owned()), listing.join("\n") + "\n");
                assert!(before.is_none(), "twice: {listing:?}");
            }
        }
        Self(listings)
    }

    fn get(&self, name: &str, language: &str) -> String {
        self.0
            .get(&(name.to_owned(), language.to_owned()))
            .unwrap_or_else(|| panic!("no `{name}` in {language}"))
            .clone()
    }

    /// The tables of the server, with those of these listings.
    fn tables(&self, names: &[&str]) -> String {
        std::iter::once(&"server").chain(names).map(|name| self.get(name, "toml")).collect()
    }
}

/// Every listing has a test below, so that a new one cannot be forgotten.
#[test]
fn every_listing_is_run() {
    let of = |name: &str, languages: &[&str]| {
        languages.iter().map(|language| (name.to_owned(), (*language).to_owned())).collect::<Vec<_>>()
    };
    let mut run = [
        of("server", &["toml"]),
        of("secret", &["toml", "sh", "python"]),
        of("make-key", &["sh"]),
        of("key", &["toml", "sh", "python"]),
        of("token", &["sh", "python"]),
        of("token-end", &["sh"]),
        of("github", &["toml", "yaml"]),
        of("gitlab", &["toml", "yaml"]),
        of("kubernetes", &["toml", "yaml", "sh", "python"]),
        of("device", &["toml", "sh", "python"]),
    ]
    .concat();
    run.sort();
    assert_eq!(Page::read().0.into_keys().collect::<Vec<_>>(), run);
}

fn site() -> Site {
    local().plugin("add", &shipped("add"))
}

fn base(site: &Site) -> String {
    site.base().as_str().trim_end_matches('/').to_owned()
}

/// A listing as a command in a server's directory.
fn command(directory: &Path, base: &str, language: &str, listing: &str) -> Command {
    let listing = listing.replace(SERVER, base).replace(PROJECTED, "projected-token");
    let (mut command, text) = match language {
        "python" => (Command::new("python3"), listing),
        _ => (Command::new("bash"), format!("set -euo pipefail\n{listing}")),
    };
    let file = directory.join(format!("listing.{language}"));
    fs::write(&file, text).unwrap();
    let tinymcp = program().parent().unwrap().to_owned();
    let path = std::env::join_paths(std::env::split_paths(&suite_path()).chain([tinymcp])).unwrap();
    command.arg(file).current_dir(directory).env("PATH", path).stdin(Stdio::null());
    command
}

fn run(world: &World, language: &str, listing: &str, variables: &[(&str, &str)]) -> CommandOutput {
    let base = world.base.as_str().trim_end_matches('/');
    let directory = world.server.site().path();
    let finished = finish(command(directory, base, language, listing).envs(variables.iter().copied()));
    assert_eq!(finished.code, 0, "{listing}\n{finished:#?}\n{}", world.server.log.text());
    finished
}

/// What the call of `add` gives, by whichever way.
fn adds(finished: &CommandOutput) {
    let said = &finished.stdout;
    let forms = ["{'result': 5", "\"structuredContent\":{\"result\":5", "\"text\":\"5"];
    assert!(forms.iter().any(|form| said.contains(form)), "{finished:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_secret() {
    let (page, secret) = (Page::read(), ("CI_SECRET", "a secret of the tests"));
    let site = site().config(&page.tables(&["secret"])).variable(secret.0, secret.1);
    let world = World::of(site).await;
    for language in ["sh", "python"] {
        adds(&run(&world, language, &page.get("secret", language), &[secret]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_key() {
    let page = Page::read();
    let site = site();
    let made = finish(&mut command(site.path(), &base(&site), "sh", &page.get("make-key", "sh")));
    assert_eq!(made.code, 0, "{made:#?}");
    let tables = page.tables(&["key"]);
    let (before, rest) = tables.split_once("-----BEGIN").unwrap();
    let (_, after) = rest.split_once("-----END PUBLIC KEY-----\n").unwrap();
    let public = fs::read_to_string(site.path().join("robot.pub")).unwrap();
    let world = World::of(site.config(&format!("{before}{public}{after}"))).await;
    for language in ["sh", "python"] {
        adds(&run(&world, language, &page.get("key", language), &[]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_token() {
    let page = Page::read();
    let world = World::of(site().config(&page.tables(&[]))).await;
    let listed = run(&world, "sh", &page.get("token", "sh"), &[]);
    adds(&listed);
    assert!(listed.stdout.contains("nightly"), "{listed:#?}");
    adds(&run(&world, "python", &page.get("token", "python"), &[]));
    let token = fs::read_to_string(world.server.site().path().join("nightly.token")).unwrap();
    let letters = token.trim().strip_prefix("tmcp_op_").unwrap();
    let is_letter = |char: char| char.is_ascii_alphanumeric() || "-_".contains(char);
    assert!(letters.len() == 91 && letters.chars().all(is_letter), "what the page tells scanners: {}", letters.len());
    run(&world, "sh", &page.get("token-end", "sh"), &[]);
    let again = finish(&mut command(
        world.server.site().path(),
        world.base.as_str().trim_end_matches('/'),
        "python",
        &page.get("token", "python"),
    ));
    assert_ne!(again.code, 0, "{again:#?}");
}

/// A platform, and a server that has the tables of the page for it.
async fn platform(name: &str) -> (Page, Provider, World) {
    let page = Page::read();
    let provider = Provider::start(Settings::oidc()).await;
    let tables = page.tables(&[name]);
    // As it is written, it is a configuration; and then for the stand-in.
    let as_written = site().config(&tables);
    let authority = rcgen::generate_simple_self_signed(vec!["cluster.example".to_owned()]).unwrap();
    fs::write(as_written.path().join("cluster-ca.pem"), authority.cert.pem()).unwrap();
    let written = as_written.run(&["check"]);
    assert_eq!(written.code, 0, "{written:#?}");
    let (before, rest) = tables.split_once("issuer = ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let after = after.replace("private = true\n", "").replace("ca_file = \"cluster-ca.pem\"\n", "");
    let tables = format!("{before}issuer = \"{}\"\nprivate = true\n{after}", provider.issuer());
    let world = World::of(site().config(&tables)).await;
    (page, provider, world)
}

/// A token of the platform with these claims beside those that each has.
fn token(provider: &Provider, world: &World, claims: &Value) -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut all = json!({ "iss": provider.issuer(), "aud": world.base.as_str().trim_end_matches('/'), "iat": now_s, "exp": now_s + 300 });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    provider.signed(Signature::Right, &all)
}

/// The one script of a workflow: the lines below a `|`.
fn script(yaml: &str) -> String {
    let mut lines = yaml.lines().skip_while(|line| !line.trim_end().ends_with('|')).skip(1).peekable();
    let indent = lines.peek().unwrap().len() - lines.peek().unwrap().trim_start().len();
    lines.map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect()
}

/// Answers every request with this document, as the endpoint for tokens of GitHub's jobs does, and remembers the requests.
async fn answering(document: Value) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 8192];
            let length = stream.read(&mut head).await.unwrap_or_default();
            let _ = sender.send(String::from_utf8_lossy(&head[..length]).into_owned());
            let body = document.to_string();
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_github() {
    let (page, provider, world) = platform("github").await;
    let claims = json!({ "sub": "repo:octo/app:ref:refs/heads/main", "repository_id": "123456789",
                         "repository_owner_id": "987654", "ref": "refs/heads/main" });
    let (port, mut asked) = answering(json!({ "value": token(&provider, &world, &claims) })).await;
    let script = script(&page.get("github", "yaml"));
    let url = format!("http://127.0.0.1:{port}/token?api-version=2.0");
    let variables = [("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")];
    adds(&tokio::task::block_in_place(|| run(&world, "sh", &script, &variables)));
    let asked = asked.recv().await.unwrap();
    let audience = format!("&audience={} ", world.base.as_str().trim_end_matches('/'));
    assert!(asked.contains(&audience) && asked.contains("Bearer of-the-job"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_gitlab() {
    let (page, provider, world) = platform("gitlab").await;
    let yaml = page.get("gitlab", "yaml");
    assert!(yaml.contains("aud: https://mcp.example.com"), "{yaml}");
    let claims = json!({ "sub": "project_path:octo/app:ref_type:branch:ref:main", "project_id": "4242", "namespace_id": "77",
                         "ref_protected": "true" });
    let assertion = token(&provider, &world, &claims);
    adds(&run(&world, "sh", &script(&yaml), &[("ASSERTION", &assertion)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_kubernetes() {
    let (page, provider, world) = platform("kubernetes").await;
    let yaml = page.get("kubernetes", "yaml");
    assert!(
        yaml.contains("audience: https://mcp.example.com") && yaml.contains("mountPath: /var/run/secrets/tinymcp\n"),
        "{yaml}"
    );
    let claims = json!({
        "sub": "system:serviceaccount:prod:reporter", "aud": [world.base.as_str().trim_end_matches('/')],
        "kubernetes.io": { "namespace": "prod", "serviceaccount": { "name": "reporter", "uid": "x" } },
    });
    fs::write(world.server.site().path().join("projected-token"), token(&provider, &world, &claims)).unwrap();
    for language in ["sh", "python"] {
        adds(&run(&world, language, &page.get("kubernetes", language), &[]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_a_browser() {
    let page = Page::read();
    let tables = page.tables(&["device"]).replace("[auth]\ndevice_flow = true\n", "");
    let site = site().auth("[auth]\nprovider = \"local\"\ndevice_flow = true\n").config(&tables);
    let world = World::of(site).await;
    for language in ["sh", "python"] {
        let directory = world.server.site().path().to_owned();
        let mut listing =
            command(&directory, world.base.as_str().trim_end_matches('/'), language, &page.get("device", language));
        let mut child = listing.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let said = tokio::task::block_in_place(|| {
            let mut line = String::new();
            BufReader::new(stderr).read_line(&mut line).unwrap();
            line
        });
        let words: Vec<&str> = said.split_whitespace().collect();
        let [_, url, .., code] = words.as_slice() else { panic!("{language}: {said}") };
        let mut alice = Browser::of("alice");
        let form = alice.open(url).await.page();
        let fields = form.form_with_text();
        let mut parameters = fields.fields.clone();
        parameters.retain(|(name, _)| name != "code");
        parameters.push(("code".to_owned(), (*code).to_owned()));
        let consent = alice.submit(&form, &fields, &parameters).await.page();
        assert!(consent.text().contains("Living room"), "{consent:?}");
        let login = alice.decide(&consent, "approve").await.page();
        alice.log_in(&login).await;
        let output = tokio::task::block_in_place(|| child.wait_with_output()).unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let finished = CommandOutput { code: output.status.code().unwrap_or(-1), stdout, stderr: said };
        assert_eq!(finished.code, 0, "{finished:#?}");
        adds(&finished);
    }
}
