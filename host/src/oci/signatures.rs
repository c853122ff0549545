//! Signatures of cosign in a registry. Up to cosign 2 they are at the tag `sha256-….sig` of the repository, a layer for each
//! (Signature specification). From cosign 3 on each is a bundle in an artifact of its own that names what it is about (Bundle
//! specification; OCI Distribution Specification 1.1, referrers). [`super::cosign`] verifies those by a key, and
//! [`super::keyless`] those under a certificate.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::client::{Action, Ask, Client};
use super::cosign::{CosignSignature, Form, STATEMENT_TYPE};
use super::digest::{Algorithm, Digest};
use super::error::OciError;
use super::manifest::{Descriptor, INDEX, MANIFEST, MAX_MANIFEST_BYTES};
use super::reference::{Repository, Version};

const PAYLOAD_LAYER: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// The beginning of the type of a bundle, of any version.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// Bytes of a document that is signed.
const MAX_PAYLOAD_BYTES: u64 = 64 * 1024;

/// The same in base64.
const MAX_PAYLOAD_CHARS: usize = MAX_PAYLOAD_BYTES.div_ceil(3) as usize * 4;

/// Bytes of a bundle: the document, certificates, and what a log says of it.
const MAX_BUNDLE_BYTES: u64 = 256 * 1024;

/// Signatures of one artifact that are looked at, of each kind.
const MAX_SIGNATURES: usize = 32;

#[derive(Deserialize)]
struct SignatureManifest {
    layers: Vec<SignatureLayer>,
}

#[derive(Deserialize)]
struct SignatureLayer {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What is about an artifact.
#[derive(Deserialize)]
struct Referrers {
    manifests: Vec<Referrer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referrer {
    digest: Digest,
    #[serde(default)]
    artifact_type: String,
}

#[derive(Deserialize)]
struct BundleManifest {
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    #[serde(default)]
    verification_material: Material,
    dsse_envelope: Envelope,
}

/// How a bundle says who has signed.
#[derive(Default, Deserialize)]
struct Material {
    #[serde(default)]
    certificate: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

/// The signature of a bundle; none, if it is about something else. Whoever it says has signed is not asked: `trust` tells whether
/// a key or a certificate counts. The whole of it is kept where there is a certificate, which nothing less verifies.
pub(super) fn of_bundle(bytes: &[u8]) -> Option<CosignSignature> {
    let text = std::str::from_utf8(bytes).ok()?;
    let Bundle { verification_material, dsse_envelope } = serde_json::from_str(text).ok()?;
    let Envelope { payload_type, payload, signatures } = dsse_envelope;
    // A bundle has one signature (Sigstore bundle, v0.3).
    let [signature] = <[EnvelopeSignature; 1]>::try_from(signatures).ok()?;
    let is_statement = payload_type == STATEMENT_TYPE && payload.len() <= MAX_PAYLOAD_CHARS;
    let bundle = verification_material.certificate.map(|_| text.to_owned());
    is_statement.then_some(CosignSignature { payload, signature: signature.sig, form: Form::Statement, bundle })
}

impl Client {
    /// The signatures of a manifest; none if nobody has signed it.
    ///
    /// # Errors
    /// [`OciError`].
    pub(crate) async fn signatures(
        &self,
        repository: &Repository,
        manifest: &Digest,
    ) -> Result<Vec<CosignSignature>, OciError> {
        if manifest.algorithm() != Algorithm::Sha256 {
            return Err(OciError::Signature(format!("signatures of cosign are of sha256, and not of {manifest}")));
        }
        let mut signatures = self.tagged(repository, manifest).await?;
        signatures.extend(self.attached(repository, manifest).await?);
        Ok(signatures)
    }

