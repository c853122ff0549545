//! Publishing: the same component gives the same manifest, on every machine and at every time.
//!
//! The layout is that of the CNCF for components: one layer `application/wasm` under a configuration
//! `application/vnd.wasm.config.v0+json`. Whatever would differ between two runs (the time, the author, the file's name) is left
//! out or fixed.

use bytes::Bytes;
use http::header::LOCATION;
use http::{Method, StatusCode};
use serde::Serialize;

use super::client::{Action, Ask, Client};
use super::digest::Digest;
use super::error::OciError;
use super::manifest::{Descriptor, MANIFEST, MINISIG_LAYER, WASM_CONFIG, WASM_LAYER};
use super::reference::{Reference, Repository, Version};
use super::registries::is_same_server;

/// The time of every artifact: the specification wants one.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// What is published.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    pub(crate) component: Bytes,
    /// Names of interfaces, as a component declares them.
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    /// The signature of minisign that is to go with it.
    pub(crate) minisig: Option<Bytes>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: &'static str,
    architecture: &'static str,
    os: &'static str,
    layer_digests: Vec<Digest>,
    component: Component<'a>,
}

#[derive(Serialize)]
struct Component<'a> {
    exports: &'a [String],
    imports: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// A publication as it is sent.
struct Rendered {
    blobs: Vec<(Digest, Bytes)>,
    manifest: Bytes,
}

fn render(publication: &Publication) -> Result<Rendered, OciError> {
    let of = |media_type: &str, bytes: &Bytes| Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
    };
    let layers = [(WASM_LAYER, Some(&publication.component)), (MINISIG_LAYER, publication.minisig.as_ref())];
    let layers: Vec<(Descriptor, Bytes)> =
        layers.into_iter().filter_map(|(name, bytes)| bytes.map(|bytes| (of(name, bytes), bytes.clone()))).collect();
    let config = Config {
        created: CREATED,
        architecture: "wasm",
        os: "wasip2",
        layer_digests: layers.iter().map(|(layer, _)| layer.digest.clone()).collect(),
        component: Component { exports: &publication.exports, imports: &publication.imports },
    };
    let failed = |error: serde_json::Error| OciError::Manifest(error.to_string());
    let config_bytes = Bytes::from(serde_json::to_vec(&config).map_err(failed)?);
    let config = of(WASM_CONFIG, &config_bytes);
    let mut blobs = vec![(config.digest.clone(), config_bytes)];
    blobs.extend(layers.iter().map(|(layer, bytes)| (layer.digest.clone(), bytes.clone())));
    let layers = layers.into_iter().map(|(layer, _)| layer).collect();
    let manifest = Manifest { schema_version: 2, media_type: MANIFEST, config, layers };
    Ok(Rendered { blobs, manifest: Bytes::from(serde_json::to_vec(&manifest).map_err(failed)?) })
}

impl Client {
    /// Publishes a component under a tag, and returns the digest of its manifest.
    ///
    /// # Errors
    /// [`OciError`]. What was sent before an error is garbage that the registry collects.
    pub(crate) async fn push(&self, to: &Reference, publication: &Publication) -> Result<Digest, OciError> {
        let Version::Tag(tag) = &to.version else {
            return Err(OciError::Manifest(format!("`{to}` names a digest: what is published gets a tag")));
        };
        let rendered = render(publication)?;
        for (digest, bytes) in rendered.blobs {
            self.push_blob(&to.repository, &digest, bytes).await?;
        }
        let digest = Digest::of(&rendered.manifest);
        let ask = Ask {
            method: Method::PUT,
            path: format!("manifests/{tag}"),
            accept: &[],
            content_type: Some(MANIFEST),
            body: rendered.manifest,
        };
        self.ask(&to.repository.host, &to.repository, Action::Push, &ask).await?;
        Ok(digest)
    }

    /// Sends a blob in one piece, unless the registry has it.
    async fn push_blob(&self, repository: &Repository, digest: &Digest, bytes: Bytes) -> Result<(), OciError> {
        let host = repository.host.as_str();
        let head = Ask { method: Method::HEAD, ..Ask::get(format!("blobs/{digest}"), &["*/*"]) };
        match self.ask(host, repository, Action::Push, &head).await {
            Ok(_) => return Ok(()),
            Err(OciError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let begin = Ask { method: Method::POST, ..Ask::get("blobs/uploads/".to_owned(), &[]) };
        let begun = self.ask(host, repository, Action::Push, &begin).await?;
        let base = self.registries.url(host, &format!("/v2/{}/blobs/uploads/", repository.name))?;
        let location = begun.headers().get(LOCATION).and_then(|to| to.to_str().ok());
        let Some(mut url) = location.and_then(|to| base.join(to).ok()) else {
            let status = StatusCode::ACCEPTED;
            let said = " and says no place for an upload".to_owned();
            return Err(OciError::Status { host: host.to_owned(), status, said });
        };
        if !is_same_server(&base, &url) {
            let to = crate::sanitize::cut(&crate::sanitize::escape(url.host_str().unwrap_or_default()), 255);
            let why = "another server, with an upload: it is sent to the registry itself alone";
            return Err(OciError::Redirect { host: host.to_owned(), to, why });
        }
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let put = Ask {
            method: Method::PUT,
            path: String::new(),
            accept: &[],
            content_type: Some("application/octet-stream"),
            body: bytes,
        };
        self.ask_at(host, repository, Action::Push, url, &put).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::manifest::{self, Document};

    #[test]
    fn a_publication_is_the_same_every_time_and_is_a_plugin() {
        let publication = Publication {
            component: Bytes::from_static(b"\0asm"),
            imports: vec!["wasi:clocks/wall-clock@0.2.0".to_owned()],
            exports: Vec::new(),
            minisig: Some(Bytes::from_static(b"signature")),
        };
        let rendered = render(&publication).unwrap();
        let digest = Digest::of(&rendered.manifest).to_string();
        assert_eq!(digest, Digest::of(&render(&publication).unwrap().manifest).to_string());
        let Document::Artifact(artifact) = manifest::read(&rendered.manifest, "x").unwrap() else {
            panic!("an artifact")
        };
        assert_eq!(artifact.component.digest, Digest::of(b"\0asm"));
        assert_eq!(artifact.minisig.map(|minisig| minisig.size), Some(9));
        let config = String::from_utf8(rendered.blobs[0].1.to_vec()).unwrap();
        assert!(
            config.starts_with(
                r#"{"created":"1970-01-01T00:00:00Z","architecture":"wasm","os":"wasip2","layerDigests":["#
            ),
            "{config}"
        );
    }
}
