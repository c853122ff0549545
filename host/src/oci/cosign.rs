//! Signatures of cosign by a key: ECDSA over P-256 with SHA-256, of a document that names the manifest. Up to cosign 2 that is
//! a document of its own (Signature specification; containers/image, simple signing), from cosign 3 on an in-toto statement in
//! an envelope (DSSE 1.0.2).
//!
//! It needs no registry: `signatures` fetches them. The document is signed, and only the digest in it counts: the name in
//! it is not compared, since a mirror and a copy have another one. Signatures without a key are [`super::keyless`]'s.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::digest::Digest;

const PAYLOAD_TYPE: &str = "cosign container image signature";

/// The type of what is in an envelope.
pub(super) const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// The statement of `cosign sign`. By others, such as those of `cosign attest`, a key does not say that something is to run.
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// What comes before the point in the DER of a public key of this curve (RFC 5480 §2).
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CosignKey(Vec<u8>);

/// One signature, as it is kept beside what was pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CosignSignature {
    /// The document, in base64.
    pub(super) payload: String,
    /// In DER, in base64.
    pub(super) signature: String,
    /// What is signed.
    #[serde(default, skip_serializing_if = "Form::is_simple")]
    pub(super) form: Form,
    /// The whole bundle, if there is a certificate in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bundle: Option<String>,
}

/// What a signature is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// The document as it is.
    #[default]
    Simple,
    /// An in-toto statement, in its envelope.
    Statement,
}

impl Form {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_simple(&self) -> bool {
        *self == Self::Simple
    }

    /// The bytes that are signed.
    fn signed(self, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::Simple => payload.to_vec(),
            Self::Statement => {
                let head = format!("DSSEv1 {} {STATEMENT_TYPE} {} ", STATEMENT_TYPE.len(), payload.len());
                [head.as_bytes(), payload].concat()
            }
        }
    }

    /// The manifest that a document names.
    fn names(self, payload: &[u8]) -> Option<Digest> {
        match self {
            Self::Simple => {
                let payload: Payload = serde_json::from_slice(payload).ok()?;
                (payload.critical.of == PAYLOAD_TYPE).then(|| payload.critical.image.digest.parse().ok()).flatten()
            }
            Self::Statement => Statement::read(payload)?.signs(),
        }
    }
}

/// What is in an envelope (in-toto Statement, v1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statement {
    pub(super) predicate_type: String,
    subject: Vec<Subject>,
}

impl Statement {
    /// Reads one; none, if it is not about things by their SHA-256.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// The manifest that it signs.
    pub(super) fn signs(&self) -> Option<Digest> {
        // Several things at once are signed by nobody here.
        let [subject] = self.subject.as_slice() else { return None };
        (self.predicate_type == SIGN).then(|| subject.digest()).flatten()
    }

    /// Tells whether it is about a manifest, whatever it says of it.
    pub(super) fn is_about(&self, manifest: &Digest) -> bool {
        self.subject.iter().any(|subject| subject.digest().as_ref() == Some(manifest))
    }
}

#[derive(Deserialize)]
struct Subject {
    digest: SubjectDigest,
}

impl Subject {
    fn digest(&self) -> Option<Digest> {
        format!("sha256:{}", self.digest.sha256).parse().ok()
    }
}

#[derive(Deserialize)]
struct SubjectDigest {
    sha256: String,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    of: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

impl CosignKey {
    /// Reads a key: the text of `cosign.pub`, or what stands between its two lines.
    ///
    /// # Errors
    /// It is none of this curve.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected a public key of cosign (ECDSA over P-256): the file `cosign.pub`, or the lines between its first and its last";
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        let der = STANDARD.decode(lines.collect::<String>()).map_err(|_| EXPECTED)?;
        let point = der.strip_prefix(&SPKI_P256).filter(|point| point.len() == 65 && point[0] == 4).ok_or(EXPECTED)?;
        Ok(Self(point.to_vec()))
    }

    /// Tells whether one of these signatures is by this key and of this manifest.
    ///
    /// # Errors
    /// Why none is.
    pub(crate) fn verify(&self, signatures: &[CosignSignature], manifest: &Digest) -> Result<(), String> {
        if signatures.is_empty() {
            return Err(format!("nobody has signed {manifest}: `cosign sign --key cosign.key REPOSITORY@{manifest}`"));
        }
        let signed: Vec<Digest> = signatures.iter().filter_map(|signature| self.has_signed(signature)).collect();
        match signed.contains(manifest) {
            true => Ok(()),
            false if signed.is_empty() => Err(format!("none of the signatures of {manifest} is by the key of `trust`")),
            false => Err(format!("the key of `trust` has signed another artifact than {manifest}")),
        }
    }

    /// The manifest that this key has signed.
    fn has_signed(&self, signature: &CosignSignature) -> Option<Digest> {
        let payload = STANDARD.decode(&signature.payload).ok()?;
        let der = STANDARD.decode(&signature.signature).ok()?;
        let signed = signature.form.signed(&payload);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(&signed, &der).ok()?;
        signature.form.names(&payload)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;

    fn pair() -> EcdsaKeyPair {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref()).unwrap()
    }

