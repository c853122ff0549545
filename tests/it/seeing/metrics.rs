//! Numbers: a real Prometheus scrapes them, and nobody makes more of them than there should be.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::command::suite_path;
use tinymcp_tests::guests::{guest, project_dir};
use tinymcp_tests::http::Request;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::server::{Server, Site, free_port};
use tinymcp_tests::until;
use tinymcp_tests::world::{World, local};

/// A Prometheus that runs. It is killed when it is dropped.
struct Prometheus(Child, SocketAddr);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Prometheus {
    fn start(directory: &std::path::Path, target: SocketAddr) -> Self {
        let rules = project_dir().join("docs/monitoring/alerts.yml");
        let config = format!(
            "global: {{ scrape_interval: 500ms }}\nscrape_configs:\n  - job_name: tinymcp\n    static_configs:\n      \
             - targets: [\"{target}\"]\nrule_files:\n  - {}\n",
            rules.display()
        );
        fs::write(directory.join("prometheus.yml"), config).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let started = Command::new("prometheus")
            .env("PATH", suite_path())
            .current_dir(directory)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(started.expect("prometheus: run `tests/run --setup-only`"), address)
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let answer = Request::new(self.1, "GET", path).try_send().await.ok()?;
        (answer.status == 200).then(|| answer.json())
    }

    /// The series of a query.
    async fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}")).await.unwrap_or_default();
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }
}

/// The configuration of metrics, and the address of their listener.
fn metrics() -> (String, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    (format!("[metrics]\nlisten = \"{address}\"\n"), address)
}

async fn scrape(address: SocketAddr) -> String {
    let answer = Request::new(address, "GET", "/metrics").send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text()
}

/// The value of a series, by its name and some of its labels.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let is_it = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|it| line.contains(it))
    };
    text.lines().find(is_it)?.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn prometheus_scrapes_the_server_and_takes_the_rules() {
    let (config, address) = metrics();
    let server = Site::with(&["greeter-v1"]).config(&config).start().await;
    let client = Client::modern(&server);
    client.value("greeter_v1_greet", json!({ "name": "x" })).await;
    client.tools().await;
    let scratch = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(scratch.path(), address);
    until("a scrape", async || prometheus.query("up{job=\"tinymcp\"} == 1").await.len() == 1).await;
    let calls = r#"tinymcp_calls_total{plugin="greeter_v1",tool="greeter_v1_greet",outcome="ok"}"#;
    until("the call", async || prometheus.query(calls).await.len() == 1).await;
    assert_eq!(prometheus.query(calls).await[0]["value"][1], "1");
    assert_eq!(prometheus.query("tinymcp_tools").await[0]["value"][1], "2", "{}", scrape(address).await);
    assert_eq!(prometheus.query("tinymcp_config_info").await.len(), 1);
    let of_lists = r#"mcp_server_operation_duration_seconds_count{mcp_method_name="tools/list"}"#;
    assert_eq!(prometheus.query(of_lists).await[0]["value"][1], "1");
    let rules = prometheus.get("/api/v1/rules").await.unwrap();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() > 15 && rules.iter().all(|rule| rule["health"] != "err"), "{rules:#?}");
    // Every query of the dashboard is one.
    let dashboard = fs::read_to_string(project_dir().join("docs/monitoring/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    for target in
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array()).flatten()
    {
        let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m").replace(['$'], "");
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        assert!(prometheus.get(&format!("/api/v1/query?query={encoded}")).await.is_some(), "{query}");
    }
}

