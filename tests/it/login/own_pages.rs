//! Logins on this server's own pages: a browser's session, its cookie, and the checks of every form.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::browser::page::Page;
use tinymcp_tests::http::{Answer, Request, content_type};
use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::{Account, Settings};
use tinymcp_tests::server::Site;
use tinymcp_tests::until;
use tinymcp_tests::world::{ACME, World, behind, local};
use url::Url;

use super::{alice, mallory};

/// Logs somebody in on their own page.
async fn at_me(world: &World, person: &mut Browser) -> Page {
    let page = person.walk(world.base.join("/login?to=/me").unwrap().as_str()).await.page();
    assert_eq!((page.status, page.url.path()), (200, "/me"), "{page:?} {:#?}", person.history);
    page
}

/// The person's own page, as it is now.
async fn me(world: &World, person: &mut Browser) -> Page {
    person.open(world.base.join("/me").unwrap().as_str()).await.page()
}

fn is_logged_in(page: &Page) -> bool {
    page.forms().iter().any(|form| form.action == "/logout")
}

/// The value of the session's cookie.
fn cookie(world: &World, person: &Browser) -> Option<String> {
    let name = format!("tmcp_session_{}", world.base.port().unwrap());
    person.jar.cookies.iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.clone())
}

/// A form of the page as its browser sends it, to be changed.
fn sent(world: &World, person: &Browser, page: &Page, action: &str) -> Request {
    let form = page.forms().into_iter().find(|form| form.action == action).unwrap();
    let fields: Vec<(&str, &str)> = form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let url = world.base.join(action).unwrap();
    Request::to(&url, "POST")
        .form(&fields)
        .header("cookie", &person.jar.header(&url))
        .header("origin", &world.base.origin().ascii_serialization())
        .header("sec-fetch-site", "same-origin")
        .header("accept", "text/html")
}

/// The configuration of a file with further rules in `[auth]`.
fn with_rules(file: &Path, rules: &str) -> String {
    let text = fs::read_to_string(file).unwrap();
    let provider = format!("provider = \"{ACME}\"\n");
    assert!(text.contains(&provider), "{text}");
    text.replace(&provider, &format!("{provider}{rules}\n"))
}

fn is_refused(answer: &Answer, status: u16) {
    assert_eq!((answer.status, content_type(&answer.headers)), (status, "text/html"), "{answer:?}");
    assert_eq!(answer.header("location"), "", "{answer:?}");
}

#[tokio::test]
async fn a_person_logs_in_and_out() {
    let world = World::local().await;
    let mut alice = alice();
    assert!(!is_logged_in(&me(&world, &mut alice).await));
    let page = at_me(&world, &mut alice).await;
    assert!(is_logged_in(&page) && page.text().contains("alice"), "{page:?}");
    let set = alice.jar.seen.iter().find(|set| set.starts_with("tmcp_session_")).unwrap();
    assert!(set.ends_with("; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"), "{set}");
    // Whoever is logged in is not sent to the provider again.
    let hops = alice.history.len();
    assert!(is_logged_in(&at_me(&world, &mut alice).await));
    assert_eq!(alice.history.len(), hops + 2, "{:#?}", alice.history);
    let mut copy = alice.clone();
    let form = page.forms().into_iter().find(|form| form.action == "/logout").unwrap();
    let page = alice.press(&page, &form, None).await.page();
    assert!(!is_logged_in(&page) && cookie(&world, &alice).is_none(), "{page:?}");
    assert!(!is_logged_in(&me(&world, &mut copy).await), "a copy of the cookie");
}

#[tokio::test]
async fn the_provider_of_another_site_logs_in_and_nothing_of_it_leaves() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let mut alice = alice();
    let page = at_me(&world, &mut alice).await;
    assert!(page.text().contains("alice"), "{page:?}");
    let secrets = provider.secrets();
    assert!(!secrets.is_empty() && world.leaked(&secrets).is_empty());
    for secret in &secrets {
        assert!(!page.html.contains(secret.as_str()) && !format!("{:?}", alice.jar).contains(secret.as_str()));
    }
    let own = cookie(&world, &alice).unwrap();
    assert!(world.leaked(&[own]).is_empty());
    // A session here outlives the process, as every session does.
    let world = world.killed().await;
    assert!(is_logged_in(&me(&world, &mut alice).await));
}

