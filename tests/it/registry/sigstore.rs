//! A Sigstore of one's own, as far as a signature without a key needs one: an authority of certificates (Fulcio), a log of
//! certificates (RFC 6962) and a log of signatures (Rekor, version 1), as three keys. It makes bundles as `cosign sign` of version 3
//! does with one, and the `trusted_root.json` by which they are verified.
//!
//! Everything is signed on one day of 2024, so that nothing in it is valid today: its time is that of the log. A log has one entry.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SigningKey, date_time_ymd,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The type of a bundle.
pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What `cosign sign` says of an artifact.
pub(super) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// Noon of 2024-01-01, in the middle of the day for which a certificate is valid.
const NOON_S: u64 = 1_704_110_400;

/// Fulcio's extension with the issuer, and that of RFC 6962 with the word of a log.
const ISSUER_OID: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
const SCT_OID: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

/// The place of the entry among those of all logs of a Rekor, which its own log does not count by.
const LOG_INDEX: u64 = 7;

/// The three, and their keys.
pub(super) struct Sigstore {
    authority: Issuer<'static, KeyPair>,
    authority_der: Vec<u8>,
    certificates: KeyPair,
    signatures: KeyPair,
}

impl Sigstore {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_der = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            authority: Issuer::new(params, key),
            authority_der,
            certificates: KeyPair::generate().unwrap(),
            signatures: KeyPair::generate().unwrap(),
        }
    }

    /// What names the three.
    pub(super) fn trusted_root(&self) -> Value {
        let valid_for = json!({ "start": "2023-01-01T00:00:00Z" });
        let log = |key: &KeyPair, url: &str| {
            json!({
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(key.subject_public_key_info()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": valid_for,
                },
                "logId": { "keyId": STANDARD.encode(id(key)) },
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.signatures, "https://rekor.example")],
            "certificateAuthorities": [{
                "subject": { "organization": "acme", "commonName": "acme" },
                "uri": "https://fulcio.example",
                "certChain": { "certificates": [{ "rawBytes": STANDARD.encode(&self.authority_der) }] },
                "validFor": valid_for,
            }],
            "ctlogs": [log(&self.certificates, "https://ctfe.example")],
            "timestampAuthorities": [],
        })
    }

    /// The bundle of somebody, known to the issuer as this, who says something of a manifest.
    pub(super) fn bundle(&self, (identity, issuer): (&str, &str), manifest: &str, says: &str) -> Value {
        self.bundle_at((identity, issuer), manifest, says, NOON_S)
    }

    /// The same, of a time at which the certificate may be valid no more.
    pub(super) fn bundle_at(
        &self,
        (identity, issuer): (&str, &str),
        manifest: &str,
        says: &str,
        logged_s: u64,
    ) -> Value {
        let key = KeyPair::generate().unwrap();
        let certificate = self.certificate(&key, identity, issuer);
        let signed = SignedStatement::by(&key, manifest, says);
        let entry = self.entry(&signed.statement, &signed.signature, &certificate, logged_s);
        signed.bundle(&json!({
            "certificate": { "rawBytes": STANDARD.encode(&certificate) },
            "tlogEntries": [entry],
            "timestampVerificationData": {},
        }))
    }

    /// A certificate, with the word of the log for what the authority was about to sign.
    fn certificate(&self, key: &KeyPair, identity: &str, issuer: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2024, 1, 2);
        params.subject_alt_names = vec![SanType::URI(identity.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let issuer = der(0x0c, issuer.as_bytes());
        params.custom_extensions = vec![CustomExtension::from_oid_content(&ISSUER_OID, issuer)];
        let unlogged = params.signed_by(key, &self.authority).unwrap();
        let word = self.word(to_be_signed(unlogged.der()));
        params.custom_extensions.push(CustomExtension::from_oid_content(&SCT_OID, der(0x04, &word)));
        params.signed_by(key, &self.authority).unwrap().der().to_vec()
    }

    /// The list of one signed certificate timestamp (RFC 6962 §3.2 and §3.3).
    fn word(&self, to_be_signed: &[u8]) -> Vec<u8> {
        let time = (NOON_S * 1000).to_be_bytes();
        let issuer_key = Sha256::digest(self.authority.key().subject_public_key_info());
        let length = u32::try_from(to_be_signed.len()).unwrap().to_be_bytes();
        // Version 1, of a certificate, its time; of what an authority is about to sign, with no extensions.
        let signed = [&[0, 0][..], &time, &[0, 1], &issuer_key, &length[1..], to_be_signed, &[0, 0]].concat();
        let signature = self.certificates.sign(&signed).unwrap();
        // ECDSA with SHA-256 (RFC 5246 §7.4.1.4.1).
        let word = [&[0][..], &id(&self.certificates), &time, &[0, 0, 4, 3], &sized(&signature)].concat();
        sized(&sized(&word))
    }

    /// An entry of the kind `dsse`, in a log that has this one alone.
    fn entry(&self, statement: &str, signature: &str, certificate: &[u8], logged_s: u64) -> Value {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(certificate));
        let hash = json!({ "algorithm": "sha256", "value": hex(&Sha256::digest(statement)) });
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": hash,
                "payloadHash": hash,
                "signatures": [{ "signature": signature, "verifier": STANDARD.encode(pem) }],
            },
        });
        let body = body.to_string();
        let root = STANDARD.encode(Sha256::digest([&[0], body.as_bytes()].concat()));
        let state = format!("rekor.example - 1\n1\n{root}\n");
        let id = id(&self.signatures);
        let signed_state = [&id[..4], &self.signatures.sign(state.as_bytes()).unwrap()].concat();
        // Canonical JSON (RFC 8785).
        let promised = format!(
            r#"{{"body":"{}","integratedTime":{logged_s},"logID":"{}","logIndex":{LOG_INDEX}}}"#,
            STANDARD.encode(&body),
            hex(&id)
        );
        json!({
            "logIndex": LOG_INDEX.to_string(),
            "logId": { "keyId": STANDARD.encode(id) },
            "kindVersion": { "kind": "dsse", "version": "0.0.1" },
            "integratedTime": logged_s.to_string(),
            "inclusionPromise": {
                "signedEntryTimestamp": STANDARD.encode(self.signatures.sign(promised.as_bytes()).unwrap()),
            },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": root,
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {
                    "envelope": format!("{state}\n— rekor.example {}\n", STANDARD.encode(signed_state)),
                },
            },
            "canonicalizedBody": STANDARD.encode(&body),
        })
    }
}

