//! Persons in lines: in clear, or as a hash that only this server can make.

use std::net::IpAddr;

use super::line::Line;
use super::who::Who;
use crate::vault::Vault;

/// The purpose of the key of hashes.
pub const PURPOSE: &str = "tinymcp 2026 audit: hashes of people";

/// Bytes of a hash that are written: 128 bits keep all people apart.
const HASH_BYTES: usize = 16;

/// The form of persons in lines.
#[derive(Debug, Clone)]
pub enum PeopleStyle {
    /// The provider's name for them, and their address.
    Clear,
    /// Keyed hashes of these. Somebody who has the lines alone cannot try names.
    Hash(PeopleKeys),
}

/// The keys of hashes.
#[derive(Debug, Clone)]
pub struct PeopleKeys(Vault);

impl PeopleKeys {
    /// Hashes by the keys of a vault, of the purpose [`PURPOSE`].
    pub fn new(vault: Vault) -> Self {
        Self(vault)
    }

    /// The hash of an address or of a provider's name for somebody, by the current key.
    fn of_text(&self, text: &str) -> String {
        shown(&self.0.derive(text.as_bytes()))
    }

    /// The same by every key of the ring, for lines that were written before the key was changed.
    fn of_text_by_all(&self, text: &str) -> Vec<String> {
        self.0.derive_by_all(text.as_bytes()).iter().map(shown).collect()
    }
}

fn shown(hash: &[u8; 32]) -> String {
    let hex: String = hash[..HASH_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("hash:{hex}")
}

impl PeopleStyle {
    /// Adds a person.
    pub(super) fn write(&self, who: Option<&Who<'_>>, line: &mut Line) {
        let Some(who) = who else { return };
        match self {
            Self::Clear => {
                line.text("person", who.subject);
                line.maybe("email", who.email);
                line.text("issuer", who.issuer);
            }
            Self::Hash(keys) => {
                line.text("person", &keys.of_text(who.subject));
                line.maybe("email", who.email.map(|email| keys.of_text(&email.to_lowercase())).as_deref());
            }
        }
        if !who.is_person {
            line.text("kind", "machine");
        }
    }

    /// The one name of a person.
    pub(super) fn name_of(&self, who: &Who<'_>) -> String {
        match self {
            Self::Clear => who.subject.to_owned(),
            Self::Hash(keys) => keys.of_text(who.subject),
        }
    }

    /// Adds an address of the internet: of a person at home it is a name of theirs too.
    pub(super) fn write_address(&self, address: Option<IpAddr>, line: &mut Line) {
        let Some(address) = address.map(|address| address.to_canonical().to_string()) else { return };
        match self {
            Self::Clear => line.text("from", &address),
            Self::Hash(keys) => line.text("from", &keys.of_text(&address)),
        }
    }
}

/// A person by which lines are looked for: their address or the provider's name for them, or a hash out of a line.
#[derive(Debug)]
pub struct Wanted(Vec<String>);

impl Wanted {
    /// All that lines may say for this person.
    pub fn new(name: &str, keys: Option<&PeopleKeys>) -> Self {
        // Providers' names for people differ by case, and addresses are written in any.
        let lower = name.to_lowercase();
        let hashes =
            keys.into_iter().flat_map(|keys| [keys.of_text_by_all(name), keys.of_text_by_all(&lower)].concat());
        Self(hashes.chain([lower.clone()]).collect())
    }

    /// True if a line names this person so.
    pub fn is(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.0.contains(&text)
    }
}