/// Login CSRF: whoever is led to the end of somebody else's login is not logged in as that person.
#[tokio::test]
async fn a_login_is_finished_in_the_browser_that_began_it() {
    let world = World::local().await;
    let (mut alice, mut mallory) = (alice(), mallory());
    let page = mallory.open(world.base.join("/login").unwrap().as_str()).await.page();
    let form = page.form_with_text();
    let fields: Vec<(&str, &str)> =
        form.fields.iter().map(|(name, value)| (&**name, if name == "name" { "mallory" } else { &**value })).collect();
    let answer = Request::to(&page.url.join(&form.action).unwrap(), "POST").form(&fields).send().await;
    let callback = answer.header("location").to_owned();
    assert!(callback.contains("/auth/callback?code="), "{answer:?}");
    for _ in 0..2 {
        let page = alice.open(&callback).await.page();
        assert_eq!(page.status, 403, "{page:?}");
        assert!(alice.jar.cookies.is_empty() && !is_logged_in(&me(&world, &mut alice).await));
    }
    // Nothing of it is used up.
    let page = mallory.open(&callback).await.page();
    assert!(is_logged_in(&page) && page.text().contains("mallory"), "{page:?}");
    // And once more: the same login, not another one.
    let before = cookie(&world, &mallory);
    assert!(is_logged_in(&mallory.open(&callback).await.page()) && cookie(&world, &mallory) == before);
    // After a logout it brings nobody back.
    let page = me(&world, &mut mallory).await;
    let form = page.forms().into_iter().find(|form| form.action == "/logout").unwrap();
    mallory.press(&page, &form, None).await;
    let page = mallory.open(&callback).await.page();
    assert_eq!((page.status, cookie(&world, &mallory)), (400, None), "{page:?}");
}

/// Session fixation: a cookie that somebody has planted is not the one that a login makes good.
#[tokio::test]
async fn every_login_gets_a_cookie_of_its_own() {
    let world = World::local().await;
    let (mut alice, mut mallory) = (alice(), mallory());
    at_me(&world, &mut mallory).await;
    let planted = cookie(&world, &mallory).unwrap();
    alice.jar = mallory.jar.clone();
    let page = alice.walk(world.base.join("/login?again&to=/me").unwrap().as_str()).await.page();
    assert!(page.text().contains("alice") && !page.text().contains("mallory"), "{page:?}");
    let own = cookie(&world, &alice).unwrap();
    assert_ne!(own, planted);
    assert!(!is_logged_in(&me(&world, &mut mallory).await), "the login before it has ended");
    // One that nobody has given out is nobody's.
    for (made_up, expected) in [("tmcp_bs_AAAA", false), ("x", false), (&format!("{own}A"), false), (&own, true)] {
        let line = format!("tmcp_session_{}={made_up}", world.base.port().unwrap());
        let url = world.base.join("/me").unwrap();
        let answer = Request::to(&url, "GET").header("cookie", &line).header("accept", "text/html").send().await;
        assert_eq!(answer.text().contains("action=\"/logout\""), expected, "{made_up}");
    }
}

/// Logs somebody in again.
async fn once_more(world: &World, person: &mut Browser) -> Page {
    person.walk(world.base.join("/login?again&to=/me").unwrap().as_str()).await.page()
}

