//! An operator looks at what waits, and approves it, on a page without a script.

use std::time::Duration;

use serde_json::Value;
use tinymcp_tests::browser::Browser;
use tinymcp_tests::browser::page::{Form, Page};
use tinymcp_tests::guests::{guest, marked};
use tinymcp_tests::http::Request;
use tinymcp_tests::server::Site;
use tinymcp_tests::until;

use super::{Visitor, World, local};

const AUTH: &str = "[auth]\nprovider = \"local\"\noperators = [\"sub:alice\"]\n";

const ON: &str = "[plugins]\napprove = true\n[audit]\nfile = \"audit.jsonl\"\n";

const PAGE: &str = "approval/greeter";

/// A server at which version 1 waits as the plugin `greeter`.
pub(super) fn site() -> Site {
    local().auth(AUTH).config(ON).plugin("greeter", &guest("greeter-v1"))
}

fn url(world: &World, path: &str) -> String {
    world.base.join(path).unwrap().to_string()
}

/// Somebody who has logged in on the way to the page.
async fn at_page(world: &World, name: &str) -> (Browser, Page) {
    let mut browser = Browser::of(name);
    let page = browser.walk(&url(world, &format!("login?again&to=/{PAGE}"))).await.page();
    assert_eq!(page.url.path(), "/approval/greeter", "{:#?}", browser.history);
    (browser, page)
}

fn form(page: &Page) -> Option<Form> {
    page.forms().into_iter().find(|form| form.action == "/approval/greeter")
}

/// The names of the tools that a client would see.
fn served(site: &Site) -> String {
    site.run(&["list", "--json"]).stdout
}

fn waiting(site: &Site) -> Value {
    serde_json::from_str(&site.run(&["approve", "--json"]).stdout).unwrap()
}

