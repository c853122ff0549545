//! The signatures that `trust` asks for: looked for among what was kept, and fetched where they are not.

use bytes::Bytes;

use crate::config::Config;
use crate::config::trust::Cosign;
use crate::oci::cache::{Cache, Kept};
use crate::oci::client::Client;
use crate::oci::cosign::CosignSignature;
use crate::oci::digest::Digest;
use crate::oci::lock::Locked;
use crate::oci::manifest;

/// Said where `trust` names nobody.
pub(super) const NO_SIGNER: &str = "no signer of cosign is configured";

/// The signer of the artifact, or why it has none; nothing where none is asked for.
pub(super) fn signed(config: &Config, plugin: &str, locked: &Locked, kept: &Kept) -> Option<Result<Cosign, String>> {
    let signer = config.plugin(plugin).trust.as_ref()?.cosign.clone()?;
    Some(signer.verify(&kept.signatures, &locked.manifest, kept.index.as_ref()).map(|()| signer))
}

/// Verifies on a thread of its own.
async fn signed_apart(config: &Config, plugin: &str, locked: &Locked, kept: &Kept) -> Option<Result<Cosign, String>> {
    let signer = config.plugin(plugin).trust.as_ref()?.cosign.clone()?;
    let (signatures, manifest, index) = (kept.signatures.clone(), locked.manifest.clone(), kept.index.clone());
    let verify = move || signer.verify(&signatures, &manifest, index.as_ref()).map(|()| signer);
    Some(tokio::task::spawn_blocking(verify).await.unwrap_or_else(|error| Err(error.to_string())))
}

/// Verifies the signature that `trust` asks for, of the manifest or of the index that lists it, and fetches it if it is not there.
pub(crate) async fn verify(
    client: &Client,
    cache: &Cache,
    config: &Config,
    (plugin, locked): (&str, &Locked),
    kept: &mut Kept,
) -> Option<Result<Cosign, String>> {
    let first = signed_apart(config, plugin, locked, kept).await?;
    if first.is_ok() {
        return Some(first);
    }
    match client.signatures(&locked.repository, &locked.manifest).await {
        Ok(found) => kept.signatures = found,
        Err(error) => return Some(Err(format!("the signatures cannot be had: {error}"))),
    }
    kept.index = None;
    let mut signed = signed_apart(config, plugin, locked, kept).await?;
    let mut index = None;
    if let (Err(why), Some(of)) = (&signed, &locked.index) {
        match of_index(client, locked, of).await {
            // Then it is about the manifest alone.
            Ok((_, found)) if found.is_empty() => {}
            Ok((bytes, found)) => {
                kept.signatures.extend(found);
                kept.index = Some(of.clone());
                index = Some(bytes);
                signed = signed_apart(config, plugin, locked, kept).await?;
            }
            Err(problem) => signed = Err(format!("{why}; and as to its index {of}: {problem}")),
        }
    }
    let put = index.map_or(Ok(()), |index| cache.put_index(plugin, &locked.manifest, &index));
    if let Err(error) = put.and_then(|()| cache.put_signatures(plugin, &locked.manifest, &kept.signatures)) {
        tracing::warn!(plugin, %error, "signatures of plugin `{plugin}` not kept");
    }
    Some(signed)
}

/// The index that the lock names, and its signatures.
///
/// # Errors
/// It cannot be had, or does not list the manifest.
async fn of_index(client: &Client, locked: &Locked, index: &Digest) -> Result<(Bytes, Vec<CosignSignature>), String> {
    let bytes = client.index(&locked.repository, index).await.map_err(|error| error.to_string())?;
    if !manifest::lists(&bytes, &locked.manifest) {
        return Err(format!("it does not list {}: `tinymcp update` writes the lock anew", locked.manifest));
    }
    let signatures = client.signatures(&locked.repository, index).await;
    signatures.map(|signatures| (bytes, signatures)).map_err(|error| format!("its signatures cannot be had: {error}"))
}
