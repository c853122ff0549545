//! Whoever is behind an event.

use crate::principal::Principal;

/// Somebody, by the names that the identity provider has for them.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// The issuer that vouches for them.
    pub issuer: &'a str,
    /// Its name for them.
    pub subject: &'a str,
    /// An address that it has verified.
    pub email: Option<&'a str>,
    /// False for a machine.
    pub is_person: bool,
}

impl<'a> Who<'a> {
    /// The caller of a request.
    pub fn of(principal: &'a Principal) -> Self {
        Self {
            issuer: &principal.issuer,
            subject: &principal.subject,
            email: principal.email.as_deref(),
            is_person: principal.as_machine().is_none(),
        }
    }
}