/// The lines of the audit of one kind.
fn audited(site: &Site, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(site.path().join("audit.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == kind).collect()
}

/// The form as its browser sends it, to be changed.
fn sent(world: &World, person: &Browser, form: &Form) -> Request {
    let fields: Vec<(&str, &str)> = form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let target = world.base.join(PAGE).unwrap();
    Request::to(&target, "POST")
        .form(&fields)
        .header("cookie", &person.jar.header(&target))
        .header("origin", &world.base.origin().ascii_serialization())
        .header("sec-fetch-site", "same-origin")
        .header("accept", "text/html")
}

#[tokio::test]
async fn nothing_is_approved_that_cannot_be_written_down() {
    let site = local().auth(AUTH).config(&format!("{ON}on_error = \"refuse\"\n"));
    let world = World::of(site.plugin("greeter", &guest("greeter-v1"))).await;
    let (mut alice, page) = at_page(&world, "alice").await;
    let site = world.server.site();
    let file = site.path().join("audit.jsonl");
    std::fs::rename(&file, site.path().join("audit.before")).unwrap();
    std::fs::create_dir(&file).unwrap();
    until("an audit that takes nothing", async || {
        site.run(&["plugin", "enable", "other"]).stderr.contains("cannot write its audit")
    })
    .await;
    let refused = alice.press(&page, &form(&page).unwrap(), None).await.page();
    assert!(refused.status == 503 && refused.text().contains("Nothing was approved"), "{refused:?}");
    assert_eq!(waiting(site)[0]["plugin"], "greeter");
    assert!(!served(site).contains("greeter_greet"));
    // Somebody who is no operator leaves a line, once there can be one.
    std::fs::remove_dir(&file).unwrap();
    until("an audit again", async || site.run(&["plugin", "enable", "other"]).code == 0 || file.is_file()).await;
    Browser::of("bob").walk(&url(&world, &format!("login?again&to=/{PAGE}"))).await;
    until("a line of bob", async || {
        audited(site, "refusal").iter().any(|line| line["reason"] == "turned_away" && line["person"] == "bob")
    })
    .await;
}

#[tokio::test]
async fn an_operator_approves_exactly_what_is_shown() {
    let world = World::of(site()).await;
    let site = world.server.site();
    let visitor = Visitor::logged_in(&world, "alice").await;
    assert!(visitor.get("").send().await.text().contains("href=\"/approval/greeter\""));
    let (mut alice, page) = at_page(&world, "alice").await;
    let shown: Value = serde_json::from_str(&site.run(&["approve", "greeter", "--json"]).stdout).unwrap();
    for line in shown["lines"].as_array().unwrap() {
        let line = line.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(page.text().contains(&line), "{line}: {page:?}");
    }
    let first = form(&page).unwrap();
    assert_eq!(first.field("reference"), shown["waiting"]["reference"].as_str().unwrap());
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.ends_with("form-action 'self'"), "{policy}");
    assert!(!page.elements().contains(&"script".to_owned()) && page.header("cache-control") == "no-store");

    // The button twice, and once more by the back button: approved once, and told so each time.
    for _ in 0..3 {
        let after = alice.press(&page, &first, None).await.page();
        assert_eq!((after.status, after.url.query()), (200, Some("done=approved")), "{after:?}");
        assert!(after.text().contains("It is approved") && form(&after).is_none(), "{after:?}");
        assert!(after.text().contains("is served since"), "{after:?}");
    }
    assert_eq!(waiting(site), serde_json::json!([]));
    assert!(served(site).contains("greeter_greet"));
    until("a line for each", async || audited(site, "operator").len() == 3).await;
    for act in &audited(site, "operator") {
        assert_eq!((&act["act"], &act["person"], &act["outcome"]), (&"approve".into(), &"alice".into(), &"ok".into()));
        assert_eq!(act["about"], first.field("reference"), "{act}");
        assert!(act.get("user").is_none(), "{act}");
    }

    // Another file, and a form that shows the one before it.
    site.put("greeter.wasm", &guest("greeter-v2"));
    until("another file that waits", async || waiting(site) != serde_json::json!([])).await;
    let (mut again, page) = at_page(&world, "alice").await;
    assert!(
        page.text().contains("What was approved before goes on meanwhile") && page.text().contains(" on the page)")
    );
    let second = form(&page).unwrap();
    site.put("greeter.wasm", &marked(&guest("greeter-v2"), 7));
    until("a third file", async || {
        waiting(site)[0]["reference"].as_str().is_some_and(|now| now != second.field("reference"))
    })
    .await;
    for (browser, old) in [(&mut alice, &first), (&mut again, &second)] {
        let refused = browser.press(&page, old, None).await.page();
        assert_eq!(refused.status, 409, "{refused:?}");
        assert!(refused.text().contains("has changed since that was shown") && form(&refused).is_none(), "{refused:?}");
        assert!(refused.links().contains(&"/approval/greeter".to_owned()), "{refused:?}");
    }
    assert_eq!(waiting(site).as_array().unwrap().len(), 1);
    until("lines of what failed", async || audited(site, "operator").len() == 5).await;
    assert_eq!(audited(site, "operator").last().unwrap()["outcome"], "failed");
}

#[tokio::test]
async fn nobody_else_sees_anything_of_a_plugin_that_waits() {
    let world = World::of(site()).await;
    let site = world.server.site();
    let (alice, page) = at_page(&world, "alice").await;
    let right = form(&page).unwrap();
    let mut mallory = Browser::of("mallory");
    let login = url(&world, &format!("login?again&to=/{PAGE}"));
    let hers = mallory.walk(&login).await.page();
    let stranger = Browser::of("nobody").open(&url(&world, PAGE)).await.page();
    let nothing = mallory.open(&url(&world, "approval/nothing")).await.page();
    assert_eq!((hers.status, stranger.status, nothing.status), (403, 401, 403));
    assert!(stranger.links().contains(&"/login?again&to=/approval/greeter".to_owned()), "{stranger:?}");
    for page in [&hers, &stranger, &nothing] {
        for word in ["sha256", "greet(", "new plugin", "wasm", "waits", "reference\""] {
            assert!(!page.html.contains(word), "{word}: {page:?}");
        }
    }
    // What she sees does not depend on what there is.
    let without_reference = |page: &Page| page.text().split("Reference for").next().unwrap().to_owned();
    assert_eq!(without_reference(&hers), without_reference(&nothing));
    let front = mallory.open(world.base.as_str()).await.page();
    assert!(!front.html.contains("/approval/") && front.html.contains("mallory"), "{front:?}");

    // Mallory has a form of her own, with a good token, and knows what waits.
    let me = mallory.open(&url(&world, "me")).await.page();
    let token = me.forms()[0].field("form_token").to_owned();
    let reference = right.field("reference").to_owned();
    let fields = [("form_token", token.as_str()), ("reference", reference.as_str())];
    let answer = sent(&world, &mallory, &right).form(&fields).send().await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.text().contains("This is for operators"), "{answer:?}");
    let own = || sent(&world, &alice, &right);
    let good = right.field("form_token").to_owned();
    let other = format!("other@sha256:{}", "0".repeat(64));
    let with = |token: &str, reference: &str| own().form(&[("form_token", token), ("reference", reference)]);
    let before = audited(site, "refusal").len();
    for (what, request, status) in [
        ("no origin", own().without("origin"), 403),
        ("another origin", own().header("origin", "http://evil.example"), 403),
        ("another site", own().header("sec-fetch-site", "cross-site"), 403),
        ("another site without a cookie", own().without("cookie").header("origin", "http://evil.example"), 403),
        ("a sibling", own().header("sec-fetch-site", "same-site"), 403),
        ("no token", own().form(&[("reference", &reference)]), 403),
        ("somebody else's token", with(&token, &reference), 403),
        ("no login", own().without("cookie"), 401),
        ("nothing named", own().form(&[("form_token", &good)]), 400),
        ("nonsense", with(&good, "greeter"), 400),
        ("another plugin", with(&good, &other), 400),
        ("something else of it", with(&good, &other.replace("other", "greeter")), 409),
    ] {
        let answer = request.send().await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    assert_eq!(waiting(site).as_array().unwrap().len(), 1);
    assert_eq!(own().without("sec-fetch-site").send().await.status, 303);
    assert_eq!(waiting(site), serde_json::json!([]));
    // Every one that may be forged is told of.
    let forged = || {
        let all = audited(site, "refusal").into_iter().skip(before);
        all.filter(|refusal| refusal["reason"] == "forged_form").count()
    };
    until("seven refusals", async || forged() == 7).await;
    for path in ["approval/nothing", "approval/a%20b"] {
        let answer = Request::to(&world.base.join(path).unwrap(), "GET")
            .header("cookie", &alice.jar.header(&world.base))
            .header("accept", "text/html")
            .send()
            .await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn an_approval_needs_a_login_of_the_last_ten_minutes() {
    let world = World::of(site().with_clock()).await;
    let (mut alice, page) = at_page(&world, "alice").await;
    let old = form(&page).unwrap();
    world.server.advance(Duration::from_secs(601));
    let late = alice.press(&page, &old, None).await.page();
    assert_eq!(late.status, 403, "{late:?}");
    assert!(late.text().contains("Nothing was done") && late.text().contains("last ten minutes"), "{late:?}");
    let again = "/login?again&to=/approval/greeter".to_owned();
    assert!(late.links().contains(&again), "{late:?}");
    let page = alice.open(&url(&world, PAGE)).await.page();
    assert!(form(&page).is_none() && page.links().contains(&again) && page.text().contains("sha256"), "{page:?}");
    let page = alice.walk(&url(&world, &again)).await.page();
    assert_eq!(page.url.path(), "/approval/greeter");
    // The form of the login before is none of this one.
    assert_eq!(alice.press(&page, &old, None).await.page().status, 403);
    let after = alice.press(&page, &form(&page).unwrap(), None).await.page();
    assert!(after.text().contains("It is approved"), "{after:?}");
}

#[tokio::test]
async fn where_nobody_logs_in_nobody_approves_on_a_page() {
    let site = Site::new().fixed().config("[plugins]\napprove = true\n").plugin("greeter", &guest("greeter-v1"));
    let server = site.start().await;
    let host = format!("localhost:{}", server.address.port());
    for method in ["GET", "POST"] {
        let answer = server.request(method, "/approval/greeter").header("host", &host).send().await;
        assert!(answer.text().contains("Nobody logs in here") && !answer.text().contains("sha256"), "{answer:?}");
    }
    assert_eq!(waiting(server.site()).as_array().unwrap().len(), 1);
}
