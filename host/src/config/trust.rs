//! `approve` and `trust`: which files of the plugins directory may go live, and who says so.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::document::{Node, Value};
use super::files;
use super::key::Key;
use super::problem::Fault;
use super::reader::{Reader, Setting, Shape};
use super::table::table;
use super::text::{InvalidValue, name};
use crate::oci::cosign::{CosignKey, CosignSignature};
use crate::oci::digest::Digest;
use crate::oci::keyless::{self, Identity, Root, Signer};

/// Whether somebody has to look at a file before it goes live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approve {
    /// Nobody: a file that is there is served.
    #[default]
    Off,
    /// An operator, at every new file and every change of one or of its lists.
    Everything,
    /// An operator, unless nothing but the code has changed.
    Interface,
}

/// The word for [`Approve::Interface`].
const INTERFACE: &str = "interface";

impl fmt::Display for Approve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "false",
            Self::Everything => "true",
            Self::Interface => INTERFACE,
        })
    }
}

impl Setting for Approve {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let text = match &node.value {
            Value::Boolean(true) => return Some(Self::Everything),
            Value::Boolean(false) => return Some(Self::Off),
            _ => reader.text(node, key, format!("true, false or \"{INTERFACE}\""))?,
        };
        // Variables are strings.
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(Self::Everything),
            "false" | "0" | "no" | "off" => Some(Self::Off),
            INTERFACE => Some(Self::Interface),
            _ => {
                reader.invalid(node, key, &format!("expected true, false or \"{INTERFACE}\""));
                None
            }
        }
    }
}

impl JsonSchema for Approve {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Approve".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": format!(r"^{INTERFACE}$|\$\{{") }] })
    }
}

table! {
    /// The rules, of which a table has one.
    pub struct Rules {
        /// The one file with this SHA-256 digest, in hexadecimal.
        sha256: Option<Sha256Text>,
        /// Files that are signed with this key of minisign, beside them as `NAME.wasm.minisig`.
        minisign: Option<MinisignKey>,
        /// Artifacts of a registry that are signed with cosign by this key, or by this identity.
        cosign: Option<Cosign>,
    }
}

/// The files that may be loaded under a plugin's name.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust(Rules);

impl Trust {
    /// The rule of a digest, or of a key.
    pub fn of(sha256: Option<Sha256Text>, minisign: Option<MinisignKey>) -> Self {
        Self(Rules { sha256, minisign, cosign: None })
    }
}

impl Deref for Trust {
    type Target = Rules;

    fn deref(&self) -> &Rules {
        &self.0
    }
}

impl Setting for Trust {
    const SHAPE: Shape = Shape::Table;

    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let rules = Rules::read(node, key, reader)?;
        // A rule that names nothing trusts nothing, and one that names two is a mistake.
        let Value::Table(table) = &node.value else { return None };
        if ["sha256", "minisign", "cosign"].iter().filter(|name| table.contains_key(**name)).count() != 1 {
            reader.problem(
                &node.source,
                key,
                Fault::Conflict(
                    "expected either `sha256` or `minisign`, or `cosign` where the plugin comes from a registry"
                        .to_owned(),
                ),
            );
            return None;
        }
        Some(Self(rules))
    }
}

impl JsonSchema for Trust {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Trust".into()
    }

    /// One of them: editors complain of more.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let only = |name: &str, schema: Schema| {
            let properties = serde_json::json!({ name: schema });
            json_schema!({ "type": "object", "properties": properties, "required": [name], "additionalProperties": false })
        };
        let (sha256, minisign) = (Sha256Text::json_schema(generator), MinisignKey::json_schema(generator));
        let cosign = Cosign::json_schema(generator);
        json_schema!({ "oneOf": [only("sha256", sha256), only("minisign", minisign), only("cosign", cosign)] })
    }
}

/// The signer of cosign that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cosign {
    /// Whoever has this key.
    Key(CosignPublicKey),
    /// Whoever was somebody by the word of an issuer.
    Keyless(Keyless),
}

table! {
    /// A signer without a key.
    pub struct KeylessKeys {
        /// Who has signed, as the certificate says it; with a `*` at the end, everybody who begins so.
        identity: Option<SignerIdentity>,
        /// Who says so, as the certificate names them.
        issuer: Option<SignerIssuer>,
        /// The authorities and logs of a Sigstore of one's own, a `trusted_root.json`; without it, those of the public one.
        trusted_root: Option<TrustedRoot>,
    }
}

/// A signer without a key, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyless {
    identity: SignerIdentity,
    issuer: SignerIssuer,
    root: TrustedRoot,
}

