//! Names with rules of their own: plugins, providers, scopes, people, redirect URIs, log filters.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use url::Url;

use super::problem::nearest;
use super::text::{InvalidValue, Text, choice, name, text_schema};
use crate::view;

name! {
    /// The name of a plugin in snake case; `my-tool` and `my_tool` are the same one.
    pub struct PluginName = plugin_name, "a plugin's name", "weather", "[A-Za-z0-9_-]+"
}
name! {
    /// The name of a tool's function in snake case; `get-forecast` and `get_forecast` are the same one.
    pub struct ToolName = plugin_name, "a tool's name", "get_forecast", "[A-Za-z0-9_-]+"
}
name! {
    /// The name of a tool as clients see it, which every client takes (Claude's API and VS Code: 64 characters).
    pub struct ShownName = shown_name, "a tool's name as clients see it", "weather_get_forecast", "[A-Za-z0-9_-]{1,64}"
}
name! {
    /// The name of a view, which is a part of its URL.
    pub struct ViewName = view_name, "a view's name", "ops", "[a-z0-9_-]+"
}
name! {
    /// A page for people, by its URL.
    pub struct PageUrl = web_url, "a URL", "https://example.com", "https?://.+"
}
name! {
    /// The beginning of the names of a plugin's tools; may be empty.
    pub struct Prefix = prefix, "a prefix", "weather", "[A-Za-z0-9_-]*"
}
name! {
    /// The beginning of the keys of a shared store. No braces: those mark the part by which a cluster places a key.
    pub struct StatePrefix = state_prefix, "a prefix", "tinymcp", "[A-Za-z0-9_.:-]{1,64}"
}
name! {
    /// The name of an identity provider: a built-in one, or one that `[auth.providers]` declares.
    pub struct ProviderName = provider_name, "a provider's name", "auth0", "[a-z0-9_-]+"
}
name! {
    /// The name of a group of people.
    pub struct GroupName = group_name, "a group's name", "ops", "[A-Za-z0-9_-]+"
}
name! {
    /// A scope (RFC 6749 §3.3).
    pub struct Scope = scope, "a scope", "weather:read", r"[!#-\[\]-~]+"
}
name! {
    /// A redirect URI of a client (RFC 6749 §3.1.2): absolute, without a fragment.
    pub struct RedirectUri =
        redirect_uri, "a redirect URI", "http://localhost:6274/oauth/callback", "[A-Za-z][A-Za-z0-9+.-]*:[^#]+"
}
name! {
    /// A filter of log lines: a level, or `tracing` directives such as `info,tinymcp=debug`.
    pub struct LogFilter = log_filter, "a level or a filter", "info", ".*"
}

choice! {
    /// The shape of log lines.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One object a line, for machines.
        Json = "json",
    }
}

choice! {
    /// What happens while lines of the audit cannot be written.
    pub enum AuditOnError {
        /// Everything goes on, and they are counted.
        Continue = "continue",
        /// Nothing begins that would have one.
        Refuse = "refuse",
    }
}

choice! {
    /// The form of people in lines of the audit.
    pub enum AuditPeople {
        /// By their names.
        Clear = "clear",
        /// By keyed hashes of them.
        Hash = "hash",
    }
}

choice! {
    /// The treatment of a client with an id that this server never issued.
    pub enum UnknownClients {
        /// It is told to register.
        Refuse = "refuse",
        /// It is taken as a new registration, if its redirect URI is acceptable.
        Adopt = "adopt",
    }
}

/// A name of WIT as tools and keys have it: kebab case becomes snake case.
pub(crate) fn snake(kebab: &str) -> String {
    kebab.replace('-', "_")
}

fn plugin_name(text: &str) -> Result<String, InvalidValue> {
    group_name(text).map(|name| snake(&name))
}

fn group_name(text: &str) -> Result<String, InvalidValue> {
    if text.is_empty() {
        return Err("a name cannot be empty".into());
    }
    prefix(text)
}

/// The longest name of a tool that every client takes.
const SHOWN_NAME_MAX: usize = 64;

