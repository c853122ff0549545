//! `/auth/callback`: only the browser that approved comes back from the provider (GHSA-rww4-4w9c-7733). It may come
//! again: the provider is asked once.

use std::time::Duration;

use tinymcp_tests::browser::page::Page;
use tinymcp_tests::browser::{Browser, Landing};
use tinymcp_tests::http::{Answer, Request, content_type};
use tinymcp_tests::oauth::{Authorization, Kind, OAuthClient};
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::provider::{Fault, Provider};
use tinymcp_tests::until;
use tinymcp_tests::world::{ACME, World, behind};
use tokio::task::JoinHandle;
use url::Url;

use super::{alice, mallory};

/// A login that is about to come back: everything is done but the last redirect.
struct PendingLogin {
    world: World,
    provider: Provider,
    client: OAuthClient,
    authorization: Authorization,
    alice: Browser,
    /// The page that asked for consent.
    consent: Page,
    callback: Url,
}

/// Logs in at the provider without following its redirect.
async fn pending() -> PendingLogin {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::with(&provider).await;
    pending_at(provider, world, Kind::Inspector).await
}

async fn pending_at(provider: Provider, world: World, kind: Kind) -> PendingLogin {
    let client = world.register(kind).await;
    let authorization = client.authorization();
    let mut alice = alice();
    let consent = alice.open(&authorization.url()).await.page();
    let login = alice.decide(&consent, "approve").await.page();
    let callback = provider_redirect(&alice, &login).await;
    PendingLogin { world, provider, client, authorization, alice, consent, callback }
}

impl PendingLogin {
    /// The cookies of the browser that approved.
    fn cookies(&self) -> String {
        self.alice.jar.header(&self.callback)
    }

    /// The callback with something else in its query, beside the state.
    fn callback_with(&self, parameters: &[(&str, &str)]) -> Url {
        let state = self.callback.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let mut callback = self.callback.clone();
        callback.query_pairs_mut().clear().extend_pairs(parameters).append_pair("state", &state);
        callback
    }

    fn exchanges(&self) -> usize {
        self.provider.token_calls("authorization_code").len()
    }
}

/// The URL to which a redirect sends the client.
fn sent_on(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{answer:?}");
    assert!(answer.header("cache-control").contains("no-store"), "{answer:?}");
    answer.header("location").to_owned()
}

/// True for a page that says that there is nothing to do.
fn is_logged_in_page(answer: &Answer) {
    is_page(answer, 200);
    assert!(answer.text().contains("You are logged in"), "{answer:?}");
    assert!(!answer.text().contains("code="), "{answer:?}");
}

async fn provider_redirect(person: &Browser, login: &Page) -> Url {
    let form = login.form_with_text();
    let parameters = [("request", form.field("request")), ("name", &person.name), ("action", "login")];
    let answer = Request::to(&login.url.join(&form.action).unwrap(), "POST").form(&parameters).send().await;
    answer.header("location").parse().unwrap()
}

/// The answer of the callback to a browser with these cookies.
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

