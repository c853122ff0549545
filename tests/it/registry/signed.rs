//! `trust` for what comes from a registry: cosign by a key, and minisign through the registry.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::peer::{Peer, Script};
use tinymcp_tests::registry::{MANIFEST, Registry, WASM, descriptor, digest, manifest};
use tinymcp_tests::server::Site;

use super::sigstore::{BUNDLE, SIGN, SignedStatement};
use super::{V1, done, first, from, problem, run, second};

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Signs a manifest as `cosign sign --key` does up to version 2.
async fn sign(registry: &Registry, name: &str, of: &str, says: &str, key: &KeyPair) {
    let payload = json!({
        "critical": { "identity": { "docker-reference": name }, "image": { "docker-manifest-digest": says }, "type": "cosign container image signature" },
        "optional": null,
    });
    let payload = payload.to_string().into_bytes();
    let signature = STANDARD.encode(key.sign(&payload).unwrap());
    registry.put_blob(name, b"{}").await;
    registry.put_blob(name, &payload).await;
    let mut layer = descriptor(PAYLOAD, &payload);
    layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": signature });
    let config = descriptor("application/vnd.oci.image.config.v1+json", b"{}");
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    registry.put_manifest(name, &format!("{}.sig", of.replace(':', "-")), &manifest).await;
}

/// The bundle that `cosign sign --key` of version 3 makes: a statement about a manifest, in an envelope.
fn bundle(says: &str, of: &str, key: &KeyPair) -> Vec<u8> {
    let material = json!({ "publicKey": { "hint": "whatever" }, "tlogEntries": [] });
    SignedStatement::by(key, says, of).bundle(&material).to_string().into_bytes()
}

/// The artifact that such a bundle is in.
fn bundle_manifest(bundle: &[u8], of: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": BUNDLE,
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [descriptor(BUNDLE, bundle)],
        "subject": { "mediaType": MANIFEST, "digest": of, "size": 1 },
    })
}

/// What a registry lists as being about an artifact.
fn referrers(manifests: &[Value]) -> Value {
    let described = manifests.iter().map(|manifest| {
        let mut entry = descriptor(MANIFEST, manifest.to_string().as_bytes());
        entry["artifactType"] = manifest["artifactType"].clone();
        entry
    });
    let described: Vec<Value> = described.collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": described })
}

/// Attaches bundles to a manifest, where a registry keeps no list of what refers to it.
pub(super) async fn attach(registry: &Registry, name: &str, signed: &str, bundles: &[Vec<u8>]) {
    let mut manifests = Vec::new();
    for bundle in bundles {
        let manifest = bundle_manifest(bundle, signed);
        registry.put_blob(name, bundle).await;
        registry.put_manifest(name, &format!("bundle-{}", manifests.len()), &manifest).await;
        manifests.push(manifest);
    }
    registry.put_manifest(name, &signed.replace(':', "-"), &referrers(&manifests)).await;
}