/// What counts is when the person has shown the provider who they are (OpenID Connect Core 1.0 §2, §3.1.2.1).
#[tokio::test]
async fn a_login_of_long_ago_at_the_provider_is_none_of_now() {
    let provider = Provider::start(Settings::oidc()).await;
    let site = behind(&provider);
    let file = site.path().join("tinymcp.toml");
    fs::write(&file, with_rules(&file, "operators = [\"alice@example.com\"]")).unwrap();
    let world = World::of(site).await;
    let now_s = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let says = |auth_time: Value| {
        let mut account = Account::of("alice");
        account.claims.insert("auth_time".to_owned(), auth_time);
        provider.change(|settings| drop(settings.accounts.insert("alice".to_owned(), account)));
    };
    let mut alice = alice();
    let is_of_now = |page: &Page| page.text().contains("You have just logged in");
    says(json!(now_s() - 3600));
    let page = at_me(&world, &mut alice).await;
    assert!(is_logged_in(&page) && !is_of_now(&page), "{page:?}");
    let before = cookie(&world, &alice);
    for too_old in [json!(now_s() - 3600), json!(now_s() - 670), json!(now_s() + 600), json!(0)] {
        says(too_old.clone());
        let page = once_more(&world, &mut alice).await;
        assert_eq!(page.status, 403, "{too_old}: {page:?}");
        assert!(page.text().contains("That login is too old") && page.text().contains("max_age"), "{page:?}");
        assert_eq!(cookie(&world, &alice), before, "the login before it goes on");
    }
    // Clocks may differ by a minute, as everywhere.
    for of_now in [json!(now_s() - 640), json!(now_s() + 30), json!(now_s() as f64 - 0.5)] {
        says(of_now.clone());
        let page = once_more(&world, &mut alice).await;
        assert!(is_of_now(&page), "{of_now}: {page:?}");
    }
    // A login that happens to be of now needs no other.
    let mut elsewhere = self::alice();
    assert!(is_of_now(&at_me(&world, &mut elsewhere).await));
}

/// An operator's act needs a login of now, and the provider is told so.
#[tokio::test]
async fn a_login_once_more_asks_the_provider_for_a_fresh_one() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let mut alice = alice();
    at_me(&world, &mut alice).await;
    let first = cookie(&world, &alice);
    let page = alice.walk(world.base.join("/login?again&to=/me").unwrap().as_str()).await.page();
    assert!(is_logged_in(&page) && cookie(&world, &alice) != first, "{page:?}");
    let asked = provider.sent("/authorize");
    let ages: Vec<_> = asked.iter().map(|sent| sent.parameter("max_age")).collect();
    assert_eq!(ages, [None, Some("600")]);
}

#[tokio::test]
async fn operators_are_told_so_and_nobody_else() {
    const TOLD: &str = "You are an operator of this server";
    let provider = Provider::start(Settings::oidc()).await;
    let site = behind(&provider).with_clock();
    let file = site.path().join("tinymcp.toml");
    fs::write(&file, with_rules(&file, "operators = [\"group:ops\"]\ngroups.ops = [\"alice@example.com\"]")).unwrap();
    let world = World::of(site).await;
    let (mut alice, mut mallory) = (alice(), mallory());
    // A provider of OpenID Connect that was not asked for it does not say when they have logged in there.
    let page = at_me(&world, &mut alice).await;
    assert!(page.text().contains(TOLD) && page.links().contains(&"/login?again&to=/me".to_owned()), "{page:?}");
    assert!(once_more(&world, &mut alice).await.text().contains("You have just logged in"));
    assert!(!at_me(&world, &mut mallory).await.text().contains(TOLD));
    world.server.advance(Duration::from_secs(601));
    let page = me(&world, &mut alice).await;
    assert!(page.text().contains(TOLD) && page.links().contains(&"/login?again&to=/me".to_owned()), "{page:?}");
}

#[tokio::test]
async fn no_link_leads_elsewhere_after_a_login() {
    let world = World::local().await;
    for (to, expected) in [
        ("/me", "/me"),
        ("/", "/"),
        ("//evil.example", "/me"),
        ("https://evil.example/", "/me"),
        ("/\\evil.example", "/me"),
        ("%2F%2Fevil.example", "/me"),
        ("javascript:alert(1)", "/me"),
    ] {
        let url = world.base.join(&format!("/login?to={to}")).unwrap();
        let mut alice = alice();
        let page = alice.open(url.as_str()).await.page();
        // The page of `/` has forms of its own, which nobody fills in here.
        let landed = alice.log_in(&page).await.page();
        assert_eq!(landed.url, world.base.join(expected).unwrap(), "{to}: {:#?}", alice.history);
    }
}

