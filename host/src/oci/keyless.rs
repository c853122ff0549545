//! Signatures of cosign without a key (*keyless*), in the bundles of cosign 3. The signer had a certificate for ten minutes, which
//! says who they were (the identity) and who says so (the issuer); logs say that it was used within these.
//!
//! Everything cryptographic is `sigstore-verify`'s, read at 0.15.1. It verifies the chain to an authority of the trusted root, with
//! the usage for code, at every time that is proved; the certificate's entry in a log of certificates (SCT); the entry of the
//! signature in a log: the proof that it is in, the log's signature of that state, its promise with the time (SET), or in place of
//! the time a time stamp (RFC 3161); the signature of the statement; and that the entry is of this statement and this certificate
//! (CVE-2022-36056). It asks nobody, and takes no time from the bundle that no log or authority has signed. Two things it leaves
//! open, and are demanded here: bundles older than version 0.3 may have a promise without a proof, and one entry with a proof is
//! enough for it where there are several. What is not asked: whether the log shows everybody the same, and whether the certificate was
//! revoked, which Sigstore does not do.
//!
//! A time that is proved stays so, and keys of logs count for what they signed while they were valid: a bundle that was verified
//! once is verified at any later start, too, by the same root.

mod identity;

use std::fmt;
use std::sync::Arc;

use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_verify::types::{Bundle, MediaType, Sha256Hash, SignatureContent};
use sigstore_verify::{CertificateError, Error, TransparencyLogError, VerificationPolicy, Verifier};

pub(crate) use self::identity::{Identity, issuer};
use super::cosign::{CosignSignature, Statement};
use super::digest::Digest;
use crate::sanitize;

/// Signatures of logs and of times in one bundle: several times what Sigstore puts in, and little work that a stranger can cause.
const MAX_VOUCHERS: usize = 32;

/// Bytes of a stranger's text in an error.
const MAX_SHOWN_BYTES: usize = 300;

/// The authorities and logs that are believed: a `trusted_root.json` of Sigstore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root(Arc<str>);

/// Whose signatures count, by whose word, and who is believed about that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signer {
    pub(crate) identity: Identity,
    pub(crate) issuer: String,
    pub(crate) root: Root,
}

/// The reason for which a signature does not count, the more telling the later.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    /// It is none of cosign's, or cannot be read.
    Unreadable(String),
    /// It has no entry in a log, or one without a proof.
    NotLogged,
    /// Something of it does not hold.
    Unproven(String),
    /// It is of something else.
    OfAnother,
    /// It is by somebody else.
    ByAnother { identity: String, issuer: String },
    /// The right one has said something else.
    NoSignature { identity: String, predicate: String },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(reason) => write!(f, "its bundle cannot be read: {reason}"),
            Self::NotLogged => f.write_str(
                "its bundle has no proof of a log (`cosign sign` of version 3 puts it in, unless it is told not to)",
            ),
            Self::Unproven(reason) => f.write_str(reason),
            Self::OfAnother => f.write_str("what is attached to it is a signature of another artifact"),
            Self::ByAnother { identity, issuer } => write!(f, "it is signed by `{identity}` (issuer `{issuer}`)"),
            Self::NoSignature { identity, predicate } => {
                write!(f, "what `{identity}` says of it is `{predicate}`, and no signature: `cosign sign` makes one")
            }
        }
    }
}

/// A stranger's text for an error.
fn shown(raw: &str) -> String {
    sanitize::cut(&sanitize::escape(raw), MAX_SHOWN_BYTES)
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let what = match &error {
            Error::Certificate(CertificateError::ChainInvalid(_) | CertificateError::NoValidAuthority { .. }) => {
                "no authority of the trusted root gave it a certificate for that time"
            }
            Error::Certificate(CertificateError::Sct(_)) => {
                "its certificate is in no log of certificates of the trusted root"
            }
            Error::Certificate(_) => "its certificate does not hold",
            Error::TransparencyLog(TransparencyLogError::EntryMismatch(_)) | Error::ArtifactMismatch(_) => {
                "its entry in the log is of something else"
            }
            Error::TransparencyLog(_) => "no log of the trusted root vouches for it",
            Error::Timestamp(_) => "the time of its signature is not proved",
            Error::SignatureInvalid(_) => "its signature is not of what it says",
            _ => "it does not hold",
        };
        Self::Unproven(format!("{what} ({})", shown(&error.to_string())))
    }
}

impl Root {
    /// Reads a `trusted_root.json`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(json: &str) -> Result<Self, String> {
        let root =
            TrustedRoot::from_json(json).map_err(|error| format!("it is no trusted root of Sigstore: {error}"))?;
        Verifier::new(&root).map_err(|error| format!("it is no trusted root that can be used: {error}"))?;
        for (is_empty, name) in [
            (root.certificate_authorities.is_empty(), "certificateAuthorities"),
            (root.tlogs.is_empty(), "tlogs"),
            (root.ctlogs.is_empty(), "ctlogs"),
        ] {
            if is_empty {
                return Err(format!("it has no `{name}`, without which no signature can be verified"));
            }
        }
        Ok(Self(json.into()))
    }

    fn verifier(&self) -> Result<Verifier, String> {
        let root = TrustedRoot::from_json(&self.0).map_err(|error| error.to_string())?;
        Verifier::new(&root).map_err(|error| error.to_string())
    }
}