fn trusting(reference: &str, key: &KeyPair) -> String {
    format!("{}trust = {{ cosign = \"\"\"\n{}\"\"\" }}\n", from(reference), key.public_key_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_key_has_signed_is_served() {
    let registry = Registry::start().await;
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let to = |tag: &str| registry.at(&format!("org/weather:{tag}"));
    let good = registry.put("org/weather", "good", &[(WASM, &first())]).await;
    sign(&registry, "org/weather", &good, &good, &key).await;
    let bad = registry.put("org/weather", "bad", &[(WASM, &second())]).await;
    let site = Site::new();
    for (signature, said) in [
        (None, "nobody has signed sha256:"),
        (Some((&bad, &other)), "none of the signatures of sha256:"),
        // A genuine signature of another artifact.
        (Some((&good, &key)), "the key of `trust` has signed another artifact"),
    ] {
        if let Some((says, by)) = signature {
            sign(&registry, "org/weather", &bad, says, by).await;
        }
        site.configure(&trusting(&to("bad"), &key));
        let shown = done(&site, &["update"]);
        assert!(shown.contains(said) || shown.contains("the lock is as it has to be"), "{shown}");
        std::fs::remove_file(site.path().join("tinymcp.lock")).unwrap();
        let shown = done(&site, &["update"]);
        assert!(shown.contains("is not served: ") && shown.contains(said), "{shown}");
        assert!(problem(&site).contains(said), "{}", problem(&site));
    }
    site.configure(&trusting(&to("good"), &key));
    let shown = done(&site, &["update"]);
    assert!(shown.contains("signed by the key of `trust`"), "{shown}");
    let server = site.start().await;
    let client = Client::modern(&server);
    assert_eq!(client.tool_names().await, V1);
    // The signature is kept: no registry is needed.
    drop(registry);
    let server = server.kill().start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
}

/// A registry without a list of what refers to an artifact, as Debian's: cosign 3 keeps it at a tag there.
#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_of_cosign_3_is_found_at_a_tag() {
    let registry = Registry::start().await;
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let reference = registry.at("org/weather:1");
    let signed = registry.put("org/weather", "1", &[(WASM, &first())]).await;
    let site = Site::new().config(&trusting(&reference, &key));
    let bundles = [
        bundle(&signed, SIGN, &other),
        bundle(&signed, "https://slsa.dev/provenance/v1", &key),
        b"{}".to_vec(),
        bundle(&signed, SIGN, &key),
    ];
    for count in [3, 4] {
        attach(&registry, "org/weather", &signed, &bundles[..count]).await;
        let shown = done(&site, &["update"]);
        let said = if count == 3 { "none of the signatures of sha256:" } else { "the lock is as it has to be" };
        assert!(shown.contains(said), "{shown}");
    }
    // A running server looks again, and the next start has it.
    let server = site.start().await;
    Client::modern(&server).wait_for_tools(&V1).await;
    drop(registry);
    let server = server.kill().start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_of_cosign_3_is_found_in_the_list_of_the_registry() {
    let key = KeyPair::generate().unwrap();
    let plugin = manifest(&[descriptor(WASM, &first())]).to_string();
    let signed = digest(plugin.as_bytes());
    let bundle = bundle(&signed, SIGN, &key);
    let attached = bundle_manifest(&bundle, &signed);
    let things: Vec<(String, Vec<u8>)> = vec![
        (format!("/referrers/{signed}"), referrers(std::slice::from_ref(&attached)).to_string().into_bytes()),
        (format!("/manifests/{}", digest(attached.to_string().as_bytes())), attached.to_string().into_bytes()),
        (format!("/manifests/{}.sig", signed.replace(':', "-")), Vec::new()),
        (format!("/blobs/{}", digest(&bundle)), bundle),
        ("/manifests/".to_owned(), plugin.into_bytes()),
        ("/blobs/".to_owned(), first()),
    ];
    let peer = Peer::start(move |request| {
        let found = things.iter().find(|(path, _)| request.contains(path.as_str()));
        match found {
            Some((_, bytes)) if !bytes.is_empty() => {
                let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", bytes.len());
                Script::Answer([head.as_bytes(), bytes].concat())
            }
            _ => Script::with(404, "", ""),
        }
    })
    .await;
    let reference = format!("oci://{}/org/weather:1", peer.address);
    let site = Site::new().config(&trusting(&reference, &key));
    let shown = done(&site, &["update"]);
    assert!(shown.contains("signed by the key of `trust`"), "{shown}");
    assert!(run(&site, &["list"]).stdout.contains(V1[0]));
}

/// Puts an index of two artifacts, of which the one for WebAssembly is this, and returns its digest.
pub(super) async fn put_index(registry: &Registry, name: &str, tag: &str, component: &[u8]) -> String {
    registry.put(name, "component", &[(WASM, component)]).await;
    registry.put(name, "native", &[("application/vnd.oci.image.layer.v1.tar", b"native")]).await;
    let entry = |of: &str, bytes: &[u8], architecture: &str| {
        let mut entry = descriptor(MANIFEST, manifest(&[descriptor(of, bytes)]).to_string().as_bytes());
        entry["platform"] = json!({ "architecture": architecture, "os": "x" });
        entry
    };
    let native = entry("application/vnd.oci.image.layer.v1.tar", b"native", "amd64");
    let manifests = json!([native, entry(WASM, component, "wasm")]);
    registry.put_manifest(name, tag, &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests })).await
}