    fn key_of(pair: &EcdsaKeyPair) -> String {
        let der = [&SPKI_P256[..], pair.public_key().as_ref()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    fn sign(pair: &EcdsaKeyPair, payload: &str) -> CosignSignature {
        let signature = pair.sign(&SystemRandom::new(), payload.as_bytes()).unwrap();
        let form = Form::Simple;
        CosignSignature { payload: STANDARD.encode(payload), signature: STANDARD.encode(signature), form, bundle: None }
    }

    fn state(pair: &EcdsaKeyPair, statement: &str) -> CosignSignature {
        let signed = format!("DSSEv1 28 application/vnd.in-toto+json {} {statement}", statement.len());
        CosignSignature { payload: STANDARD.encode(statement), form: Form::Statement, ..sign(pair, &signed) }
    }

    fn statement(digest: &Digest, of: &str) -> String {
        let hex = digest.to_string().replace("sha256:", "");
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{hex}"}},"annotations":{{}}}}],"predicateType":"{of}","predicate":{{}}}}"#
        )
    }

    fn payload(digest: &Digest, of: &str) -> String {
        format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"x"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"{of}"}},"optional":null}}"#
        )
    }

    #[test]
    fn a_signature_is_of_one_manifest_by_one_key() {
        let (pair, other) = (pair(), pair());
        let (digest, another) = (Digest::of(b"1"), Digest::of(b"2"));
        let key = CosignKey::read(&key_of(&pair)).unwrap();
        let good = sign(&pair, &payload(&digest, PAYLOAD_TYPE));
        let verify = |signatures: &[CosignSignature]| key.verify(signatures, &digest);
        assert_eq!(verify(&[sign(&other, &payload(&digest, PAYLOAD_TYPE)), good.clone()]), Ok(()));
        assert!(verify(&[]).unwrap_err().contains("nobody has signed"));
        assert!(
            verify(&[sign(&other, &payload(&digest, PAYLOAD_TYPE))]).unwrap_err().contains("none of the signatures")
        );
        assert!(verify(&[sign(&pair, &payload(&another, PAYLOAD_TYPE))]).unwrap_err().contains("another artifact"));
        assert!(verify(&[sign(&pair, &payload(&digest, "atomic container signature"))]).is_err());
        assert!(verify(&[sign(&pair, "{}")]).is_err());
        // The document of one signature under another.
        let swapped = CosignSignature { payload: STANDARD.encode(payload(&digest, PAYLOAD_TYPE)), ..sign(&pair, "x") };
        assert!(verify(&[swapped]).is_err());
        assert!(verify(&[CosignSignature { signature: "!".to_owned(), ..good }]).is_err());
    }

    #[test]
    fn a_statement_of_cosign_3_counts_in_its_envelope_alone() {
        let (pair, other) = (pair(), pair());
        let (digest, another) = (Digest::of(b"1"), Digest::of(b"2"));
        let key = CosignKey::read(&key_of(&pair)).unwrap();
        let verify = |signature: CosignSignature| key.verify(&[signature], &digest);
        let good = state(&pair, &statement(&digest, SIGN));
        assert_eq!(verify(good.clone()), Ok(()));
        assert!(verify(state(&other, &statement(&digest, SIGN))).unwrap_err().contains("none of the signatures"));
        assert!(verify(state(&pair, &statement(&another, SIGN))).unwrap_err().contains("another artifact"));
        // What else a pipeline says of an artifact with the same key: a list of parts, where it was built.
        assert!(verify(state(&pair, &statement(&digest, "https://slsa.dev/provenance/v1"))).is_err());
        // Signed without the envelope, and a document of the one form as the other.
        assert!(verify(CosignSignature { form: Form::Statement, ..sign(&pair, &statement(&digest, SIGN)) }).is_err());
        assert!(verify(CosignSignature { form: Form::Simple, ..good.clone() }).is_err());
        assert!(verify(state(&pair, &payload(&digest, PAYLOAD_TYPE))).is_err());
        let two = statement(&digest, SIGN).replace(r#""subject":["#, r#""subject":[{"digest":{"sha256":"00"}},"#);
        assert!(verify(state(&pair, &two)).is_err());
        // What is kept is read again, also what was kept before there were envelopes.
        let kept: CosignSignature = serde_json::from_value(serde_json::to_value(&good).unwrap()).unwrap();
        assert_eq!(kept, good);
        let before: CosignSignature = serde_json::from_str(r#"{"payload":"a","signature":"b"}"#).unwrap();
        assert_eq!((before.form, before.bundle), (Form::Simple, None));
    }

    #[test]
    fn a_key_is_read_with_and_without_its_frame() {
        let pem = key_of(&pair());
        let inner = pem.lines().nth(1).unwrap();
        assert_eq!(CosignKey::read(&pem), CosignKey::read(inner));
        for wrong in ["", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3", &inner[..80]] {
            assert!(CosignKey::read(wrong).is_err(), "{wrong}");
        }
    }
}
