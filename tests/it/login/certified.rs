//! The certified provider of npm, `oidc-provider`, as strict as the specifications let it be.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tinymcp_tests::browser::Browser;
use tinymcp_tests::guests::tests_dir;
use tinymcp_tests::log::Log;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{ACME, World};

/// The audience that is asked for.
const AUDIENCE: &str = "https://api.example/";

/// The provider's process. It ends with its standard input.
struct CertifiedProvider {
    issuer: String,
    said: Log,
    stdin: Option<ChildStdin>,
    child: Child,
}

impl Drop for CertifiedProvider {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the provider said:\n{}", self.said.text());
        }
    }
}

impl CertifiedProvider {
    fn grants(&self, grant: &str) -> usize {
        self.said.lines(&format!("\"grant\":\"{grant}\"")).len()
    }
}

/// Starts the provider, and a server that logs people in there.
async fn certified(configuration: &str, more: &str) -> (CertifiedProvider, World) {
    let site = Site::new().fixed();
    let node = tests_dir().join(".tools/node/node_modules/.bin/node");
    let mut child = Command::new(node)
        .arg(tests_dir().join("clients/oidc-provider.mjs"))
        .args([configuration, &format!("{}auth/callback", site.base())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = Log::collect(child.stdout.take().unwrap());
    let started: Value = serde_json::from_str(&said.wait_for("issuer").await).unwrap();
    let text = |name: &str| started[name].as_str().unwrap().to_owned();
    let issuer = text("issuer");
    let site = site
        .auth(&format!(
            "[auth]\nprovider = \"{ACME}\"\nallow = [\"*@example.com\"]\n[auth.providers.{ACME}]\ndiscovery = \"{issuer}\"\n\
             client_id = \"${{ACME_ID}}\"\nclient_secret = \"${{ACME_SECRET}}\"\nscopes = [\"openid\", \"profile\", \"email\"]\n{more}"
        ))
        .variable("ACME_ID", &text("client_id"))
        .variable("ACME_SECRET", &text("client_secret"));
    let stdin = child.stdin.take();
    let provider = CertifiedProvider { issuer, said, stdin, child };
    (provider, World::of(site).await)
}

async fn with_audience() -> (CertifiedProvider, World) {
    certified("audience", &format!("audience = \"{AUDIENCE}\"\nclient_auth = \"post\"\n")).await
}

async fn plain() -> (CertifiedProvider, World) {
    certified("plain", "").await
}

#[tokio::test]
async fn people_log_in_where_the_issuer_has_a_slash_and_tokens_have_an_audience() {
    let (provider, world) = with_audience().await;
    assert!(provider.issuer.ends_with('/'));
    for kind in [Kind::Cursor, Kind::ClaudeCode, Kind::Confidential] {
        let (client, tokens) = world.log_in(kind, "alice").await;
        assert!(client.is_live(&client.renew(&tokens.refresh).await.access).await, "{kind:?}");
    }
    assert_eq!(provider.said.lines("\"error\""), Vec::<String>::new());
}

/// Renews after the provider's tokens have ended. Its clock is its own, so that this takes time.
async fn renew_later(client: &OAuthClient, tokens: &Tokens) -> Tokens {
    tokio::time::sleep(Duration::from_millis(2500)).await;
    client.renew(&tokens.refresh).await
}

#[tokio::test]
async fn short_lived_tokens_are_renewed_at_a_provider_that_ends_what_is_used_twice() {
    let (provider, world) = plain().await;
    let (client, mut tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    for _ in 0..3 {
        tokens = renew_later(&client, &tokens).await;
        assert!(client.is_live(&tokens.access).await);
    }
    assert_eq!(provider.grants("refresh_token"), 3, "{}", provider.said.text());
    assert_eq!(provider.said.lines("\"error\""), Vec::<String>::new());
}

#[tokio::test]
async fn parallel_renewals_are_one_at_the_provider() {
    let (provider, world) = plain().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let requests = (0..6).map(|_| {
        let (client, token) = (client.clone(), tokens.refresh.clone());
        tokio::spawn(async move { client.renew(&token).await.refresh })
    });
    let mut answers = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        answers.push(request.await.unwrap());
    }
    answers.dedup();
    assert_eq!((answers.len(), provider.grants("refresh_token")), (1, 1), "{}", provider.said.text());
    client.renew(&answers[0]).await;
    assert_eq!(provider.said.lines("\"error\""), Vec::<String>::new());
}

#[tokio::test]
async fn a_renewal_over_a_kill_keeps_the_providers_last_token() {
    let (provider, world) = plain().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let tokens = client.renew(&tokens.refresh).await;
    let world = world.killed().await;
    let tokens = client.renew(&tokens.refresh).await;
    assert_eq!(provider.grants("refresh_token"), 2, "{}", provider.said.text());
    assert!(client.is_live(&tokens.access).await);
    assert_eq!(provider.said.lines("\"error\""), Vec::<String>::new());
    drop(world);
}

#[tokio::test]
async fn keys_that_rotate_do_not_cost_a_login() {
    let (mut provider, world) = plain().await;
    world.log_in(Kind::ClaudeCode, "alice").await;
    writeln!(provider.stdin.as_mut().unwrap(), "rotate").unwrap();
    provider.said.wait_for("rotated").await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "bob").await;
    assert!(client.is_live(&tokens.access).await);
    assert_eq!(provider.said.lines("\"error\""), Vec::<String>::new());
}

/// OpenID Connect Back-Channel Logout 1.0, by somebody else's hand: in another browser the same person goes on.
#[tokio::test]
async fn a_logout_there_ends_what_was_begun_in_that_session() {
    let (provider, world) = plain().await;
    let client = world.register(Kind::ClaudeCode).await;
    let mut alice = Browser::of("alice");
    let tokens = client.log_in(&mut alice).await;
    alice.walk(world.base.join("/login").unwrap().as_str()).await.page();
    let (other, others) = world.log_in(Kind::Gemini, "alice").await;
    let page = alice.open(&format!("{}/session/end", provider.issuer)).await.page();
    let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("no form: {page:?}"));
    alice.press(&page, &form, Some(("logout", "yes"))).await;
    provider.said.wait_for("\"backchannel\"").await;
    assert_eq!(provider.said.lines("\"error\""), Vec::<String>::new());
    assert!(!client.is_live(&tokens.access).await);
    let page = alice.open(world.base.join("/me").unwrap().as_str()).await.page();
    assert!(page.text().contains("Log in to see"), "{page:?}");
    assert!(other.is_live(&others.access).await);
}

#[tokio::test]
async fn tokens_end_at_the_provider_when_they_are_revoked_here() {
    let (provider, world) = plain().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert_eq!(client.revoke(&tokens.refresh).await.status, 200);
    assert!(!client.is_live(&tokens.access).await);
    assert_eq!(provider.said.lines("revocation.error"), Vec::<String>::new());
}