fn shown_name(text: &str) -> Result<String, InvalidValue> {
    if text.len() > SHOWN_NAME_MAX {
        return Err(format!("clients take {SHOWN_NAME_MAX} characters").into());
    }
    group_name(text)
}

fn view_name(text: &str) -> Result<String, InvalidValue> {
    let in_small_letters = text.to_ascii_lowercase();
    if text != in_small_letters && view::is_name(&in_small_letters) {
        return Err(format!("did you mean {in_small_letters:?}?").into());
    }
    if !view::is_name(text) {
        return Err("a view's name is made of small letters, digits, `_` and `-`".into());
    }
    if view::is_reserved(text) {
        return Err(format!("`{text}` is reserved: clients look for other things there; choose another name").into());
    }
    Ok(text.to_owned())
}

fn web_url(text: &str) -> Result<String, InvalidValue> {
    let url = Url::parse(text).map_err(|error| format!("not an absolute URL: {error}"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err("a page has a URL of https, or of http".into());
    }
    Ok(text.to_owned())
}

fn state_prefix(text: &str) -> Result<String, InvalidValue> {
    let is_prefix = (1..=64).contains(&text.len())
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "_.:-".contains(char));
    if is_prefix { Ok(text.to_owned()) } else { Err("use 1 to 64 letters, digits, `_`, `-`, `.` or `:`".into()) }
}

fn prefix(text: &str) -> Result<String, InvalidValue> {
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        return Err("only letters, digits, `_` and `-` may be used".into());
    }
    Ok(text.to_owned())
}

fn provider_name(text: &str) -> Result<String, InvalidValue> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let in_small_letters = text.to_ascii_lowercase();
    if text != in_small_letters && in_small_letters.chars().all(fits) {
        return Err(format!("did you mean {in_small_letters:?}?").into());
    }
    if text.is_empty() || !text.chars().all(fits) {
        return Err("a provider's name is made of small letters, digits, `_` and `-`".into());
    }
    Ok(text.to_owned())
}

fn scope(text: &str) -> Result<String, InvalidValue> {
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    if text.is_empty() || !text.chars().all(fits) {
        return Err("a scope has no spaces, quotes or backslashes, and only ASCII".into());
    }
    Ok(text.to_owned())
}

fn redirect_uri(text: &str) -> Result<String, InvalidValue> {
    let url = Url::parse(text).map_err(|error| format!("not an absolute URI: {error}"))?;
    if url.fragment().is_some() {
        return Err("a redirect URI has no fragment".into());
    }
    // As it was written: clients' URIs are compared byte by byte (RFC 9700 §4.1.3).
    Ok(text.to_owned())
}

/// A directive without `=` or `[` is a level, or else a target, which would let its whole output through; since
/// nobody means that by `inof`, a target has to be written `target=level`.
fn log_filter(text: &str) -> Result<String, InvalidValue> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in text.split(',').map(str::trim) {
        if directive.contains(['=', '[']) || directive.parse::<LevelFilter>().is_ok() && !directive.is_empty() {
            continue;
        }
        return Err(match nearest(directive, LEVELS) {
            Some(level) => format!("did you mean {level:?}?"),
            None => format!("expected {} or `target=level`", LEVELS.join(", ")),
        }
        .into());
    }
    EnvFilter::try_new(text).map_err(|_| "expected levels, or `target=level`, separated by commas")?;
    Ok(text.to_owned())
}

/// A person, or everybody of a kind, wherever the configuration names people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// `alice@example.com`: an address, in lower case.
    Email(String),
    /// `*@example.com`: every address of this domain, in lower case.
    Domain(String),
    /// `sub:…`: the provider's own id of a person.
    Subject(String),
    /// `org:…`: everybody whom the provider counts to this organization.
    Organization(String),
    /// `group:…`: everybody whom this group of `[auth.groups]` names.
    Group(String),
}