/// The authorities and logs of a Sigstore, read from their file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedRoot(Root);

impl Cosign {
    /// Tells whether one of these signatures is by this signer and of this manifest, or of this index, which lists it.
    ///
    /// # Errors
    /// Why none is.
    pub(crate) fn verify(
        &self,
        signatures: &[CosignSignature],
        manifest: &Digest,
        index: Option<&Digest>,
    ) -> Result<(), String> {
        let of = |signed: &Digest| match self {
            Self::Key(key) => key.key().verify(signatures, signed),
            Self::Keyless(keyless) => keyless.signer().verify(signatures, signed),
        };
        of(manifest).or_else(|why| match index {
            Some(index) => {
                of(index).map_err(|of_index| format!("{why}; and as to the index that lists it: {of_index}"))
            }
            None => Err(why),
        })
    }
}

impl fmt::Display for Cosign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(_) => f.write_str("the key of `trust`"),
            Self::Keyless(Keyless { identity, issuer, .. }) => write!(f, "`{identity}` (issuer `{issuer}`)"),
        }
    }
}

impl Setting for Cosign {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Text(_) => CosignPublicKey::read(node, key, reader).map(Self::Key),
            // What is in it is shown with it.
            Value::Table(_) => {
                let keys = reader.item::<KeylessKeys>(node, key)?;
                Keyless::of(keys, node, key, reader).map(Self::Keyless)
            }
            _ => {
                reader.wrong_type(node, key, "a public key of cosign, or a table with `identity` and `issuer`");
                None
            }
        }
    }
}

impl JsonSchema for Cosign {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Cosign".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut keyless = KeylessKeys::json_schema(generator);
        keyless.insert("required".to_owned(), serde_json::json!(["identity", "issuer"]));
        json_schema!({ "anyOf": [CosignPublicKey::json_schema(generator), keyless] })
    }
}

impl Keyless {
    /// Anybody can be anybody by the word of an issuer of their own, and every issuer vouches for many.
    fn of(keys: KeylessKeys, node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let KeylessKeys { identity, issuer, trusted_root } = keys;
        if let (Some(identity), Some(issuer)) = (identity, issuer) {
            return Some(Self { identity, issuer, root: trusted_root.unwrap_or_default() });
        }
        if !["identity", "issuer"].iter().any(|name| reader.is_wrong(&key.child(name))) {
            let message = "it needs both `identity` and `issuer`: `cosign verify` takes the same as --certificate-identity and --certificate-oidc-issuer";
            reader.problem(&node.source, key, Fault::Conflict(message.to_owned()));
        }
        None
    }

    fn signer(&self) -> Signer {
        Signer {
            identity: Identity::read(self.identity.as_str()).expect("it was accepted when it was read"),
            issuer: self.issuer.as_str().to_owned(),
            root: self.root.0.clone(),
        }
    }
}

impl Setting for TrustedRoot {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let path = PathBuf::read(node, key, reader)?;
        let read = files::read_text(&path).and_then(|json| Root::read(&json).map(|_| json));
        let json = files::kept(read, &path, key, &node.source, reader)?;
        Root::read(&json).ok().map(Self)
    }
}

impl JsonSchema for TrustedRoot {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TrustedRoot".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        PathBuf::json_schema(generator)
    }
}

name! {
    /// A SHA-256 digest in hexadecimal.
    pub struct Sha256Text = sha256_text, "a SHA-256 digest", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "[0-9a-fA-F]{64}"
}

name! {
    /// A public key of minisign: the second line of its file.
    pub struct MinisignKey = minisign_key, "a public key of minisign", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3", "RW[A-Za-z0-9+/]{54}"
}

name! {
    /// A public key of cosign: its file, or the lines between its first and its last.
    pub struct CosignPublicKey = cosign_key, "a public key of cosign", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEI4syV7zbIoYWQKW7ArbyeXIV0Lm7IqfvzGOdj50sPZ4ZICzY0EgpUYppWaSpYofjxlKxyNJu+kL2QBG9SSjDCA==", r"[\s\S]*MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/=\s]+[\s\S]*"
}

name! {
    /// The identity of a signer without a key: that of a workflow, or an address of mail.
    pub struct SignerIdentity = signer_identity, "an identity", "https://github.com/acme/weather/.github/workflows/release.yml@refs/tags/*", r"(https?|spiffe)://[^\s*/]+(/[^\s*]*\*?)?|[^\s*@:/]+@[A-Za-z0-9.\-]+"
}

name! {
    /// Whoever says who a signer is.
    pub struct SignerIssuer = signer_issuer, "an issuer", "https://token.actions.githubusercontent.com", r"https://[^\s*?#/][^\s*?#]*"
}

