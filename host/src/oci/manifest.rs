//! What a registry says of an artifact: manifests and indexes (OCI Image Specification 1.1), and the layers that are a plugin.
//!
//! A descriptor is read for its type, digest, size and platform. Its `urls` and its annotations, titles among them, are not
//! even fields here.

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::error::OciError;

/// Bytes of a manifest: registries take 4 MiB at most, and that of a plugin has less than a thousand.
pub(crate) const MAX_MANIFEST_BYTES: usize = 1024 * 1024;

/// Bytes of a policy layer that is shown.
pub(crate) const MAX_POLICY_BYTES: u64 = 64 * 1024;

/// Bytes of a signature of minisign.
pub(crate) const MAX_MINISIG_BYTES: u64 = 8 * 1024;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What is asked for in the place of a tag.
pub(crate) const MANIFEST_TYPES: [&str; 4] = [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST];

/// The configuration of an artifact of WebAssembly (CNCF, Wasm OCI Artifact layout).
pub(crate) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// The layer of that layout.
pub(crate) const WASM_LAYER: &str = "application/wasm";

/// Layers that are a component: that of the CNCF, and older ones that Wassette and `wasm-to-oci` have written.
const WASM_LAYERS: [&str; 4] = [
    WASM_LAYER,
    "application/vnd.wasm.component.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
];

/// Layers with what a component asks to be allowed, by Wassette.
const POLICY_LAYERS: [&str; 2] = ["application/vnd.wasm.policy.v1+yaml", "application/vnd.wassette.policy+yaml"];

/// The layer with the signature of minisign that `tinymcp push` adds.
pub(crate) const MINISIG_LAYER: &str = "application/vnd.tinymcp.minisig";

/// Something that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact {
    pub(crate) component: Descriptor,
    pub(crate) policy: Option<Descriptor>,
    pub(crate) minisig: Option<Descriptor>,
}

/// What has a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    Artifact(Artifact),
    /// A list of artifacts, with the one that is for WebAssembly.
    Index(Descriptor),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unchecked {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    layers: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    manifests: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    config: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
}

/// True for a JSON object: a list would be read as one too, field by field.
pub(super) fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}

/// Reads a manifest or an index.
///
/// # Errors
/// What is not as it has to be, with what was found.
pub(crate) fn read(bytes: &[u8], name: &str) -> Result<Document, OciError> {
    match parts(bytes, name)? {
        Parts::Layers(layers) => artifact(&layers, name).map(Document::Artifact),
        Parts::Manifests(manifests) => of_index(&manifests, name).map(Document::Index),
    }
}

/// True for an index that lists this manifest.
pub(crate) fn lists(index: &[u8], manifest: &Digest) -> bool {
    let Ok(Parts::Manifests(entries)) = parts(index, "") else { return false };
    entries.iter().any(|entry| descriptor(entry, "").is_ok_and(|entry| entry.digest == *manifest))
}

/// What a document is made of.
enum Parts {
    Layers(Vec<serde_json::Value>),
    Manifests(Vec<serde_json::Value>),
}

fn parts(bytes: &[u8], name: &str) -> Result<Parts, OciError> {
    let wrong = |what: &str| OciError::Manifest(format!("`{name}` {what}"));
    let unchecked: Unchecked =
        serde_json::from_slice(bytes).map_err(|_| wrong("has no manifest of version 2 (image specification)"))?;
    if unchecked.schema_version != 2 || !is_object(bytes) {
        return Err(wrong("has no manifest of version 2 (image specification)"));
    }
    if unchecked.media_type.as_deref().is_some_and(|of| !MANIFEST_TYPES.contains(&of)) {
        return Err(wrong("is neither a manifest nor an index"));
    }
    match (unchecked.layers, unchecked.manifests) {
        // A document that can be read as either is a trick to have two people see two things.
        (Some(layers), None) if unchecked.config.is_some() => Ok(Parts::Layers(layers)),
        (None, Some(manifests)) if unchecked.config.is_none() => Ok(Parts::Manifests(manifests)),
        _ => Err(wrong("is neither a manifest nor an index")),
    }
}

fn artifact(layers: &[serde_json::Value], name: &str) -> Result<Artifact, OciError> {
    let wrong = |what: String| OciError::Manifest(format!("`{name}` {what}"));
    let only = |types: &[&str], what: &str| {
        let mut found = layers.iter().filter(|layer| media_type(layer).is_some_and(|of| types.contains(&of)));
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(layer), None) => descriptor(layer, name).map(Some),
            (Some(_), Some(_)) => Err(wrong(format!("has several {what}"))),
        }
    };
    let Some(component) = only(&WASM_LAYERS, "components")? else {
        let found: Vec<&str> = layers.iter().filter_map(media_type).take(5).collect();
        let found = crate::sanitize::cut(&crate::sanitize::escape(&found.join(", ")), 200);
        return Err(wrong(format!(
            "is no plugin: it has no layer of the type `{WASM_LAYER}`{}",
            if found.is_empty() { String::new() } else { format!(", but {found}") }
        )));
    };
    let policy = only(&POLICY_LAYERS, "policies")?.filter(|policy| policy.size <= MAX_POLICY_BYTES);
    let minisig = only(&[MINISIG_LAYER], "signatures")?;
    if minisig.as_ref().is_some_and(|minisig| minisig.size > MAX_MINISIG_BYTES) {
        return Err(wrong("has a signature that is larger than any".to_owned()));
    }
    Ok(Artifact { component, policy, minisig })
}

