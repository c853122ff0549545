//! The device flow (RFC 8628): a person logs in with a browser elsewhere.

use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::browser::page::Page;
use tinymcp_tests::client::initialize;
use tinymcp_tests::http::{Answer, Request};
use tinymcp_tests::oauth::{OAuthClient, Tokens};
use tinymcp_tests::server::Site;
use tinymcp_tests::world::World;

use super::{GUARDS, callable, guarded, post};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

const ON: &str = "[auth]\nprovider = \"local\"\ndevice_flow = true\n";

const TV: &str = "[auth.clients.tv]\nname = \"Living room\"\ngrants = [\"device_code\"]\n\
                  [auth.clients.app]\nredirect_uris = [\"http://localhost:1/cb\"]\n";

fn site() -> Site {
    guarded().auth(ON).config(&format!("{GUARDS}{TV}"))
}

/// A device that has begun.
struct Device {
    code: String,
    shown: String,
}

async fn begin(world: &World) -> Device {
    let answer = post(&world.base, "/device_authorization", &[("client_id", "tv"), ("scope", "read")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!((&answer["interval"], &answer["expires_in"]), (&json!(5), &json!(600)));
    assert_eq!(answer["verification_uri"], format!("{}device", world.base));
    // No link that has the code in it (RFC 8628 §5.4).
    assert!(answer.get("verification_uri_complete").is_none(), "{answer}");
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let shown = text("user_code");
    let letters = shown.replace('-', "");
    assert!(shown.len() == 9 && letters.chars().all(|char| "BCDFGHJKLMNPQRSTVWXZ".contains(char)), "{shown}");
    assert!(!answer["verification_uri"].as_str().unwrap().contains(&letters));
    Device { code: text("device_code"), shown }
}

async fn poll(world: &World, code: &str) -> Answer {
    post(&world.base, "/token", &[("grant_type", GRANT), ("client_id", "tv"), ("device_code", code)]).await
}

fn error(answer: &Answer) -> String {
    let (status, error) = answer.oauth_error();
    assert_eq!(status, 400, "{answer:?}");
    error
}

/// Opens the page, and types a code.
async fn type_code(world: &World, person: &mut Browser, code: &str) -> Page {
    let page = person.open(&format!("{}device", world.base)).await.page();
    assert_eq!(page.status, 200, "{page:?}");
    type_on(person, &page, code).await
}

async fn type_on(person: &mut Browser, page: &Page, code: &str) -> Page {
    let form = page.form_with_text();
    let mut parameters = form.fields.clone();
    for (name, value) in &mut parameters {
        if form.texts.contains(name) {
            code.clone_into(value);
        }
    }
    person.submit(page, &form, &parameters).await.page()
}

#[tokio::test]
async fn a_person_logs_a_device_in() {
    let world = World::of(site()).await;
    let device = begin(&world).await;
    assert_eq!(error(&poll(&world, &device.code).await), "authorization_pending");
    let mut alice = Browser::of("alice");
    let page = type_code(&world, &mut alice, &device.shown.to_lowercase().replace('-', " ")).await;
    let text = page.text();
    for expected in ["Living room", "only if you started this", "127.0.0.1", "read"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(page.asks_for_consent() && !page.elements().contains(&"script".to_owned()), "{page:?}");
    let page = alice.decide(&page, "approve").await.page();
    let end = alice.log_in(&page).await.page();
    assert!(end.status == 200 && end.text().contains("The device is connected"), "{end:?}");
    let tokens = Tokens::of(&poll(&world, &device.code).await);
    assert_eq!(
        (tokens.scopes.clone(), callable(&world, &tokens.access).await),
        (vec!["read".to_owned()], vec!["open", "reading"])
    );
    // A session like any other: it is renewed, and revoked.
    let client = OAuthClient::known(&world.base, "tv", "");
    let tokens = client.renew(&tokens.refresh).await;
    assert!(client.is_live(&tokens.access).await);
    client.revoke(&tokens.refresh).await;
    assert!(!client.is_live(&tokens.access).await);
    assert_eq!(world.leaked(&[device.code, device.shown]), Vec::<String>::new());
}

#[tokio::test]
async fn a_device_is_logged_in_at_the_view_that_it_names() {
    let views = "[view.ops]\nplugins = [\"open\"]\n";
    let world = World::of(guarded().auth(ON).config(&format!("{GUARDS}{TV}{views}"))).await;
    let ops = format!("{}mcp/ops", world.base);
    let ask = async |resource: &str| {
        post(&world.base, "/device_authorization", &[("client_id", "tv"), ("resource", resource)]).await
    };
    let nowhere = ask(&format!("{}mcp/nothing", world.base)).await;
    assert_eq!(nowhere.oauth_error(), (400, "invalid_target".to_owned()));
    let answer = ask(&ops).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let mut alice = Browser::of("alice");
    let page = type_code(&world, &mut alice, answer["user_code"].as_str().unwrap()).await;
    assert!(page.text().contains("Which part of this server ops"), "{page:?}");
    let page = alice.decide(&page, "approve").await.page();
    assert!(alice.log_in(&page).await.page().text().contains("The device is connected"));
    let code = answer["device_code"].as_str().unwrap();
    // Another view than the person has seen is not given out, and nothing is used up by asking for it.
    let form = [("grant_type", GRANT), ("client_id", "tv"), ("device_code", code)];
    let main = format!("{}mcp", world.base);
    let elsewhere = [&form[..], &[("resource", main.as_str())]].concat();
    assert_eq!(error(&post(&world.base, "/token", &elsewhere).await), "invalid_target");
    let named = [&form[..], &[("resource", ops.as_str())]].concat();
    let tokens = Tokens::of(&post(&world.base, "/token", &named).await);
    let knock = async |path: &str| {
        let request = world.server.request("POST", path).json(&initialize("2025-11-25"));
        request.bearer(&tokens.access).send().await.status
    };
    assert_eq!((knock("/mcp/ops").await, knock("/mcp").await), (200, 401));
    let tools = world.modern(&tokens.access).at("/mcp/ops").tool_names().await;
    assert_eq!(tools, ["open_greet", "open_wait"]);
    let listed = world.server.site().run(&["sessions", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert!(listed.as_array().unwrap().iter().any(|one| one["view"] == "ops"), "{listed}");
}

#[tokio::test]
async fn a_login_for_a_device_survives_a_kill() {
    let world = World::of(site()).await;
    let device = begin(&world).await;
    let mut alice = Browser::of("alice");
    let page = type_code(&world, &mut alice, &device.shown).await;
    let page = alice.decide(&page, "approve").await.page();
    let world = world.killed().await;
    let end = alice.log_in(&page).await.page();
    assert!(end.text().contains("The device is connected"), "{end:?}");
    let world = world.killed().await;
    Tokens::of(&poll(&world, &device.code).await);
}

#[tokio::test]
async fn a_device_that_is_denied_learns_it() {
    let world = World::of(site()).await;
    let device = begin(&world).await;
    let mut alice = Browser::of("alice");
    let page = type_code(&world, &mut alice, &device.shown).await;
    let end = alice.decide(&page, "deny").await.page();
    assert!(end.text().contains("was not connected"), "{end:?}");
    assert_eq!(error(&poll(&world, &device.code).await), "access_denied");
    // The code is gone with it.
    let again = type_code(&world, &mut Browser::of("bob"), &device.shown).await;
    assert_eq!(again.status, 422, "{again:?}");
    // Who does not finish at the provider denies it too.
    let device = begin(&world).await;
    let mut carol = Browser::of("carol");
    carol.logs_in = false;
    let page = type_code(&world, &mut carol, &device.shown).await;
    let page = carol.decide(&page, "approve").await.page();
    let end = carol.log_in(&page).await.page();
    assert!(end.text().contains("was not connected"), "{end:?}");
    assert_eq!(error(&poll(&world, &device.code).await), "access_denied");
}

#[tokio::test]
async fn a_code_is_good_for_one_browser_and_for_ten_minutes() {
    let world = World::of(site().with_clock()).await;
    let device = begin(&world).await;
    let (mut alice, mut mallory) = (Browser::of("alice"), Browser::of("mallory"));
    let hers = type_code(&world, &mut alice, &device.shown).await;
    let his = type_code(&world, &mut mallory, &device.shown).await;
    let page = alice.decide(&hers, "approve").await.page();
    let late = mallory.decide(&his, "approve").await.page();
    assert!(late.status == 400 && late.text().contains("This is over"), "{late:?}");
    let denied = mallory.decide(&his, "deny").await.page();
    assert!(denied.status == 200, "{denied:?}");
    assert_eq!(type_code(&world, &mut Browser::of("bob"), &device.shown).await.status, 422);
    let end = alice.log_in(&page).await.page();
    assert!(end.text().contains("The device is connected"), "a stranger's no is not hers: {end:?}");
    Tokens::of(&poll(&world, &device.code).await);
    let device = begin(&world).await;
    world.server.advance(Duration::from_secs(601));
    assert_eq!(error(&poll(&world, &device.code).await), "expired_token");
    assert_eq!(type_code(&world, &mut alice, &device.shown).await.status, 422);
    world.server.advance(Duration::from_secs(3600));
    assert_eq!(error(&poll(&world, &device.code).await), "expired_token", "its row is gone");
}

#[tokio::test]
async fn five_wrong_codes_end_a_visit() {
    let world = World::of(site()).await;
    let device = begin(&world).await;
    let mut mallory = Browser::of("mallory");
    let mut page = mallory.open(&format!("{}device", world.base)).await.page();
    for wrong in ["BBBB-BBBB", "", "AAAA-AAAA", "BBBBBBBBB"] {
        page = type_on(&mut mallory, &page, wrong).await;
        assert!(page.status == 422 && page.text().contains("No device waits"), "{wrong}: {page:?}");
    }
    let first = page.clone();
    page = type_on(&mut mallory, &page, "CCCC-CCCC").await;
    assert_eq!(page.status, 429, "{page:?}");
    // The right one does not help any more, nor does an earlier form of the same visit.
    assert_eq!(type_on(&mut mallory, &first, &device.shown).await.status, 429);
    let mut alice = Browser::of("alice");
    assert!(type_code(&world, &mut alice, &device.shown).await.asks_for_consent());
}

#[tokio::test]
async fn a_form_of_another_site_or_browser_is_not_taken() {
    let world = World::of(site()).await;
    let device = begin(&world).await;
    let mut alice = Browser::of("alice");
    let page = alice.open(&format!("{}device", world.base)).await.page();
    let stranger = type_on(&mut Browser::of("mallory"), &page, &device.shown).await;
    assert_eq!(stranger.status, 403, "{stranger:?}");
    let form = page.form_with_text();
    let visit = form.fields.iter().find(|(name, _)| name == "visit").unwrap().1.clone();
    let url = world.base.join("/device").unwrap();
    let cross = Request::to(&url, "POST").form(&[("visit", &visit), ("code", &device.shown)]);
    let cross = cross.header("cookie", &alice.jar.header(&url)).header("sec-fetch-site", "cross-site");
    assert_eq!(cross.header("origin", "https://evil.example").send().await.status, 403);
    let link = Request::to(
        &world.base.join(&format!("/device?code={}&user_code={}", device.shown, device.shown)).unwrap(),
        "GET",
    );
    let body = link.header("accept", "text/html").send().await.text();
    assert!(!body.contains(&device.shown), "nobody's link types a code: {body}");
}

#[tokio::test]
async fn a_device_that_asks_too_often_is_slowed_down() {
    let world = World::of(site()).await;
    let device = begin(&world).await;
    assert_eq!(error(&poll(&world, &device.code).await), "authorization_pending");
    assert_eq!(error(&poll(&world, &device.code).await), "slow_down");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(error(&poll(&world, &device.code).await), "slow_down", "ten seconds now");
    // Others are not concerned.
    assert_eq!(error(&poll(&world, &begin(&world).await.code).await), "authorization_pending");
}

#[tokio::test]
async fn only_declared_clients_that_say_so_and_only_when_it_is_on() {
    let world = World::of(site()).await;
    let app = post(&world.base, "/device_authorization", &[("client_id", "app")]).await;
    assert_eq!(app.oauth_error(), (400, "unauthorized_client".to_owned()));
    let nobody = post(&world.base, "/device_authorization", &[("client_id", "nobody")]).await;
    assert_eq!(nobody.oauth_error(), (401, "invalid_client".to_owned()));
    let device = begin(&world).await;
    let other = [("grant_type", GRANT), ("client_id", "app"), ("device_code", device.code.as_str())];
    assert_eq!(post(&world.base, "/token", &other).await.oauth_error(), (400, "unauthorized_client".to_owned()));
    for wrong in
        ["x", &device.shown, &device.code[..device.code.len() - 1], &device.code.replace("tmcp_dc_", "tmcp_ac_")]
    {
        assert_eq!(error(&poll(&world, wrong).await), "invalid_grant");
    }
    let elsewhere =
        post(&world.base, "/device_authorization", &[("client_id", "tv"), ("resource", "https://other.example")]).await;
    assert_eq!(elsewhere.oauth_error(), (400, "invalid_target".to_owned()));
    let metadata = async |world: &World| -> Value {
        Request::to(&world.base.join("/.well-known/oauth-authorization-server").unwrap(), "GET").send().await.json()
    };
    let document = metadata(&world).await;
    assert_eq!(document["device_authorization_endpoint"], format!("{}device_authorization", world.base));
    assert!(document["grant_types_supported"].to_string().contains(GRANT), "{document}");
    // Off by default.
    let off = World::of(guarded().config(&format!("{GUARDS}{TV}"))).await;
    assert_eq!(post(&off.base, "/device_authorization", &[("client_id", "tv")]).await.status, 404);
    assert_eq!(Request::to(&off.base.join("/device").unwrap(), "GET").send().await.status, 404);
    assert_eq!(error(&poll(&off, "x").await), "unsupported_grant_type");
    assert!(!metadata(&off).await.to_string().contains("device"));
}

#[tokio::test]
async fn devices_that_wait_are_bounded() {
    let world = World::of(site()).await;
    let first = begin(&world).await;
    for _ in 0..64 {
        begin(&world).await;
    }
    // The oldest of the address gives way to its sixty-fifth successor.
    assert_eq!(error(&poll(&world, &first.code).await), "expired_token");
    assert_eq!(type_code(&world, &mut Browser::of("alice"), &first.shown).await.status, 422);
    let last = begin(&world).await;
    assert!(type_code(&world, &mut Browser::of("alice"), &last.shown).await.asks_for_consent());
}
