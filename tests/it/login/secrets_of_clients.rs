//! Client authentication as clients write it (RFC 6749 §2.3.1): encoded or not, with an empty secret or none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use tinymcp_tests::http::{Answer, Request};
use tinymcp_tests::oauth::{OAuthClient, Tokens, register};
use tinymcp_tests::world::{World, local};

use super::{alice, refused};

const URI: &str = "https://service.example/callback";

/// A request for tokens with a header of these halves, written as they are.
fn basic(client: &OAuthClient, id: &str, secret: &str, parameters: &[(&str, &str)]) -> Request {
    let pair = BASE64.encode(format!("{id}:{secret}"));
    client.request("POST", "/token").form(parameters).header("authorization", &format!("Basic {pair}"))
}

/// A server with one client of this id and secret, and a refresh token of it.
async fn declared(id: &str, secret: &str) -> (World, OAuthClient, Tokens) {
    let config = format!("[auth.clients.{}]\nredirect_uris = [\"{URI}\"]\nsecret = {}\n", json!(id), json!(secret));
    let world = World::of(local().config(&config)).await;
    let mut client = OAuthClient::known(&world.base, id, URI);
    client.secret = Some(secret.to_owned());
    let tokens = client.log_in(&mut alice()).await;
    (world, client, tokens)
}

fn is_refused(answer: &Answer) {
    assert_eq!(refused(answer), (401, "invalid_client".to_owned()));
    assert!(answer.header("www-authenticate").starts_with("Basic"), "{answer:?}");
}

/// As RFC 6749 wants it, in the two forms that exist.
fn encoded(text: &str) -> [String; 2] {
    let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    [form.replace('+', "%20"), form]
}

#[tokio::test]
async fn basic_is_taken_encoded_and_as_it_is() {
    let (id, secret) = ("ci+x%41 y", "p+s%2B/=&: %zz");
    let (_world, client, mut tokens) = declared(id, secret).await;
    let as_is = [id.to_owned(), secret.to_owned()];
    let [percent, plus] = [0, 1].map(|form| [encoded(id)[form].clone(), encoded(secret)[form].clone()]);
    for [id, secret] in [&as_is, &percent, &plus] {
        let answer = basic(&client, id, secret, &client.renewal(&tokens.refresh)).send().await;
        tokens = Tokens::of(&answer);
    }
    // The id in the body is held against the same reading.
    let in_body = [&client.renewal(&tokens.refresh)[..], &[("client_id", client.id.as_str())]].concat();
    tokens = Tokens::of(&basic(&client, &percent[0], &percent[1], &in_body).send().await);
    let other = [&client.renewal(&tokens.refresh)[..], &[("client_id", percent[0].as_str())]].concat();
    is_refused(&basic(&client, &percent[0], &percent[1], &other).send().await);
    // One half in one way and one in the other is no client's way.
    for (id, secret) in [(&as_is[0], &percent[1]), (&percent[0], &as_is[1])] {
        is_refused(&basic(&client, id, secret, &client.renewal(&tokens.refresh)).send().await);
    }
    for wrong in ["p+s%2B/=&: %z", "p s+/=", "p+s%2B/=", "P+s%2B/=&: %zz"] {
        is_refused(&basic(&client, id, wrong, &client.renewal(&tokens.refresh)).send().await);
    }
    client.renew(&tokens.refresh).await;
}

#[tokio::test]
async fn both_readings_are_one_attempt() {
    let site = local().auth("[auth]\nprovider = \"local\"\nrequests_per_minute = 6\n");
    let world = World::of(site).await;
    let client = OAuthClient::known(&world.base, "nobody", URI);
    let request = |number: usize| {
        let parameters = [("grant_type", "authorization_code"), ("code", "x"), ("code_verifier", "y")];
        basic(&client, "no%62ody", &format!("wr%6Fng+{number}"), &parameters)
    };
    // Six at once, and one more every ten seconds.
    let requests: Vec<_> = (0..12).map(|number| tokio::spawn(request(number).send())).collect();
    let (mut refused, mut limited) = (0, 0);
    for request in requests {
        let answer = request.await.unwrap();
        if answer.status == 429 {
            limited += 1;
        } else {
            is_refused(&answer);
            refused += 1;
        }
    }
    assert!(refused >= 6 && limited >= 1, "{refused} were looked at, {limited} turned away");
}

