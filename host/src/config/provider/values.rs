//! The types of values that only providers have.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use schemars::json_schema;
use url::{ParseError, Url};

use crate::config::document::{Node, Value};
use crate::config::effective::REDACTED;
use crate::config::key::Key;
use crate::config::reader::{Reader, Setting};
use crate::config::schema::inline_schema;
use crate::config::text::{InvalidValue, Text, choice, text_schema};
use crate::loopback::is_loopback_url;
pub use crate::secret::Secret;

/// The path of a provider's configuration, relative to its issuer (OpenID Connect Discovery 1.0 §4).
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

choice! {
    /// The client authentication of this server at the token endpoint.
    pub enum ClientAuth {
        /// The method of the provider's discovery document; `basic` if it names none.
        Auto = "auto",
        /// `client_secret_basic`
        Basic = "basic",
        /// `client_secret_post`
        Post = "post",
        /// None: a public client.
        None = "none",
    }
}

choice! {
    /// The encoding of id and secret in a Basic header.
    pub enum BasicEncoding {
        /// Form encoding before base64 (RFC 6749 §2.3.1).
        Rfc6749 = "rfc6749",
        /// As they are.
        Raw = "raw",
    }
}

choice! {
    /// The presence of a value.
    pub enum Presence {
        /// It must.
        Required = "required",
        /// It is checked if it is there.
        Optional = "optional",
    }
}

choice! {
    /// The extent of revoking one token, which RFC 7009 §2.1 leaves open.
    pub enum Revocation {
        /// All of the person's grants to this application, and so their other sessions too.
        Grant = "grant",
        /// The token, and those that came with it or from it.
        Token = "token",
    }
}

choice! {
    /// The source of a person's identity.
    pub enum Method {
        /// A verified `id_token` if `openid` is asked for, else the userinfo endpoint, else introspection.
        Auto = "auto",
        /// The userinfo endpoint.
        Userinfo = "userinfo",
        /// The introspection endpoint (RFC 7662).
        Introspection = "introspection",
        /// The endpoint that describes a token, as Google has it.
        TokenInfo = "token_info",
    }
}

/// Characters of words that were quoted twice, as by a reader of `.env` that keeps quotes, or separated in another way.
const NOT_IN_WORDS: [char; 6] = ['"', '\'', '\\', ';', '[', ']'];

/// Words without spaces or commas: a list of them, or one string that separates them by either.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Deref for Words {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl Words {
    /// True for a word of the list.
    pub fn has(&self, word: &str) -> bool {
        self.0.iter().any(|own| own == word)
    }
}

impl Setting for Words {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        let texts: Vec<Option<String>> = match &node.value {
            Value::List(items) => items.iter().map(|item| reader.text(item, key, "a string")).collect(),
            _ => vec![reader.text(node, key, "a list, or a string with spaces or commas")],
        };
        let mut words: Vec<String> = Vec::new();
        if texts.iter().flatten().any(|text| text.contains(NOT_IN_WORDS)) {
            reader.invalid(node, key, &"only spaces or commas separate words, and no quotes or brackets surround them");
            return None;
        }
        for text in texts {
            for word in text?.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
                if !words.iter().any(|known| known == word) {
                    words.push(word.to_owned());
                }
            }
        }
        Some(Self(words))
    }
}

inline_schema!(Words => json_schema!({ "type": ["array", "string"], "items": { "type": "string" } }));

/// It is always used: its variables are replaced, and it is shown nowhere.
impl Setting for Secret {
    fn read(node: &Node, key: &Key, reader: &mut Reader<'_>) -> Option<Self> {
        reader.secret_text(node, key, "a string")?;
        reader.text(node, key, "a string").map(Self::new)
    }

    fn shown(_: &Node, _name: &str) -> String {
        REDACTED.to_owned()
    }
}

inline_schema!(Secret => json_schema!({ "type": "string" }));

/// The place of a provider's discovery document: its URL, the issuer, or a bare domain.
///
/// A scheme that was pasted in front of a domain which has one already (`https://https://tenant.example/`) is dropped,
/// so that a variable may hold the one or the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryUrl(Url);

impl DiscoveryUrl {
    /// The URL of the document.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The issuer that its document is expected to name.
    pub fn issuer(&self) -> String {
        let Some((prefix, well_known)) = self.0.as_str().split_once("/.well-known/") else { return self.0.to_string() };
        match well_known.split_once('/') {
            Some((_, path)) if !path.is_empty() => format!("{prefix}/{path}"),
            _ => prefix.to_owned(),
        }
    }

