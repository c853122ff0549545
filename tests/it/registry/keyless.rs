//! `trust` for what is signed with cosign without a key, by a Sigstore of one's own.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;
use tinymcp_tests::registry::{Registry, WASM};
use tinymcp_tests::server::Site;

use super::signed::{attach, put_index};
use super::sigstore::{SIGN, Sigstore};
use super::{V1, done, first, from, problem, second};

const WORKFLOW: &str = "https://github.com/acme/weather/.github/workflows/release.yml@refs/tags/v1.2";
const WORKFLOWS: &str = "https://github.com/acme/weather/.github/workflows/release.yml@refs/tags/*";
const ISSUER: &str = "https://token.example";
const SIGNER: (&str, &str) = (WORKFLOW, ISSUER);

const DAY_S: u64 = 24 * 60 * 60;

fn trusting(reference: &str, identity: &str, issuer: &str) -> String {
    let signer = format!(r#"identity = "{identity}", issuer = "{issuer}", trusted_root = "trusted_root.json""#);
    format!("{}trust = {{ cosign = {{ {signer} }} }}\n", from(reference))
}

fn put_root(site: &Site, sigstore: &Sigstore) {
    std::fs::write(site.path().join("trusted_root.json"), sigstore.trusted_root().to_string()).unwrap();
}

/// Attaches bundles to a manifest, in place of those before.
async fn attach_all(registry: &Registry, signed: &str, bundles: &[Value]) {
    let bundles: Vec<Vec<u8>> = bundles.iter().map(|bundle| bundle.to_string().into_bytes()).collect();
    attach(registry, "org/weather", signed, &bundles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_identity_has_signed_is_served() {
    let registry = Registry::start().await;
    let (ours, theirs) = (Sigstore::new(), Sigstore::new());
    let reference = registry.at("org/weather:1");
    let signed = registry.put("org/weather", "1", &[(WASM, &first())]).await;
    let another = registry.put("org/weather", "2", &[(WASM, &second())]).await;
    let site = Site::new().config(&trusting(&reference, WORKFLOWS, ISSUER));
    put_root(&site, &ours);

    let elsewhere = "https://github.com/mallory/weather/.github/workflows/release.yml@refs/tags/v1.2";
    let branch = "https://github.com/acme/weather/.github/workflows/release.yml@refs/heads/main";
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut bundle = ours.bundle(SIGNER, &signed, SIGN);
        change(&mut bundle["verificationMaterial"]);
        bundle
    };
    let cases: Vec<(Vec<Value>, String)> = vec![
        (vec![], "nobody has signed sha256:".to_owned()),
        (
            vec![ours.bundle((elsewhere, ISSUER), &signed, SIGN)],
            format!("it is signed by `{elsewhere}` (issuer `{ISSUER}`)"),
        ),
        (vec![ours.bundle((branch, ISSUER), &signed, SIGN)], format!("it is signed by `{branch}`")),
        (
            vec![ours.bundle((WORKFLOW, "https://token.example.org"), &signed, SIGN)],
            format!("it is signed by `{WORKFLOW}` (issuer `https://token.example.org`)"),
        ),
        // With nothing wrong but the authority and the logs.
        (vec![theirs.bundle(SIGNER, &signed, SIGN)], "no log of the trusted root vouches for it".to_owned()),
        (vec![changed(&|material| material["tlogEntries"] = json!([]))], "its bundle has no proof of a log".to_owned()),
        (
            vec![changed(&|material| {
                material["tlogEntries"][0].as_object_mut().unwrap().remove("inclusionProof");
            })],
            "its bundle has no proof of a log".to_owned(),
        ),
        (
            vec![changed(&|material| {
                let bundle = ours.bundle(SIGNER, &signed, SIGN);
                material["tlogEntries"] = bundle["verificationMaterial"]["tlogEntries"].clone();
            })],
            "its entry in the log is of something else".to_owned(),
        ),
        (
            vec![changed(&|material| material["tlogEntries"][0]["integratedTime"] = json!("1704110401"))],
            "no log of the trusted root vouches for it".to_owned(),
        ),
        // Whoever has found the key of a certificate that is no more valid.
        (
            vec![ours.bundle_at(SIGNER, &signed, SIGN, 1_704_110_400 + DAY_S)],
            "no authority of the trusted root gave it a certificate for that time".to_owned(),
        ),
        (vec![ours.bundle(SIGNER, &another, SIGN)], "a signature of another artifact".to_owned()),
        (
            vec![ours.bundle(SIGNER, &signed, "https://slsa.dev/provenance/v1")],
            format!("what `{WORKFLOW}` says of it is `https://slsa.dev/provenance/v1`, and no signature"),
        ),
    ];
    let mut attached = Vec::new();
    for (bundles, said) in cases {
        if !bundles.is_empty() {
            attach_all(&registry, &signed, &bundles).await;
        }
        let _ = std::fs::remove_file(site.path().join("tinymcp.lock"));
        let shown = done(&site, &["update"]);
        assert!(shown.contains("is not served: ") && shown.contains(&said), "{said}\n{shown}");
        assert!(problem(&site).contains(&said), "{}", problem(&site));
        attached.extend(bundles);
    }
    // Among all of these.
    attached.push(ours.bundle(SIGNER, &signed, SIGN));
    attach_all(&registry, &signed, &attached).await;
    std::fs::remove_file(site.path().join("tinymcp.lock")).unwrap();
    let shown = done(&site, &["update"]);
    assert!(shown.contains(&format!("signed by `{WORKFLOWS}` (issuer `{ISSUER}`)")), "{shown}");
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
    // The bundle is kept: no registry is needed. It is verified again all the same.
    drop(registry);
    let server = server.kill().start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
    let site = server.kill();
    put_root(&site, &Sigstore::new());
    assert!(problem(&site).contains("nobody that `trust` names has signed"), "{}", problem(&site));
    put_root(&site, &ours);
    assert_eq!(problem(&site), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_the_identity_has_signed_counts_for_what_it_lists() {
    let registry = Registry::start().await;
    let ours = Sigstore::new();
    let index = put_index(&registry, "org/weather", "1", &first()).await;
    let site = Site::new().config(&trusting(&registry.at("org/weather:1"), WORKFLOWS, ISSUER));
    put_root(&site, &ours);
    let branch = "https://github.com/acme/weather/.github/workflows/release.yml@refs/heads/main";
    attach_all(&registry, &index, &[ours.bundle((branch, ISSUER), &index, SIGN)]).await;
    let shown = done(&site, &["update"]);
    assert!(shown.contains(&format!("it is signed by `{branch}`")), "{shown}");
    attach_all(&registry, &index, &[ours.bundle(SIGNER, &index, SIGN)]).await;
    std::fs::remove_file(site.path().join("tinymcp.lock")).unwrap();
    let shown = done(&site, &["update"]);
    assert!(shown.contains(&format!("signed by `{WORKFLOWS}` (issuer `{ISSUER}`)")), "{shown}");
    drop(registry);
    let server = site.start().await;
    assert_eq!(Client::modern(&server).tool_names().await, V1);
}

/// Each part of the root counts by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_without_one_of_its_parts_verifies_nothing() {
    let registry = Registry::start().await;
    let (ours, theirs) = (Sigstore::new(), Sigstore::new());
    let signed = registry.put("org/weather", "1", &[(WASM, &first())]).await;
    let site = Site::new().config(&trusting(&registry.at("org/weather:1"), WORKFLOW, ISSUER));
    put_root(&site, &ours);
    attach_all(&registry, &signed, &[ours.bundle(SIGNER, &signed, SIGN)]).await;
    let shown = done(&site, &["update"]);
    assert!(shown.contains(&format!("signed by `{WORKFLOW}`")), "{shown}");
    for (part, said) in [
        ("tlogs", "no log of the trusted root vouches for it"),
        ("certificateAuthorities", "no authority of the trusted root gave it a certificate for that time"),
        ("ctlogs", "its certificate is in no log of certificates of the trusted root"),
    ] {
        let mut root = ours.trusted_root();
        root[part] = theirs.trusted_root()[part].clone();
        std::fs::write(site.path().join("trusted_root.json"), root.to_string()).unwrap();
        assert!(problem(&site).contains(said), "{part}: {}", problem(&site));
    }
}

/// A file of what is trusted that changes is taken over while the server runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_takes_over_another_root() {
    let registry = Registry::start().await;
    let (ours, theirs) = (Sigstore::new(), Sigstore::new());
    let signed = registry.put("org/weather", "1", &[(WASM, &first())]).await;
    let site = Site::new().config(&trusting(&registry.at("org/weather:1"), WORKFLOW, ISSUER));
    put_root(&site, &theirs);
    attach_all(&registry, &signed, &[ours.bundle(SIGNER, &signed, SIGN)]).await;
    done(&site, &["update"]);
    let server = site.start().await;
    let client = Client::modern(&server);
    assert!(client.tool_names().await.is_empty());
    put_root(server.site(), &ours);
    client.wait_for_tools(&V1).await;
}

#[test]
fn a_signer_without_a_key_is_written_whole() {
    let ours = Sigstore::new();
    let check = |trust: &str| {
        let site = Site::new().config(&format!("[plugin.weather]\nfrom = \"oci://x.example/a:1\"\ntrust = {trust}\n"));
        put_root(&site, &ours);
        let mut root = ours.trusted_root();
        root["ctlogs"] = json!([]);
        std::fs::write(site.path().join("without-ctlogs.json"), root.to_string()).unwrap();
        site.run(&["check"])
    };
    let whole = format!(r#"identity = "{WORKFLOWS}", issuer = "{ISSUER}""#);
    for right in ["", r#", trusted_root = "trusted_root.json""#] {
        let said = check(&format!("{{ cosign = {{ {whole}{right} }} }}"));
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stdout.contains(WORKFLOWS), "{said:?}");
    }
    for (wrong, expected) in [
        (format!(r#"{{ identity = "{WORKFLOW}" }}"#), "it needs both `identity` and `issuer`"),
        (format!(r#"{{ issuer = "{ISSUER}" }}"#), "it needs both `identity` and `issuer`"),
        ("{}".to_owned(), "it needs both `identity` and `issuer`"),
        (format!(r#"{{ identity = "*", issuer = "{ISSUER}" }}"#), "before a `*` there must be a URL"),
        (format!(r#"{{ identity = "https://github.com/*/x", issuer = "{ISSUER}" }}"#), "only stand at the end"),
        (format!(r#"{{ identity = "{WORKFLOW}", issuer = "https://*" }}"#), "expected the URL of one issuer, whole"),
        (format!(r#"{{ identity = "noturl", issuer = "{ISSUER}" }}"#), "plugin.weather.trust.cosign.identity"),
        (format!(r#"{{ identity = "noturl", issuer = "{ISSUER}" }}"#), "expected a URL whole, https://HOST/…"),
        (format!(r#"{{ identity = " ", issuer = "{ISSUER}" }}"#), "neither blanks nor"),
        (format!(r#"{{ identity = "https:///x*", issuer = "{ISSUER}" }}"#), "before a `*` there must be a URL"),
        (format!(r#"{{ identity = "{WORKFLOW}", issuer = "nourl" }}"#), "plugin.weather.trust.cosign.issuer"),
        (format!(r#"{{ identity = "{WORKFLOW}", issuer = "http://id.example" }}"#), "expected the URL of one issuer"),
        (format!(r#"{{ {whole}, trusted_rot = "x" }}"#), "trusted_root"),
        (format!(r#"{{ {whole}, trusted_root = "absent.json" }}"#), "absent.json`: No such file"),
        (format!(r#"{{ {whole}, trusted_root = "tinymcp.toml" }}"#), "it is no trusted root of Sigstore"),
        (format!(r#"{{ {whole}, trusted_root = "without-ctlogs.json" }}"#), "it has no `ctlogs`"),
        ("1".to_owned(), "a public key of cosign, or a table with `identity` and `issuer`"),
    ] {
        let said = check(&format!("{{ cosign = {wrong} }}"));
        assert!(said.code != 0 && said.stderr.contains(expected), "{wrong}: {said:?}");
    }
    let site = Site::new().config(&format!("[plugin.weather]\ntrust = {{ cosign = {{ {whole} }} }}\n"));
    let said = site.run(&["check"]);
    assert!(said.stderr.contains("`cosign` is for a plugin that comes from a registry"), "{said:?}");
}