#[tokio::test]
async fn times_logins_refusals_and_requests_are_counted_and_nobody_is_in_a_label() {
    let peer = Peer::start(|_| Script::text("hello")).await;
    let (config, address) = metrics();
    let config = format!("{config}[plugin.fetch]\nhttp = [\"{}\"]\n", peer.url(""));
    let site = local().plugin("fetch", &guest("fetch")).plugin("greeter-v1", &guest("greeter-v1")).config(&config);
    let world = World::of(site).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let alice = world.modern(&tokens.access);
    let get = |url: &str| json!({ "method": "GET", "url": url, "headers": [] });
    alice.value("fetch", get(&peer.url("/"))).await;
    alice.failure("fetch", get("https://evil.example/")).await;
    alice.value("greeter_v1_wait", json!({ "ms": 60 })).await;
    client.renew(&tokens.refresh).await;
    world.modern("tmcp_foreign").try_answer("tools/list", json!({})).await.unwrap();
    world.server.get("/mcp").await;
    let _listening = alice.listen().await;
    let text = scrape(address).await;
    for (name, labels, expected) in [
        ("tinymcp_calls_total", vec![r#"tool="fetch""#, r#"outcome="ok""#], 1.0),
        ("tinymcp_calls_total", vec![r#"tool="fetch""#, r#"outcome="tool_error""#], 1.0),
        ("tinymcp_egress_requests_total", vec![r#"plugin="fetch""#, r#"outcome="answered""#], 1.0),
        ("tinymcp_egress_requests_total", vec![r#"plugin="fetch""#, r#"outcome="refused""#], 1.0),
        ("tinymcp_logins_total", vec![r#"outcome="ok""#], 1.0),
        ("tinymcp_consents_total", vec![r#"outcome="approved""#], 1.0),
        ("tinymcp_tokens_total", vec![r#"what="issued""#], 1.0),
        ("tinymcp_tokens_total", vec![r#"what="refreshed""#], 1.0),
        ("tinymcp_refusals_total", vec![r#"reason="foreign_token""#], 1.0),
        ("tinymcp_call_part_duration_seconds_count", vec![r#"plugin="fetch""#, r#"part="egress""#], 1.0),
        ("tinymcp_call_part_duration_seconds_count", vec![r#"plugin="fetch""#, r#"part="instantiating""#], 2.0),
        ("tinymcp_plugins", vec![r#"state="served""#], 2.0),
        ("tinymcp_login_ready", vec![], 1.0),
        ("tinymcp_plugin_changes_total", vec![r#"what="loaded""#], 2.0),
    ] {
        assert_eq!(value(&text, name, &labels), Some(expected), "{name} {labels:?}\n{text}");
    }
    let guest_s =
        value(&text, "tinymcp_call_part_duration_seconds_sum", &[r#"plugin="greeter_v1""#, r#"part="guest""#]);
    assert!(guest_s.is_some_and(|seconds| seconds > 0.05), "{guest_s:?}");
    assert!(value(&text, "tinymcp_store_duration_seconds_count", &[r#"operation="commit""#]).unwrap() >= 2.0);
    assert!(value(&text, "process_memory_usage_bytes", &[]).unwrap() > 1e6);
    assert!(value(&text, "process_unix_file_descriptor_count", &[]).unwrap() > 5.0);
    assert!(value(&text, "tinymcp_connections", &[]).unwrap() >= 1.0);
    for hidden in ["alice", "Claude", "127.0.0.1", "evil.example", "tmcp1."] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
}

#[tokio::test]
async fn nothing_that_a_client_writes_makes_a_series() {
    let (config, address) = metrics();
    let server = Site::with(&["greeter-v1"]).config(&config).start().await;
    let client = Client::modern(&server);
    let before = scrape(address).await.lines().count();
    for number in 0..100 {
        let _ = client.try_answer(&format!("evil/{number}"), json!({})).await;
        let _ = client.try_call(&format!("evil_{number}"), json!({})).await;
        server.request("POST", &format!("/evil/{number}")).send().await;
    }
    let text = scrape(address).await;
    assert!(!text.contains("evil"), "{text}");
    let made = text.lines().count() - before;
    assert!(made < 120, "{made} lines\n{text}");
}

#[tokio::test]
async fn the_listener_has_the_metrics_and_nothing_else_and_checks_its_host() {
    let (config, address) = metrics();
    let config = format!("{config}allowed_hosts = [\"metrics.internal\"]\n");
    let server = Site::with(&["greeter-v1"]).config(&config).start().await;
    for (host, status) in [
        (address.to_string(), 200),
        (format!("localhost:{}", address.port()), 200),
        ("metrics.internal".to_owned(), 200),
        ("evil.example".to_owned(), 403),
    ] {
        let answer = Request::new(address, "GET", "/metrics").header("host", &host).send().await;
        assert_eq!(answer.status, status, "{host}");
    }
    for path in ["/mcp", "/", "/healthz", "/metrics/"] {
        assert_eq!(Request::new(address, "GET", path).send().await.status, 404, "{path}");
    }
    assert_eq!(Request::new(address, "POST", "/metrics").send().await.status, 405);
    assert_eq!(server.get("/metrics").await.status, 404, "and it is nowhere else");
    // Connections that say nothing take no place for long, and the server answers beside them.
    let silent: Vec<_> = (0..8).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    scrape(address).await;
    drop(silent);
}

#[tokio::test]
async fn no_plugin_is_led_to_the_metrics() {
    let (config, address) = metrics();
    let config = format!("{config}[plugin.fetch]\nhttp = [\"http://{address}\"]\n");
    let server = Site::new().plugin("fetch", &guest("fetch")).config(&config).start().await;
    let client = Client::modern(&server);
    let url = format!("http://{address}/metrics");
    client.failure("fetch", json!({ "method": "GET", "url": url, "headers": [] })).await;
    let line = server.log.wait_for("may not send a request").await;
    assert!(line.contains("this server or its proxy"), "{line}");
}

#[tokio::test]
async fn without_the_keys_there_is_nothing() {
    let server: Server = Site::with(&["greeter-v1"]).start().await;
    Client::modern(&server).value("greeter_v1_greet", json!({ "name": "x" })).await;
    assert_eq!(server.get("/metrics").await.status, 404);
    let left: Vec<String> = fs::read_dir(server.site().path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("audit"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}
