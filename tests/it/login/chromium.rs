//! A real Chromium goes through logins: what the rig's own browser believes about cookies, policies and redirects is true there.

use std::process::{Command, Stdio};

use serde_json::Value;
use tinymcp_tests::command::{CommandOutput, finish};
use tinymcp_tests::guests::tests_dir;
use tinymcp_tests::oauth::{Authorization, Code, Kind, OAuthClient};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::World;
use url::Url;

const APPROVE: &str = "button[value=approve]";
const DENY: &str = "button[value=deny]";
const NAME: &str = "input[name]:not([type=hidden])";

/// A client that waits on loopback, as Claude Code does, and everything that it is told.
struct WaitingClient {
    client: OAuthClient,
    listener: tokio::net::TcpListener,
}

impl WaitingClient {
    async fn registered(world: &World) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = world.register(Kind::ClaudeCode).await;
        client.redirect_uri = format!("http://{}/callback", listener.local_addr().unwrap());
        Self { client, listener }
    }

    /// Waits for the browser, and shows it a page. A browser opens connections ahead and may say nothing on them, so none
    /// is waited for alone.
    async fn told(&self) -> Url {
        let (sender, mut told) = tokio::sync::mpsc::channel(1);
        let accepting = async {
            loop {
                let (stream, _) = self.listener.accept().await.unwrap();
                let sender = sender.clone();
                tokio::spawn(async move {
                    if let Ok(path) = show(stream).await
                        && path.starts_with("/callback")
                    {
                        let _ = sender.send(path).await;
                    }
                });
            }
        };
        let path = tinymcp_tests::within("the browser", async {
            tokio::select! {
                () = accepting => unreachable!("it accepts for ever"),
                path = told.recv() => path.expect("a sender is here"),
            }
        })
        .await;
        Url::parse(&self.client.redirect_uri).unwrap().join(&path).unwrap()
    }

    /// Takes the code that the browser brings.
    async fn code(&self, authorization: &Authorization) -> Code {
        OAuthClient::take(authorization, tinymcp_tests::browser::Landing::Client(self.told().await))
    }
}

/// Shows the client's page on one connection. Returns the path that was asked for.
async fn show(mut stream: tokio::net::TcpStream) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut head = vec![0; 65_536];
    let length = stream.read(&mut head).await?;
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    let page = "<!doctype html><title>Done</title><body>CLIENT HAS IT";
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    Ok(head.split(' ').nth(1).unwrap_or_default().to_owned())
}

/// Does these things in a browser. Returns the details of each, after all were ok.
async fn browse(url: &str, actions: &[&str]) -> Vec<Value> {
    let mut command = Command::new(tests_dir().join(".tools/node/node_modules/.bin/node"));
    command.arg(tests_dir().join("clients/chromium.mjs")).arg(url).args(actions).stdin(Stdio::null());
    let finished: CommandOutput = tokio::task::spawn_blocking(move || finish(&mut command)).await.unwrap();
    tinymcp_tests::command::report(&finished);
    finished.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn typed(name: &str) -> String {
    format!("type:{NAME}={name}")
}

fn click(selector: &str) -> String {
    format!("click:{selector}")
}

#[tokio::test]
async fn approving_leads_to_the_client_on_loopback() {
    let world = World::local().await;
    let waiting = WaitingClient::registered(&world).await;
    let authorization = waiting.client.authorization();
    let (url, approve, name) = (authorization.url(), click(APPROVE), typed("alice"));
    let actions = [approve.as_str(), "wait:/local/authorize", &name, "enter", "wait:CLIENT HAS IT"];
    let (code, _) = tokio::join!(waiting.code(&authorization), browse(&url, &actions));
    assert!(waiting.client.is_live(&waiting.client.redeem(&code).await.access).await);
}

/// Other site, cross-site redirects: cookies must come through all of them.
#[tokio::test]
async fn approving_leads_through_a_provider_of_another_site() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::with(&provider).await;
    let waiting = WaitingClient::registered(&world).await;
    let authorization = waiting.client.authorization();
    let (url, approve, name) = (authorization.url(), click(APPROVE), typed("alice"));
    let actions = [approve.as_str(), "wait:Log in", &name, "enter", "wait:CLIENT HAS IT"];
    let (code, _) = tokio::join!(waiting.code(&authorization), browse(&url, &actions));
    assert!(waiting.client.is_live(&waiting.client.redeem(&code).await.access).await);
}

#[tokio::test]
async fn denying_tells_the_client() {
    let world = World::local().await;
    let waiting = WaitingClient::registered(&world).await;
    let url = waiting.client.authorization().url();
    let (deny, follow) = (click(DENY), click("a.button"));
    let actions = [deny.as_str(), "wait:Access denied", &follow, "wait:CLIENT HAS IT"];
    let (told, _) = tokio::join!(waiting.told(), browse(&url, &actions));
    assert!(told.query().unwrap().contains("error=access_denied"), "{told}");
}

