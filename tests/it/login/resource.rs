//! Resource indicators (RFC 8707): tokens are for `/mcp` of this server, however it is spelled.

use tinymcp_tests::oauth::{Kind, Tokens};
use tinymcp_tests::world::World;

use super::{alice, refused};

fn spellings(world: &World) -> Vec<String> {
    let port = world.server.address.port();
    ["", "/", "/mcp", "/mcp/"]
        .iter()
        .flat_map(|path| {
            ["http://localhost", "HTTP://LOCALHOST", "http://127.0.0.1", "http://[::1]"]
                .map(|host| format!("{host}:{port}{path}"))
        })
        .collect()
}

fn others(world: &World) -> Vec<String> {
    let port = world.server.address.port();
    vec![
        "https://other.example/mcp".to_owned(),
        format!("https://localhost:{port}/mcp"),
        format!("http://localhost:{}/mcp", port + 1),
        format!("http://localhost:{port}/mcp#fragment"),
        format!("http://localhost:{port}/mcp?a=b"),
        format!("http://localhost:{port}/other"),
        format!("http://localhost:{port}/mcp/../mcp"),
        format!("http://user@localhost:{port}/mcp"),
        format!("http://localhost:{port}.evil.example/mcp"),
        "not a url".to_owned(),
        "/mcp".to_owned(),
    ]
}

#[tokio::test]
async fn every_spelling_of_this_server_is_taken_at_every_step() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    for resource in spellings(&world) {
        let code = client.code_of(client.authorization().set("resource", &resource), &mut alice()).await;
        let redemption = [&client.redemption(&code)[..], &[("resource", resource.as_str())]].concat();
        let tokens = Tokens::of(&client.post("/token", &redemption).await);
        let renewal = [&client.renewal(&tokens.refresh)[..], &[("resource", resource.as_str())]].concat();
        assert!(client.is_live(&Tokens::of(&client.post("/token", &renewal).await).access).await, "{resource}");
    }
}

#[tokio::test]
async fn it_may_be_left_out() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let code = client.code_of(client.authorization().without("resource"), &mut alice()).await;
    let tokens = client.redeem(&code).await;
    assert!(client.is_live(&client.renew(&tokens.refresh).await.access).await);
}

#[tokio::test]
async fn other_resources_are_refused_and_nothing_is_used_up() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    for resource in others(&world) {
        let url = alice().open(&client.authorization().set("resource", &resource).url()).await.clicked();
        assert!(url.query().unwrap().starts_with("error=invalid_target&"), "{resource}: {url}");
    }
    let code = client.code(&mut alice()).await;
    for resource in others(&world) {
        let redemption = [&client.redemption(&code)[..], &[("resource", resource.as_str())]].concat();
        assert_eq!(
            refused(&client.post("/token", &redemption).await),
            (400, "invalid_target".to_owned()),
            "{resource}"
        );
    }
    let tokens = client.redeem(&code).await;
    for resource in others(&world) {
        let renewal = [&client.renewal(&tokens.refresh)[..], &[("resource", resource.as_str())]].concat();
        assert_eq!(refused(&client.post("/token", &renewal).await), (400, "invalid_target".to_owned()), "{resource}");
    }
    client.renew(&tokens.refresh).await;
}

#[tokio::test]
async fn two_resources_are_one_too_many() {
    let world = World::local().await;
    let client = world.register(Kind::ClaudeCode).await;
    let resource = client.resource();
    let url = alice().open(&client.authorization().also("resource", "https://other.example/").url()).await.clicked();
    assert!(url.query().unwrap().starts_with("error=invalid_"), "{url}");
    let code = client.code(&mut alice()).await;
    let twice = [("resource", resource.as_str()), ("resource", "https://other.example/")];
    let answer = client.post("/token", &[&client.redemption(&code)[..], &twice].concat()).await;
    let (status, error) = refused(&answer);
    assert!(status == 400 && ["invalid_target", "invalid_request"].contains(&error.as_str()), "{answer:?}");
    client.redeem(&code).await;
}
