//! The proxies of `docs/operations.md`: each of its configurations runs as it stands there, but for ports and files, and a
//! person logs in through it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tinymcp_tests::command::{finish, suite_path};
use tinymcp_tests::guests::{guest, project_dir};
use tinymcp_tests::http::Request;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::server::free_port;
use tinymcp_tests::until;
use tinymcp_tests::world::{World, behind};

/// A proxy that runs. It is killed when it is dropped.
struct Proxy {
    process: Child,
    port: u16,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn page() -> String {
    fs::read_to_string(project_dir().join("docs/operations.md")).unwrap()
}

/// The one line of the page that begins like this.
fn line_of(beginning: &str) -> String {
    let page = page();
    let mut lines = page.lines().filter(|line| line.starts_with(beginning));
    let line = lines.next().unwrap_or_else(|| panic!("no line begins with `{beginning}`")).to_owned();
    assert!(lines.next().is_none(), "the page says `{beginning}` twice");
    line
}

/// The one listing of the page in a language.
fn listing(language: &str) -> String {
    let page = page();
    let mut blocks = page.split("```").filter_map(|block| block.strip_prefix(&format!("{language}\n")));
    let block = blocks.next().unwrap_or_else(|| panic!("the page shows no {language}"));
    assert!(blocks.next().is_none(), "the page shows {language} twice");
    block.to_owned()
}

/// Replaces a text that must be there.
fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no `{from}` in:\n{text}");
    text.replace(from, to)
}

/// A program that `tests/setup/proxies` has unpacked, or that the machine has.
fn program(name: &str) -> Command {
    let mut paths: Vec<_> = std::env::split_paths(&suite_path()).collect();
    paths.push("/usr/sbin".into());
    let mut found = paths.iter().map(|path| path.join(name)).filter(|path| path.is_file());
    Command::new(found.next().unwrap_or_else(|| panic!("no {name}: run `tests/run --setup-only`")))
}

fn start(command: &mut Command, port: u16) -> Proxy {
    let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Proxy { process: process.expect("it is a program"), port }
}

fn nginx(dir: &Path, server: SocketAddr) -> Proxy {
    let port = free_port();
    let files = dir.display();
    let block = listing("nginx");
    let block = replace(&block, "listen 443 ssl", &format!("listen 127.0.0.1:{port}"));
    let block = replace(&block, "server_name mcp.example.com", "server_name localhost");
    let block = replace(&block, "/var/log/nginx/", &format!("{files}/"));
    let block = replace(&block, "127.0.0.1:8000", &server.to_string());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|name| format!("{name}_temp_path {files}/{name};\n")).collect();
    let whole = format!(
        "daemon off; master_process off; pid {files}/nginx.pid; error_log {files}/start.log alert;\n\
         events {{}}\nhttp {{\n{temporary}{block}}}\n"
    );
    let path = dir.join("nginx.conf");
    fs::write(&path, whole).unwrap();
    start(program("nginx").arg("-c").arg(&path).arg("-e").arg(dir.join("start.log")), port)
}

fn caddy(dir: &Path, server: SocketAddr) -> Proxy {
    let port = free_port();
    let block = listing("caddyfile");
    let path = dir.join("Caddyfile");
    fs::write(&path, &block).unwrap();
    let mut validate = program("caddy");
    validate.env("HOME", dir).args(["validate", "--adapter", "caddyfile", "--config"]).arg(&path);
    let valid = finish(&mut validate);
    assert_eq!(valid.code, 0, "{valid:#?}");
    assert!(!valid.stderr.contains("not formatted"), "{valid:#?}");
    let log = dir.join("caddy.log");
    let block = replace(&block, "mcp.example.com {", &format!("http://:{port} {{"));
    let block = replace(&block, "127.0.0.1:8000", &server.to_string());
    let block = block.replacen("{\n", "{\n\tadmin off\n\tauto_https off\n", 1);
    let block = replace(&block, "log default {", &format!("log default {{\n\t\toutput file {}", log.display()));
    fs::write(&path, block).unwrap();
    let mut run = program("caddy");
    run.env("HOME", dir).args(["run", "--adapter", "caddyfile", "--config"]).arg(&path);
    start(&mut run, port)
}

/// A person logs in through a proxy, a client calls and listens through it, and the proxy's logs know no codes.
async fn serves(proxy: fn(&Path, SocketAddr) -> Proxy) {
    let provider = Provider::start(Settings::auth0()).await;
    let site = behind(&provider);
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, site.base().port().unwrap()));
    let files = tempfile::tempdir().unwrap();
    let proxy = proxy(files.path(), upstream);
    let base: url::Url = format!("http://localhost:{}/", proxy.port).parse().unwrap();
    provider.change(|settings| settings.redirect_uris.push(format!("{base}auth/callback")));
    let site = site.variable("BASE_URL", base.as_str());
    site.configure(&format!("[server]\n{}\n", line_of("trusted_proxies = ")));
    let mut world = World { server: site.start().await, base };
    world.server.address = SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.port));
    until("a proxy that listens", async || {
        world.server.request("GET", "/healthz").try_send().await.is_ok_and(|answer| answer.status == 200)
    })
    .await;

    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert!(client.is_live(&tokens.access).await);
    let mcp = world.modern(&tokens.access);
    let mut events = mcp.listen().await;
    world.server.site().put("greeter.wasm", &guest("greeter-v1"));
    assert_eq!(events.expect("a change").await["method"], "notifications/tools/list_changed");
    assert_eq!(mcp.value("greeter_greet", json!({ "name": "Ada" })).await, "v1 greets Ada");

    // A server that is gone is what proxies write about.
    let address = world.server.address;
    let site = world.server.kill();
    let gone = Request::new(address, "GET", "/auth/callback?code=of-somebody&state=s").send().await;
    assert_eq!(gone.status, 502);
    drop((site, proxy));
    for file in fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "log") {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("code="), "{}:\n{text}", file.display());
        }
    }
}

#[tokio::test]
async fn nginx_as_the_page_has_it_serves_the_login() {
    serves(nginx).await;
}

#[tokio::test]
async fn caddy_as_the_page_has_it_serves_the_login() {
    serves(caddy).await;
}
