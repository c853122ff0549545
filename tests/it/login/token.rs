//! `/token` with a code (RFC 6749 §4.1.3, RFC 7636 §4.6): its client redeems it, once.

use std::net::Ipv4Addr;
use std::time::Duration;

use tinymcp_tests::http::Request;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::{World, behind, local};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{alice, refused};

/// A well-formed verifier that belongs to no challenge.
const OTHER_VERIFIER: &str = "another-verifier-that-is-long-enough-to-be-one";

fn error(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

/// A parameter list with one of them changed, or added.
fn with<'a>(parameters: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let rest = parameters.iter().filter(|(key, _)| *key != name).copied();
    rest.chain([(name, value)]).collect()
}

fn without<'a>(parameters: &[(&'a str, &'a str)], name: &str) -> Vec<(&'a str, &'a str)> {
    parameters.iter().filter(|(key, _)| *key != name).copied().collect()
}

#[tokio::test]
async fn a_form_that_is_too_large_is_told_the_limit() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let answer = client.post("/token", &[("grant_type", &"x".repeat(65_536))]).await;
    assert!(answer.status == 413 && answer.text().contains("65536 bytes"), "{answer:?}");
}

#[tokio::test]
async fn a_code_gives_tokens_that_work_at_once() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code(&mut alice()).await;
    let tokens = client.redeem(&code).await;
    assert_eq!(tokens.answer["expires_in"], 3600);
    // There are no scopes here, and a `scope` of nothing is none (RFC 6749 §3.3).
    assert_eq!(tokens.answer.get("scope"), None, "{}", tokens.answer);
    assert!(tokens.answer.get("id_token").is_none(), "{}", tokens.answer);
    assert!(client.is_live(&tokens.access).await);
    let mut kinds = [&tokens.access[..8], &tokens.refresh[..8], &code.code[..8]];
    kinds.sort_unstable();
    assert!(kinds.windows(2).all(|pair| pair[0] != pair[1]), "{kinds:?}");
}

#[tokio::test]
async fn a_lifetime_may_be_configured() {
    // In real time, that of the program as people run it.
    let world = World::of(local().auth("[auth]\nprovider = \"local\"\naccess_ttl = \"2s\"\n")).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert_eq!(tokens.answer["expires_in"], 2);
    tinymcp_tests::until("the end of the token", async || !client.is_live(&tokens.access).await).await;
    assert!(client.is_live(&client.renew(&tokens.refresh).await.access).await);
}

/// A redemption after the first is refused, and ends nothing while its client may be trying again.
#[tokio::test]
async fn a_code_cannot_be_redeemed_twice() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code(&mut alice()).await;
    let tokens = client.redeem(&code).await;
    for _ in 0..3 {
        assert_eq!(refused(&client.try_redeem(&code).await), error(400, "invalid_grant"));
    }
    let other = with(&client.redemption(&code), "code_verifier", OTHER_VERIFIER);
    assert_eq!(refused(&client.post("/token", &other).await), error(400, "invalid_grant"));
    assert!(client.is_live(&tokens.access).await);
    client.renew(&tokens.refresh).await;
}

/// Anybody may have read what was in a URL; its verifier is known to thieves alone.
#[tokio::test]
async fn a_code_that_comes_again_later_ends_its_session_if_the_verifier_does_too() {
    let world = World::of(local().with_clock()).await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code(&mut alice()).await;
    let tokens = client.redeem(&code).await;
    // Ten seconds are a client's own.
    world.server.advance(Duration::from_millis(10_500));
    let world = world.killed().await;
    let redemption = client.redemption(&code);
    for verifier in [OTHER_VERIFIER, "short"] {
        let answer = client.post("/token", &with(&redemption, "code_verifier", verifier)).await;
        assert_eq!(refused(&answer), error(400, "invalid_grant"));
    }
    assert_eq!(refused(&client.post("/token", &without(&redemption, "code_verifier")).await).0, 400);
    assert!(client.is_live(&tokens.access).await, "an old URL harms nobody");
    let renewed = client.renew(&tokens.refresh).await;
    assert_eq!(refused(&client.try_redeem(&code).await), error(400, "invalid_grant"));
    for token in [&tokens.access, &renewed.access] {
        assert!(!client.is_live(token).await);
    }
    assert_eq!(refused(&client.try_renew(&renewed.refresh).await), error(400, "invalid_grant"));
    drop(world);
}

