//! What operators deploy: `Dockerfile`, `compose.yaml`, the manifests of `deploy/kubernetes`, the release's workflow, and the
//! command by which a container knows of its server. `docs/deploy.md` is their page.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tinymcp::metrics::names::{self, Named};
use tinymcp_tests::command::{CommandOutput, finish, suite_path, tinymcp};
use tinymcp_tests::guests::{project_dir, tests_dir};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::server::{Server, Site, free_port};
use tinymcp_tests::until;
use tinymcp_tests::world::behind;

const MIB: u64 = 1024 * 1024;

/// A program that the suite has installed, or that the machine has.
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", suite_path());
    command
}

/// The files of a project as `tests/deploy/read.py` reads them.
fn read(project: &Path) -> CommandOutput {
    finish(program("python").arg(tests_dir().join("deploy/read.py")).arg(project).stdin(Stdio::null()))
}

fn deployed() -> Value {
    let finished = read(project_dir());
    assert_eq!(finished.code, 0, "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

fn text(file: &str) -> String {
    fs::read_to_string(project_dir().join(file)).unwrap()
}

/// The one manifest of a kind.
fn of_kind<'a>(manifests: &'a Value, kind: &str) -> &'a Value {
    let mut found = manifests.as_array().unwrap().iter().filter(|manifest| manifest["kind"] == kind);
    let one = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "two of {kind}");
    one
}

/// An amount of memory as Kubernetes and compose write it.
fn bytes(text: &str) -> u64 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "gi" | "g" | "gib" => 1024 * MIB,
        "mi" | "m" | "mib" => MIB,
        unit => panic!("no unit of memory: {unit}"),
    };
    digits.parse::<u64>().unwrap() * unit
}

/// The shipped value of a key, in seconds.
fn seconds(key: &str) -> u64 {
    let checked: Value = serde_json::from_str(&Site::new().run(&["check", "--json"]).stdout).unwrap();
    let values = checked["values"].as_array().unwrap();
    let value = values.iter().find(|value| value["key"] == key).unwrap();
    value["value"].as_str().unwrap().trim_matches('"').trim_end_matches('s').parse().unwrap()
}

/// Guests may take half of the memory: the rest is for arguments, results and what compiles.
fn fits(configuration: &str, memory: u64) {
    let table: toml::Table = text(configuration).parse().unwrap();
    let of_call = bytes(table["limits"]["memory"].as_str().unwrap());
    let slots = u64::try_from(table["pool"]["slots"].as_integer().unwrap()).unwrap();
    assert!(of_call * slots <= memory / 2, "{configuration}: {slots} calls of {of_call} in {memory}");
    assert!(bytes(table["limits"]["compile_memory"].as_str().unwrap()) <= memory / 4, "{configuration}");
}

