//! `/auth/callback`: only the browser that approved comes back from the provider (GHSA-rww4-4w9c-7733), and once.

use tinymcp_tests::browser::page::Page;
use tinymcp_tests::browser::{Browser, Landing};
use tinymcp_tests::http::{Answer, Request, content_type};
use tinymcp_tests::oauth::{Kind, OAuthClient};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::World;
use url::Url;

use super::{alice, mallory};

/// A login that is about to come back: everything is done but the last redirect.
struct Pending {
    world: World,
    provider: Provider,
    client: OAuthClient,
    alice: Browser,
    callback: Url,
}

/// Logs in at the provider without following its redirect.
async fn pending() -> Pending {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::with(&provider).await;
    let client = world.register(Kind::Inspector).await;
    let mut alice = alice();
    let page = alice.open(&client.authorization().url()).await.page();
    let login = alice.decide(&page, "approve").await.page();
    let callback = provider_redirect(&alice, &login).await;
    Pending { world, provider, client, alice, callback }
}

async fn provider_redirect(person: &Browser, login: &Page) -> Url {
    let form = login.form_with_text();
    let parameters = [("request", form.field("request")), ("name", &person.name), ("action", "login")];
    let answer = Request::to(&login.url.join(&form.action).unwrap(), "POST").form(&parameters).send().await;
    answer.header("location").parse().unwrap()
}

/// What the callback answers to a browser with these cookies.
async fn call(url: &Url, cookies: &str) -> Answer {
    let request = Request::to(url, "GET").header("accept", "text/html");
    if cookies.is_empty() { request.send().await } else { request.header("cookie", cookies).send().await }
}

fn is_page(answer: &Answer, status: u16) {
    assert_eq!((answer.status, content_type(&answer.headers)), (status, "text/html"), "{answer:?}");
    assert_eq!(answer.header("location"), "", "nothing goes to the client: {answer:?}");
}

#[tokio::test]
async fn the_browser_that_approved_comes_back() {
    let mut pending = pending().await;
    let landing = pending.alice.open(pending.callback.as_str()).await;
    let page = match landing {
        Landing::Client(url) => url,
        Landing::Page(page) => panic!("{page:?}"),
    };
    assert!(page.query().unwrap().contains("code="), "{page}");
}

#[tokio::test]
async fn another_browser_gets_nothing_and_burns_the_login() {
    let mut pending = pending().await;
    is_page(&call(&pending.callback, "").await, 403);
    assert!(pending.provider.token_calls("authorization_code").is_empty(), "{}", pending.provider.transcript());
    // Even the right one is too late now.
    let page = pending.alice.open(pending.callback.as_str()).await.page();
    assert_eq!(page.status, 400, "{page:?}");
    assert!(pending.provider.token_calls("authorization_code").is_empty());
    drop((pending.world, pending.client));
}

/// Mallory starts a login and lets alice finish it, to receive her code.
#[tokio::test]
async fn a_login_cannot_be_handed_to_somebody_else() {
    let pending = pending().await;
    let mut mallory = mallory();
    let page = mallory.open(&pending.client.authorization().url()).await.page();
    let login = mallory.decide(&page, "approve").await.page();
    let callback = provider_redirect(&pending.alice, &login).await;
    // Alice has the cookies of a login of her own.
    is_page(&call(&callback, &pending.alice.jar.header(&callback)).await, 403);
}

#[tokio::test]
async fn errors_are_bound_to_the_browser_too() {
    let mut pending = pending().await;
    let mut callback = pending.callback.clone();
    let state = callback.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    callback.query_pairs_mut().clear().append_pair("error", "access_denied").append_pair("state", &state);
    is_page(&call(&callback, "").await, 403);
    let page = pending.alice.open(callback.as_str()).await.page();
    assert_eq!(page.status, 400, "{page:?}");
}

#[tokio::test]
async fn a_state_is_good_once() {
    let mut pending = pending().await;
    let cookies = pending.alice.jar.header(&pending.callback);
    pending.alice.open(pending.callback.as_str()).await.client();
    is_page(&call(&pending.callback, &cookies).await, 400);
    assert_eq!(pending.provider.token_calls("authorization_code").len(), 1);
}

#[tokio::test]
async fn parallel_callbacks_have_one_winner() {
    let pending = pending().await;
    let cookies = pending.alice.jar.header(&pending.callback);
    let calls = (0..8).map(|_| {
        let (callback, cookies) = (pending.callback.clone(), cookies.clone());
        tokio::spawn(async move { call(&callback, &cookies).await })
    });
    let mut codes = 0;
    for call in calls.collect::<Vec<_>>() {
        codes += usize::from(call.await.unwrap().header("location").contains("code="));
    }
    assert_eq!((codes, pending.provider.token_calls("authorization_code").len()), (1, 1));
}

