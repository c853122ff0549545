//! A registry that lies: about digests, sizes, names and places.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::registry::{WASM, descriptor, files, manifest};
use tinymcp_tests::server::Site;

use super::{V1, done, first, lock_of, refused, second};

fn answer(bytes: &[u8]) -> Script {
    let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", bytes.len());
    Script::Answer([head.as_bytes(), bytes].concat())
}

/// A registry with one manifest, whatever it is asked for, and this script for blobs.
async fn registry(manifest: Value, blob: impl Fn(&str) -> Script + Send + Sync + 'static) -> Peer {
    let manifest = manifest.to_string();
    Peer::start(
        move |request| if request.contains("/manifests/") { answer(manifest.as_bytes()) } else { blob(request) },
    )
    .await
}

fn reference(peer: &Peer) -> String {
    format!("oci://{}/org/weather:1", peer.address)
}

/// Adds it, is refused, and finds nothing left of it.
fn not_added(peer: &Peer) -> String {
    let site = Site::new();
    let said = refused(&site, &["add", &reference(peer)]);
    let left = files(&site.path().join(".tinymcp/pulled"));
    assert_eq!((left, lock_of(&site)), (Vec::new(), String::new()), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_another_digest_are_refused() {
    let mut other = first();
    let last = other.len() - 1;
    other[last] ^= 1;
    let peer = registry(manifest(&[descriptor(WASM, &first())]), move |_| answer(&other)).await;
    assert!(not_added(&peer).contains("has another digest: sha256:"), "{}", not_added(&peer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_ends_where_it_was_said_to_end() {
    let whole = manifest(&[descriptor(WASM, &first())]);
    // Without end, and without a length.
    let endless = registry(whole.clone(), |_| {
        Script::Drip(b"HTTP/1.1 200 X\r\n\r\n".to_vec(), vec![0; 64 * 1024], Duration::from_millis(1))
    });
    assert!(not_added(&endless.await).contains("is longer, and not the"));
    let short = registry(whole.clone(), |_| answer(&first()[1..])).await;
    assert!(not_added(&short).contains("is shorter, and not the"));
    let manifest_without_end = Peer::start(|_| {
        Script::Drip(b"HTTP/1.1 200 X\r\n\r\n".to_vec(), vec![b' '; 256 * 1024], Duration::from_millis(1))
    });
    assert!(not_added(&manifest_without_end.await).contains("is too large"));
    // What is announced as too large is not even asked for.
    let mut large = descriptor(WASM, &first());
    large["size"] = json!(65 << 20);
    let peer = registry(manifest(&[large]), |_| answer(&first())).await;
    assert!(not_added(&peer).contains("more than `limits.file` allows"));
    assert!(peer.requests().iter().all(|request| !request.contains("/blobs/")), "{:?}", peer.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_and_titles_lead_nowhere() {
    let elsewhere = Peer::start(|_| answer(&second())).await;
    let mut layer = descriptor(WASM, &first());
    layer["urls"] = json!([elsewhere.url("/x"), "http://169.254.169.254/"]);
    layer["annotations"] = json!({ "org.opencontainers.image.title": "../../../plugins/evil.wasm" });
    let peer = registry(manifest(&[layer]), |_| answer(&first())).await;
    let site = Site::new();
    done(&site, &["add", &reference(&peer)]);
    assert_eq!(elsewhere.connections(), 0);
    let all = files(site.path());
    assert!(all.iter().all(|file| !file.contains("evil")), "{all:?}");
    assert!(
        all.iter().any(|file| file.starts_with(".tinymcp/pulled/weather/sha256-") && file.ends_with("/weather.wasm"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_of_weak_algorithms_are_refused() {
    let mut weak = descriptor(WASM, &first());
    weak["digest"] = json!("md5:d41d8cd98f00b204e9800998ecf8427e");
    let peer = registry(manifest(&[weak]), |_| answer(&first())).await;
    assert!(not_added(&peer).contains("a digest of sha256 or sha512"));
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_lead_to_no_file_and_end() {
    let to = |location: &'static str| Peer::start(move |_| Script::with(307, &format!("location: {location}\r\n"), ""));
    for location in ["file:///etc/passwd", "http://192.0.2.1/x", "http://user:pass@127.0.0.1/x"] {
        let said = not_added(&to(location).await);
        assert!(said.contains("leads to"), "{location}: {said}");
    }
    let round = to("/round").await;
    assert!(not_added(&round).contains("and from there on and on"));
    assert!(round.requests().len() <= 12, "{}", round.requests().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_a_registry_are_fit_to_be_shown() {
    let text = format!("{{\"errors\":[{{\"code\":\"DENIED\",\"message\":\"\\u001b[2J{}\"}}]}}", "x".repeat(5000));
    let peer = Peer::start(move |_| Script::with(403, "", &text)).await;
    let said = not_added(&peer);
    assert!(said.contains("does not let this login do that (DENIED ") && said.len() < 600, "{said}");
    assert!(!said.contains("\u{1b}[2J"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_lies_later_changes_nothing() {
    let lies = Arc::new(AtomicBool::new(false));
    let (honest, lying) = (manifest(&[descriptor(WASM, &first())]), manifest(&[descriptor(WASM, &second())]));
    let is_lying = Arc::clone(&lies);
    let peer = Peer::start(move |request| {
        let (whole, component) = match is_lying.load(Ordering::SeqCst) {
            true => (&lying, second()),
            false => (&honest, first()),
        };
        if request.contains("/manifests/") { answer(whole.to_string().as_bytes()) } else { answer(&component) }
    })
    .await;
    let site = Site::new();
    done(&site, &["add", &reference(&peer)]);
    // The cache is lost, and the registry has something else under the locked digest.
    std::fs::remove_dir_all(site.path().join(".tinymcp/pulled")).unwrap();
    lies.store(true, Ordering::SeqCst);
    let server = site.start().await;
    let client = Client::modern(&server);
    server.log.wait_for("has another digest: sha256:").await;
    assert_eq!(client.tool_names().await, Vec::<String>::new());
    lies.store(false, Ordering::SeqCst);
    client.wait_for_tools(&V1).await;
}