/// People carry the URL over by hand if the browser is on another machine.
#[tokio::test]
async fn a_code_waits_for_people_who_carry_it_over() {
    let world = World::of(local().with_clock()).await;
    let client = world.register(Kind::ClaudeCode).await;
    let (code, late) = (client.code(&mut alice()).await, client.code(&mut alice()).await);
    world.server.advance(Duration::from_secs(65));
    client.redeem(&code).await;
    world.server.advance(Duration::from_secs(300));
    assert_eq!(refused(&client.try_redeem(&late).await), error(400, "invalid_grant"));
}

/// A redemption of which the body has not been sent yet: the server has begun with it.
async fn begun(request: &Request, world: &World) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, world.base.port().unwrap())).await.unwrap();
    let head = format!(
        "POST /token HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\nconnection: close\r\n\r\n",
        &world.base[url::Position::BeforeHost..url::Position::AfterPort],
        request.sent_body().len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut interim).await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&interim));
    stream
}

/// Sends the body. Status and JSON of the answer.
async fn finished(mut stream: TcpStream, request: &Request) -> (u16, serde_json::Value) {
    stream.write_all(request.sent_body()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

/// ChatGPT sends two requests at once.
#[tokio::test]
async fn redemptions_that_overlap_the_first_share_its_answer() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code(&mut alice()).await;
    let request = client.posting("/token", &client.redemption(&code));
    let foreign =
        client.posting("/token", &with(&client.redemption(&code), "redirect_uri", "http://localhost:3118/other"));
    let unproved = client.posting("/token", &with(&client.redemption(&code), "code_verifier", OTHER_VERIFIER));
    let mut overlapping = Vec::new();
    for request in [&request, &request, &foreign, &unproved, &request] {
        overlapping.push((begun(request, &world).await, request));
    }
    let mut answers = Vec::new();
    for (stream, request) in overlapping {
        answers.push(finished(stream, request).await);
    }
    let [first, second, foreign, unproved, third] = &answers[..] else { panic!("{answers:?}") };
    for (status, answer) in [first, second, third] {
        assert_eq!((*status, &answer["access_token"]), (200, &first.1["access_token"]), "{answer}");
        assert_eq!(answer["refresh_token"], first.1["refresh_token"]);
    }
    for (status, answer) in [foreign, unproved] {
        assert_eq!((*status, &answer["error"]), (400, &serde_json::json!("invalid_grant")), "{answer}");
    }
    assert_eq!(refused(&client.try_redeem(&code).await), error(400, "invalid_grant"));
    assert!(client.is_live(first.1["access_token"].as_str().unwrap()).await);
    client.renew(first.1["refresh_token"].as_str().unwrap()).await;
}

#[tokio::test]
async fn parallel_redemptions_have_one_session_whose_tokens_stay() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    for _ in 0..5 {
        let code = client.code(&mut alice()).await;
        let requests = (0..6).map(|_| {
            let (client, code) = (client.clone(), code.clone());
            tokio::spawn(async move { client.try_redeem(&code).await })
        });
        let mut winners = Vec::new();
        for request in requests.collect::<Vec<_>>() {
            let answer = request.await.unwrap();
            if answer.status == 200 {
                winners.push(Tokens::of(&answer));
            } else {
                assert_eq!(refused(&answer), error(400, "invalid_grant"));
            }
        }
        let first = winners.pop().expect("one is redeemed");
        assert!(winners.iter().all(|other| (&other.access, &other.refresh) == (&first.access, &first.refresh)));
        assert!(client.is_live(&first.access).await);
    }
}