#[tokio::test]
async fn an_unknown_state_is_a_page() {
    let pending = pending().await;
    let cookies = pending.alice.jar.header(&pending.callback);
    for query in
        ["", "code=x", "state=x", "code=x&state=x", "error=access_denied&state=x", "state=", "state=a&state=b&code=x"]
    {
        let mut url = pending.callback.clone();
        url.set_query(Some(query));
        is_page(&call(&url, &cookies).await, 400);
        is_page(&call(&url, "").await, 400);
    }
}

#[tokio::test]
async fn a_code_of_the_providers_that_is_not_good_reaches_the_client_as_an_error() {
    let mut pending = pending().await;
    let mut callback = pending.callback.clone();
    let state = callback.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    callback.query_pairs_mut().clear().append_pair("code", "stolen").append_pair("state", &state);
    let told = pending.alice.open(callback.as_str()).await.told();
    assert!(["server_error", "access_denied"].contains(&told["error"].as_str()), "{told:?}");
    assert!(told.contains_key("iss") && told.contains_key("state") && !told.contains_key("code"), "{told:?}");
}

/// A code that was issued for another login does not fit this one's verifier.
#[tokio::test]
async fn a_code_cannot_be_injected_into_another_login() {
    let mut pending = pending().await;
    let mut mallory = mallory();
    let page = mallory.open(&pending.client.authorization().url()).await.page();
    let login = mallory.decide(&page, "approve").await.page();
    let theirs = provider_redirect(&mallory, &login).await;
    let code = theirs.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let state = pending.callback.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let mut callback = pending.callback.clone();
    callback.query_pairs_mut().clear().append_pair("code", &code).append_pair("state", &state);
    let told = pending.alice.open(callback.as_str()).await.told();
    assert!(told.contains_key("error") && !told.contains_key("code"), "{told:?}");
}

#[tokio::test]
async fn saying_no_at_the_provider_is_access_denied() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::with(&provider).await;
    let client = world.register(Kind::Inspector).await;
    let mut alice = alice();
    alice.logs_in = false;
    let told = alice.walk(&client.authorization().url()).await.told();
    assert_eq!(told["error"], "access_denied", "{told:?}");
    assert!(told.contains_key("iss") && told.contains_key("state"), "{told:?}");
}

#[tokio::test]
async fn the_provider_never_sees_what_the_client_sent() {
    let mut pending = pending().await;
    let authorization = pending.client.authorization();
    let code = pending.client.code_of(authorization.clone(), &mut pending.alice).await;
    let tokens = pending.client.redeem(&code).await;
    assert!(pending.client.is_live(&tokens.access).await);
    let transcript = pending.provider.transcript();
    for secret in
        [&authorization.state, &authorization.verifier, &tokens.access, &tokens.refresh, &code.code, &pending.client.id]
    {
        assert!(!transcript.contains(secret.as_str()), "{secret}");
    }
    for sent in pending.provider.sent("/") {
        assert_eq!(sent.parameter("resource"), None, "{sent:?}");
    }
}

#[tokio::test]
async fn state_verifier_and_nonce_are_new_for_every_login() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::with(&provider).await;
    for _ in 0..3 {
        world.log_in(Kind::Inspector, "alice").await;
    }
    let sent = provider.sent("/authorize");
    for name in ["state", "code_challenge", "nonce"] {
        let mut values: Vec<_> = sent.iter().map(|sent| sent.parameter(name).expect(name).to_owned()).collect();
        assert!(values.iter().all(|value| value.len() >= 22), "{values:?}");
        values.sort();
        values.dedup();
        assert_eq!(values.len(), 3, "{name}");
    }
    assert!(sent.iter().all(|sent| sent.parameter("code_challenge_method") == Some("S256")));
}

#[tokio::test]
async fn only_get_comes_back() {
    let mut pending = pending().await;
    let cookies = pending.alice.jar.header(&pending.callback);
    for method in ["POST", "HEAD", "PUT"] {
        let answer = Request::to(&pending.callback, method).header("cookie", &cookies).send().await;
        assert_eq!(answer.status, 405, "{method}: {answer:?}");
    }
    assert!(pending.provider.token_calls("authorization_code").is_empty());
    assert!(pending.alice.open(pending.callback.as_str()).await.told().contains_key("code"));
}
