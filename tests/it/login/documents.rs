//! Clients whose id is the URL of a metadata document, and clients whose id is nothing that this server knows.
//!
//! The machine may have no way out: what is shipped with the server must do.

use tinymcp_tests::browser::page::Page;
use tinymcp_tests::oauth::{Kind, OAuthClient};
use tinymcp_tests::world::{World, local};

use super::{alice, refused};

const CLAUDE_CODE: &str = "https://claude.ai/oauth/claude-code-client-metadata";

async fn authorize(client: &OAuthClient) -> Page {
    alice().open(&client.authorization().url()).await.page()
}

#[tokio::test]
async fn a_well_known_client_needs_no_registration_and_no_network() {
    let world = World::local().await;
    for redirect_uri in ["http://localhost:50123/callback", "http://127.0.0.1:3118/callback"] {
        let client = OAuthClient::known(&world.base, CLAUDE_CODE, redirect_uri);
        let page = authorize(&client).await;
        assert!(page.asks_for_consent() && page.text().contains("claude.ai"), "{page:?}");
        let tokens = client.log_in(&mut alice()).await;
        assert!(client.is_live(&client.renew(&tokens.refresh).await.access).await);
    }
}

#[tokio::test]
async fn a_document_says_where_its_client_may_be() {
    let world = World::local().await;
    for redirect_uri in ["https://evil.example/callback", "http://localhost:50123/other", "cursor://x/y"] {
        let page = authorize(&OAuthClient::known(&world.base, CLAUDE_CODE, redirect_uri)).await;
        assert_eq!((page.status, page.refresh()), (400, None), "{redirect_uri}: {page:?}");
    }
}

/// Nobody can make the server look around in its own network.
#[tokio::test]
async fn addresses_that_are_not_public_are_no_clients() {
    let world = World::local().await;
    let port = world.server.address.port();
    let neighbour = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    neighbour.set_nonblocking(true).unwrap();
    let its_port = neighbour.local_addr().unwrap().port();
    for id in [
        "https://127.0.0.1/client.json".to_owned(),
        "https://localhost/client.json".to_owned(),
        "https://[::1]/client.json".to_owned(),
        "https://[::ffff:127.0.0.1]/client.json".to_owned(),
        "https://10.0.0.1/client.json".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://2130706433/client.json".to_owned(),
        "https://0x7f.1/client.json".to_owned(),
        format!("https://localhost:{port}/client.json"),
        format!("https://localhost:{its_port}/client.json"),
        format!("https://127.0.0.1:{its_port}/client.json"),
        format!("https://[::ffff:127.0.0.1]:{its_port}/client.json"),
        format!("http://localhost:{port}/client.json"),
        "http://claude.ai/oauth/claude-code-client-metadata".to_owned(),
        "https://claude.ai:8443/oauth/claude-code-client-metadata".to_owned(),
        "https://user@claude.ai/oauth/claude-code-client-metadata".to_owned(),
        "https://claude.ai/oauth/claude-code-client-metadata#x".to_owned(),
        "https://claude.ai/oauth/../oauth/claude-code-client-metadata".to_owned(),
        "https://claude.ai/".to_owned(),
        "https://claude.ai".to_owned(),
        "ftp://claude.ai/client.json".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let client = OAuthClient::known(&world.base, &id, "http://localhost:50123/callback");
        let page = authorize(&client).await;
        assert_eq!((page.status, page.refresh()), (400, None), "{id}: {page:?}");
        assert_eq!(refused(&client.try_renew("x").await), (401, "invalid_client".to_owned()), "{id}");
    }
    let visit = neighbour.accept().map_err(|error| error.kind());
    assert!(matches!(visit, Err(std::io::ErrorKind::WouldBlock)), "somebody came: {visit:?}");
}

/// A client that remembers an id of another server, or of a key that is gone.
#[tokio::test]
async fn an_unknown_client_registers_anew_by_itself() {
    let world = World::local().await;
    let (client, tokens) = world.log_in(Kind::Inspector, "alice").await;
    let dead = OAuthClient { id: "f3b1c2d4-dead-beef".to_owned(), ..client.clone() };
    assert_eq!(refused(&dead.try_renew(&tokens.refresh).await), (401, "invalid_client".to_owned()));
    assert_eq!(authorize(&dead).await.status, 400);
    client.renew(&tokens.refresh).await;
}

#[tokio::test]
async fn unknown_clients_may_be_adopted_with_consent() {
    let config = "[auth]\nprovider = \"local\"\nunknown_clients = \"adopt\"\n";
    let world = World::of(local().auth(config)).await;
    let client = OAuthClient::known(&world.base, "f3b1c2d4-dead-beef", "http://localhost:50123/callback");
    assert!(authorize(&client).await.asks_for_consent());
    let tokens = client.log_in(&mut alice()).await;
    assert!(client.is_live(&client.renew(&tokens.refresh).await.access).await);
    // What registration refuses is refused here as well, and an id still belongs to whom it was given.
    for redirect_uri in ["http://evil.example/callback", "javascript:alert(1)"] {
        let page = authorize(&OAuthClient { redirect_uri: redirect_uri.to_owned(), ..client.clone() }).await;
        assert_eq!((page.status, page.refresh()), (400, None), "{redirect_uri}: {page:?}");
    }
    let other = OAuthClient { id: "another-unknown-id".to_owned(), ..client.clone() };
    assert_eq!(refused(&other.try_renew(&tokens.refresh).await), (400, "invalid_grant".to_owned()));
}
