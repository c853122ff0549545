//! A person, as the identity provider says.

use serde::{Deserialize, Serialize};

/// Who a person is, as the provider says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Who says so.
    pub issuer: String,
    /// The provider's name for the person, which never changes.
    pub subject: String,
    /// Their address.
    pub email: Option<String>,
    /// Whether the provider has verified it. An address that was not verified may be somebody else's.
    pub email_verified: bool,
    /// What they are called.
    pub name: Option<String>,
    /// What they belong to.
    pub organizations: Vec<String>,
    /// Whether that is all of it. Sessions that an earlier version has kept do not say so.
    #[serde(default)]
    pub membership: Membership,
    /// Further addresses, verified or not: by these nobody is let in, and somebody may be turned away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_emails: Vec<String>,
    /// The scopes, permissions and roles that the provider's token carries.
    pub scopes: Vec<String>,
}

/// How much is known of what a person belongs to.
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