fn signer_identity(text: &str) -> Result<String, InvalidValue> {
    match Identity::read(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(reason) => Err(reason.into()),
    }
}

fn signer_issuer(text: &str) -> Result<String, InvalidValue> {
    match keyless::issuer(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(reason) => Err(reason.into()),
    }
}

fn sha256_text(text: &str) -> Result<String, InvalidValue> {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_digest {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("expected 64 hexadecimal digits, as `sha256sum FILE` prints them".into()),
    }
}

fn cosign_key(text: &str) -> Result<String, InvalidValue> {
    match CosignKey::read(text) {
        Ok(_) => Ok(text.trim().to_owned()),
        Err(expected) => Err(expected.into()),
    }
}

fn minisign_key(text: &str) -> Result<String, InvalidValue> {
    // Two bytes for the algorithm, eight for the key's id, and an Ed25519 key.
    let is_key = STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 42 && bytes.starts_with(b"Ed"));
    match is_key {
        true => Ok(text.to_owned()),
        false => Err("expected the key itself, the line that begins with `RW` in the file `minisign.pub`".into()),
    }
}

impl CosignPublicKey {
    /// The key itself.
    pub(crate) fn key(&self) -> CosignKey {
        CosignKey::read(self.as_str()).expect("it was accepted when it was read")
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;
    use crate::config::text::Text;

    #[test]
    fn an_identity_is_whole_or_ends_with_a_star() {
        for right in [
            SignerIdentity::EXAMPLE,
            "https://github.com/acme/*",
            "https://github.com/acme/weather/.github/workflows/release.yml@refs/heads/main",
            "https://gitlab.com/acme/weather//.gitlab-ci.yml@refs/heads/main",
            "https://kubernetes.io/namespaces/release/serviceaccounts/signer",
            "https://gitlab.acme.example:8443/acme/*",
            "https://agent.example",
            "alice@example.com",
            "release+bot@builds.iam.gserviceaccount.com",
            "spiffe://acme.example/ns/release/*",
            "spiffe://acme.example/ns/release/sa/signer",
        ] {
            assert_eq!(right.parse::<SignerIdentity>().map(|text| text.to_string()), Ok(right.to_owned()));
        }
        for wrong in [
            "",
            "*",
            "**",
            "https://*",
            "https://github.com/*",
            "https://github.com//*",
            "https://github.com/acme*",
            "https://github.com/*/weather",
            "https://github.com/acme/*@refs/tags/*",
            "alice@*",
            // What no certificate can say.
            " ",
            "noturl",
            "https:///x/*",
            "https:///x/y",
            "https://",
            "htps://github.com/acme/weather",
            "github.com/acme/weather",
            "https://github.com/acme/weather ",
            " https://github.com/acme/*",
            "https://github.com/acme/wea ther",
            "https://github.com/acme/m\u{fc}nchen",
            "alice",
            "alice@",
            "@example.com",
            "alice@example..com",
            "alice@bob@example.com",
            "mailto:alice@example.com",
        ] {
            assert!(wrong.parse::<SignerIdentity>().is_err(), "{wrong}");
        }
        for right in [
            SignerIssuer::EXAMPLE,
            "https://gitlab.com",
            "https://github.com/login/oauth",
            "https://login.microsoftonline.com/1b2c/v2.0",
            "https://id.acme.example:8443/",
        ] {
            assert!(right.parse::<SignerIssuer>().is_ok(), "{right}");
        }
        for wrong in [
            "",
            " ",
            "token.actions.githubusercontent.com",
            "https://",
            "https:///x",
            "https://*.example",
            "https://id.example/ ",
            "http://id.example",
            "ftp://id.example",
            "https://id.example?a=b",
        ] {
            assert!(wrong.parse::<SignerIssuer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_trusted_is_written_in_one_way() {
        let digest = Sha256Text::EXAMPLE.to_ascii_uppercase();
        assert_eq!(digest.parse::<Sha256Text>().map(|text| text.to_string()), Ok(Sha256Text::EXAMPLE.to_owned()));
        assert!(Sha256Text::from_str(&digest[1..]).is_err() && Sha256Text::from_str(&"g".repeat(64)).is_err());
        assert_eq!(
            MinisignKey::from_str(MinisignKey::EXAMPLE).map(|key| key.to_string()),
            Ok(MinisignKey::EXAMPLE.to_owned())
        );
        for wrong in ["", "minisign.pub", &MinisignKey::EXAMPLE[..54], "untrusted comment: minisign public key"] {
            assert!(MinisignKey::from_str(wrong).is_err(), "{wrong}");
        }
    }
}
