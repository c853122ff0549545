//! `as = "login"`: the calling person's own token of the identity provider, in requests to one service.

use std::time::Duration;

use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::Request;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::provider::{Fault, Provider};
use tinymcp_tests::server::Site;
use tinymcp_tests::world::{World, behind, local};

use super::tls::{Service, service};
use super::{configuration, get};

/// Life of the provider's access tokens.
pub(crate) const LIFE: Duration = Duration::from_secs(300);

/// A time after which such a token has less than a minute, and more than none.
pub(crate) const NEARLY: Duration = Duration::from_secs(250);

/// The site with the guest `fetch`, which may send the caller's token to the service.
fn reaching(site: Site, service: &Service) -> Site {
    reaching_beside("", site, service)
}

/// The same beside other configuration.
pub(crate) fn reaching_beside(other: &str, site: Site, service: &Service) -> Site {
    std::fs::write(site.path().join("house.pem"), &service.pem).unwrap();
    let table = format!("http = [{{ to = \"https://localhost:{}/v1\", as = \"login\" }}]", service.port);
    let config = format!("{other}\n[egress]\nca_file = \"house.pem\"\n{}", configuration(&table));
    site.plugin("fetch", &guest("fetch")).config(&config)
}

pub(crate) fn url(service: &Service) -> String {
    format!("https://localhost:{}/v1/me", service.port)
}

/// A provider whose tokens live for [`LIFE`], a server behind it and the service.
async fn short_lived() -> (Provider, Service, World) {
    let settings = Settings { access_seconds: LIFE.as_secs(), ..Settings::oidc() };
    let (provider, service) = (Provider::start(settings).await, service().await);
    let world = World::of(reaching(behind(&provider), &service).with_clock()).await;
    (provider, service, world)
}

/// The person whose access token the provider takes this for.
async fn owner(provider: &Provider, authorization: &str) -> String {
    let token = authorization.strip_prefix("Bearer ").unwrap_or_else(|| panic!("no token: {authorization}"));
    let at = format!("{}/userinfo", provider.url).parse().unwrap();
    Request::to(&at, "GET").bearer(token).send().await.json()["sub"].as_str().unwrap().to_owned()
}

fn renewals(provider: &Provider) -> usize {
    provider.token_calls("refresh_token").len()
}