    /// True for an issuer that a document at this URL may name: the URL without its well-known part (OpenID Connect
    /// Discovery 1.0 §4.3, RFC 8414 §3.3). A slash at the issuer's end is Auth0's way.
    pub fn may_name(&self, issuer: &str) -> bool {
        let own = self.issuer();
        issuer == own || issuer.strip_suffix('/') == Some(&own)
    }
}

impl FromStr for DiscoveryUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let text = text.trim();
        let no_host = if text.contains("://") { "not a host name" } else { "neither a URL nor a host name" };
        let inner = text.strip_prefix("https://").filter(|rest| rest.contains("://"));
        let text = match inner.and_then(|inner| inner.split_once("://")) {
            Some(("http", rest)) if is_on_this_machine(rest) => format!("http://{rest}"),
            Some((_, rest)) => format!("https://{rest}"),
            None if text.contains("://") => text.to_owned(),
            None => format!("https://{text}"),
        };
        if Url::parse(&text).is_err_and(is_of_host) {
            return Err(no_host.into());
        }
        let mut url = endpoint(&text)?;
        if !url.path().contains("/.well-known/") {
            let path = format!("{}{DISCOVERY_PATH}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        Ok(Self(url))
    }
}

fn is_of_host(error: ParseError) -> bool {
    use ParseError::{EmptyHost, IdnaError, InvalidDomainCharacter, InvalidIpv4Address, InvalidIpv6Address};
    matches!(error, EmptyHost | IdnaError | InvalidDomainCharacter | InvalidIpv4Address | InvalidIpv6Address)
}

fn is_on_this_machine(rest: &str) -> bool {
    Url::parse(&format!("http://{rest}")).is_ok_and(|url| is_loopback_url(&url))
}

impl fmt::Display for DiscoveryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Text for DiscoveryUrl {
    const WHAT: &'static str = "a discovery URL, an issuer or a domain";
    const EXAMPLE: &'static str = "https://id.example.com/.well-known/openid-configuration";
}

/// One of a provider's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// The URL itself.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for Endpoint {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        endpoint(text).map(Self)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Text for Endpoint {
    const WHAT: &'static str = "a URL";
    const EXAMPLE: &'static str = "https://id.example.com/oauth/token";
}

text_schema!(DiscoveryUrl, Endpoint);

fn endpoint(text: &str) -> Result<Url, InvalidValue> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err("the scheme must be https".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("no user name or password may stand before the host".into());
    }
    if url.fragment().is_some() {
        return Err("nothing may follow a `#`".into());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discovery_url_may_be_a_domain_or_an_issuer() {
        for (text, expected) in [
            ("tenant.us.auth0.com", "https://tenant.us.auth0.com/.well-known/openid-configuration"),
            ("https://tenant.us.auth0.com", "https://tenant.us.auth0.com/.well-known/openid-configuration"),
            ("https://https://login.example.com//", "https://login.example.com/.well-known/openid-configuration"),
            ("https://http://login.example.com", "https://login.example.com/.well-known/openid-configuration"),
            ("https://http://127.0.0.1:9", "http://127.0.0.1:9/.well-known/openid-configuration"),
            ("http://localhost:9/realms/a", "http://localhost:9/realms/a/.well-known/openid-configuration"),
            (" a.clerk.accounts.dev/ ", "https://a.clerk.accounts.dev/.well-known/openid-configuration"),
            (
                "https://id.example/.well-known/oauth-authorization-server",
                "https://id.example/.well-known/oauth-authorization-server",
            ),
        ] {
            assert_eq!(text.parse::<DiscoveryUrl>().unwrap().to_string(), expected, "{text}");
        }
        for text in ["ftp://id.example", "https://user@id.example", "https://", "id.example#x"] {
            assert!(text.parse::<DiscoveryUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_document_names_the_issuer_of_its_url() {
        for (url, issuer, expected) in [
            ("https://tenant.example", "https://tenant.example/", true),
            ("https://tenant.example", "https://tenant.example", true),
            ("https://tenant.example", "https://other.example/", false),
            ("https://tenant.example", "https://tenant.example//", false),
            ("https://id.example/realms/a", "https://id.example/realms/a", true),
            ("https://id.example/realms/a", "https://id.example", false),
            ("https://id.example/.well-known/oauth-authorization-server/a", "https://id.example/a", true),
            ("https://id.example/.well-known/oauth-authorization-server/a", "https://id.example", false),
        ] {
            assert_eq!(url.parse::<DiscoveryUrl>().unwrap().may_name(issuer), expected, "{url} {issuer}");
        }
    }
}