/// The artifact of an index: the only one, or the only one for WebAssembly.
fn of_index(manifests: &[serde_json::Value], name: &str) -> Result<Descriptor, OciError> {
    let is_wasm = |entry: &&serde_json::Value| {
        let platform = entry.get("platform").and_then(|platform| Platform::deserialize(platform).ok());
        platform.is_some_and(|platform| platform.architecture == "wasm")
    };
    let for_wasm: Vec<&serde_json::Value> = manifests.iter().filter(is_wasm).collect();
    match (manifests, for_wasm.as_slice()) {
        ([only], _) => descriptor(only, name),
        (_, [only]) => descriptor(only, name),
        (all, some) => Err(OciError::Manifest(format!(
            "`{name}` is an index of {} artifacts, of which {} are for the architecture `wasm`: name one of them by its digest, `oci://…@sha256:…`",
            all.len(),
            some.len()
        ))),
    }
}

fn media_type(layer: &serde_json::Value) -> Option<&str> {
    layer.get("mediaType")?.as_str()
}

fn descriptor(value: &serde_json::Value, name: &str) -> Result<Descriptor, OciError> {
    Descriptor::deserialize(value).map_err(|_| {
        OciError::Manifest(format!(
            "`{name}` names something without a type, a size and a digest of sha256 or sha512: nothing else is trusted"
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn layer(of: &str, size: u64) -> Value {
        json!({ "mediaType": of, "size": size, "digest": Digest::of(b"x"), "urls": ["http://169.254.169.254/"], "annotations": { "org.opencontainers.image.title": "../../../etc/passwd" } })
    }

    fn manifest(layers: &[Value]) -> Vec<u8> {
        let config = json!({ "mediaType": WASM_CONFIG, "size": 2, "digest": Digest::of(b"{}") });
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers })
            .to_string()
            .into_bytes()
    }

    fn problem(bytes: &[u8]) -> String {
        read(bytes, "x").unwrap_err().to_string()
    }

    #[test]
    fn the_component_is_found_by_its_type() {
        for of in WASM_LAYERS {
            let bytes = manifest(&[layer("text/plain", 1), layer(POLICY_LAYERS[1], 3), layer(of, 7)]);
            let Document::Artifact(artifact) = read(&bytes, "x").unwrap() else { panic!("an artifact") };
            assert_eq!((artifact.component.size, artifact.policy.unwrap().size), (7, 3));
        }
        assert!(problem(&manifest(&[layer(WASM_LAYER, 1), layer(WASM_LAYERS[1], 1)])).contains("several components"));
        assert!(
            problem(&manifest(&[layer("application/vnd.oci.image.layer.v1.tar+gzip", 1)])).contains("is no plugin")
        );
        assert!(problem(&manifest(&[])).contains("is no plugin"));
    }

    #[test]
    fn digests_of_other_algorithms_are_refused() {
        let mut weak = layer(WASM_LAYER, 1);
        weak["digest"] = json!("md5:00000000000000000000000000000000");
        assert!(problem(&manifest(&[weak])).contains("sha256 or sha512"));
        let mut negative = layer(WASM_LAYER, 1);
        negative["size"] = json!(-1);
        assert!(problem(&manifest(&[negative])).contains("a size"));
    }

    #[test]
    fn an_index_has_one_for_webassembly() {
        let entry = |architecture: &str| {
            let mut entry = layer(MANIFEST, 9);
            entry["platform"] = json!({ "architecture": architecture, "os": "wasip2" });
            entry
        };
        let index = |manifests: &[Value]| {
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string().into_bytes()
        };
        for good in [index(&[layer(MANIFEST, 9)]), index(&[entry("amd64"), entry("wasm")])] {
            assert!(matches!(read(&good, "x"), Ok(Document::Index(found)) if found.size == 9));
        }
        for bad in [index(&[]), index(&[entry("wasm"), entry("wasm")]), index(&[entry("amd64"), entry("arm64")])] {
            assert!(problem(&bad).contains("is an index of"), "{}", problem(&bad));
        }
    }

    #[test]
    fn an_index_lists_what_it_names_and_a_manifest_lists_nothing() {
        let entry = layer(MANIFEST, 9);
        let listed: Digest = entry["digest"].as_str().unwrap().parse().unwrap();
        let index = json!({ "schemaVersion": 2, "manifests": [layer(MANIFEST, 1), entry] });
        assert!(lists(index.to_string().as_bytes(), &listed));
        assert!(!lists(index.to_string().as_bytes(), &Digest::of(b"another")));
        let mut both = index;
        both["layers"] = json!([]);
        both["config"] = json!({});
        for none in [both.to_string().as_bytes(), &manifest(&[entry]), b"{}", b""] {
            assert!(!lists(none, &listed));
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let mut both: Value = serde_json::from_slice(&manifest(&[layer(WASM_LAYER, 1)])).unwrap();
        both["manifests"] = json!([layer(MANIFEST, 9)]);
        assert!(problem(both.to_string().as_bytes()).contains("neither"));
        for wrong in [
            "",
            "[]",
            "{}",
            "{\"schemaVersion\":1}",
            "{\"schemaVersion\":2}",
            "{\"schemaVersion\":2,\"mediaType\":\"text/html\",\"config\":{},\"layers\":[]}",
        ] {
            assert!(read(wrong.as_bytes(), "x").is_err(), "{wrong}");
        }
    }
}