#[tokio::test]
async fn each_person_reaches_the_service_as_themselves() {
    let (provider, service, world) = short_lived().await;
    let mut clients = Vec::new();
    for name in ["alice", "bob"] {
        let (_, tokens) = world.log_in(Kind::ClaudeCode, name).await;
        let client = world.modern(&tokens.access);
        let headers = [json!({ "name": "authorization", "value": "Bearer mine" })];
        let request = json!({ "method": "GET", "url": url(&service), "headers": headers });
        let answer = client.call("fetch", request).await.structured;
        let sent = service.authorizations().pop().unwrap();
        assert_eq!(owner(&provider, &sent).await, name);
        let hidden = "*".repeat(sent.len() - "Bearer ".len());
        assert!(answer["body"].as_str().unwrap().ends_with(&format!("/v1/me Bearer {hidden}")), "{answer}");
        clients.push(client);
    }
    assert_eq!(service.connections(), 2, "no two people share a connection");
    clients[0].value("fetch", get(&url(&service))).await;
    assert_eq!(service.connections(), 2, "and one person keeps theirs");
    let sent = service.authorizations();
    assert!(sent[0] == sent[2] && sent[0] != sent[1], "{sent:?}");
    assert_eq!(renewals(&provider), 0);
    let said = clients[0].failure("fetch", get(&format!("https://localhost:{}/v2", service.port))).await;
    assert!(said.contains("no grant for"), "{said}");
    assert_eq!(world.leaked(&provider.secrets()), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_once_and_kept() {
    let (provider, service, world) = short_lived().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let caller = world.modern(&tokens.access);
    caller.value("fetch", get(&url(&service))).await;
    world.server.advance(NEARLY);
    provider.fail("/token", Fault::Slow(Duration::from_millis(300)));
    let outcomes = caller.value("fetch_fetch_all", json!({ "urls": [url(&service), url(&service)] }));
    let (outcomes, _) = tokio::join!(outcomes, caller.value("fetch", get(&url(&service))));
    assert_eq!(outcomes, json!(["200", "200"]));
    provider.mend();
    let sent = service.authorizations();
    assert!(sent[1..] == [sent[1].as_str(); 3] && sent[1] != sent[0], "{sent:?}");
    assert_eq!((owner(&provider, &sent[1]).await, renewals(&provider)), ("alice".to_owned(), 1));
    // The refresh token that came with it is the session's: its client renews by that.
    world.server.advance(NEARLY);
    client.renew(&tokens.refresh).await;
    let used = provider.token_calls("refresh_token");
    let used: Vec<_> = used.iter().map(|sent| sent.parameter("refresh_token").unwrap()).collect();
    assert!(used.len() == 2 && used[0] != used[1], "{used:?}");
    assert_eq!(world.leaked(&provider.secrets()), Vec::<String>::new());
}

#[tokio::test]
async fn a_call_that_is_cancelled_takes_no_token_with_it() {
    let (provider, service, world) = short_lived().await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    world.server.advance(NEARLY);
    provider.fail("/token", Fault::Slow(Duration::from_secs(2)));
    let (cancelled, request) = (world.modern(&tokens.access), get(&url(&service)));
    let call = tokio::spawn(async move { cancelled.try_call("fetch", request).await });
    tinymcp_tests::until("the renewal", async || provider.held() == 1).await;
    call.abort();
    world.modern(&tokens.access).value("fetch", get(&url(&service))).await;
    assert_eq!((renewals(&provider), service.authorizations().len()), (1, 1));
}

#[tokio::test]
async fn while_the_provider_is_down_a_token_is_good_to_its_end() {
    let (provider, service, world) = short_lived().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let caller = world.modern(&tokens.access);
    world.server.advance(NEARLY);
    provider.go_down();
    caller.value("fetch", get(&url(&service))).await;
    world.server.advance(LIFE - NEARLY);
    let said = caller.failure("fetch", get(&url(&service))).await;
    let expected = "the identity provider does not renew at the moment: try again later";
    assert!(said.contains("HttpRequestDenied") && said.contains(expected), "{said}");
    assert!(!said.contains("no grant"), "{said}");
    world.server.log.wait_for("does not renew at the moment").await;
    assert_eq!(service.authorizations().len(), 1);
    assert!(client.is_live(&tokens.access).await, "it costs no login");
    provider.mend();
    tinymcp_tests::until("the provider is asked again", async || {
        !caller.call("fetch", get(&url(&service))).await.is_error
    })
    .await;
}

#[tokio::test]
async fn a_login_that_the_provider_has_ended_gives_no_token() {
    let (provider, service, world) = short_lived().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let caller = world.modern(&tokens.access);
    world.server.advance(NEARLY);
    provider.lock_out();
    let said = caller.failure("fetch", get(&url(&service))).await;
    // The plugin says so, or the server, which ends the calls of a session that has ended.
    assert!(said.contains("login has ended") && said.contains("log in again"), "{said}");
    assert!(service.authorizations().is_empty());
    assert!(!client.is_live(&tokens.access).await);
}

#[tokio::test]
async fn where_no_provider_is_there_is_no_token() {
    let service = service().await;
    let world = World::of(reaching(local(), &service)).await;
    let (_, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let open = reaching(Site::new(), &service).start().await;
    for (caller, server) in [(world.modern(&tokens.access), &world.server), (Client::modern(&open), &open)] {
        let said = caller.failure("fetch", get(&url(&service))).await;
        let expected = "it needs the caller's own token, and nobody logs in at an identity provider here";
        assert!(said.contains(expected) && !said.contains("no grant"), "{said}");
        server.log.wait_for("provider `").await;
    }
    assert_eq!((service.authorizations().len(), service.connections()), (0, 0));
    let checked = open.site().run(&["check"]);
    let warning = "sends the caller's token of an identity provider, and provider `none` has none: such requests fail";
    assert!(checked.stderr.contains(warning), "{}", checked.stderr);
}

#[test]
fn check_says_what_the_token_is_for() {
    let site = Site::new()
        .auth("[auth]\nprovider = \"acme\"\n[auth.providers.acme]\ndiscovery = \"https://id.example/.well-known/openid-configuration\"\nclient_id = \"a\"\nclient_secret = \"hunter2\"\naudience = \"https://api.example\"\nscopes = [\"openid\", \"mail.read\"]\n")
        .config("[plugin.fetch]\nhttp = [{ to = \"https://graph.example.com\", as = \"login\" }]\n");
    let checked = site.run(&["check"]);
    let expected = "# plugin `fetch` sends https://graph.example.com the caller's own token of acme, for the audience `https://api.example`, with the scopes `openid` `mail.read`\n";
    assert!(checked.stdout.contains(expected), "{}\n{}", checked.stdout, checked.stderr);
}
