//! `[egress]`: the provider behind a proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tinymcp_tests::oauth::Kind;
use tinymcp_tests::provider::Provider;
use tinymcp_tests::provider::settings::Settings;
use tinymcp_tests::world::{World, behind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::large::doctor;

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

/// Terminates TLS for a target, with a certificate of an authority that nobody knows. Gives its port, and the
/// authority as PEM.
async fn behind_tls(target: String) -> (u16, String) {
    let names = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let (authority_key, key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let certificate = names.signed_by(&key, &issuer).unwrap();
    let tls = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let (listener, acceptor) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), tokio_rustls::TlsAcceptor::from(Arc::new(tls)));
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, target) = (acceptor.clone(), target.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await?;
                let mut server = TcpStream::connect(&target).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (port, pem)
}

/// A command that is waited for needs others to serve it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_of_an_authority_of_the_house_is_trusted_where_that_is_said() {
    let provider = Provider::start(Settings::oidc()).await;
    let (port, pem) = behind_tls(provider.url.trim_start_matches("http://").to_owned()).await;
    let known = format!("{}/.well-known/openid-configuration", provider.url);
    let site = behind(&provider);
    let settings = std::fs::read_to_string(site.path().join("tinymcp.toml")).unwrap();
    assert!(settings.contains(&known), "{settings}");
    let issuer =
        format!("https://localhost:{port}/.well-known/openid-configuration\"\nissuer = \"{}", provider.issuer());
    let settings = settings.replace(&known, &issuer);
    let world = World { base: site.base().clone(), server: site.auth(&settings).launch().await };
    let line = world.server.log.wait_for("cannot be fetched").await;
    assert!(line.contains("egress.ca_file"), "{line}");
    assert_eq!(world.server.log.lines("failed to verify"), Vec::<String>::new());
    let said = doctor(&world, &provider);
    assert!(said.contains("certificate") && said.contains("egress.ca_file"), "{said}");

    let site = world.server.kill();
    std::fs::write(site.path().join("house.pem"), pem).unwrap();
    let world = World::of(site.config("[egress]\nca_file = \"house.pem\"\n")).await;
    let (client, tokens) = world.log_in(Kind::ClaudeCode, "alice").await;
    assert!(client.is_live(&tokens.access).await);
    let said = doctor(&world, &provider);
    assert!(!said.contains("certificate"), "{said}");
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