/// The request went through, and its client was gone before the answer.
#[tokio::test]
async fn a_redemption_goes_on_without_its_client() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code(&mut alice()).await;
    let request = client.posting("/token", &client.redemption(&code));
    let (waiting, mut gone) = (begun(&request, &world).await, begun(&request, &world).await);
    gone.write_all(request.sent_body()).await.unwrap();
    drop(gone);
    let (status, answer) = finished(waiting, &request).await;
    assert_eq!(status, 200, "{answer}");
    assert!(client.is_live(answer["access_token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn a_wrong_verifier_uses_the_code_up() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    for verifier in [OTHER_VERIFIER, ""] {
        let code = client.code(&mut alice()).await;
        let answer = client.post("/token", &with(&client.redemption(&code), "code_verifier", verifier)).await;
        let (status, error_code) = refused(&answer);
        assert!(status == 400 && ["invalid_grant", "invalid_request"].contains(&error_code.as_str()), "{answer:?}");
        if error_code == "invalid_grant" {
            assert_eq!(refused(&client.try_redeem(&code).await), error(400, "invalid_grant"));
        }
    }
    let code = client.code(&mut alice()).await;
    let answer = client.post("/token", &without(&client.redemption(&code), "code_verifier")).await;
    assert_eq!(refused(&answer).0, 400);
}

/// Somebody who has read the URL was quicker. There is no session, so none ends, and nothing at the provider either.
#[tokio::test]
async fn a_code_that_was_used_up_with_a_wrong_verifier_ends_nothing_later() {
    let provider = Provider::start(Settings::auth0()).await;
    let world = World::of(behind(&provider).with_clock()).await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code(&mut alice()).await;
    let answer = client.post("/token", &with(&client.redemption(&code), "code_verifier", OTHER_VERIFIER)).await;
    assert_eq!(refused(&answer), error(400, "invalid_grant"));
    world.server.advance(Duration::from_millis(10_500));
    assert_eq!(refused(&client.try_redeem(&code).await), error(400, "invalid_grant"));
    assert!(!world.server.log.text().contains("used twice"), "{}", world.server.log.text());
    assert!(provider.sent("/oauth/revoke").is_empty());
}

#[tokio::test]
async fn whoever_is_not_the_client_does_not_use_the_code_up() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let other = world.register(Kind::Gemini).await;
    let code = client.code(&mut alice()).await;
    let redemption = client.redemption(&code);
    assert_eq!(refused(&other.post("/token", &redemption).await), error(400, "invalid_grant"));
    let elsewhere = with(&redemption, "redirect_uri", "http://127.0.0.1:1/other");
    assert_eq!(refused(&client.post("/token", &elsewhere).await), error(400, "invalid_grant"));
    let resource = with(&redemption, "resource", "https://other.example/mcp");
    assert_eq!(refused(&client.post("/token", &resource).await), error(400, "invalid_target"));
    client.redeem(&code).await;
}

#[tokio::test]
async fn the_redirect_uri_may_be_left_out_at_the_token_endpoint() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code(&mut alice()).await;
    let answer = client.post("/token", &without(&client.redemption(&code), "redirect_uri")).await;
    Tokens::of(&answer);
}

#[tokio::test]
async fn made_up_codes_are_refused() {
    let world = World::local().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let good = client.code(&mut alice()).await;
    let altered = format!("{}x", &good.code[..good.code.len() - 1]);
    for code in ["x", "", "tmcp_ac_", &altered, &tokens.refresh, &tokens.access, &"a".repeat(4000)] {
        let answer = client.post("/token", &with(&client.redemption(&good), "code", code)).await;
        let (status, error) = refused(&answer);
        assert!(
            status == 400 && (error == "invalid_grant" || (code.is_empty() && error == "invalid_request")),
            "{answer:?}"
        );
    }
    client.redeem(&good).await;
}

#[tokio::test]
async fn malformed_requests_are_invalid() {
    let world = World::local().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let renewal = client.renewal(&tokens.refresh);
    for parameters in [
        without(&renewal, "grant_type"),
        without(&renewal, "refresh_token"),
        [&renewal[..], &[("refresh_token", "x")]].concat(),
        [&renewal[..], &[("grant_type", "refresh_token")]].concat(),
        [&renewal[..], &[("client_id", client.id.as_str())]].concat(),
    ] {
        assert_eq!(refused(&client.post("/token", &parameters).await), error(400, "invalid_request"), "{parameters:?}");
    }
    for grant in ["client_credentials", "password", "urn:ietf:params:oauth:grant-type:device_code", "implicit"] {
        let answer = client.post("/token", &with(&renewal, "grant_type", grant)).await;
        assert_eq!(refused(&answer), error(400, "unsupported_grant_type"), "{grant}");
    }
    // Nothing of this has cost the session.
    client.renew(&tokens.refresh).await;
}

#[tokio::test]
async fn only_forms_in_the_body_count() {
    let world = World::local().await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    let body =
        serde_json::json!({ "grant_type": "refresh_token", "refresh_token": tokens.refresh, "client_id": client.id });
    assert_eq!(client.request("POST", "/token").json(&body).send().await.status, 400);
    let query = format!("/token?grant_type=refresh_token&refresh_token={}&client_id={}", tokens.refresh, client.id);
    assert_eq!(refused(&client.request("POST", &query).form(&[]).send().await).0, 400);
    let ignored = client.request("POST", "/token?grant_type=password&client_id=x");
    let parameters = [&client.renewal(&tokens.refresh)[..], &[("client_id", client.id.as_str())]].concat();
    Tokens::of(&ignored.form(&parameters).send().await);
}