/// A link scanner, another browser, a frame on somebody's page.
#[tokio::test]
async fn another_browser_gets_nothing_and_uses_nothing_up() {
    let mut pending = pending().await;
    for cookies in ["", "tmcp_login_x=y", &pending.cookies().replace('=', "=x")] {
        let answer = call(&pending.callback, cookies).await;
        is_page(&answer, 403);
        assert!(answer.all("set-cookie").is_empty(), "{answer:?}");
    }
    assert_eq!(pending.exchanges(), 0, "{}", pending.provider.transcript());
    let landing = pending.alice.open(pending.callback.as_str()).await;
    let code = OAuthClient::take(&pending.authorization, landing);
    let tokens = pending.client.redeem(&code).await;
    assert!(pending.client.is_live(&tokens.access).await);
    // What is over is nobody else's either.
    is_page(&call(&pending.callback, "").await, 403);
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
async fn errors_are_bound_to_the_browser_too_and_come_again() {
    let pending = pending().await;
    let denied = pending.callback_with(&[("error", "access_denied"), ("error_description", "No, thanks")]);
    is_page(&call(&denied, "").await, 403);
    let first = sent_on(&call(&denied, &pending.cookies()).await);
    assert!(first.contains("error=access_denied") && first.contains(&pending.authorization.state), "{first}");
    for url in [&denied, &denied, &pending.callback, &pending.callback_with(&[("error", "server_error")])] {
        assert_eq!(sent_on(&call(url, &pending.cookies()).await), first);
    }
    assert_eq!(pending.exchanges(), 0, "the login was over");
}

#[tokio::test]
async fn the_same_browser_gets_the_same_redirect_until_the_code_is_redeemed() {
    for kind in [Kind::Inspector, Kind::Cursor] {
        let provider = Provider::start(Settings::auth0()).await;
        let world = World::with(&provider).await;
        let mut pending = pending_at(provider, world, kind).await;
        let cookies = pending.cookies();
        let first = call(&pending.callback, &cookies).await;
        let again = call(&pending.callback, &cookies).await;
        assert_eq!((first.status, first.text()), (again.status, again.text()));
        assert_eq!(first.header("location"), again.header("location"));
        // The browser is known for as long as the answer is.
        let kept: Vec<_> = again.all("set-cookie").into_iter().filter(|cookie| cookie.contains("login")).collect();
        assert!(kept.len() == 1 && kept[0].contains("Max-Age=600"), "{kept:?}");
        pending.world = pending.world.killed().await;
        // One load more than there were, by a browser that knows nothing of them.
        let landing = pending.alice.open(pending.callback.as_str()).await;
        let code = OAuthClient::take(&pending.authorization, landing);
        assert!(first.header("location").contains(&code.code) || first.text().contains(&code.code), "{first:?}");
        assert_eq!(pending.exchanges(), 1);
        let tokens = pending.client.redeem(&code).await;
        for _ in 0..2 {
            is_logged_in_page(&call(&pending.callback, &cookies).await);
        }
        assert!(pending.client.is_live(&tokens.access).await);
        pending.client.revoke(&tokens.refresh).await;
        is_page(&call(&pending.callback, &cookies).await, 400);
        assert_eq!(pending.exchanges(), 1);
    }
}

/// A person who presses *log in* twice at the provider comes back with two codes.
#[tokio::test]
async fn another_code_of_the_provider_gets_the_same_redirect() {
    let pending = pending().await;
    let first = sent_on(&call(&pending.callback, &pending.cookies()).await);
    for parameters in [&[("code", "another")][..], &[("error", "access_denied")], &[], &[("code", "a"), ("code", "b")]]
    {
        let again = call(&pending.callback_with(parameters), &pending.cookies()).await;
        assert_eq!(sent_on(&again), first, "{parameters:?}");
    }
    assert_eq!(pending.exchanges(), 1);
}

#[tokio::test]
async fn loads_at_once_ask_the_provider_once_and_get_the_same() {
    let pending = pending().await;
    pending.provider.fail("/oauth/token", Fault::Slow(Duration::from_millis(500)));
    let calls = (0..8).map(|number| {
        let other = pending.callback_with(&[("code", "another")]);
        let callback = if number < 4 { pending.callback.clone() } else { other };
        let cookies = pending.cookies();
        tokio::spawn(async move { call(&callback, &cookies).await })
    });
    let mut answers = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        answers.push(sent_on(&call.await.unwrap()));
    }
    answers.dedup();
    assert_eq!((answers.len(), pending.exchanges()), (1, 1), "{answers:?}");
}

/// A browser that prefetches a page, or is closed: its connection is cut.
#[tokio::test]
async fn a_load_that_is_cut_off_goes_on() {
    let pending = pending().await;
    begun(&pending, Duration::from_secs(1)).await.abort();
    let location = sent_on(&call(&pending.callback, &pending.cookies()).await);
    assert!(location.contains("code="), "{location}");
    assert_eq!(pending.exchanges(), 1);
}

/// Nobody knows whether the provider's code was used: it is not sent again.
#[tokio::test]
async fn a_login_that_a_restart_has_cut_off_is_told_to_the_client() {
    let mut pending = pending().await;
    let load = begun(&pending, Duration::from_secs(60)).await;
    pending.world = pending.world.killed().await;
    load.abort();
    pending.provider.mend();
    let first = sent_on(&call(&pending.callback, &pending.cookies()).await);
    assert!(first.contains("error=server_error") && !first.contains("code="), "{first}");
    assert_eq!(sent_on(&call(&pending.callback, &pending.cookies()).await), first);
    assert_eq!(pending.exchanges(), 0, "the only one was never answered");
}

