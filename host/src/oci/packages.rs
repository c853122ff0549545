//! The registry of a package: `.well-known/wasm-pkg/registry.json` of the host that the operator named for its namespace, and
//! the tags there (the layout of `wkg`).

use serde::Deserialize;

use super::client::{Action, Ask, Client};
use super::error::OciError;
use super::manifest::is_object;
use super::reference::{Package, Reference, Repository, Version, host_of};

const WELL_KNOWN: &str = "/.well-known/wasm-pkg/registry.json";

/// Bytes of that document.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// Bytes of one list of tags.
const MAX_TAGS_BYTES: usize = 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WellKnown {
    #[serde(default)]
    oci: Option<Oci>,
    /// The same as older versions of `wkg` have it.
    #[serde(default)]
    oci_registry: Option<String>,
    #[serde(default)]
    oci_namespace_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Oci {
    #[serde(default)]
    registry: Option<String>,
    #[serde(default)]
    namespace_prefix: Option<String>,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// Finds the artifact of a package.
pub(super) async fn find(client: &Client, package: &Package) -> Result<Reference, OciError> {
    let host = client.registries.of_namespace(&package.namespace)?;
    let document = client.document(host, WELL_KNOWN, MAX_DOCUMENT_BYTES).await?;
    let repository = repository(&document, host, package)?;
    let ask = Ask::get("tags/list".to_owned(), &["application/json"]);
    let answer = client.ask(&repository.host, &repository, Action::Pull, &ask).await?;
    let bytes = client.whole(&repository.host, answer, MAX_TAGS_BYTES).await?;
    let tags: Tags = serde_json::from_slice(&bytes)
        .map_err(|_| OciError::Package(format!("the list of versions of `{repository}` cannot be read")))?;
    let tag = newest(tags.tags.unwrap_or_default(), &package.version)
        .ok_or_else(|| OciError::NotFound { repository: repository.to_string(), what: package.version.clone() })?;
    Ok(Reference { repository, version: Version::Tag(tag) })
}

fn repository(document: &[u8], host: &str, package: &Package) -> Result<Repository, OciError> {
    let wrong = |what: &str| OciError::Package(format!("{WELL_KNOWN} of `{host}` {what}"));
    let read: WellKnown = serde_json::from_slice(document).map_err(|_| wrong("cannot be read"))?;
    if !is_object(document) {
        return Err(wrong("cannot be read"));
    }
    let (registry, prefix) = match read.oci {
        Some(oci) => (oci.registry, oci.namespace_prefix),
        None => (read.oci_registry, read.oci_namespace_prefix),
    };
    let registry = registry.unwrap_or_else(|| host.to_owned());
    let registry = host_of(&registry).map_err(|_| wrong("names no registry"))?;
    let name = format!("{}{}/{}", prefix.unwrap_or_default(), package.namespace, package.name);
    format!("{registry}/{name}").parse().map_err(|_| wrong("names no repository"))
}

/// The tag that is the version, or the newest of those that begin with it and are no pre-release.
fn newest(tags: Vec<String>, version: &str) -> Option<String> {
    if tags.iter().any(|tag| tag == version) {
        return Some(version.to_owned());
    }
    let numbers = |tag: &str| -> Option<Vec<u64>> {
        let rest = tag.strip_prefix(version)?.strip_prefix('.')?;
        rest.split('.').map(|part| part.parse().ok()).collect()
    };
    let found = tags.into_iter().filter_map(|tag| Some((numbers(&tag)?, tag)));
    found.max().map(|(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_where_the_document_says() {
        let package: Package = "acme:weather@1.2".parse().unwrap();
        let of = |document: &str| repository(document.as_bytes(), "acme.example", &package);
        for (document, expected) in [
            (
                r#"{"preferredProtocol":"oci","oci":{"registry":"registry.example","namespacePrefix":"wasm/"}}"#,
                "registry.example/wasm/acme/weather",
            ),
            (r#"{"ociRegistry":"registry.example:5000"}"#, "registry.example:5000/acme/weather"),
            ("{}", "acme.example/acme/weather"),
        ] {
            assert_eq!(of(document).unwrap().to_string(), expected);
        }
        for wrong in [
            "",
            "[]",
            r#"{"oci":{"registry":"a/b"}}"#,
            r#"{"oci":{"registry":"a@b"}}"#,
            r#"{"oci":{"namespacePrefix":"../"}}"#,
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_beginning_of_a_version_is_the_newest() {
        let tags =
            || ["1.2.3", "1.2.10", "1.2.11-rc.1", "1.20.0", "1.3.0", "2.0.0", "latest"].map(str::to_owned).to_vec();
        for (version, expected) in [
            ("1.2", Some("1.2.10")),
            ("1", Some("1.20.0")),
            ("1.2.3", Some("1.2.3")),
            ("1.2.11-rc.1", Some("1.2.11-rc.1")),
            ("3", None),
            ("1.", None),
        ] {
            assert_eq!(newest(tags(), version).as_deref(), expected, "{version}");
        }
    }
}