    /// Those at a tag.
    async fn tagged(&self, repository: &Repository, manifest: &Digest) -> Result<Vec<CosignSignature>, OciError> {
        let ask = Ask::get(format!("manifests/{}.sig", manifest.dashed()), &[MANIFEST]);
        let mut bytes = None;
        for host in self.registries.places(&repository.host) {
            bytes = self.found(host, repository, &ask).await?;
            if bytes.is_some() {
                break;
            }
        }
        let Some(bytes) = bytes else { return Ok(Vec::new()) };
        let read: SignatureManifest = serde_json::from_slice(&bytes)
            .map_err(|_| OciError::Signature(format!("the signatures of {manifest} cannot be read")))?;
        let mut signatures = Vec::new();
        let layers = read.layers.iter().filter(|layer| layer.descriptor.media_type == PAYLOAD_LAYER);
        for layer in layers.take(MAX_SIGNATURES) {
            let Some(signature) = layer.annotations.get(SIGNATURE) else { continue };
            let payload = self.small_blob(repository, &layer.descriptor, MAX_PAYLOAD_BYTES).await?;
            let (payload, signature) = (STANDARD.encode(payload), signature.clone());
            signatures.push(CosignSignature { payload, signature, form: Form::Simple, bundle: None });
        }
        Ok(signatures)
    }

    /// Those in artifacts that name the manifest.
    async fn attached(&self, repository: &Repository, manifest: &Digest) -> Result<Vec<CosignSignature>, OciError> {
        let mut bundles = Vec::new();
        for host in self.registries.places(&repository.host) {
            bundles = self.referrers(host, repository, manifest).await?;
            bundles.retain(|referrer| referrer.artifact_type.starts_with(BUNDLE));
            if !bundles.is_empty() {
                break;
            }
        }
        let mut signatures = Vec::new();
        for bundle in bundles.into_iter().take(MAX_SIGNATURES) {
            match self.bundle(repository, bundle.digest).await {
                Ok(found) => signatures.extend(found),
                // One that cannot be had is no reason against another.
                Err(error) if error.may_pass() => return Err(error),
                Err(error) => tracing::debug!(%error, "a bundle of cosign is passed over"),
            }
        }
        Ok(signatures)
    }

    async fn bundle(&self, repository: &Repository, digest: Digest) -> Result<Option<CosignSignature>, OciError> {
        let bytes = self.manifest(repository, &Version::Digest(digest)).await?;
        let unreadable = |_| OciError::Signature("a bundle's manifest cannot be read".to_owned());
        let manifest: BundleManifest = serde_json::from_slice(&bytes).map_err(unreadable)?;
        let Some(layer) = manifest.layers.first().filter(|layer| layer.media_type.starts_with(BUNDLE)) else {
            return Ok(None);
        };
        Ok(of_bundle(&self.small_blob(repository, layer, MAX_BUNDLE_BYTES).await?))
    }

    /// What a registry knows to be about a manifest: by its own list, or by a tag where it keeps none.
    async fn referrers(
        &self,
        host: &str,
        repository: &Repository,
        manifest: &Digest,
    ) -> Result<Vec<Referrer>, OciError> {
        let by_registry = Ask::get(format!("referrers/{manifest}"), &[INDEX]);
        let by_tag = Ask::get(format!("manifests/{}", manifest.dashed()), &[INDEX]);
        for ask in [by_registry, by_tag] {
            if let Some(bytes) = self.found(host, repository, &ask).await? {
                let read: Referrers = serde_json::from_slice(&bytes)
                    .map_err(|_| OciError::Signature(format!("what refers to {manifest} cannot be read")))?;
                return Ok(read.manifests);
            }
        }
        Ok(Vec::new())
    }

    /// What a registry answers; nothing if it has nothing there, or does not know that there could be something.
    async fn found(&self, host: &str, repository: &Repository, ask: &Ask<'_>) -> Result<Option<Bytes>, OciError> {
        match self.ask(host, repository, Action::Pull, ask).await {
            Ok(answer) => self.whole(host, answer, MAX_MANIFEST_BYTES).await.map(Some),
            Err(OciError::NotFound { .. }) => Ok(None),
            Err(OciError::Status { status: StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, .. }) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