#[test]
fn manifests_are_valid_and_give_the_server_nothing_that_it_does_not_need() {
    let all = deployed();
    for manifests in [&all["base"], &all["example"]] {
        let kinds: Vec<&str> =
            manifests.as_array().unwrap().iter().filter_map(|found| found["kind"].as_str()).collect();
        assert!(!kinds.contains(&"Secret") && !kinds.contains(&"ServiceAccount"), "{kinds:?}");
        let deployment = &of_kind(manifests, "Deployment")["spec"];
        assert!(deployment["replicas"].is_null(), "the autoscaler's number would be set back at each change");
        assert_eq!(deployment["strategy"]["rollingUpdate"], json!({ "maxUnavailable": 0, "maxSurge": 1 }));
        let pod = &deployment["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["enableServiceLinks"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = &pod["containers"][0];
        let security = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] }
        });
        assert_eq!(container["securityContext"], security);
        for (probe, path) in
            [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
        {
            assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "http" }), "{probe}");
        }
        let wait = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
        let all = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(all > wait + seconds("server.grace"), "{all} s are too few after {wait}");
        // Every secret is a file of the one Secret that is there already.
        let volumes = pod["volumes"].as_array().unwrap();
        let secret = volumes.iter().find(|volume| volume["name"] == "secrets").unwrap();
        assert_eq!(secret["secret"]["secretName"], "tinymcp");
        assert!(secret["secret"]["optional"].is_null());
        let variables = container["env"].as_array().unwrap();
        assert!(variables.iter().all(|variable| variable["valueFrom"].is_null()));
        let file = |name: &str| variables.iter().find(|variable| variable["name"] == name).unwrap()["value"].clone();
        assert_eq!(file("TINYMCP_SECRET_FILE"), "/run/secrets/tinymcp/root-key");
        assert_eq!(file("REDIS_PASSWORD_FILE"), "/run/secrets/tinymcp/redis-password");
        fits(
            "deploy/kubernetes/overlays/example/tinymcp.toml",
            bytes(container["resources"]["limits"]["memory"].as_str().unwrap()),
        );
        let policy = &of_kind(manifests, "NetworkPolicy")["spec"];
        assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(policy["podSelector"], deployment["selector"]);
        assert_eq!(of_kind(manifests, "Service")["spec"]["selector"], deployment["selector"]["matchLabels"]);
        let disruption = &of_kind(manifests, "PodDisruptionBudget")["spec"];
        assert_eq!((&disruption["maxUnavailable"], &disruption["selector"]), (&json!(1), &deployment["selector"]));
    }
}

#[test]
fn replicas_are_added_for_calls_that_wait() {
    let all = deployed();
    let scaler = &of_kind(&all["base"], "HorizontalPodAutoscaler")["spec"];
    assert_eq!(scaler["minReplicas"], 3);
    let metrics = scaler["metrics"].as_array().unwrap();
    let named: BTreeSet<&str> = metrics.iter().filter_map(|metric| metric["pods"]["metric"]["name"].as_str()).collect();
    let waiting: Vec<String> = [names::WAITING, names::PLUGIN_WAITING].iter().flat_map(Named::exposed).collect();
    assert_eq!(named, waiting.iter().map(String::as_str).collect::<BTreeSet<_>>());
    let page = text("docs/deploy.md");
    assert!(named.iter().all(|name| page.contains(name)), "the page has a rule of the adapter for each");
}

#[test]
fn a_manifest_with_a_mistake_is_found() {
    let copy = tempfile::tempdir().unwrap();
    let copied = finish(
        Command::new("cp")
            .arg("-r")
            .args(["compose.yaml", "deploy"].map(|name| project_dir().join(name)))
            .arg(copy.path()),
    );
    assert_eq!(copied.code, 0, "{copied:?}");
    for (file, from, to, said) in [
        (
            "deploy/kubernetes/base/deployment.yaml",
            "  automountServiceAccountToken:",
            "  automountToken:",
            "automountToken",
        ),
        ("deploy/kubernetes/base/disruption.yaml", "maxUnavailable: 1", "maxUnavailable: [1]", "PodDisruptionBudget"),
        ("deploy/kubernetes/overlays/example/kustomization.yaml", "  - ingress.yaml\n", "", "ingress.yaml"),
        ("compose.yaml", "    read_only: true", "    readonly: true", "readonly"),
    ] {
        let path = copy.path().join(file);
        let right = fs::read_to_string(&path).unwrap();
        assert!(right.contains(from), "{file}");
        fs::write(&path, right.replace(from, to)).unwrap();
        let finished = read(copy.path());
        assert!(finished.code != 0 && finished.stderr.contains(said), "{file}: {finished:?}");
        fs::write(&path, right).unwrap();
    }
}

