//! `[egress]`: the provider behind a proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::{World, behind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that leads every connection to one address, and remembers what it was asked for.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::default();
        let remembered = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, target.clone(), Arc::clone(&remembered)));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(mut client: TcpStream, target: String, heads: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    heads.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
    let mut server = TcpStream::connect(&target).await?;
    if head.starts_with(b"CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    } else {
        server.write_all(&head).await?;
    }
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}

#[tokio::test]
async fn the_provider_is_reached_through_the_proxy_and_only_it() {
    let provider = Provider::start(Settings::oidc()).await;
    let proxy = Proxy::start(provider.url.trim_start_matches("http://").to_owned()).await;
    let text = format!("[egress]\nproxy = \"http://user:hunter2@{}\"\n", proxy.address);
    let world = World::of(behind(&provider).config(&text)).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert!(client.is_live(&tokens.access).await);
    let heads = proxy.heads();
    assert!(heads.iter().any(|head| head.contains("/.well-known/openid-configuration")), "{heads:?}");
    assert!(heads[0].to_lowercase().contains("proxy-authorization: basic"), "{heads:?}");
    // What a stranger names goes another way, which is closed to addresses that are not public.
    let stranger = "https://localhost/client.json";
    let query = format!("authorize?response_type=code&client_id={stranger}&redirect_uri=http://localhost/cb");
    world.server.get(&format!("/{query}")).await;
    assert!(!proxy.heads().iter().any(|head| head.contains("client.json") || head.contains("localhost:443")));
    assert!(!world.server.log.text().contains("hunter2"), "{}", world.server.log.text());
}

#[tokio::test]
async fn variables_are_followed_only_where_that_is_asked_for() {
    let provider = Provider::start(Settings::oidc()).await;
    let proxy = Proxy::start(provider.url.trim_start_matches("http://").to_owned()).await;
    let url = format!("http://{}", proxy.address);
    let world = World::of(behind(&provider).variable("HTTPS_PROXY", &url)).await;
    world.log_in(Kind::ClaudeCode, "alice").await;
    assert!(proxy.heads().is_empty(), "{:?}", proxy.heads());
    world.server.log.wait_for("HTTPS_PROXY: ignored").await;

    let site = behind(&provider).config("[egress]\nproxy = \"env\"\n").variable("HTTPS_PROXY", &url);
    let world = World::of(site).await;
    world.log_in(Kind::ClaudeCode, "alice").await;
    assert!(!proxy.heads().is_empty());

    let before = proxy.heads().len();
    let site = behind(&provider).config("[egress]\nproxy = \"env\"\n").variable("HTTPS_PROXY", &url);
    let world = World::of(site.variable("NO_PROXY", "127.0.0.1")).await;
    world.log_in(Kind::ClaudeCode, "alice").await;
    assert_eq!(proxy.heads().len(), before);
}