#[tokio::test]
async fn a_login_begins_in_a_window_and_at_the_servers_own_name() {
    let world = World::local().await;
    let login = world.base.join("/login").unwrap();
    for destination in ["iframe", "image", "empty", "script"] {
        let request = Request::to(&login, "GET").header("accept", "text/html");
        let answer = request.header("sec-fetch-dest", destination).send().await;
        is_refused(&answer, 403);
        assert!(answer.all("set-cookie").is_empty(), "{answer:?}");
    }
    assert_eq!(Request::to(&login, "HEAD").send().await.status, 405);
    let port = world.base.port().unwrap();
    for (path, expected) in [("/login?to=/", format!("{}login?to=/", world.base)), ("/me", format!("{}me", world.base))]
    {
        let alias: Url = format!("http://127.0.0.1:{port}{path}").parse().unwrap();
        let answer = Request::to(&alias, "GET").header("accept", "text/html").send().await;
        assert_eq!((answer.status, answer.header("location")), (303, expected.as_str()));
        assert!(answer.all("set-cookie").is_empty(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_form_is_taken_from_our_own_page_in_this_browser_alone() {
    let world = World::local().await;
    let (mut alice, mut mallory) = (alice(), mallory());
    let page = at_me(&world, &mut alice).await;
    let others = at_me(&world, &mut mallory).await;
    let right = sent(&world, &alice, &page, "/logout");
    let form = || right.clone();
    let url = world.base.join("/logout").unwrap();
    let own = world.base.origin().ascii_serialization();
    let of_mallory = sent(&world, &mallory, &others, "/logout").header("cookie", &alice.jar.header(&url));
    for (what, request, status) in [
        ("no origin", form().without("origin"), 403),
        ("an origin that is not told", form().header("origin", "null"), 403),
        ("another origin", form().header("origin", "http://evil.example"), 403),
        ("another port", form().header("origin", "http://localhost:1"), 403),
        ("another name of this machine", form().header("origin", &own.replace("localhost", "127.0.0.1")), 403),
        ("two origins", form().also("origin", "http://evil.example"), 403),
        ("another site", form().header("sec-fetch-site", "cross-site"), 403),
        ("a sibling", form().header("sec-fetch-site", "same-site"), 403),
        ("no token", form().form(&[]), 403),
        ("an empty token", form().form(&[("form_token", "")]), 403),
        ("two tokens", form().body([form().sent_body(), b"&form_token=x"].concat()), 403),
        ("somebody else's token", of_mallory, 403),
        ("no form", form().header("content-type", "text/plain"), 400),
    ] {
        let answer = request.send().await;
        assert_eq!((answer.status, content_type(&answer.headers)), (status, "text/html"), "{what}: {answer:?}");
        assert!(answer.all("set-cookie").is_empty(), "{what}: {answer:?}");
        assert!(is_logged_in(&me(&world, &mut alice).await), "{what}");
    }
    // A browser that says nothing of the site, and one without a login.
    assert_eq!(form().without("cookie").send().await.status, 303);
    assert_eq!(form().without("sec-fetch-site").send().await.status, 303);
    assert!(!is_logged_in(&me(&world, &mut alice).await));
    // GET changes nothing.
    assert_eq!(Request::to(&url, "GET").send().await.status, 405);
}

#[tokio::test]
async fn a_page_runs_nothing_is_framed_by_nobody_and_kept_nowhere() {
    let world = World::local().await;
    let page = at_me(&world, &mut alice()).await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("referrer-policy"), "same-origin");
    assert!(!page.elements().iter().any(|element| element == "script"), "{page:?}");
    assert!(!page.html.contains("onclick"), "{page:?}");
}

/// The endpoint takes no cookie, and a page no token.
#[tokio::test]
async fn a_cookie_is_for_pages_and_a_token_for_the_endpoint() {
    let world = World::local().await;
    let mut alice = alice();
    at_me(&world, &mut alice).await;
    let own = cookie(&world, &alice).unwrap();
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert!(client.is_live(&tokens.access).await && !client.is_live(&own).await);
    let name = format!("tmcp_session_{}", world.base.port().unwrap());
    let mcp = Request::to(&world.base.join("/mcp").unwrap(), "POST").header("cookie", &format!("{name}={own}"));
    let request = mcp.json(&serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }));
    assert_eq!(request.send().await.status, 401);
    for token in [&tokens.access, &tokens.refresh] {
        let me = Request::to(&world.base.join("/me").unwrap(), "GET").header("cookie", &format!("{name}={token}"));
        assert!(!me.send().await.text().contains("/logout"));
    }
    assert_eq!(client.try_renew(&own).await.oauth_error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn a_login_ends_after_eight_hours_without_use_and_after_a_day() {
    const HOUR: Duration = Duration::from_secs(3600);
    let world = World::of(local().with_clock()).await;
    let (mut busy, mut idle) = (alice(), mallory());
    at_me(&world, &mut busy).await;
    at_me(&world, &mut idle).await;
    for hours in 1..=23 {
        world.server.advance(HOUR);
        until("an hour of use that is noted", async || is_logged_in(&me(&world, &mut busy).await)).await;
        if hours == 8 {
            assert!(!is_logged_in(&me(&world, &mut idle).await));
        }
        // The use is noted beside the page.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    world.server.advance(HOUR);
    assert!(!is_logged_in(&me(&world, &mut busy).await));
}

#[tokio::test]
async fn whoever_is_turned_away_is_logged_out_at_once() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::with(&provider).await;
    let (mut alice, mut mallory) = (alice(), mallory());
    at_me(&world, &mut alice).await;
    at_me(&world, &mut mallory).await;
    let file = world.server.site().path().join("tinymcp.toml");
    fs::write(&file, with_rules(&file, "deny = [\"mallory@example.com\"]")).unwrap();
    until("a login that is over", async || !is_logged_in(&me(&world, &mut mallory).await)).await;
    assert!(is_logged_in(&me(&world, &mut alice).await));
    let page = mallory.walk(world.base.join("/login").unwrap().as_str()).await.page();
    assert_eq!(page.status, 403, "{page:?}");
    assert!(page.text().contains("You may not use this server"), "{page:?}");
}

#[tokio::test]
async fn a_login_that_fails_is_a_page_that_says_how_to_go_on() {
    let provider = Provider::start(Settings::oidc()).await;
    let world = World::of(behind(&provider)).await;
    let login = world.base.join("/login").unwrap();
    let mut refusing = alice();
    refusing.logs_in = false;
    let page = refusing.walk(login.as_str()).await.page();
    assert_eq!(page.status, 403, "{page:?}");
    assert!(page.text().contains("You are not logged in") && page.text().contains(login.as_str()), "{page:?}");
    provider.change(|settings| settings.nonce = tinymcp_tests::provider::settings::Claim::Wrong);
    let page = alice().walk(login.as_str()).await.page();
    assert_eq!(page.status, 502, "{page:?}");
    assert!(page.text().contains("Reference for the server’s log"), "{page:?}");
}

#[tokio::test]
async fn where_nobody_logs_in_the_pages_say_so() {
    let server = Site::new().fixed().start().await;
    for path in ["/login", "/me"] {
        let request = server.request("GET", path).header("accept", "text/html");
        let port = server.address.port();
        let answer = request.header("host", &format!("localhost:{port}")).send().await;
        assert_eq!((answer.status, content_type(&answer.headers)), (200, "text/html"), "{answer:?}");
        assert!(answer.text().contains("Nobody logs in here"), "{answer:?}");
        assert!(answer.all("set-cookie").is_empty(), "{answer:?}");
    }
}
