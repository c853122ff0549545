//! The consent page: nothing happens without it, and it belongs to one browser (MCP Security Best Practices, confused deputy).

use tinymcp_tests::browser::page::Page;
use tinymcp_tests::browser::{Browser, Landing};
use tinymcp_tests::http::Request;
use tinymcp_tests::oauth::{Kind, OAuthClient};
use tinymcp_tests::server::Site;
use tinymcp_tests::world::World;

use super::{alice, mallory};

/// A server, a client, and the consent page in alice's browser.
async fn asked() -> (World, OAuthClient, Browser, Page) {
    let world = World::local().await;
    let client = world.register(Kind::Inspector).await;
    let mut alice = alice();
    let page = alice.open(&client.authorization().url()).await.page();
    assert!(page.asks_for_consent(), "{page:?}");
    (world, client, alice, page)
}

/// The answer to a decision that is refused.
fn is_refused(landing: Landing, status: u16) -> Page {
    let page = landing.page();
    assert_eq!((page.status, page.refresh()), (status, None), "{page:?}");
    page
}

#[tokio::test]
async fn it_says_who_asks_for_what_and_where_it_leads() {
    let world = World::local().await;
    let client = world.register(Kind::Cursor).await;
    let text = alice().open(&client.authorization().url()).await.page().text();
    for part in ["Cursor", "cursor://anysphere.cursor-mcp/oauth/callback"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let client = world.register(Kind::ClaudeCode).await;
    let text = alice().open(&client.authorization().url()).await.page().text();
    assert!(text.contains("127.0.0.1:50123") && text.to_lowercase().contains("on this computer"), "{text}");
}

#[tokio::test]
async fn a_host_in_other_letters_is_shown_in_ascii() {
    let world = World::local().await;
    let uri = "https://аpple.example/cb";
    let answer = tinymcp_tests::oauth::register(&world.base, &serde_json::json!({ "redirect_uris": [uri] })).await;
    if answer.status == 201 {
        let client = OAuthClient::known(&world.base, answer.json()["client_id"].as_str().unwrap(), uri);
        let text = alice().open(&client.authorization().url()).await.page().text();
        assert!(text.contains("xn--pple-43d.example"), "{text}");
    }
}

#[tokio::test]
async fn it_cannot_be_framed_scripted_kept_or_followed() {
    let (_world, _client, _alice, page) = asked().await;
    let policy = page.header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("form-action"), "Chrome applies it to the whole chain of redirects: {policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert!(page.header("cache-control").contains("no-store"), "{:?}", page.headers);
    assert_eq!(page.header("strict-transport-security"), "", "not over plain HTTP");
    assert!(!page.elements().contains(&"script".to_owned()), "{}", page.html);
    assert!(!page.html.contains("http://www.") && !page.html.contains("src=\"http"), "nothing from elsewhere");
}

#[tokio::test]
async fn denying_tells_the_client_and_nobody_else() {
    let (_world, client, mut alice, page) = asked().await;
    // Nobody has approved it, so only a click leads to it.
    let url = alice.decide(&page, "deny").await.clicked();
    assert!(url.as_str().starts_with(&format!("{}?", client.redirect_uri)), "{url}");
    let told: std::collections::HashMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(told["error"], "access_denied", "{told:?}");
    assert!(told.contains_key("state") && !told.contains_key("code"), "{told:?}");
    assert_eq!(told["iss"], client.base.as_str().trim_end_matches('/'));
    assert!(alice.history.iter().all(|hop| !hop.contains("/local/authorize")), "{:?}", alice.history);
}

#[tokio::test]
async fn denying_leads_back_to_a_client_of_the_operators() {
    let config = "[auth.clients.ci]\nredirect_uris = [\"https://ci.example/cb\"]\n";
    let world = World::of(tinymcp_tests::world::local().config(config)).await;
    let client = OAuthClient::known(&world.base, "ci", "https://ci.example/cb");
    let url = Browser::denying("alice").walk(&client.authorization().url()).await.client();
    assert!(url.as_str().starts_with("https://ci.example/cb?error=access_denied"), "{url}");
}

#[tokio::test]
async fn a_decision_is_answered_with_a_get() {
    let (_world, _client, mut alice, page) = asked().await;
    alice.decide(&page, "approve").await;
    assert!(
        alice.history.iter().any(|hop| hop.starts_with("POST") && hop.ends_with("/consent: 303")),
        "{:?}",
        alice.history
    );
}

#[tokio::test]
async fn without_its_cookie_a_form_is_nothing() {
    let (_world, _client, alice, page) = asked().await;
    let mut other = alice.clone();
    other.jar.forget("csrf");
    is_refused(other.decide(&page, "approve").await, 403);
    assert!(other.jar.named("login").is_empty(), "{:?}", other.jar);
    is_refused(mallory().decide(&page, "approve").await, 403);
    is_refused(mallory().decide(&page, "deny").await, 403);
}

/// A page of somebody else's, with mallory's own form and alice's own cookies.
#[tokio::test]
async fn a_form_of_another_browser_is_nothing() {
    let (_world, client, mut alice, _) = asked().await;
    let mut mallory = mallory();
    let theirs = mallory.open(&client.authorization().url()).await.page();
    is_refused(alice.decide(&theirs, "approve").await, 403);
    assert!(alice.jar.named("login").is_empty(), "{:?}", alice.jar);
}

#[tokio::test]
async fn a_form_that_was_altered_is_nothing() {
    let (_world, _client, mut alice, page) = asked().await;
    let form = page.form_with_button("decision", "approve");
    let sealed = form.field("request").to_owned();
    let mut altered = sealed.clone().into_bytes();
    let at = altered.len() / 2;
    altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    for request in [altered, String::new(), sealed[..sealed.len() - 2].to_owned(), "x".repeat(100)] {
        let parameters = vec![("request".to_owned(), request), ("decision".to_owned(), "approve".to_owned())];
        let page = alice.submit(&page, &form, &parameters).await.page();
        assert!((400..404).contains(&page.status) && page.refresh().is_none(), "{page:?}");
    }
    // Whatever else the form says does not count.
    let mut parameters = form.fields.clone();
    for (name, value) in
        [("decision", "approve"), ("redirect_uri", "https://evil.example/"), ("scope", "admin"), ("client_id", "x")]
    {
        parameters.push((name.to_owned(), value.to_owned()));
    }
    let landing = alice.submit(&page, &form, &parameters).await;
    let url = alice.walk_on(landing).await.client();
    assert!(url.as_str().starts_with("http://localhost:6274/oauth/callback?"), "{url}");
}

#[tokio::test]
async fn a_decision_that_is_none_is_refused() {
    let (_world, _client, mut alice, page) = asked().await;
    let form = page.form_with_button("decision", "approve");
    for decision in [None, Some(("decision", "perhaps")), Some(("decision", ""))] {
        let page = alice.press(&page, &form, decision).await.page();
        assert!((400..404).contains(&page.status) && page.refresh().is_none(), "{page:?}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_decide() {
    let (_world, _client, alice, page) = asked().await;
    let form = page.form_with_button("decision", "approve");
    let parameters = [("request", form.field("request")), ("decision", "approve")];
    let cookies = alice.jar.header(&page.url);
    let request = Request::to(&page.url.join("/consent").unwrap(), "POST").form(&parameters).header("cookie", &cookies);
    for request in [
        request.clone().header("origin", "https://evil.example"),
        request.clone().header("sec-fetch-site", "cross-site").header("origin", "null"),
        request.clone().header("sec-fetch-site", "same-site"),
    ] {
        let answer = request.send().await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    let answer = request.header("sec-fetch-site", "same-origin").header("origin", "null").send().await;
    assert_eq!(answer.status, 303, "a page without referrer has the origin `null`: {answer:?}");
}

#[tokio::test]
async fn approving_twice_gives_the_same_answer() {
    let (_world, client, mut alice, page) = asked().await;
    let first = alice.decide(&page, "approve").await.page();
    let cookies = alice.jar.header(&page.url);
    let second = alice.decide(&page, "approve").await.page();
    assert_eq!(first.url, second.url);
    assert_eq!(alice.jar.header(&page.url), cookies);
    let landing = alice.log_in(&second).await;
    assert!(landing.told().contains_key("code"), "{:?}", alice.history);
    drop(client);
}

#[tokio::test]
async fn two_tabs_finish_in_any_order() {
    for order in [[0, 1], [1, 0]] {
        let world = World::local().await;
        let clients = [world.register(Kind::Inspector).await, world.register(Kind::Gemini).await];
        let mut alice = alice();
        let authorizations = [clients[0].authorization(), clients[1].authorization()];
        let mut pages = Vec::new();
        for authorization in &authorizations {
            pages.push(alice.open(&authorization.url()).await.page());
        }
        let mut logins = [None, None];
        for tab in order {
            logins[tab] = Some(alice.decide(&pages[tab], "approve").await.page());
        }
        for tab in order.into_iter().rev() {
            let landing = alice.log_in(logins[tab].as_ref().unwrap()).await;
            let code = OAuthClient::take(&authorizations[tab], landing);
            clients[tab].redeem(&code).await;
        }
    }
}

#[tokio::test]
async fn the_same_client_in_two_tabs_gets_two_logins() {
    let (_world, client, mut alice, first) = asked().await;
    let again = client.authorization();
    let second = alice.open(&again.url()).await.page();
    let first = alice.decide(&first, "approve").await.page();
    let landing = alice.decide(&second, "approve").await;
    let code = OAuthClient::take(&again, alice.walk_on(landing).await);
    client.redeem(&code).await;
    assert!(alice.log_in(&first).await.told().contains_key("code"));
}

#[tokio::test]
async fn many_tabs_do_not_overflow_the_cookies() {
    let world = World::local().await;
    let client = world.register(Kind::Inspector).await;
    let mut alice = alice();
    let mut last = None;
    for _ in 0..40 {
        let page = alice.open(&client.authorization().url()).await.page();
        assert!(alice.jar.header(&page.url).len() < 4096, "{} cookies", alice.jar.cookies.len());
        last = Some(page);
    }
    let landing = alice.decide(&last.unwrap(), "approve").await;
    assert!(alice.walk_on(landing).await.told().contains_key("code"));
}

#[tokio::test]
async fn an_approved_page_cannot_be_denied_or_used_after_the_end() {
    let (_world, _client, mut alice, page) = asked().await;
    let landing = alice.decide(&page, "approve").await;
    assert!(alice.walk_on(landing).await.told().contains_key("code"));
    // Back, and once more: the login is over. Another code must not come of it.
    let landing = alice.decide(&page, "approve").await;
    let landing = alice.walk_on(landing).await;
    match landing {
        Landing::Page(page) => assert!((400..404).contains(&page.status), "{page:?}"),
        Landing::Client(url) => assert!(!url.query().unwrap_or_default().contains("code="), "{url}"),
    }
}

/// The rows of logins under way in the store of a server.
fn stored_logins(world: &World) -> usize {
    let path = world.server.site().path().join(".tinymcp/store/store.db");
    let store = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let rows: u32 = store.query_row("SELECT count(*) FROM rows WHERE kind = 1", [], |row| row.get(0)).unwrap();
    rows as usize
}

/// Whoever approves and never logs in does not fill the disk: of one address a thousand such logins are kept.
#[tokio::test]
async fn approvals_that_nobody_finishes_make_room_for_others() {
    const KEPT: usize = 1024;
    let world = World::of(tinymcp_tests::world::local().config("requests_per_minute = 1000000\n")).await;
    let client = world.register(Kind::Inspector).await;
    let mut alice = alice();
    let page = alice.open(&client.authorization().url()).await.page();
    let first = alice.decide(&page, "approve").await.page();
    let mut strangers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = client.authorization().url();
        strangers.spawn(async move {
            for _ in 0..KEPT / 8 + 1 {
                let mut mallory = mallory();
                let page = mallory.open(&url).await.page();
                assert_eq!(mallory.decide(&page, "approve").await.page().status, 200);
            }
        });
    }
    strangers.join_all().await;
    assert_eq!(stored_logins(&world), KEPT);
    // The oldest has given way, and its person reads what to do.
    let page = alice.log_in(&first).await.page();
    assert!(page.status == 400 && page.text().contains("Start the login again"), "{page:?}");
    assert!(!world.server.log.lines("give way to others").is_empty());
    client.log_in(&mut alice).await;
}

#[tokio::test]
async fn cookies_are_for_this_host_and_no_script() {
    let (_world, _client, mut alice, page) = asked().await;
    alice.decide(&page, "approve").await;
    assert!(alice.jar.seen.iter().any(|cookie| cookie.contains("csrf")), "{:?}", alice.jar.seen);
    for line in &alice.jar.seen {
        let lower = line.to_lowercase();
        for part in ["; httponly", "; samesite=lax", "; path=/", "; max-age="] {
            assert!(lower.contains(part), "{part}: {line}");
        }
        assert!(!lower.contains("; domain"), "{line}");
        // Over plain HTTP on loopback.
        assert!(!lower.contains("; secure") && !line.starts_with("__Host-"), "{line}");
    }
}

#[tokio::test]
async fn cookies_go_after_their_use() {
    let (_world, client, mut alice, page) = asked().await;
    let landing = alice.decide(&page, "approve").await;
    alice.walk_on(landing).await.client();
    // By the one that is left the browser is known when it loads the callback again, for ten minutes.
    let [cookie] = &alice.jar.cookies[..] else { panic!("{:?}", alice.jar.cookies) };
    assert!(cookie.name.contains("login") && cookie.attributes.contains("Max-Age=600"), "{cookie:?}");
    let mut denying = super::mallory();
    let page = denying.open(&client.authorization().url()).await.page();
    denying.decide(&page, "deny").await.clicked();
    assert!(denying.jar.cookies.is_empty(), "{:?}", denying.jar.cookies);
}

#[tokio::test]
async fn a_page_whose_server_restarts_still_works() {
    let (world, _client, mut alice, page) = asked().await;
    let world = world.killed().await;
    let login = alice.decide(&page, "approve").await.page();
    let world = world.killed().await;
    let landing = alice.log_in(&login).await;
    assert!(landing.told().contains_key("code"), "{:?}", alice.history);
    drop(world);
}

#[tokio::test]
async fn over_https_cookies_are_bound_to_the_host() {
    // A proxy terminates TLS: the server itself speaks plain HTTP. GitHub is known without being asked.
    let site = Site::new()
        .auth("[server]\nbase_url = \"https://mcp.example\"\n[auth]\nprovider = \"github\"\nallow = [\"*@example.com\"]\n")
        .variable("GITHUB_CLIENT_ID", "id")
        .variable("GITHUB_CLIENT_SECRET", "secret");
    let server = site.launch().await;
    let request = |method: &str, path: &str| server.request(method, path).header("host", "mcp.example");
    let body = Kind::Inspector.registration();
    let answer = request("POST", "/register").json(&body).send().await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let base = "https://mcp.example/".parse().unwrap();
    let client =
        OAuthClient::known(&base, answer.json()["client_id"].as_str().unwrap(), Kind::Inspector.redirect_uri());
    let url = client.authorization().url();
    let answer =
        request("GET", url.strip_prefix("https://mcp.example").unwrap()).header("accept", "text/html").send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("strict-transport-security").contains("max-age="), "{answer:?}");
    for cookie in answer.all("set-cookie") {
        assert!(cookie.starts_with("__Host-tmcp_csrf_"), "{cookie}");
        assert!(
            cookie.contains("; Secure") && cookie.contains("; HttpOnly") && cookie.contains("; Path=/"),
            "{cookie}"
        );
    }
    assert!(!answer.all("set-cookie").is_empty(), "{answer:?}");
}