/// A statement about a manifest, as cosign 3 makes it, signed in its envelope.
pub(super) struct SignedStatement {
    statement: String,
    signature: String,
}

impl SignedStatement {
    pub(super) fn by(key: &KeyPair, manifest: &str, says: &str) -> Self {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "digest": { "sha256": manifest.trim_start_matches("sha256:") }, "annotations": {} }],
            "predicateType": says,
            "predicate": {},
        });
        let statement = statement.to_string();
        let signed = format!("DSSEv1 28 application/vnd.in-toto+json {} {statement}", statement.len());
        let signature = STANDARD.encode(key.sign(signed.as_bytes()).unwrap());
        Self { statement, signature }
    }

    /// The bundle of it, with what vouches for the signer.
    pub(super) fn bundle(&self, material: &Value) -> Value {
        let envelope = json!({
            "payload": STANDARD.encode(&self.statement),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{ "sig": self.signature }],
        });
        json!({ "mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope })
    }
}

/// The id of a log: the hash of its key.
fn id(key: &KeyPair) -> Vec<u8> {
    Sha256::digest(key.subject_public_key_info()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes behind their number, in two (RFC 5246 §4.3).
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// A value of ASN.1.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    match u8::try_from(content.len()).unwrap() {
        length @ ..=0x7f => [&[tag, length], content].concat(),
        length => [&[tag, 0x81, length], content].concat(),
    }
}

/// The first of the three parts of a certificate.
fn to_be_signed(certificate: &[u8]) -> &[u8] {
    let (head, _) = head(certificate);
    let inner = &certificate[head..];
    let (head, content) = self::head(inner);
    &inner[..head + content]
}

/// The lengths of the head and of the content of a value of ASN.1.
fn head(der: &[u8]) -> (usize, usize) {
    match der[1] {
        length @ ..=0x7f => (2, usize::from(length)),
        // In one byte more, or in two.
        0x81 => (3, usize::from(der[2])),
        0x82 => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
        other => panic!("{other:#x}"),
    }
}