/// The public one, as it was when `sigstore-verify` was released.
impl Default for Root {
    fn default() -> Self {
        Self(SIGSTORE_PRODUCTION_TRUSTED_ROOT.into())
    }
}

/// Who has made a statement, and its bytes, after everything was verified.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    identity: String,
    issuer: String,
    payload: Vec<u8>,
}

impl Signer {
    /// Tells whether one of these signatures is by this signer and of this manifest.
    ///
    /// # Errors
    /// Why none is.
    pub(crate) fn verify(&self, signatures: &[CosignSignature], manifest: &Digest) -> Result<(), String> {
        if signatures.is_empty() {
            return Err(format!("nobody has signed {manifest}: `cosign sign REPOSITORY@{manifest}`"));
        }
        let verifier = self.root.verifier()?;
        let mut closest = None;
        for bundle in signatures.iter().filter_map(|signature| signature.bundle.as_deref()) {
            match self.counts(&verifier, bundle, manifest) {
                Ok(()) => return Ok(()),
                Err(refusal) => closest = closest.max(Some(refusal)),
            }
        }
        Err(match closest {
            Some(refusal) => format!("nobody that `trust` names has signed {manifest}: {refusal}"),
            None => format!(
                "the signatures of {manifest} are by keys, or of before cosign 3, and `trust` names an identity"
            ),
        })
    }

    fn counts(&self, verifier: &Verifier, bundle: &str, manifest: &Digest) -> Result<(), Refusal> {
        let Said { identity, issuer, payload } = said(verifier, bundle, manifest)?;
        if !self.identity.is(&identity) || issuer != self.issuer {
            return Err(Refusal::ByAnother { identity: shown(&identity), issuer: shown(&issuer) });
        }
        match Statement::read(&payload) {
            Some(statement) if statement.signs().as_ref() == Some(manifest) => Ok(()),
            statement => {
                let predicate =
                    statement.map_or_else(|| "no statement".to_owned(), |statement| shown(&statement.predicate_type));
                Err(Refusal::NoSignature { identity: shown(&identity), predicate })
            }
        }
    }
}

/// Verifies a bundle about a manifest, whoever has signed it.
fn said(verifier: &Verifier, bundle: &str, manifest: &Digest) -> Result<Said, Refusal> {
    let unreadable = |reason: &dyn fmt::Display| Refusal::Unreadable(shown(&reason.to_string()));
    let bundle = Bundle::from_json(bundle).map_err(|error| unreadable(&error))?;
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        return Err(unreadable(&"it is no statement in an envelope"));
    };
    if vouchers(&bundle) > MAX_VOUCHERS {
        return Err(unreadable(&"it has more signatures of logs than any"));
    }
    let entries = &bundle.verification_material.tlog_entries;
    let is_logged = !entries.is_empty() && entries.iter().all(|entry| entry.inclusion_proof.is_some());
    if bundle.media_type() != MediaType::Bundle0_3 || !is_logged {
        return Err(Refusal::NotLogged);
    }
    let digest = manifest.sha256_hex().and_then(|hex| Sha256Hash::from_hex(hex).ok());
    let digest = digest.ok_or_else(|| unreadable(&"only manifests by their SHA-256 are signed"))?;
    // Who it is by, the caller judges: the crate knows no beginnings.
    let verified =
        verifier.verify(digest, &bundle, &VerificationPolicy::any_identity()).map_err(|error| match error {
            // Either the statement is of another artifact, or the entry in the log is of another statement.
            Error::ArtifactMismatch(_)
                if !Statement::read(envelope.payload.as_bytes())
                    .is_some_and(|statement| statement.is_about(manifest)) =>
            {
                Refusal::OfAnother
            }
            error => error.into(),
        })?;
    // True of every policy that skips nothing.
    if !(verified.certificate_verified() && verified.sct_verified() && verified.tlog_verified()) {
        return Err(Refusal::Unproven("not everything of it was verified".to_owned()));
    }
    let identity = verified.identity().map(|identity| identity.as_str().to_owned());
    let (Some(identity), Some(issuer)) = (identity, verified.issuer()) else {
        return Err(Refusal::Unproven("its certificate names no identity with an issuer".to_owned()));
    };
    Ok(Said { identity, issuer: issuer.to_owned(), payload: envelope.payload.as_bytes().to_vec() })
}

/// The number of signatures in a bundle beside that of the statement.
fn vouchers(bundle: &Bundle) -> usize {
    let material = &bundle.verification_material;
    let of_states = material.tlog_entries.iter().filter_map(|entry| {
        let state = entry.inclusion_proof.as_ref()?.checkpoint.checkpoint()?;
        Some(state.signatures().len())
    });
    material.tlog_entries.len()
        + material.timestamp_verification_data.rfc3161_timestamps.len()
        + of_states.sum::<usize>()
}

#[cfg(test)]
mod tests;
