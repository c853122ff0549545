//! Client ids that contain their registration, under the server's MAC.
//!
//! Invariant: nothing is stored of a registration. An id opens for as long as its key is known, on every replica and
//! after every restart; it never expires, and registering fills no disk.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::redirect;
use crate::vault::Vault;

/// Distinguishes this form of ids from later ones, and from ids of other servers.
const PREFIX: &str = "tmcp1.";

/// Longest id that is given out. Launchers of URLs cut at two kilobytes, and real clients need a few hundred bytes.
pub(super) const ID_BYTES_MAX: usize = 4096;

/// The purposes of signatures, so that none serves for two.
const ID_CONTEXT: &[u8] = b"client id\0";
const SECRET_CONTEXT: &[u8] = b"client secret\0";

/// A registration, in its normal form. Names of members are short, since ids travel in URLs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Registration {
    /// Redirect URIs, those of loopback without their ports.
    #[serde(rename = "r")]
    pub(super) redirect_uris: Vec<String>,
    /// The client's name, by its own account.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Its way to authenticate at the token endpoint.
    #[serde(rename = "m", default, skip_serializing_if = "ClientAuthMethod::is_none")]
    pub(super) method: ClientAuthMethod,
    /// The scopes that it wants.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    /// Keeps two confidential clients apart that registered the same, so that they do not share a secret.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(super) nonce: Option<String>,
}

/// `token_endpoint_auth_method` (RFC 7591 §2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::auth) enum ClientAuthMethod {
    /// A public client.
    #[default]
    #[serde(rename = "n")]
    None,
    /// The secret in the form.
    #[serde(rename = "p")]
    Post,
    /// The secret in the `Authorization` header.
    #[serde(rename = "b")]
    Basic,
}

impl ClientAuthMethod {
    fn is_none(&self) -> bool {
        *self == Self::None
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "client_secret_post" => Some(Self::Post),
            "client_secret_basic" => Some(Self::Basic),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Post => "client_secret_post",
            Self::Basic => "client_secret_basic",
        }
    }
}

impl Registration {
    /// The registration without everything that clients change from one time to the next.
    pub(super) fn normal(mut self) -> Self {
        self.redirect_uris = self.redirect_uris.iter().map(|uri| redirect::without_port(uri)).collect();
        self.redirect_uris.sort();
        self.redirect_uris.dedup();
        self
    }

    /// The id of this registration; the same one whenever a public client registers the same.
    pub(super) fn seal(&self, vault: &Vault) -> String {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("a registration is JSON"));
        let signature = URL_SAFE_NO_PAD.encode(vault.sign(&[ID_CONTEXT, body.as_bytes()].concat()));
        format!("{PREFIX}{body}.{signature}")
    }

    /// Reads an id that this server gave out.
    pub(super) fn open(vault: &Vault, id: &str) -> Option<Self> {
        if id.len() > ID_BYTES_MAX {
            return None;
        }
        let (body, signature) = id.strip_prefix(PREFIX)?.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !vault.verify(&[ID_CONTEXT, body.as_bytes()].concat(), &signature) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
    }
}

/// The secret of a confidential client: a MAC of its id, so that it needs no storing either.
pub(super) fn secret_of(vault: &Vault, id: &str) -> String {
    format!("tmcp_cs_{}", URL_SAFE_NO_PAD.encode(vault.sign(&[SECRET_CONTEXT, id.as_bytes()].concat())))
}

/// Tells whether this is the secret of that client.
pub(super) fn is_secret_of(vault: &Vault, id: &str, secret: &str) -> bool {
    let signature = secret.strip_prefix("tmcp_cs_").and_then(|encoded| URL_SAFE_NO_PAD.decode(encoded).ok());
    signature.is_some_and(|signature| vault.verify(&[SECRET_CONTEXT, id.as_bytes()].concat(), &signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(port: u16) -> Registration {
        let redirect_uris = vec![
            "cursor://anysphere.cursor-mcp/oauth/callback".to_owned(),
            "https://www.cursor.com/agents/mcp/oauth/callback".to_owned(),
            format!("http://localhost:{port}/callback"),
        ];
        let name = Some("Cursor".to_owned());
        Registration { redirect_uris, name, method: ClientAuthMethod::None, scope: None, nonce: None }.normal()
    }

    #[test]
    fn an_id_is_the_registration_and_needs_its_key() {
        let vault = Vault::for_tests(1);
        let id = cursor(8787).seal(&vault);
        assert_eq!(Registration::open(&vault, &id), Some(cursor(1)));
        assert_eq!(cursor(9).seal(&vault), id, "another port is the same client");
        assert_eq!(Registration::open(&Vault::for_tests(2), &id), None);
        assert!(id.len() < 1024, "{}", id.len());
    }

    #[test]
    fn a_changed_id_does_not_open() {
        let vault = Vault::for_tests(1);
        let id = cursor(8787).seal(&vault);
        for at in 0..id.len() {
            let mut changed = id.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(Registration::open(&vault, &String::from_utf8(changed).unwrap()), None, "byte {at}");
        }
    }

    #[test]
    fn a_secret_belongs_to_one_id() {
        let vault = Vault::for_tests(1);
        let secret = secret_of(&vault, "one");
        assert!(is_secret_of(&vault, "one", &secret));
        assert!(!is_secret_of(&vault, "other", &secret));
        assert!(!is_secret_of(&Vault::for_tests(2), "one", &secret));
        assert!(!is_secret_of(&vault, "one", ""));
    }
}