#[test]
fn compose_gives_the_server_nothing_that_it_does_not_need() {
    let all = deployed();
    let services = all["compose"]["services"].as_object().unwrap();
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{name}");
        assert_eq!(!service["ports"].is_null(), name == "caddy", "{name}: only the proxy is reached from outside");
    }
    let server = &services["tinymcp"];
    let stop: u64 = server["stop_grace_period"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
    assert!(stop > seconds("server.grace"), "{stop}");
    fits(
        "deploy/compose/config/tinymcp.toml",
        bytes(server["deploy"]["resources"]["limits"]["memory"].as_str().unwrap()),
    );
    let test: Vec<&str> = server["healthcheck"]["test"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(test, ["CMD", "/usr/local/bin/tinymcp", "health", "--ready"]);
    // The proxy is believed by its network.
    let subnet = all["compose"]["networks"]["front"]["ipam"]["config"][0]["subnet"].as_str().unwrap();
    let table: toml::Table = text("deploy/compose/config/tinymcp.toml").parse().unwrap();
    assert_eq!(table["server"]["trusted_proxies"].as_array().unwrap()[0].as_str(), Some(subnet));
}

/// `tinymcp check` of a configuration that somebody deploys, with the variables that they would have.
#[test]
fn configurations_that_are_deployed_are_accepted() {
    let scratch = tempfile::tempdir().unwrap();
    // Theirs is in a volume.
    let authority = rcgen::generate_simple_self_signed(vec!["redis".to_owned()]).unwrap();
    let ca_file = scratch.path().join("ca.pem");
    fs::write(&ca_file, authority.cert.pem()).unwrap();
    for file in ["deploy/compose/config/tinymcp.toml", "deploy/kubernetes/overlays/example/tinymcp.toml"] {
        let shipped = text(file);
        assert!(shipped.contains("url = \"rediss://:${REDIS_PASSWORD}@redis:6379\"") && shipped.contains("stale ="));
        let path = scratch.path().join("tinymcp.toml");
        fs::write(&path, &shipped).unwrap();
        let mut check = tinymcp(scratch.path());
        check.args(["check", "--strict", "--config"]).arg(&path);
        check
            .env("TINYMCP_SECRET", "x".repeat(40))
            .env("REDIS_PASSWORD", "y")
            .env("BASE_URL", "https://mcp.example.com")
            .env("TINYMCP_STATE_CA_FILE", &ca_file);
        check.env("TINYMCP_SERVER_LISTEN", "0.0.0.0:8000").env("TINYMCP_METRICS_LISTEN", "0.0.0.0:9464");
        check.env("AUTH0_DOMAIN", "example.eu.auth0.com").env("AUTH0_CLIENT_ID", "a").env("AUTH0_CLIENT_SECRET", "b");
        let finished = finish(&mut check);
        assert_eq!(finished.code, 0, "{file}: {finished:?}");
    }
}

#[test]
fn the_recipe_of_the_image_is_clean() {
    let linted = finish(program("hadolint").arg(project_dir().join("Dockerfile")));
    assert_eq!((linted.code, linted.stdout.as_str()), (0, ""), "{linted:?}");
    let recipe = text("Dockerfile");
    let (_, image) = recipe.split_once("\nFROM scratch\n").unwrap();
    // The id of the user is the one of the manifests, and no name: Kubernetes cannot tell if a name is root.
    let deployment = text("deploy/kubernetes/base/deployment.yaml");
    assert!(image.contains("\nUSER 65532:65532\n") && deployment.contains("runAsUser: 65532\n"));
    assert!(!image.contains("\nRUN "), "there is nothing in it that could run");
}

/// The image is built of few files; `cargo` would only miss one after minutes.
#[test]
fn the_image_is_built_of_everything_that_the_program_includes() {
    let ignore = text(".dockerignore");
    let kept: Vec<_> =
        ignore.lines().filter_map(|line| line.strip_prefix('!')).map(|path| project_dir().join(path)).collect();
    let (mut folders, mut included) = (vec![project_dir().join("host/src")], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // Tests are no part of it.
            let is_test = path.iter().any(|part| part == "tests" || part == "tests.rs");
            let whole =
                if is_test { String::new() } else { String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned() };
            let code = whole.split("#[cfg(test)]").next().unwrap();
            for part in ["include_str!(", "include_bytes!("].iter().flat_map(|include| code.split(include).skip(1)) {
                let Some((file, _)) = part.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"')) else {
                    continue;
                };
                let file = path.parent().unwrap().join(file).canonicalize().unwrap();
                assert!(kept.iter().any(|kept| file.starts_with(kept.canonicalize().unwrap())), "{}", file.display());
                included += 1;
            }
        }
    }
    assert!(included > 20, "{included}");
}

