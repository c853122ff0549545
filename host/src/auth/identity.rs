//! A person, as the identity provider describes them.

use serde::{Deserialize, Serialize};

use crate::audit::event::Who;

/// The identity of a person, as the provider states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The issuer: the provider, or its tenant.
    pub issuer: String,
    /// The provider's name for the person, which never changes.
    pub subject: String,
    /// Their address.
    pub email: Option<String>,
    /// True if the provider has verified the address. One that was not verified may be somebody else's.
    pub email_verified: bool,
    /// Their name.
    pub name: Option<String>,
    /// The organizations or groups that they belong to.
    pub organizations: Vec<String>,
    /// The completeness of that list. Sessions of an earlier version do not have it.
    #[serde(default)]
    pub membership: Membership,
    /// Further addresses, verified or not: by these nobody is let in, and somebody may be turned away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_emails: Vec<String>,
    /// The scopes, permissions and roles that the provider's token carries.
    pub scopes: Vec<String>,
    /// The provider's name for its own session (`sid`), by which it ends it (OpenID Connect Back-Channel Logout 1.0).
    /// Sessions of an earlier version do not have it, and not every provider says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
}

impl Identity {
    /// The person, as lines of the audit name them.
    pub fn who(&self) -> Who<'_> {
        let email = self.email.as_deref().filter(|_| self.email_verified);
        Who { issuer: &self.issuer, subject: &self.subject, email, is_person: true }
    }
}

/// The completeness of a person's list of organizations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// The provider has said all of it.
    Whole,
    /// The provider has said nothing about it, or it was not kept.
    #[default]
    Unknown,
    /// There is more than the provider, or this server, puts into a list.
    Overflowed,
}
