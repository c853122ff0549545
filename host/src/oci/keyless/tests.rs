use serde_json::{Value, json};
use sigstore_verify::trust_root::SIGSTORE_STAGING_TRUSTED_ROOT;

use super::*;
use crate::oci::cosign::Form;

/// Of the public Sigstore: an attestation of conda, and no signature of cosign.
const REKOR_1: &str = include_str!("../../../../tests/fixtures/sigstore/attestation.json");

/// The same of its staging, in the log of the second kind, with a time stamp.
const REKOR_2: &str = include_str!("../../../../tests/fixtures/sigstore/attestation-rekor2.json");

const ABOUT: &str = "sha256:54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f";
const WORKFLOW: &str = "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main";
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const PREDICATE: &str = "https://schemas.conda.org/attestations-publish-1.schema.json";

fn about() -> Digest {
    ABOUT.parse().unwrap()
}

fn verified(root: &Root, bundle: &Value) -> Result<Said, Refusal> {
    said(&root.verifier().unwrap(), &bundle.to_string(), &about())
}

fn staging() -> Root {
    Root::read(SIGSTORE_STAGING_TRUSTED_ROOT).unwrap()
}

fn signer(identity: &str, issuer: &str) -> Signer {
    Signer { identity: Identity::read(identity).unwrap(), issuer: issuer.to_owned(), root: Root::default() }
}

fn kept(bundle: &str) -> CosignSignature {
    let (payload, signature) = ("e30=".to_owned(), "e30=".to_owned());
    CosignSignature { payload, signature, form: Form::Statement, bundle: Some(bundle.to_owned()) }
}

/// Another byte of what is in base64 there.
fn damage(value: &mut Value) {
    let text = value.as_str().unwrap().to_owned();
    let middle = text.len() / 2;
    let other = if &text[middle..=middle] == "A" { "B" } else { "A" };
    *value = json!(format!("{}{other}{}", &text[..middle], &text[middle + 1..]));
}

#[test]
fn genuine_bundles_of_both_logs_are_verified() {
    let workflow = verified(&Root::default(), &REKOR_1.parse().unwrap()).unwrap();
    assert_eq!((workflow.identity.as_str(), workflow.issuer.as_str()), (WORKFLOW, GITHUB));
    let person = verified(&staging(), &REKOR_2.parse().unwrap()).unwrap();
    assert_eq!((person.identity.as_str(), person.issuer.as_str()), ("jku@goto.fi", "https://github.com/login/oauth"));
    assert!(Statement::read(&person.payload).unwrap().is_about(&about()));
    // Each by the other's authorities.
    for (root, bundle) in [(staging(), REKOR_1), (Root::default(), REKOR_2)] {
        let refused = verified(&root, &bundle.parse().unwrap()).unwrap_err();
        assert!(matches!(&refused, Refusal::Unproven(_)), "{refused}");
    }
}

/// Whatever else a pipeline says of an artifact under the same identity.
#[test]
fn a_genuine_statement_that_is_no_signature_does_not_count() {
    let judged =
        |identity: &str, issuer: &str| signer(identity, issuer).verify(&[kept(REKOR_1)], &about()).unwrap_err();
    let refused = judged(WORKFLOW, GITHUB);
    assert!(refused.contains(PREDICATE) && refused.contains("and no signature: `cosign sign`"), "{refused}");
    assert!(judged("https://github.com/prefix-dev/*", GITHUB).contains(PREDICATE));
    // Before it is read, the signer has to be the right one.
    for (identity, issuer) in [
        (&WORKFLOW[..WORKFLOW.len() - 1], GITHUB),
        ("https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/tags/*", GITHUB),
        (WORKFLOW, "https://token.actions.githubusercontent.com/"),
        (WORKFLOW, "https://accounts.google.com"),
    ] {
        let refused = judged(identity, issuer);
        let said = format!("it is signed by `{WORKFLOW}` (issuer `{GITHUB}`)");
        assert!(refused.ends_with(&said), "{refused}");
    }
}