#[test]
fn the_proxy_of_compose_is_valid() {
    let scratch = tempfile::tempdir().unwrap();
    let mut validate = program("caddy");
    validate.env("HOME", scratch.path()).env("BASE_URL", "https://mcp.example.com");
    validate
        .args(["validate", "--adapter", "caddyfile", "--config"])
        .arg(project_dir().join("deploy/compose/Caddyfile"));
    let finished = finish(&mut validate);
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(!finished.stderr.contains("not formatted"), "{finished:?}");
}

/// A process that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The Redis of compose with certificates of its script takes TLS with a password, and nothing else.
#[tokio::test]
async fn the_redis_of_compose_takes_nothing_but_tls_with_a_password() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    for name in ["tls", "ca", "data"] {
        fs::create_dir(path(name)).unwrap();
    }
    let certificates = project_dir().join("deploy/compose/certificates");
    let make = || finish(Command::new(&certificates).arg(path("tls")).arg(path("ca")));
    assert_eq!(make().code, 0);
    let authority = fs::read(path("ca/ca.pem")).unwrap();
    assert_eq!((make().code, fs::read(path("ca/ca.pem")).unwrap()), (0, authority), "what is there stays");
    let left: BTreeSet<String> =
        fs::read_dir(path("tls")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(
        left,
        BTreeSet::from(["ca.pem", "redis.key", "redis.pem"].map(str::to_owned)),
        "the authority's key is gone"
    );
    let mut verify = Command::new("openssl");
    verify.args(["verify", "-verify_hostname", "redis", "-CAfile"]).arg(path("ca/ca.pem")).arg(path("tls/redis.pem"));
    let verified = finish(&mut verify);
    assert_eq!(verified.code, 0, "{verified:?}");

    let port = free_port().to_string();
    let conf = text("deploy/compose/redis.conf");
    for within in ["/tls/", "dir /data", "tls-port 6379"] {
        assert!(conf.contains(within), "{within}");
    }
    let here = conf.replace("/tls/", &format!("{}/", path("tls").display()));
    let here = here.replace("dir /data", &format!("dir {}", path("data").display()));
    fs::write(path("redis.conf"), here.replace("tls-port 6379", &format!("tls-port {port}\nbind 127.0.0.1"))).unwrap();
    let mut redis = Command::new("redis-server");
    redis.arg(path("redis.conf")).args(["--requirepass", "a secret of compose"]);
    let _redis = Running(redis.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    let ask = |password: &str, tls: &[&str], words: &[&str]| {
        let mut ask = Command::new("redis-cli");
        ask.env("REDISCLI_AUTH", password).args(["-p", &port]).args(tls).args(words).stdin(Stdio::null());
        finish(&mut ask)
    };
    let ca = path("ca/ca.pem").display().to_string();
    let tls = ["--tls", "--cacert", ca.as_str()];
    until("Redis answers", async || ask("a secret of compose", &tls, &["ping"]).stdout == "PONG\n").await;
    let policy = ask("a secret of compose", &tls, &["config", "get", "maxmemory-policy"]);
    assert_eq!(policy.stdout, "maxmemory-policy\nnoeviction\n");
    let synced = ask("a secret of compose", &tls, &["config", "get", "appendfsync"]);
    assert_eq!(synced.stdout, "appendfsync\nalways\n");
    assert!(!ask("another", &tls, &["ping"]).stdout.contains("PONG"));
    assert!(!ask("a secret of compose", &[], &["ping"]).stdout.contains("PONG"));
    let own = certificate_of_another(scratch.path());
    assert!(!ask("a secret of compose", &["--tls", "--cacert", own.as_str()], &["ping"]).stdout.contains("PONG"));
}

/// An authority that has nothing to do with it.
fn certificate_of_another(scratch: &Path) -> String {
    for name in ["other", "other-ca"] {
        fs::create_dir(scratch.join(name)).unwrap();
    }
    let certificates = project_dir().join("deploy/compose/certificates");
    let made = finish(Command::new(certificates).arg(scratch.join("other")).arg(scratch.join("other-ca")));
    assert_eq!(made.code, 0, "{made:?}");
    scratch.join("other-ca/ca.pem").display().to_string()
}

#[test]
fn the_workflow_runs_what_cannot_be_moved_and_may_little() {
    let workflow = text(".github/workflows/release.yml");
    assert!(workflow.contains("\npermissions: {}\n"));
    let used: Vec<&str> =
        workflow.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: ")).collect();
    assert!(used.len() > 5, "{used:?}");
    for action in used {
        let (name, version) = action.split_once(" # v").unwrap_or_else(|| panic!("{action} says no version"));
        let (_, commit) = name.split_once('@').unwrap();
        assert!(commit.len() == 40 && commit.chars().all(|char| char.is_ascii_hexdigit()), "{action}");
        assert!(version.starts_with(|char: char| char.is_ascii_digit()), "{action}");
    }
    // What is written into a shell comes from variables, and never from the text of an event.
    let in_shells = workflow.split("run: ").skip(1).filter_map(|part| part.split("\n      - ").next());
    assert!(in_shells.into_iter().all(|script| !script.contains("${{")), "an expression within a script");
    // The compiler is the one that the project wants.
    let wanted =
        text("Cargo.toml").lines().find_map(|line| line.strip_prefix("rust-version = ").map(str::to_owned)).unwrap();
    assert!(workflow.contains(&format!("RUST: {wanted}")));
    assert!(text("Dockerfile").contains(&format!("FROM rust:{}-slim-bookworm", wanted.trim_matches('"'))));
}

fn health(site: &Site, server: &Server, arguments: &[&str]) -> CommandOutput {
    let address = server.address.to_string();
    let mut all = vec!["health", "--listen", address.as_str()];
    all.extend_from_slice(arguments);
    site.run(&all)
}

#[tokio::test]
async fn a_container_knows_if_its_server_serves() {
    let server = Site::with(&["greeter-v1"]).start().await;
    for arguments in [&[][..], &["--ready"]] {
        let finished = health(server.site(), &server, arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (0, "ok\n"), "{finished:?}");
    }
    let address = server.address;
    let site = server.kill();
    let finished = site.run(&["health", "--listen", &address.to_string()]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains(&format!("http://{address}/healthz: ")), "{finished:?}");
    // No exit code but 0 and 1, also for what other commands call 2.
    let finished = site.run(&["health", "--listen", "127.0.0.1:0"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("name it with `--listen`"), "{finished:?}");
    site.configure("[plugins]\nno_such_key = 1\n");
    let finished = site.run(&["health", "--listen", &address.to_string()]);
    assert_eq!(finished.code, 1, "{finished:?}");
}

#[tokio::test]
async fn one_that_waits_for_its_provider_is_alive_and_not_ready() {
    let provider = Provider::start(Settings::auth0()).await;
    let site = behind(&provider);
    drop(provider);
    let server = site.launch().await;
    // Its configuration wants variables that a command in its container has, and this one has not.
    fs::write(server.site().path().join("health.toml"), "").unwrap();
    until("it answers", async || health(server.site(), &server, &["--config", "health.toml"]).code == 0).await;
    let finished = health(server.site(), &server, &["--config", "health.toml", "--ready"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("/readyz: status 503"), "{finished:?}");
}