/// Loads the callback beside a provider that is slow, and waits until that has the code.
async fn begun(pending: &PendingLogin, slow: Duration) -> JoinHandle<Answer> {
    pending.provider.fail("/oauth/token", Fault::Slow(slow));
    let request = Request::to(&pending.callback, "GET").header("cookie", &pending.cookies());
    let load = tokio::spawn(request.header("accept", "text/html").header("sec-purpose", "prefetch").send());
    until("the exchange", async || pending.provider.held() == 1).await;
    load
}

/// Nobody waits for the answer any more, and the server is told to stop: what has begun is finished first.
#[tokio::test]
async fn a_load_that_is_cut_off_goes_on_over_an_orderly_stop() {
    let mut pending = pending().await;
    begun(&pending, Duration::from_secs(2)).await.abort();
    pending.world = pending.world.stopped().await;
    let location = sent_on(&call(&pending.callback, &pending.cookies()).await);
    assert!(location.contains("code="), "{location}");
    assert_eq!(pending.exchanges(), 1);
}

/// An address that a shell has cut at its `&`.
#[tokio::test]
async fn an_address_without_the_answer_uses_nothing_up() {
    let mut pending = pending().await;
    let answer = call(&pending.callback_with(&[]), &pending.cookies()).await;
    is_page(&answer, 400);
    assert!(answer.text().contains("not whole"), "{answer:?}");
    is_page(&call(&pending.callback_with(&[]), "").await, 403);
    let landing = pending.alice.open(pending.callback.as_str()).await;
    let code = OAuthClient::take(&pending.authorization, landing);
    let tokens = pending.client.redeem(&code).await;
    assert!(pending.client.is_live(&tokens.access).await);
}

/// Two tabs: the login comes back in one while the other says no.
#[tokio::test]
async fn a_login_that_is_denied_while_the_provider_answers_is_over() {
    let mut pending = pending().await;
    let cookies = pending.cookies();
    let load = begun(&pending, Duration::from_secs(2)).await;
    let denied = pending.alice.decide(&pending.consent, "deny").await.clicked();
    assert_eq!(denied.query_pairs().next().unwrap().1, "access_denied");
    is_page(&load.await.unwrap(), 400);
    is_page(&call(&pending.callback, &cookies).await, 400);
}

/// Back to the question after the login: it is over, and nobody is told that the browser is another one.
#[tokio::test]
async fn the_question_is_over_once_the_browser_has_come_back() {
    let mut pending = pending().await;
    pending.alice.walk(pending.callback.as_str()).await;
    let page = pending.alice.decide(&pending.consent, "approve").await.page();
    assert!(page.status == 400 && page.text().contains("This login is over"), "{page:?}");
}

/// A person who may not log in is told so each time, and the provider's tokens go only where that ends nothing else.
#[tokio::test]
async fn tokens_that_are_not_kept_are_revoked_where_that_ends_one_token() {
    let provider = Provider::start(Settings::oidc()).await;
    let mut pages = Vec::new();
    for revocation in ["", "revocation = \"token\"\n"] {
        let auth = format!(
            "[auth]\nprovider = \"{ACME}\"\nallow = [\"nobody@example.com\"]\n[auth.providers.{ACME}]\n\
             discovery = \"{}\"\nclient_id = \"${{ACME_CLIENT_ID}}\"\nclient_secret = \"${{ACME_CLIENT_SECRET}}\"\n\
             scopes = [\"openid\", \"email\", \"offline_access\"]\n{revocation}",
            provider.discovery()
        );
        let world = World::of(behind(&provider).auth(&auth)).await;
        let client = world.register(Kind::Inspector).await;
        let mut alice = alice();
        let page = alice.walk(&client.authorization().url()).await.page();
        assert_eq!(page.status, 403, "{page:?}");
        let again = call(&page.url, &alice.jar.header(&page.url)).await;
        assert_eq!((again.status, again.text().contains("may not use")), (403, true), "{again:?}");
        pages.push(world);
    }
    until("a revocation", async || !provider.sent("/revoke").is_empty()).await;
    let revoked = provider.sent("/revoke");
    assert_eq!((revoked.len(), revoked[0].status), (1, 200), "{revoked:?}");
    assert_eq!(provider.token_calls("authorization_code").len(), 2);
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