/// What cosign signs is what the tag names, which is an index here; by a signature of version 2, and of version 3.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_an_index_counts_for_what_it_lists() {
    let registry = Registry::start().await;
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut sites = Vec::new();
    for name in ["org/two", "org/three"] {
        let index = put_index(&registry, name, "1", &first()).await;
        let sign_by = async |key: &KeyPair| match name {
            "org/two" => sign(&registry, name, &index, &index, key).await,
            _ => attach(&registry, name, &index, &[bundle(&index, SIGN, key)]).await,
        };
        let site = Site::new().config(&trusting(&registry.at(&format!("{name}:1")), &key));
        let shown = done(&site, &["update"]);
        assert!(
            shown.contains("nobody has signed sha256:") && shown.contains(&format!("index      {index}")),
            "{shown}"
        );
        sign_by(&other).await;
        std::fs::remove_file(site.path().join("tinymcp.lock")).unwrap();
        assert!(done(&site, &["update"]).contains("the index that lists it: none of the signatures"), "{name}");
        sign_by(&key).await;
        done(&site, &["update"]);
        assert_eq!(problem(&site), "", "{name}");
        sites.push((site, index));
    }
    // By the digest of the index, and with the lock of another machine.
    let (two, index) = &sites[0];
    let by_digest = Site::new().config(&trusting(&registry.at(&format!("org/two@{index}")), &key));
    assert!(done(&by_digest, &["update"]).contains("signed by the key of `trust`"));
    let elsewhere = Site::new().config(&trusting(&registry.at("org/two:1"), &key));
    let lock = std::fs::read_to_string(two.path().join("tinymcp.lock")).unwrap();
    std::fs::write(elsewhere.path().join("tinymcp.lock"), &lock).unwrap();
    let server = elsewhere.start().await;
    Client::modern(&server).wait_for_tools(&V1).await;
    let elsewhere = server.kill();

    // A genuine signature, of an index that does not list what is locked.
    let unsigned = put_index(&registry, "org/two", "2", &second()).await;
    sign(&registry, "org/two", &unsigned, index, &key).await;
    let moved = Site::new().config(&trusting(&registry.at("org/two:2"), &key));
    assert!(done(&moved, &["update"]).contains("has signed another artifact than"));
    assert!(problem(&moved).contains("has signed another artifact than"), "{}", problem(&moved));
    let path = moved.path().join("tinymcp.lock");
    let lock = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, lock.replace(&unsigned, index)).unwrap();
    let server = moved.start().await;
    server.log.wait_for("it does not list sha256:").await;
    assert!(Client::modern(&server).tool_names().await.is_empty());

    // No registry is needed, and what is kept is looked at again.
    drop(registry);
    for (site, _) in sites {
        let server = site.start().await;
        assert_eq!(Client::modern(&server).tool_names().await, V1);
    }
    let kept = tinymcp_tests::registry::files(&elsewhere.path().join(".tinymcp/pulled"));
    let kept = kept.iter().find(|file| file.ends_with("index.json")).expect("the index is kept");
    let path = elsewhere.path().join(".tinymcp/pulled").join(kept);
    std::fs::write(path, "{}").unwrap();
    assert!(problem(&elsewhere).contains("the key of `trust` has signed another artifact"), "{}", problem(&elsewhere));
}

#[test]
fn a_key_of_cosign_is_for_what_comes_from_a_registry() {
    let key = KeyPair::generate().unwrap().public_key_pem();
    let site = Site::new().config(&format!("[plugin.weather]\ntrust = {{ cosign = \"\"\"\n{key}\"\"\" }}\n"));
    let said = site.run(&["check"]);
    assert!(said.code != 0 && said.stderr.contains("`cosign` is for a plugin that comes from a registry"), "{said:?}");
    let site = Site::new().config("[plugin.weather]\ntrust = { cosign = \"cosign.pub\" }\n");
    let said = site.run(&["check"]);
    assert!(said.code != 0 && said.stderr.contains("expected a public key of cosign"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_minisign_travels_with_its_file() {
    use std::process::{Command, Stdio};
    let registry = Registry::start().await;
    let author = Site::new().plugin("weather", &first());
    let minisign = |arguments: &[&str]| {
        let mut command = Command::new("minisign");
        command.current_dir(author.path()).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().expect("minisign: run `tests/setup/system`").success());
    };
    minisign(&["-G", "-W", "-p", "key.pub", "-s", "key.sec"]);
    minisign(&["-S", "-s", "key.sec", "-m", "plugins/weather.wasm", "-t", "plugin:weather version:1"]);
    let public = std::fs::read_to_string(author.path().join("key.pub")).unwrap();
    let key = public.lines().nth(1).unwrap();
    let to = registry.at("org/weather:1");
    done(&author, &["push", "plugins/weather.wasm", &to]);
    let site = Site::new().config(&format!("{}trust = {{ minisign = \"{key}\" }}\n", from(&to)));
    done(&site, &["update"]);
    let listed = run(&site, &["list"]);
    assert!(listed.stdout.contains(V1[0]), "{listed:?}");
    // The same without its signature.
    registry.put("org/weather", "1", &[(WASM, &first())]).await;
    done(&site, &["update"]);
    assert!(problem(&site).contains("`trust` demands a signature"), "{}", problem(&site));
}