impl FromStr for Who {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if let Some(subject) = text.strip_prefix("sub:") {
            return id(subject).map(Self::Subject);
        }
        if let Some(organization) = text.strip_prefix("org:") {
            return id(organization).map(Self::Organization);
        }
        if let Some(group) = text.strip_prefix("group:") {
            return group_name(group).map(Self::Group);
        }
        if text.starts_with(['!', '-', '^', '~']) {
            return Err("a sign in front excludes nobody; list people to turn away in `auth.deny`".into());
        }
        let (person, domain) = text.rsplit_once('@').ok_or_else(shape)?;
        let domain = ascii_domain(domain).ok_or_else(shape)?;
        match person {
            "*" => Ok(Self::Domain(domain)),
            _ if is_local_part(person) => Ok(Self::Email(format!("{}@{domain}", person.to_lowercase()))),
            _ => Err(shape()),
        }
    }
}

/// An address in the form in which two of one mailbox are the same: lower case, the domain as [`ascii_domain`] has it. One
/// whose domain is none stays as it is but for its case.
pub fn address(text: &str) -> String {
    let text = text.trim();
    let parts = text.rsplit_once('@').and_then(|(person, domain)| Some((person, ascii_domain(domain)?)));
    match parts {
        Some((person, domain)) => format!("{}@{domain}", person.to_lowercase()),
        None => text.to_lowercase(),
    }
}

/// A domain as the DNS has it: lower case, in A-labels (RFC 5890 §2.3.2.1), without the root's dot.
fn ascii_domain(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_plain = is_domain(text) && text.split('.').all(|label| !label.is_empty());
    match url::Host::parse(text) {
        Ok(url::Host::Domain(domain)) if is_plain => Some(domain),
        _ => None,
    }
}

fn shape() -> InvalidValue {
    "expected \"alice@example.com\", \"*@example.com\", \"sub:…\", \"org:…\" or \"group:…\"".into()
}

/// An id of the provider's, which may be anything but a pattern: somebody who writes one means more than one.
fn id(text: &str) -> Result<String, InvalidValue> {
    if text.is_empty() || text.trim() != text {
        return Err(shape());
    }
    if text.contains('*') {
        return Err("write the whole id; `*` is no wildcard in it".into());
    }
    Ok(text.to_owned())
}

/// The part before the `@`, as people have it: quoted ones and comments (RFC 5322 §3.4.1) are more likely a mistake.
fn is_local_part(text: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    text.starts_with(is_letter) && text.chars().all(|c| is_letter(c) || ".!#$%&'+-/=?^`{|}~".contains(c))
}

fn is_domain(text: &str) -> bool {
    text.starts_with(char::is_alphanumeric) && text.chars().all(|c| c.is_alphanumeric() || "-.".contains(c))
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(email) => f.write_str(email),
            Self::Domain(domain) => write!(f, "*@{domain}"),
            Self::Subject(subject) => write!(f, "sub:{subject}"),
            Self::Organization(organization) => write!(f, "org:{organization}"),
            Self::Group(group) => write!(f, "group:{group}"),
        }
    }
}

impl Text for Who {
    const WHAT: &'static str = "a person";
    const EXAMPLE: &'static str = "*@example.com";
    const PATTERN: &'static str = "(sub|org|group):.+|[^!^~-].*@.+";
}

