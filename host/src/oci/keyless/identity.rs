//! Whose signatures count, and by whose word, as the configuration writes it. What no certificate can say is refused: it would
//! be waited for in vain.
//!
//! A certificate has one name that is looked at: a URI, of a workflow or of a workload (SPIFFE), or an address of mail. Both are
//! ASCII, and are compared letter by letter.

use url::Url;

/// The schemes of names that certificates have: workflows, service accounts and whatever else an issuer has URLs for, and workloads.
const SCHEMES: [&str; 3] = ["https", "http", "spiffe"];

const NO_IDENTITY: &str = "expected a URL whole, https://HOST/…, or an address of mail, as the certificate has it: `cosign verify` takes the same as --certificate-identity";

/// Whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// This one's.
    Exact(String),
    /// Those of all that begin so.
    Beginning(String),
}

impl Identity {
    /// Reads an identity, with a `*` at its end for all that begin so.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("an identity cannot be empty");
        }
        if !is_written_without_gaps(text) {
            return Err("an identity has neither blanks nor letters beyond ASCII: a certificate has them as `%…`");
        }
        let Some(beginning) = text.strip_suffix('*') else {
            return match text.contains('*') {
                true => Err("a `*` can only stand at the end of an identity"),
                false if is_mail(text) || path_of(text).is_some() => Ok(Self::Exact(text.to_owned())),
                false => Err(NO_IDENTITY),
            };
        };
        if beginning.contains('*') {
            return Err("a `*` can only stand at the end of an identity, and once");
        }
        // `https://github.com/*` is everybody, and `https://github.com/acme*` also `acme-and-somebody-else`.
        match path_of(beginning).and_then(|path| path.strip_prefix('/')?.split_once('/')) {
            Some((owner, _)) if !owner.is_empty() => Ok(Self::Beginning(beginning.to_owned())),
            _ => Err("before a `*` there must be a URL with at least the owner: `https://github.com/acme/…*`"),
        }
    }

    /// True if it is this one's that a certificate names.
    pub(super) fn is(&self, identity: &str) -> bool {
        match self {
            Self::Exact(exact) => identity == exact,
            Self::Beginning(beginning) => identity.starts_with(beginning.as_str()),
        }
    }
}

/// Reads an issuer: the URL at which it says who is who (OpenID Connect Discovery §3).
///
/// # Errors
/// What is wrong with it.
pub(crate) fn issuer(text: &str) -> Result<(), &'static str> {
    let is_one = is_written_without_gaps(text) && !text.contains(['*', '?', '#']);
    match is_one && text.starts_with("https://") && path_of(text).is_some() {
        true => Ok(()),
        false => Err(
            "expected the URL of one issuer, whole, https://…: `cosign verify` takes the same as --certificate-oidc-issuer",
        ),
    }
}

fn is_written_without_gaps(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What comes after the host of a URL; none, if it is no URL with a host.
fn path_of(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // The parser makes a host of what comes after more slashes than two.
    let is_host = !host.is_empty() && Url::parse(text).is_ok_and(|url| url.has_host());
    (SCHEMES.contains(&scheme) && is_host).then_some(path)
}

fn is_mail(text: &str) -> bool {
    let Some((mailbox, domain)) = text.split_once('@') else { return false };
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // `mailto:` and the like.
    !mailbox.is_empty() && !mailbox.contains([':', '/']) && domain.split('.').all(is_label)
}
