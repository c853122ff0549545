//! `trust` for what comes from a registry: cosign by a key, and minisign through the registry.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, SigningKey};
use serde_json::json;
use tinymcp_tests::client::Client;
use tinymcp_tests::registry::{MANIFEST, Registry, WASM, descriptor};
use tinymcp_tests::server::Site;

use super::{V1, done, first, from, problem, run, second};

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// Signs a manifest as `cosign sign --key` does.
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

#[test]
fn a_key_of_cosign_is_for_what_comes_from_a_registry() {
    let key = KeyPair::generate().unwrap().public_key_pem();
    let site = Site::new().config(&format!("[plugin.weather]\ntrust = {{ cosign = \"\"\"\n{key}\"\"\" }}\n"));
    let said = site.run(&["check"]);
    assert!(
        said.code != 0 && said.stderr.contains("a key of cosign is for a plugin that comes from a registry"),
        "{said:?}"
    );
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
