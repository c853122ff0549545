//! Who is calling.

use crate::config::names::Scope;

/// A person, by the identity provider that vouches for them and the name it gives them.
///
/// State, rates and sessions belong to (issuer, subject); nothing else of a person is an identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The provider's issuer URL.
    pub issuer: String,
    /// The provider's name for the person.
    pub subject: String,
    scopes: Scopes,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Scopes {
    All,
}

impl Principal {
    /// Whoever calls a server that asks nobody who they are, which it does on loopback only.
    pub fn anonymous() -> Self {
        Self { issuer: "none".to_owned(), subject: "anonymous".to_owned(), scopes: Scopes::All }
    }

    /// Whether the caller holds every one of these scopes.
    pub fn holds(&self, _scopes: &[Scope]) -> bool {
        match self.scopes {
            Scopes::All => true,
        }
    }

    /// One name for the person, for keys of state. Not for people to read.
    pub fn key(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        // The length keeps (`a`, `bc`) and (`ab`, `c`) apart.
        hasher.update(&(self.issuer.len() as u64).to_le_bytes());
        hasher.update(self.issuer.as_bytes());
        hasher.update(self.subject.as_bytes());
        *hasher.finalize().as_bytes()
    }
}
