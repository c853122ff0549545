//! Signatures of cosign in a registry: at the tag `sha256-….sig` of the repository, a layer for each (cosign, Signature
//! specification). [`super::cosign`] verifies them.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::client::{Action, Ask, Client};
use super::cosign::CosignSignature;
use super::digest::{Algorithm, Digest};
use super::error::OciError;
use super::manifest::{Descriptor, MANIFEST, MAX_MANIFEST_BYTES};
use super::reference::Repository;

const PAYLOAD_LAYER: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// Bytes of a document that is signed.
const MAX_PAYLOAD_BYTES: u64 = 64 * 1024;

/// Signatures of one artifact that are looked at.
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
        let ask = Ask::get(format!("manifests/{}.sig", manifest.dashed()), &[MANIFEST]);
        let mut bytes = None;
        for host in self.registries.places(&repository.host) {
            match self.ask(host, repository, Action::Pull, &ask).await {
                Ok(answer) => {
                    bytes = Some(self.whole(host, answer, MAX_MANIFEST_BYTES).await?);
                    break;
                }
                Err(OciError::NotFound { .. }) => {}
                Err(error) => return Err(error),
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
            signatures.push(CosignSignature { payload: STANDARD.encode(payload), signature: signature.clone() });
        }
        Ok(signatures)
    }
}