#[tokio::test]
async fn a_double_click_approves_once() {
    let world = World::local().await;
    let waiting = WaitingClient::registered(&world).await;
    let authorization = waiting.client.authorization();
    let (url, approve, name) = (authorization.url(), format!("double:{APPROVE}"), typed("alice"));
    let actions = [approve.as_str(), "wait:/local/authorize", &name, "enter", "wait:CLIENT HAS IT"];
    let (code, _) = tokio::join!(waiting.code(&authorization), browse(&url, &actions));
    waiting.client.redeem(&code).await;
}

#[tokio::test]
async fn two_tabs_finish_the_second_before_the_first() {
    let world = World::local().await;
    let (first, second) = (WaitingClient::registered(&world).await, WaitingClient::registered(&world).await);
    let (one, two) = (first.client.authorization(), second.client.authorization());
    let (new, approve, name) = (format!("new:{}", two.url()), click(APPROVE), typed("alice"));
    let actions = [
        new.as_str(),
        &approve,
        "switch:0",
        &approve,
        "switch:1",
        "wait:/local/authorize",
        &name,
        "enter",
        "wait:CLIENT HAS IT",
        "switch:0",
        "wait:/local/authorize",
        &name,
        "enter",
        "wait:CLIENT HAS IT",
    ];
    let url = one.url();
    let (one, two, _) = tokio::join!(first.code(&one), second.code(&two), browse(&url, &actions));
    first.client.redeem(&one).await;
    second.client.redeem(&two).await;
}

#[tokio::test]
async fn the_back_button_and_another_approval_still_lead_to_the_client() {
    let world = World::local().await;
    let waiting = WaitingClient::registered(&world).await;
    let authorization = waiting.client.authorization();
    let (url, approve, name) = (authorization.url(), click(APPROVE), typed("alice"));
    let actions = [
        approve.as_str(),
        "wait:/local/authorize",
        "back",
        "wait:/authorize?",
        &approve,
        "wait:/local/authorize",
        &name,
        "enter",
        "wait:CLIENT HAS IT",
    ];
    let (code, _) = tokio::join!(waiting.code(&authorization), browse(&url, &actions));
    waiting.client.redeem(&code).await;
}

#[tokio::test]
async fn approving_opens_an_application_with_a_scheme_of_its_own() {
    let world = World::local().await;
    let client = world.register(Kind::Cursor).await;
    let authorization = client.authorization();
    let (approve, name) = (click(APPROVE), typed("alice"));
    let actions = [
        approve.as_str(),
        "wait:/local/authorize",
        &name,
        "enter",
        "wait:Cursor",
        "left:cursor://anysphere.cursor-mcp/oauth/callback?",
        "page",
    ];
    let done = browse(&authorization.url(), &actions).await;
    let left =
        done.iter().find(|report| report["check"].as_str().is_some_and(|check| check.starts_with("left:"))).unwrap();
    let url: Url = left["detail"].as_str().unwrap().parse().unwrap();
    let code = OAuthClient::take(&authorization, tinymcp_tests::browser::Landing::Client(url));
    client.redeem(&code).await;
    let page = done.iter().find(|report| report["check"] == "page").unwrap();
    assert!(page["detail"]["text"].as_str().unwrap().contains("Cursor"), "{page}");
}

/// What the rig's browser believes about `Origin` under the policies of pages is true: the forms are taken.
#[tokio::test]
async fn a_person_ends_their_own_sessions_and_logs_out() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (me, name) = (world.base.join("/me").unwrap(), typed("alice"));
    let actions = [
        "reach:a[href='/login?to=/me']",
        "enter",
        &name,
        "enter",
        "wait:Claude Code (tests)",
        "reach:form[action='/me/end'] button",
        "enter",
        "wait:It is ended",
        "page",
        "click:form[action='/logout'] button",
        "wait:Log in to see",
    ];
    let done = browse(me.as_str(), &actions).await;
    let page = done.iter().find(|report| report["check"] == "page").unwrap();
    assert!(!page["detail"]["text"].as_str().unwrap().contains("Claude Code"), "{page}");
    assert!(!client.is_live(&tokens.access).await);
}

#[tokio::test]
async fn keys_are_enough() {
    let world = World::local().await;
    let waiting = WaitingClient::registered(&world).await;
    let authorization = waiting.client.authorization();
    let (url, approve, name) = (authorization.url(), format!("reach:{APPROVE}"), format!("reach:{NAME}"));
    let actions =
        [approve.as_str(), "enter", "wait:/local/authorize", &name, "write:alice", "enter", "wait:CLIENT HAS IT"];
    let (code, _) = tokio::join!(waiting.code(&authorization), browse(&url, &actions));
    waiting.client.redeem(&code).await;
}