text_schema!(Who);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Text + fmt::Debug>(cases: &[(&str, Result<&str, &str>)]) {
        for (text, expected) in cases {
            let shown = text.parse::<T>().map(|value| value.to_string()).map_err(|error| error.to_string());
            assert_eq!(shown.as_deref().map_err(String::as_str), *expected, "{text}");
        }
    }

    #[test]
    fn names_are_accepted_by_their_rules() {
        let letters = Err("only letters, digits, `_` and `-` may be used");
        check::<PluginName>(&[
            ("my-tool", Ok("my_tool")),
            ("", Err("a name cannot be empty")),
            ("my tool", letters),
            ("../x", letters),
        ]);
        check::<Prefix>(&[("", Ok("")), ("my-tool", Ok("my-tool")), ("a.b", letters)]);
        check::<Scope>(&[
            ("weather:read", Ok("weather:read")),
            ("a b", Err("a scope has no spaces, quotes or backslashes, and only ASCII")),
        ]);
        check::<RedirectUri>(&[
            ("cursor://anysphere.cursor-mcp/oauth/callback", Ok("cursor://anysphere.cursor-mcp/oauth/callback")),
            ("http://localhost", Ok("http://localhost")),
            ("http://localhost/#a", Err("a redirect URI has no fragment")),
            ("/callback", Err("not an absolute URI: relative URL without a base")),
        ]);
    }

    #[test]
    fn views_have_names_that_urls_have_too() {
        let letters = Err("a view's name is made of small letters, digits, `_` and `-`");
        check::<ViewName>(&[
            ("ops", Ok("ops")),
            ("read-only_2", Ok("read-only_2")),
            ("Ops", Err("did you mean \"ops\"?")),
            ("", letters),
            ("a.b", letters),
            ("a/b", letters),
            ("sse", Err("`sse` is reserved: clients look for other things there; choose another name")),
            ("mcp", Err("`mcp` is reserved: clients look for other things there; choose another name")),
        ]);
        check::<ShownName>(&[
            ("Get-it_2", Ok("Get-it_2")),
            ("a.b", Err("only letters, digits, `_` and `-` may be used")),
            ("a23456789 123456789 123456789 123456789 123456789 123456789 12345", Err("clients take 64 characters")),
        ]);
        check::<PageUrl>(&[
            ("https://example.com/a", Ok("https://example.com/a")),
            ("javascript:alert(1)", Err("a page has a URL of https, or of http")),
            ("example.com", Err("not an absolute URL: relative URL without a base")),
        ]);
    }

    #[test]
    fn people() {
        let shape = Err("expected \"alice@example.com\", \"*@example.com\", \"sub:…\", \"org:…\" or \"group:…\"");
        let sign = Err("a sign in front excludes nobody; list people to turn away in `auth.deny`");
        let pattern = Err("write the whole id; `*` is no wildcard in it");
        check::<Who>(&[
            ("*@Example.com", Ok("*@example.com")),
            ("Alice@example.com", Ok("alice@example.com")),
            ("Bob@Bücher.example.", Ok("bob@xn--bcher-kva.example")),
            ("*@Example.com.", Ok("*@example.com")),
            ("bob@example..com", shape),
            ("jörg+x.y@example.com", Ok("jörg+x.y@example.com")),
            ("sub:auth0|1@A", Ok("sub:auth0|1@A")),
            ("org:Acme", Ok("org:Acme")),
            ("group:ops", Ok("group:ops")),
            ("group:", Err("a name cannot be empty")),
            ("group:the ops", Err("only letters, digits, `_` and `-` may be used")),
            ("!bob@example.com", sign),
            ("-bob@example.com", sign),
            ("!sub:1", sign),
            ("not bob@example.com", shape),
            ("deny:bob@example.com", shape),
            ("bob@example.com,alice@example.com", shape),
            ("<bob@example.com>", shape),
            ("role:admin", shape),
            ("Org:acme", shape),
            ("org:*", pattern),
            ("sub: 1", shape),
            ("*", shape),
            ("sub:", shape),
            ("a*@example.com", shape),
            ("*@*", shape),
            ("*@*.example.com", shape),
            ("@example.com", shape),
            ("example.com", shape),
        ]);
    }

    #[test]
    fn log_filters() {
        check::<LogFilter>(&[
            ("info", Ok("info")),
            ("INFO,tinymcp=debug", Ok("INFO,tinymcp=debug")),
            ("inof", Err("did you mean \"info\"?")),
            ("tinymcp", Err("expected off, error, warn, info, debug, trace or `target=level`")),
            ("tinymcp=loud", Err("expected levels, or `target=level`, separated by commas")),
            ("", Err("expected off, error, warn, info, debug, trace or `target=level`")),
        ]);
        check::<LogFormat>(&[("json", Ok("json")), ("jsno", Err("did you mean \"json\"?"))]);
    }
}
