use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::Egress;

/// Serves one fixed answer to every request, on loopback. Returns the address.
async fn server(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = answer.into();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).await;
            let _ = connection.write_all(&answer).await;
        }
    });
    address
}

fn get(url: &str) -> http::Request<Vec<u8>> {
    http::Request::get(url).body(Vec::new()).unwrap()
}

#[test]
fn strangers_are_fetched_by_name_over_https_only() {
    let rule = |url: &str| match strangers::public_host(&Url::parse(url).unwrap()) {
        Ok(host) => host.to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(rule("https://client.example/metadata.json"), "client.example");
    assert_eq!(rule("https://client.example:443/metadata.json"), "client.example");
    for (url, why) in [
        ("http://client.example/c", "only https"),
        ("ftp://client.example/c", "only https"),
        ("file:///etc/passwd", "only https"),
        ("https://client.example:8443/c", "only port 443"),
        ("https://user@client.example/c", "no user name or password"),
        ("https://:secret@client.example/c", "no user name or password"),
        ("https://127.0.0.1/c", "only host names, no addresses"),
        ("https://8.8.8.8/c", "only host names, no addresses"),
        ("https://2130706433/c", "only host names, no addresses"),
        ("https://0x7f.1/c", "only host names, no addresses"),
        ("https://0177.0.0.1/c", "only host names, no addresses"),
        ("https://１２７.0.0.1/c", "only host names, no addresses"),
        ("https://[::1]/c", "only host names, no addresses"),
        ("https://[::ffff:127.0.0.1]/c", "only host names, no addresses"),
    ] {
        assert_eq!(rule(url), format!("not allowed: {why}"), "{url}");
    }
}

#[tokio::test]
async fn a_name_for_this_machine_is_refused() {
    let strangers = Strangers::default();
    let error = strangers.fetch(&Url::parse("https://localhost/client.json").unwrap()).await.unwrap_err();
    assert_eq!(error, FetchError::Refused("only hosts with public addresses"));
}

#[tokio::test]
async fn plain_http_is_for_loopback_on_both_sides() {
    let address = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").await;
    let url = format!("http://{address}/");
    let answer = ProviderHttp::new(true).unwrap().send(get(&url)).await.unwrap();
    assert_eq!((answer.status(), answer.body().as_ref()), (StatusCode::OK, b"{}".as_slice()));

    let refused = |error| matches!(error, Err(FetchError::Refused(_)));
    assert!(refused(ProviderHttp::new(false).unwrap().send(get(&url)).await));
    for url in ["http://id.example/", "http://10.0.0.1/", "http://127.0.0.1.example/", "ftp://localhost/"] {
        assert!(refused(ProviderHttp::new(true).unwrap().send(get(url)).await), "{url}");
    }
}

#[tokio::test]
async fn redirects_are_answers() {
    let address =
        server("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    let http = ProviderHttp::new(true).unwrap();
    let url = format!("http://{address}/");
    assert_eq!(http.send(get(&url)).await.unwrap().status(), StatusCode::FOUND);
    let error = http.fetch(&Url::parse(&url).unwrap()).await.unwrap_err();
    assert_eq!(error, FetchError::Status(StatusCode::FOUND));
}

#[tokio::test]
async fn an_answer_ends_at_its_limit() {
    let http = ProviderHttp::new(true).unwrap();
    let endless = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".as_slice(), &vec![b' '; 1024 * 1024 + 1]].concat();
    let address = server(endless).await;
    assert_eq!(http.send(get(&format!("http://{address}/"))).await.unwrap_err(), FetchError::TooLarge);
    let just = [b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n".as_slice(), &vec![b' '; 1024 * 1024]].concat();
    let address = server(just).await;
    assert_eq!(http.send(get(&format!("http://{address}/"))).await.unwrap().body().len(), 1024 * 1024);
}

#[tokio::test]
async fn compressed_answers_stay_as_they_are() {
    let address = server("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x08zz").await;
    let answer = ProviderHttp::new(true).unwrap().send(get(&format!("http://{address}/"))).await.unwrap();
    assert_eq!(answer.body().as_ref(), b"\x1f\x08zz");
}

#[tokio::test]
async fn no_connection_and_no_answer_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let client = built(builder(PROVIDER_CONNECT_TIMEOUT).timeout(Duration::from_millis(50))).unwrap();
    assert_eq!(client.get(&url).send().await.map_err(FetchError::of).unwrap_err(), FetchError::Timeout);
    drop(listener);
    let error = client.get(&url).send().await.map_err(FetchError::of).unwrap_err();
    assert!(matches!(&error, FetchError::Unreachable(cause) if cause.contains("refused")), "{error}");
}

#[test]
fn max_age_is_read_from_cache_control() {
    let of = |lines: &[&str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, line.parse().unwrap());
        }
        max_age(&headers).map(|age| age.as_secs())
    };
    assert_eq!(of(&[]), None);
    assert_eq!(of(&["public, max-age=600"]), Some(600));
    assert_eq!(of(&["Max-Age=\"60\""]), Some(60));
    assert_eq!(of(&["public", "max-age=5"]), Some(5));
    assert_eq!(of(&["max-age=600, no-store"]), Some(0));
    assert_eq!(of(&["no-cache"]), Some(0));
    assert_eq!(of(&["max-age=-1"]), None);
    assert_eq!(of(&["max-age=99999999999999999999999"]), None);
}

/// With a proxy, nothing of the provider is looked up here.
#[tokio::test]
async fn a_proxy_resolves_the_providers_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://user:hunter2@{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let read = client.read(&mut head).await.unwrap();
        client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&head[..read]).into_owned()
    });
    let egress = Egress { proxy: Some(proxy.parse().unwrap()), ..Egress::default() };
    let http = ProviderHttp::through(&egress, true).unwrap();
    let error = http.send(get("https://nowhere.invalid/x")).await.unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("CONNECT nowhere.invalid:443 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_lowercase().contains("proxy-authorization: basic dxnlcjpodw50zxiy"), "{asked}");
    let direct = Egress { no_proxy: Some("invalid".to_owned()), ..egress };
    let error = ProviderHttp::through(&direct, true).unwrap().send(get("https://nowhere.invalid/x")).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable(_)), "{error}");
}