#[tokio::test]
async fn unknown_clients_are_told_so() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code(&mut alice()).await;
    let unknown = OAuthClient::known(&world.base, "unknown", &client.redirect_uri);
    for path in ["/token", "/revoke"] {
        let answer = unknown.post(path, &[&unknown.redemption(&code)[..], &[("token", "x")]].concat()).await;
        assert_eq!(refused(&answer), error(401, "invalid_client"), "{path}");
        let answer = client
            .request("POST", path)
            .form(&[&client.redemption(&code)[..], &[("token", "x")]].concat())
            .send()
            .await;
        let (status, _) = refused(&answer);
        assert!(status == 400 || status == 401, "{path}: {answer:?}");
    }
    client.redeem(&code).await;
}

/// RFC 6749 §2.3.1, with the encoding that most clients forget.
#[tokio::test]
async fn a_secret_comes_the_registered_way() {
    let world = World::local().await;
    let register = async |method: &str| {
        let body = serde_json::json!({ "redirect_uris": ["https://service.example/callback"], "token_endpoint_auth_method": method });
        let body = tinymcp_tests::oauth::register(&world.base, &body).await.json();
        let mut client =
            OAuthClient::known(&world.base, body["client_id"].as_str().unwrap(), "https://service.example/callback");
        client.secret = body["client_secret"].as_str().map(str::to_owned);
        client
    };
    let basic = |client: &OAuthClient, secret: &str, parameters: &[(&str, &str)]| -> Request {
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{}:{secret}", client.id));
        client.request("POST", "/token").form(parameters).header("authorization", &format!("Basic {pair}"))
    };
    let client = register("client_secret_basic").await;
    let code = client.code(&mut alice()).await;
    let secret = client.secret.clone().unwrap();
    let redemption = client.redemption(&code);
    let answer = basic(&client, "wrong", &redemption).send().await;
    assert_eq!(refused(&answer), error(401, "invalid_client"));
    assert!(answer.header("www-authenticate").starts_with("Basic"), "{answer:?}");
    let both = basic(&client, &secret, &with(&redemption, "client_secret", &secret));
    assert_eq!(refused(&both.send().await), error(401, "invalid_client"), "two methods at once");
    let other_id = basic(&client, &secret, &with(&redemption, "client_id", "other"));
    assert!([400, 401].contains(&other_id.send().await.status));
    let none = OAuthClient { secret: None, ..client.clone() };
    assert_eq!(refused(&none.try_redeem(&code).await), error(401, "invalid_client"));
    Tokens::of(&basic(&client, &secret, &redemption).send().await);

    let client = register("client_secret_post").await;
    let code = client.code(&mut alice()).await;
    let wrong = OAuthClient { secret: Some("wrong".to_owned()), ..client.clone() };
    assert_eq!(refused(&wrong.try_redeem(&code).await), error(401, "invalid_client"));
    client.redeem(&code).await;

    let public = world.register(Kind::ClaudeCode).await;
    let code = public.code(&mut alice()).await;
    let secretive = OAuthClient { secret: Some("surprise".to_owned()), ..public.clone() };
    assert_eq!(refused(&secretive.try_redeem(&code).await), error(401, "invalid_client"));
    public.redeem(&code).await;
}

/// Some clients send the headers for `/mcp` everywhere.
#[tokio::test]
async fn a_scheme_other_than_basic_means_nothing() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code(&mut alice()).await;
    for header in ["Basic !!!", "Basic OnNlY3JldA=="] {
        let answer = client.posting("/token", &client.redemption(&code)).header("authorization", header).send().await;
        assert_eq!(refused(&answer), error(401, "invalid_client"), "{header}");
    }
    Tokens::of(&client.posting("/token", &client.redemption(&code)).bearer("of another time").send().await);
}

#[tokio::test]
async fn too_many_requests_are_told_to_wait() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let (_, tokens) = world.log_in(Kind::Gemini, "alice").await;
    let mut limited = None;
    for _ in 0..1200 {
        let answer =
            client.post("/token", &[("grant_type", "authorization_code"), ("code", "x"), ("code_verifier", "y")]).await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("600 a minute are enough");
    assert!(limited.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{limited:?}");
    assert!(limited.json()["error"].is_string(), "{limited:?}");
    // Renewing has a bucket of its own.
    let gemini = world.register(Kind::Gemini).await;
    gemini.renew(&tokens.refresh).await;
}
