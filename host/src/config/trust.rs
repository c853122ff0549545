//! `approve` and `trust`: which files of the plugins directory may go live, and who says so.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::document::{Node, Value};
use super::key::Key;
use super::problem::Fault;
use super::reader::{Reader, Setting, Shape};
use super::table::table;
use super::text::{InvalidValue, name};
use crate::oci::cosign::CosignKey;

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
        /// Artifacts of a registry that are signed with this key of cosign.
        cosign: Option<CosignPublicKey>,
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
        let cosign = CosignPublicKey::json_schema(generator);
        json_schema!({ "oneOf": [only("sha256", sha256), only("minisign", minisign), only("cosign", cosign)] })
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
