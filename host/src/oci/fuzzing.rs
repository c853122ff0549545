//! What registries, their proxies and a lock file may say, read as any bytes.

use super::challenge;
use super::digest::Digest;
use super::keyless::{Identity, Root, Signer};
use super::manifest::{self, Document};
use super::reference::Source;
use super::signatures;

/// Manifests, bundles of signatures, challenges, names and digests. What is read is within what it promises, and comes back as it was written.
pub(crate) fn registry_answer(bytes: &[u8]) {
    match manifest::read(bytes, "x") {
        Ok(Document::Artifact(artifact)) => {
            assert!(artifact.policy.is_none_or(|policy| policy.size <= manifest::MAX_POLICY_BYTES));
            assert!(artifact.minisig.is_none_or(|minisig| minisig.size <= manifest::MAX_MINISIG_BYTES));
        }
        Ok(Document::Index(_)) => {}
        Err(error) => assert!(error.to_string().len() < 4096, "{error}"),
    }
    if let Some(signature) = signatures::of_bundle(bytes) {
        let signer = Signer { identity: Identity::Exact(String::new()), issuer: String::new(), root: Root::default() };
        let refused =
            signer.verify(&[signature], &Digest::of(b"")).expect_err("bytes that are made up are signed by nobody");
        assert!(refused.len() < 4096, "{refused}");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = challenge::read(text);
    if let Ok(source) = text.parse::<Source>() {
        let shown = source.to_string();
        assert_eq!(shown.parse::<Source>().as_ref(), Ok(&source), "{shown}");
        if let Source::Reference(reference) = source {
            assert!(
                !reference.repository.name.split('/').any(|part| part.is_empty() || part.starts_with('.')),
                "{shown}"
            );
        }
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
}
