//! `/me`: a person sees their own sessions, and ends them.

use serde_json::Value;
use tinymcp_tests::browser::page::{Form, Page};
use tinymcp_tests::browser::{Browser, Landing};
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::Request;
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::{World, local};

use super::{alice, mallory};

async fn at_me(world: &World, person: &mut Browser) -> Page {
    person.walk(world.base.join("/login?to=/me").unwrap().as_str()).await.page()
}

/// The forms that end one session each.
fn ends(page: &Page) -> Vec<Form> {
    page.forms().into_iter().filter(|form| form.action == "/me/end").collect()
}

/// Presses the button that ends a session, by its place on the page.
async fn end(person: &mut Browser, page: &Page, at: usize) -> Page {
    person.press(page, &ends(page)[at], None).await.page()
}

#[tokio::test]
async fn a_person_sees_what_is_logged_in_for_them_and_ends_it() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let (claude, claudes) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (cloud, clouds) = world.log_in(Kind::ClaudeAi, "alice").await;
    let (others, theirs) = world.log_in(Kind::Gemini, "mallory").await;
    assert!(claude.is_live(&claudes.access).await && cloud.is_live(&clouds.access).await);
    let mut alice = alice();
    let page = at_me(&world, &mut alice).await;
    let text = page.text();
    for expected in [
        "logged in as alice",
        "Claude Code (tests) on the computer where it was connected, from 127.0.0.1",
        "claude.ai claude.ai, from 127.0.0.1",
        "A browser this one",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("Gemini") && !text.contains("mallory"), "{text}");
    assert_eq!(ends(&page).len(), 3, "{text}");
    let is_first = text.find("claude.ai").unwrap() < text.find("Claude Code (tests)").unwrap();
    let page = end(&mut alice, &page, if is_first { 0 } else { 1 }).await;
    assert!(page.text().contains("It is ended"), "{page:?}");
    assert_eq!(ends(&page).len(), 2, "{page:?}");
    assert!(!cloud.is_live(&clouds.access).await && claude.is_live(&claudes.access).await);
    assert_eq!(cloud.try_renew(&clouds.refresh).await.oauth_error(), (400, "invalid_grant".to_owned()));
    assert!(others.is_live(&theirs.access).await);
}

#[tokio::test]
async fn a_session_at_a_view_says_so_to_its_person_and_to_the_operator() {
    let site = local().plugin("greeter", &guest("greeter-v1")).config("[view.ops]\nplugins = [\"greeter\"]\n");
    let world = World::of(site).await;
    world.log_in(Kind::Codex, "alice").await;
    let mut alice = alice();
    let page = at_me(&world, &mut alice).await;
    assert!(!page.text().contains("For the view"), "{page:?}");
    let client = world.register(Kind::ClaudeCode).await;
    let authorization = client.authorization().set("resource", &format!("{}mcp/ops", world.base));
    let code = client.code_of(authorization, &mut self::alice()).await;
    client.redeem(&code).await;
    let page = alice.open(world.base.join("/me").unwrap().as_str()).await.page();
    assert_eq!(page.text().matches("For the view /mcp/ops alone").count(), 1, "{page:?}");
    let listed = world.server.site().run(&["sessions"]);
    assert_eq!(listed.stdout.matches(", at /mcp/ops").count(), 1, "{listed:?}");
    let listed: Value = serde_json::from_str(&world.server.site().run(&["sessions", "--json"]).stdout).unwrap();
    let mut views: Vec<Option<&str>> = listed.as_array().unwrap().iter().map(|one| one["view"].as_str()).collect();
    views.sort();
    assert_eq!(views, [None, None, Some("ops")], "{listed}");
}

/// The id of a session is no secret, and ends nobody else's.
#[tokio::test]
async fn nobody_ends_somebody_elses_session() {
    let world = World::local().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (mut alice, mut mallory) = (alice(), mallory());
    let hers = at_me(&world, &mut alice).await;
    let page = at_me(&world, &mut mallory).await;
    for her_form in ends(&hers) {
        let id = her_form.field("session").to_owned();
        let own = &ends(&page)[0];
        let fields: Vec<(String, String)> = own
            .fields
            .iter()
            .map(|(name, value)| (name.clone(), if name == "session" { id.clone() } else { value.clone() }))
            .collect();
        let landing = mallory.submit(&page, own, &fields).await;
        let Landing::Page(answer) = landing else { panic!("{landing:?}") };
        assert!(answer.text().contains("It had ended already"), "{answer:?}");
    }
    assert!(client.is_live(&tokens.access).await);
    assert_eq!(ends(&at_me(&world, &mut alice).await).len(), 2);
    for id in ["", "x", &"0".repeat(64), "../../x"] {
        let own = &ends(&page)[0];
        let fields: Vec<(String, String)> =
            vec![("form_token".to_owned(), own.field("form_token").to_owned()), ("session".to_owned(), id.to_owned())];
        let answer = mallory.submit(&page, own, &fields).await.page();
        assert!(answer.text().contains("It had ended already"), "{id}: {answer:?}");
    }
}

#[tokio::test]
async fn everything_can_be_ended_at_once_and_nothing_of_others() {
    let world = World::local().await;
    let (one, ones) = world.log_in(Kind::ClaudeCode, "alice").await;
    let (two, twos) = world.log_in(Kind::Gemini, "alice").await;
    let (other, others) = world.log_in(Kind::ClaudeCode, "mallory").await;
    let (mut alice, mut elsewhere) = (alice(), self::alice());
    at_me(&world, &mut elsewhere).await;
    let page = at_me(&world, &mut alice).await;
    assert_eq!(ends(&page).len(), 4, "{page:?}");
    let form = page.forms().into_iter().find(|form| form.action == "/me/end-all").unwrap();
    let page = alice.press(&page, &form, None).await.page();
    assert!(page.text().contains("Everything is ended") && ends(&page).is_empty(), "{page:?}");
    assert!(!one.is_live(&ones.access).await && !two.is_live(&twos.access).await);
    let me = world.base.join("/me").unwrap();
    assert!(ends(&elsewhere.open(me.as_str()).await.page()).is_empty());
    assert!(other.is_live(&others.access).await);
}

#[tokio::test]
async fn to_end_this_browser_is_to_log_out() {
    let world = World::local().await;
    let (mut alice, mut elsewhere) = (alice(), self::alice());
    at_me(&world, &mut alice).await;
    let page = at_me(&world, &mut elsewhere).await;
    let own = page.html.find("this one").unwrap();
    let at = page.html[..own].matches("action=\"/me/end\"").count();
    let page = end(&mut elsewhere, &page, at).await;
    assert!(ends(&page).is_empty(), "{page:?}");
    let me = world.base.join("/me").unwrap();
    assert_eq!(ends(&alice.open(me.as_str()).await.page()).len(), 1);
    // A form of a login that is over.
    let answer = Request::to(&world.base.join("/me/end").unwrap(), "POST")
        .header("accept", "text/html")
        .header("origin", &world.base.origin().ascii_serialization())
        .form(&[("session", &"0".repeat(64))])
        .send()
        .await;
    assert_eq!(answer.status, 401, "{answer:?}");
}