#[test]
fn what_was_changed_in_a_bundle_is_refused() {
    let genuine: Value = REKOR_1.parse().unwrap();
    let second: Value = REKOR_2.parse().unwrap();
    type Change<'c> = &'c dyn Fn(&mut Value);
    let changes: [(&str, Change<'_>, &str); 13] = [
        ("signature", &|b| damage(&mut b["dsseEnvelope"]["signatures"][0]["sig"]), ""),
        (
            "signature of another",
            &|b| b["dsseEnvelope"]["signatures"] = second["dsseEnvelope"]["signatures"].clone(),
            "its signature is not of what it says",
        ),
        (
            "statement",
            &|b| b["dsseEnvelope"]["payload"] = second["dsseEnvelope"]["payload"].clone(),
            "its signature is not of what it says",
        ),
        (
            "certificate",
            &|b| b["verificationMaterial"]["certificate"] = second["verificationMaterial"]["certificate"].clone(),
            "",
        ),
        ("certificate's bytes", &|b| damage(&mut b["verificationMaterial"]["certificate"]["rawBytes"]), ""),
        (
            "entry of another",
            &|b| b["verificationMaterial"]["tlogEntries"] = second["verificationMaterial"]["tlogEntries"].clone(),
            "",
        ),
        ("entry", &|b| damage(&mut b["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"]), "no log of the"),
        (
            "proof",
            &|b| damage(&mut b["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"][0]),
            "no log of the trusted root vouches for it",
        ),
        (
            "state of the log",
            &|b| {
                let envelope =
                    &mut b["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"]["envelope"];
                *envelope = json!(envelope.as_str().unwrap().replace("1193050959916656506", "1193050959916656507"));
            },
            "no log of the trusted root vouches for it",
        ),
        (
            "promise",
            &|b| {
                let promise = &mut b["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"];
                damage(&mut promise["signedEntryTimestamp"]);
            },
            "no log of the trusted root vouches for it",
        ),
        (
            "time",
            &|b| b["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = json!("1756728840"),
            "no log of the trusted root vouches for it",
        ),
        (
            "no promise, and so no time",
            &|b| {
                let entry = b["verificationMaterial"]["tlogEntries"][0].as_object_mut().unwrap();
                entry.remove("inclusionPromise");
            },
            "the time of its signature is not proved",
        ),
        (
            "a second entry",
            &|b| {
                let entries = b["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap();
                entries.push(second["verificationMaterial"]["tlogEntries"][0].clone());
            },
            "",
        ),
    ];
    for (what, change, said) in changes {
        let mut bundle = genuine.clone();
        change(&mut bundle);
        assert_ne!(bundle, genuine, "{what}");
        let refused = verified(&Root::default(), &bundle).unwrap_err().to_string();
        assert!(refused.contains(said), "{what}: {refused}");
    }
    let mut stamped = second;
    let stamps = &mut stamped["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
    assert_eq!(stamps.as_array().unwrap().len(), 1);
    *stamps = json!([]);
    let refused = verified(&staging(), &stamped).unwrap_err().to_string();
    assert!(refused.contains("the time of its signature is not proved"), "{refused}");
}

/// What the crate would take.
#[test]
fn every_entry_has_to_have_a_proof() {
    let genuine: Value = REKOR_1.parse().unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut bundle = genuine.clone();
        change(&mut bundle);
        verified(&Root::default(), &bundle)
    };
    let without_proof = |entry: &mut Value| {
        entry.as_object_mut().unwrap().remove("inclusionProof").unwrap();
    };
    let promised_alone = |bundle: &mut Value| without_proof(&mut bundle["verificationMaterial"]["tlogEntries"][0]);
    assert_eq!(changed(&promised_alone), Err(Refusal::NotLogged));
    for version in
        ["application/vnd.dev.sigstore.bundle+json;version=0.1", "application/vnd.dev.sigstore.bundle+json;version=0.2"]
    {
        let older = |bundle: &mut Value| bundle["mediaType"] = json!(version);
        assert_eq!(changed(&older), Err(Refusal::NotLogged));
        let older_and_promised_alone = |bundle: &mut Value| {
            older(bundle);
            promised_alone(bundle);
        };
        assert_eq!(changed(&older_and_promised_alone), Err(Refusal::NotLogged));
    }
    let one_of_two = |bundle: &mut Value| {
        let entries = bundle["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap();
        let mut second = entries[0].clone();
        without_proof(&mut second);
        entries.push(second);
    };
    assert_eq!(changed(&one_of_two), Err(Refusal::NotLogged));
    let none = |bundle: &mut Value| bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    assert_eq!(changed(&none), Err(Refusal::NotLogged));
}

#[test]
fn strangers_cause_little_work() {
    let mut bundle: Value = REKOR_1.parse().unwrap();
    let envelope = &mut bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"]["envelope"];
    let written = envelope.as_str().unwrap().to_owned();
    let signature = written.lines().last().unwrap();
    let with = |more: usize| json!(format!("{written}{}", format!("{signature}\n").repeat(more)));
    *envelope = with(MAX_VOUCHERS - 2);
    assert!(verified(&Root::default(), &bundle).is_ok());
    bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"]["envelope"] =
        with(MAX_VOUCHERS - 1);
    let refused = verified(&Root::default(), &bundle).unwrap_err().to_string();
    assert!(refused.contains("more signatures of logs than any"), "{refused}");
}

#[test]
fn the_most_telling_reason_is_said() {
    let signer = signer(WORKFLOW, GITHUB);
    let refused = |signatures: &[CosignSignature], manifest: &Digest| signer.verify(signatures, manifest).unwrap_err();
    assert!(refused(&[], &about()).contains("nobody has signed sha256:"));
    let by_key = CosignSignature { bundle: None, ..kept("") };
    assert!(refused(std::slice::from_ref(&by_key), &about()).contains("are by keys, or of before cosign 3"));
    assert!(refused(&[kept("{}"), by_key], &about()).contains("its bundle cannot be read"));
    assert!(refused(&[kept(REKOR_1), kept("{}")], &Digest::of(b"1")).contains("a signature of another artifact"));
    assert!(refused(&[kept(REKOR_2), kept(REKOR_1), kept("{}")], &about()).contains(PREDICATE));
    // A stranger's text is fit to be read, and short.
    let odd = format!(r#"{{"mediaType":"\u202e{}"}}"#, "x".repeat(10_000));
    let said = refused(&[kept(&odd)], &about());
    assert!(!said.contains('\u{202e}') && said.len() < 600, "{said}");
}

#[test]
fn a_root_has_everything_that_is_needed() {
    let mut root: Value = SIGSTORE_PRODUCTION_TRUSTED_ROOT.parse().unwrap();
    assert_eq!(Root::read(SIGSTORE_PRODUCTION_TRUSTED_ROOT), Ok(Root::default()));
    for (wrong, said) in [("", "it is no trusted root of Sigstore"), ("{}\n{}", "it is no trusted root of Sigstore")] {
        assert!(Root::read(wrong).unwrap_err().contains(said));
    }
    for name in ["ctlogs", "tlogs", "certificateAuthorities"] {
        root[name] = json!([]);
        let refused = Root::read(&root.to_string()).unwrap_err();
        assert!(refused.contains(&format!("it has no `{name}`")), "{refused}");
    }
}
