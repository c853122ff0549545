//! `push` and `add`, and the artifacts that others have published.

use std::fs;

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::http::Request;
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::registry::{Registry, WASM, descriptor, manifest};
use tinymcp_tests::server::Site;

use super::{V1, done, first, lock_of, refused, run};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_the_same_every_time_and_is_added_and_served() {
    let registry = Registry::start().await;
    let author = Site::new().plugin("weather", &first());
    let to = registry.at("org/weather:1.2");
    let pushed = done(&author, &["push", "plugins/weather.wasm", &to]);
    // From another place, at another time, under another tag.
    let other = Site::new().plugin("renamed", &first());
    let again = done(&other, &["push", "plugins/renamed.wasm", &registry.at("org/weather:1.2.0")]);
    assert_eq!(pushed.lines().next(), again.lines().next());
    assert!(pushed.contains(&format!("oci://{}/org/weather@sha256:", registry.host())), "{pushed}");
    // Others see the layout that they know.
    let answer = Request::new(registry.address, "GET", "/v2/org/weather/manifests/1.2");
    let shown: Value = answer.header("accept", tinymcp_tests::registry::MANIFEST).send().await.json();
    assert_eq!(shown["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(shown["layers"], json!([descriptor(WASM, &first())]));

    let site = Site::new().config("# mine\n");
    let added = done(&site, &["add", &to]);
    assert!(added.contains("nothing is granted") && added.contains("now"), "{added}");
    let config = fs::read_to_string(site.path().join("tinymcp.toml")).unwrap();
    assert!(
        config.contains("# mine\n") && config.ends_with(&format!("[plugin.weather]\nfrom = \"{to}\"\n")),
        "{config}"
    );
    assert!(lock_of(&site).contains("[plugin.weather]"), "{}", lock_of(&site));
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plugin_is_not_published_and_not_added() {
    let registry = Registry::start().await;
    let site = Site::new();
    fs::write(site.path().join("text.wasm"), "text").unwrap();
    let said = refused(&site, &["push", "text.wasm", &registry.at("org/text:1")]);
    assert!(said.contains("text.wasm"), "{said}");
    registry.put("org/image", "1", &[("application/vnd.oci.image.layer.v1.tar+gzip", b"x")]).await;
    let said = refused(&site, &["add", &registry.at("org/image:1")]);
    assert!(said.contains("is no plugin: it has no layer of the type `application/wasm`"), "{said}");
    registry.put("org/text", "1", &[(WASM, b"text")]).await;
    let said = refused(&site, &["add", &registry.at("org/text:1")]);
    assert!(said.contains("WebAssembly"), "{said}");
    let said = refused(&site, &["add", &registry.at("org/absent:1")]);
    assert!(said.contains("has no `1`: compare the name"), "{said}");
    let digest = format!("sha256-{}.sig", "0".repeat(64));
    let said = refused(&site, &["add", &registry.at(&format!("org/weather:{digest}"))]);
    assert!(said.contains("are those of signatures"), "{said}");
    assert_eq!(lock_of(&site), "");
    let config = fs::read_to_string(site.path().join("tinymcp.toml")).unwrap();
    assert!(!config.contains("from"), "{config}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_shown_and_nothing_of_it_is_applied() {
    let registry = Registry::start().await;
    let policy = b"version: \"1.0\"\npermissions:\n  network:\n    allow:\n      - host: \"api.example\"\n";
    for (name, layer, of) in [
        ("org/weather", WASM, "application/vnd.wassette.policy+yaml"),
        (
            "org/older",
            "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
            "application/vnd.wasm.policy.v1+yaml",
        ),
    ] {
        registry.put(name, "1", &[(layer, &first()), (of, policy)]).await;
        let site = Site::new();
        let added = done(&site, &["add", &registry.at(&format!("{name}:1")), "--name", "weather"]);
        assert!(
            added.contains("of which nothing is applied:\n") && added.contains("- host: \"api.example\""),
            "{added}"
        );
        let config = fs::read_to_string(site.path().join("tinymcp.toml")).unwrap();
        assert!(!config.contains("api.example"), "{config}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_leads_to_its_artifact_for_webassembly() {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let registry = Registry::start().await;
    let digest = registry.put("org/weather", "inner", &[(WASM, &first())]).await;
    let layer = [descriptor(WASM, &first())];
    let size = manifest(&layer).to_string().len();
    let entry = |architecture: &str| json!({ "mediaType": tinymcp_tests::registry::MANIFEST, "digest": digest, "size": size, "platform": { "architecture": architecture, "os": "wasip2" } });
    let index = |entries: &[Value]| json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    registry.put_manifest("org/weather", "good", &index(&[entry("amd64"), entry("wasm")])).await;
    registry.put_manifest("org/weather", "bad", &index(&[entry("amd64"), entry("arm64")])).await;
    let site = Site::new();
    let said = refused(&site, &["add", &registry.at("org/weather:bad")]);
    assert!(said.contains("is an index of 2 artifacts, of which 0 are for the architecture `wasm`"), "{said}");
    done(&site, &["add", &registry.at("org/weather:good")]);
    assert!(lock_of(&site).contains(&digest), "{}", lock_of(&site));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_found_by_the_host_of_its_namespace() {
    let registry = Registry::start().await;
    for tag in ["1.2.3", "1.2.10", "1.3.0"] {
        registry.put("wasm/acme/weather", tag, &[(WASM, &first())]).await;
    }
    let document =
        json!({ "preferredProtocol": "oci", "oci": { "registry": registry.host(), "namespacePrefix": "wasm/" } });
    let owner = Peer::start(move |_| Script::text(&document.to_string())).await;
    let site = Site::new();
    let said = refused(&site, &["add", "acme:weather@1.2"]);
    assert!(said.contains("no registry has the packages of `acme`"), "{said}");
    let site = site.config(&format!("[registry.\"{}\"]\npackages = [\"acme\"]\n", owner.address));
    done(&site, &["add", "acme:weather@1.2"]);
    assert!(owner.requests()[0].starts_with("GET /.well-known/wasm-pkg/registry.json "), "{:?}", owner.requests());
    let lock = lock_of(&site);
    assert!(lock.contains("from = \"acme:weather@1.2\"") && lock.contains("/wasm/acme/weather\""), "{lock}");
    // Of the name, nothing is asked again.
    drop(owner);
    let list = run(&site, &["list"]);
    assert!(list.stdout.contains(V1[0]), "{list:?}");
}