#[tokio::test]
async fn an_empty_secret_proves_public_clients_alone() {
    let config = format!(
        "[auth.clients.public]\nredirect_uris = [\"{URI}\"]\n[auth.clients.ci]\nredirect_uris = [\"{URI}\"]\nsecret = \"a secret\"\n"
    );
    let world = World::of(local().config(&config)).await;
    let registered = async |method: &str| {
        let body = json!({ "redirect_uris": [URI], "token_endpoint_auth_method": method });
        let answer = register(&world.base, &body).await.json();
        let mut client = OAuthClient::known(&world.base, answer["client_id"].as_str().unwrap(), URI);
        client.secret = answer["client_secret"].as_str().map(str::to_owned);
        client
    };
    let public = [OAuthClient::known(&world.base, "public", URI), registered("none").await];
    for client in public {
        let mut tokens = client.log_in(&mut alice()).await;
        tokens = Tokens::of(&basic(&client, &client.id, "", &client.renewal(&tokens.refresh)).send().await);
        let empty = OAuthClient { secret: Some(String::new()), ..client.clone() };
        tokens = empty.renew(&tokens.refresh).await;
        let both = [&client.renewal(&tokens.refresh)[..], &[("client_id", &client.id), ("client_secret", "")]].concat();
        tokens = Tokens::of(&basic(&client, &client.id, "", &both).send().await);
        is_refused(&basic(&client, &client.id, "x", &client.renewal(&tokens.refresh)).send().await);
        is_refused(&basic(&client, "", "", &client.renewal(&tokens.refresh)).send().await);
        client.renew(&tokens.refresh).await;
    }
    let mut ci = OAuthClient::known(&world.base, "ci", URI);
    ci.secret = Some("a secret".to_owned());
    for client in [ci, registered("client_secret_basic").await, registered("client_secret_post").await] {
        for request in [
            basic(&client, &client.id, "", &client.renewal("x")),
            basic(&client, &client.id, "", &[&client.renewal("x")[..], &[("client_secret", "")]].concat()),
        ] {
            is_refused(&request.send().await);
        }
        let empty = OAuthClient { secret: Some(String::new()), ..client.clone() };
        assert_eq!(refused(&empty.try_renew("x").await), (401, "invalid_client".to_owned()));
    }
}

/// Some versions of the TypeScript SDK register one method and use another.
#[tokio::test]
async fn a_secret_is_taken_in_either_way_whichever_was_registered() {
    let world = World::of(local()).await;
    for method in ["client_secret_basic", "client_secret_post"] {
        let body = json!({ "redirect_uris": [URI], "token_endpoint_auth_method": method });
        let answer = register(&world.base, &body).await.json();
        let secret = answer["client_secret"].as_str().unwrap();
        let mut client = OAuthClient::known(&world.base, answer["client_id"].as_str().unwrap(), URI);
        client.secret = Some(secret.to_owned());
        let mut tokens = client.log_in(&mut alice()).await;
        tokens = client.renew(&tokens.refresh).await;
        tokens = Tokens::of(&basic(&client, &client.id, secret, &client.renewal(&tokens.refresh)).send().await);
        is_refused(&basic(&client, &client.id, "wrong", &client.renewal(&tokens.refresh)).send().await);
        client.renew(&tokens.refresh).await;
    }
}

/// An empty half of a header shows nothing, so what is in the body is the one method.
#[tokio::test]
async fn a_header_without_a_secret_only_names_the_client() {
    let (_world, client, tokens) = declared("ci", "a secret").await;
    let in_body = [&client.renewal(&tokens.refresh)[..], &[("client_secret", "a secret")]].concat();
    let tokens = Tokens::of(&basic(&client, "ci", "", &in_body).send().await);
    let in_body = [&client.renewal(&tokens.refresh)[..], &[("client_secret", "a secret")]].concat();
    is_refused(&basic(&client, "ci", "a secret", &in_body).send().await);
    client.renew(&tokens.refresh).await;
}

#[tokio::test]
async fn an_empty_secret_in_the_configuration_is_an_error_at_start() {
    for secret in ["\"\"", "\" \"", "\"${CI_SECRET:-}\""] {
        let config = format!("[auth.clients.ci]\nredirect_uris = [\"{URI}\"]\nsecret = {secret}\n");
        let finished = local().config(&config).refusal();
        assert_eq!(finished.code, 2, "{finished:?}");
        assert!(finished.stderr.contains("auth.clients.ci.secret: an empty secret"), "{finished:?}");
    }
}
