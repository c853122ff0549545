//! Signatures of cosign by a key: ECDSA over P-256 with SHA-256, of a document that names the manifest (cosign, Signature
//! specification; containers/image, simple signing).
//!
//! It needs no registry: `signatures` fetches them. The document is signed, and only the digest in it counts: the name in
//! it is not compared, since a mirror and a copy have another one.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::digest::Digest;

const PAYLOAD_TYPE: &str = "cosign container image signature";

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
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(&payload, &der).ok()?;
        let payload: Payload = serde_json::from_slice(&payload).ok()?;
        (payload.critical.of == PAYLOAD_TYPE).then(|| payload.critical.image.digest.parse().ok()).flatten()
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
        CosignSignature { payload: STANDARD.encode(payload), signature: STANDARD.encode(signature) }
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
    fn a_key_is_read_with_and_without_its_frame() {
        let pem = key_of(&pair());
        let inner = pem.lines().nth(1).unwrap();
        assert_eq!(CosignKey::read(&pem), CosignKey::read(inner));
        for wrong in ["", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3", &inner[..80]] {
            assert!(CosignKey::read(wrong).is_err(), "{wrong}");
        }
    }
}
