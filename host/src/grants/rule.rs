//! Rules of entries of `http`: where requests may go, by which methods, and if that is inside one's own network.

use http::Method;

use super::origin::{HostRule, Origin};
use super::path::Doubt;
use super::target::Target;
use crate::address::Class;

/// Methods that no grant allows: one makes a tunnel, the other gives back what was sent, credentials too.
const NEVER: [Method; 2] = [Method::CONNECT, Method::TRACE];

/// True for a method that is allowed nowhere.
pub(super) fn is_never(method: &Method) -> bool {
    NEVER.contains(method)
}

/// The methods that an entry allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Methods(Option<Vec<Method>>);

/// The reason that a text is no method of an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// It is none.
    #[error("a method is a word in capitals, such as `GET`")]
    Invalid,
    /// It is one in small letters: methods have case (RFC 9110 §9.1).
    #[error("write `{0}`")]
    Case(String),
    /// It is never allowed.
    #[error("{0} cannot be granted")]
    Never(Method),
}

impl Methods {
    /// All methods but those that are never allowed.
    pub fn any() -> Self {
        Self(None)
    }

    /// These methods.
    pub fn of(methods: Vec<Method>) -> Self {
        Self(Some(methods))
    }

    /// Reads one method of a list.
    ///
    /// # Errors
    /// It is none, or none that can be granted.
    pub fn parse_one(text: &str) -> Result<Method, MethodError> {
        let capitals = text.to_ascii_uppercase();
        let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
        match Method::from_bytes(capitals.as_bytes()) {
            Ok(method) if is_word && NEVER.contains(&method) => Err(MethodError::Never(method)),
            Ok(_) if is_word && capitals != text => Err(MethodError::Case(capitals)),
            Ok(method) if is_word => Ok(method),
            _ => Err(MethodError::Invalid),
        }
    }

    /// True if it allows this one.
    pub fn contains(&self, method: &Method) -> bool {
        self.0.as_ref().is_none_or(|methods| methods.contains(method))
    }

    /// True if it restricts nothing.
    pub fn is_any(&self) -> bool {
        self.0.is_none()
    }

    /// The methods of a list.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Method> {
        self.0.iter().flatten()
    }

    fn is_tied_with(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => one.iter().any(|method| other.contains(method)),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// What one entry allows, without what it puts in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Scheme, host, port, path.
    pub to: Origin,
    /// The methods.
    pub methods: Methods,
    /// True if the host may have a private address.
    pub is_private: bool,
}

/// The reason that an entry contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A private address without saying so.
    #[error("`{0}` is a private address; write `{{ to = \"…\", private = true }}` if that is meant")]
    Unsaid(HostRule),
    /// Anybody who can give a name under the domain an address could point it into this network.
    #[error("`private` cannot be granted to all names of a domain; name each host, or a network")]
    PrivateWildcard,
}

impl Rule {
    /// The entry that a text alone makes.
    pub fn to(to: Origin) -> Self {
        Self { to, methods: Methods::any(), is_private: false }
    }

    /// True if a path or a method decides, not the host alone.
    pub fn is_narrow(&self) -> bool {
        !self.to.path().is_any() || !self.methods.is_any()
    }

    /// True for an entry whose traffic stays in this network or machine, and never goes through a proxy.
    pub fn is_near(&self) -> bool {
        self.is_private || self.to.class() == Some(Class::Loopback)
    }

    /// Checks that private addresses are said to be such, and of what they can be said.
    ///
    /// # Errors
    /// They are not.
    pub fn check(&self) -> Result<(), RuleError> {
        let host = self.to.host();
        match self.to.class() {
            Some(Class::Private) if !self.is_private => Err(RuleError::Unsaid(host.clone())),
            _ if self.is_private && matches!(host, HostRule::Below(_)) => Err(RuleError::PrivateWildcard),
            _ => Ok(()),
        }
    }

    /// True for a request that the entry allows.
    ///
    /// # Errors
    /// Its path would have to decide, and can be read in two ways.
    pub(super) fn matches(&self, method: &Method, target: &Target) -> Result<bool, Doubt> {
        Ok(self.to.has_origin_of(target) && self.methods.contains(method) && self.to.path().matches(target.path())?)
    }

    /// Of two entries that match one request, the more specific is the greater one.
    pub(super) fn specificity(&self) -> (u8, usize, usize, bool) {
        let (kind, host, path) = self.to.specificity();
        (kind, host, path, !self.methods.is_any())
    }
}

/// Pairs of entries that match one request with neither more specific than the other, by their places.
pub fn ties(rules: &[&Rule]) -> Vec<(usize, usize)> {
    // Entries of one rank that match one request are equal: two domains or paths of one length that begin or end the
    // same text are the same.
    let is_tied = |one: &Rule, other: &Rule| one.to == other.to && one.methods.is_tied_with(&other.methods);
    let mut ties = Vec::new();
    for (place, one) in rules.iter().enumerate() {
        let others = rules.iter().enumerate().skip(place + 1);
        ties.extend(others.filter(|(_, other)| is_tied(one, other)).map(|(other, _)| (place, other)));
    }
    ties
}
