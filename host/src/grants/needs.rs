//! What a component says that it needs: `@needs http https://api.example.com` in the documentation of its world.
//!
//! An author's words can only narrow what an operator grants. Where something is declared, what is not declared is not
//! there, whatever is granted; where nothing is, the grants stand alone. A declaration that cannot be read counts as
//! one, of nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::endpoint::Endpoint;
use super::host::Host;
use super::origin::Origin;
use super::target::Target;

/// Declarations of one component: far more than any needs, and few enough to print.
const MAX_NEEDS: usize = 64;

/// The length of a name or a folder.
const MAX_NAME: usize = 64;

/// One thing that a component needs. None holds a character that TOML, a terminal or a log would take for something
/// else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// `http https://api.example.com/v1`
    Http(Origin),
    /// `tcp db.example.com:5432`
    Tcp(Endpoint),
    /// `secret API_KEY`
    Secret(String),
    /// `env TZ`
    Env(String),
    /// `kv`
    Kv,
    /// `dir /data`, as the guest names it.
    Dir(String),
}

/// The reason that a declaration cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeedError {
    /// The first word.
    #[error("`@needs` is followed by `http`, `tcp`, `secret`, `env`, `kv` or `dir`")]
    Kind,
    /// The rest.
    #[error("`@needs {0}` is followed by {1}")]
    Object(&'static str, &'static str),
    /// Not this one.
    #[error("`@needs {0}`: {1}")]
    Invalid(&'static str, String),
    /// One too many.
    #[error("more than {MAX_NEEDS} declarations")]
    TooMany,
}

impl FromStr for Need {
    type Err = NeedError;

    /// Reads what follows `@needs`.
    fn from_str(text: &str) -> Result<Self, NeedError> {
        let mut words = text.split_ascii_whitespace();
        let (kind, object, more) = (words.next().ok_or(NeedError::Kind)?, words.next(), words.next());
        let one = |kind: &'static str, what: &'static str| match (object, more) {
            (Some(object), None) => Ok(object),
            _ => Err(NeedError::Object(kind, what)),
        };
        match kind {
            "http" => parsed("http", one("http", "one URL, such as `https://api.example.com`")?).map(Self::Http),
            "tcp" => parsed("tcp", one("tcp", "host and port, such as `db.example.com:5432`")?).map(Self::Tcp),
            "secret" => name("secret", one("secret", "one name, such as `API_KEY`")?).map(Self::Secret),
            "env" => name("env", one("env", "one name, such as `TZ`")?).map(Self::Env),
            "dir" => folder(one("dir", "one folder, such as `/data`")?).map(Self::Dir),
            "kv" if object.is_none() => Ok(Self::Kv),
            "kv" => Err(NeedError::Object("kv", "nothing")),
            _ => Err(NeedError::Kind),
        }
    }
}

fn parsed<T: FromStr<Err: fmt::Display>>(kind: &'static str, text: &str) -> Result<T, NeedError> {
    text.parse().map_err(|error: T::Err| NeedError::Invalid(kind, crate::sanitize::escape(&error.to_string())))
}

fn name(kind: &'static str, text: &str) -> Result<String, NeedError> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins = text.starts_with(|char: char| !char.is_ascii_digit());
    match is_name && begins && text.len() <= MAX_NAME {
        true => Ok(text.to_owned()),
        false => Err(NeedError::Object(kind, "a name of letters, digits and `_`")),
    }
}

fn folder(text: &str) -> Result<String, NeedError> {
    let is_plain = |part: &str| {
        let fits = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        fits && !matches!(part, "" | "." | "..")
    };
    match text.strip_prefix('/') {
        Some(parts) if parts.split('/').all(is_plain) && text.len() <= MAX_NAME => Ok(text.to_owned()),
        _ => Err(NeedError::Object("dir", "a folder such as `/data`")),
    }
}

/// A need as it is declared, without `@needs`.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(origin) => write!(f, "http {origin}"),
            Self::Tcp(endpoint) => write!(f, "tcp {endpoint}"),
            Self::Secret(name) => write!(f, "secret {name}"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Kv => f.write_str("kv"),
            Self::Dir(folder) => write!(f, "dir {folder}"),
        }
    }
}

/// All declarations of one component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// None if nothing at all is declared.
    declared: Option<BTreeSet<Need>>,
}

impl Needs {
    /// Reads declarations, each as it follows `@needs`; and gives those that cannot be read, with their reasons.
    pub fn read<'t>(declarations: impl IntoIterator<Item = &'t str>) -> (Self, Vec<NeedError>) {
        let (mut needs, mut errors) = (Self::default(), Vec::new());
        for text in declarations {
            let declared = needs.declared.get_or_insert_default();
            match text.parse() {
                Ok(_) if declared.len() >= MAX_NEEDS => {
                    errors.push(NeedError::TooMany);
                    break;
                }
                Ok(need) => {
                    declared.insert(need);
                }
                Err(error) => errors.push(error),
            }
        }
        (needs, errors)
    }

    /// The same beside declarations that nobody can read. They count as some, of nothing.
    #[must_use]
    pub fn with_unreadable(mut self) -> Self {
        self.declared.get_or_insert_default();
        self
    }

    /// True if anything at all is declared.
    pub fn are_declared(&self) -> bool {
        self.declared.is_some()
    }

    /// The declarations, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Need> {
        self.declared.iter().flatten()
    }

    /// True if this may be had, as far as the component's own words go.
    pub fn allow(&self, is_it: impl Fn(&Need) -> bool) -> bool {
        self.declared.as_ref().is_none_or(|declared| declared.iter().any(is_it))
    }

    /// True if this request may be sent.
    pub fn allow_http(&self, target: &Target) -> bool {
        self.allow(|need| match need {
            Need::Http(origin) => origin.has_origin_of(target) && origin.path().matches(target.path()) == Ok(true),
            _ => false,
        })
    }

    /// True if this name may be looked up for a socket.
    pub fn allow_socket(&self, host: &Host, port: u16) -> bool {
        self.allow(|need| matches!(need, Need::Tcp(endpoint) if endpoint.is_host(host) && endpoint.port() == port))
    }

    /// What a component with these declarations could have had granted, and one with `old` could not: everything, if
    /// these declare nothing at all.
    pub fn beyond(&self, old: &Self) -> Widening<'_> {
        let Some(old) = &old.declared else { return Widening::Needs(Vec::new()) };
        let Some(new) = &self.declared else { return Widening::Everything };
        let is_new = |need: &&Need| !old.iter().any(|old| old.covers(need));
        Widening::Needs(new.iter().filter(is_new).collect())
    }
}

impl Need {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => one.covers(other),
            (one, other) => one == other,
        }
    }
}

/// All declarations, separated by commas.
impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needs: Vec<String> = self.iter().map(Need::to_string).collect();
        f.write_str(&needs.join(", "))
    }
}

/// The difference between two sets of declarations.
#[derive(Debug, PartialEq, Eq)]
pub enum Widening<'n> {
    /// These, if any.
    Needs(Vec<&'n Need>),
    /// Whatever is granted, since nothing narrows it any more.
    Everything,
}

/// What a version may have that the one before could not; for a sentence.
impl fmt::Display for Widening<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needs(needs) => {
                let needs: Vec<String> = needs.iter().map(|need| format!("`{need}`")).collect();
                f.write_str(&needs.join(", "))
            }
            Self::Everything => f.write_str("all that is granted, since it declares nothing any more"),
        }
    }
}

impl Widening<'_> {
    /// True if there is none.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Needs(needs) if needs.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(declarations: &[&str]) -> Needs {
        let (needs, errors) = Needs::read(declarations.iter().copied());
        assert_eq!(errors, []);
        needs
    }

    #[test]
    fn declarations() {
        for (text, expected) in [
            ("http https://API.example.com", Ok("http https://api.example.com")),
            ("http   https://api.example.com/v1 ", Ok("http https://api.example.com/v1")),
            ("http https://*.example.com", Ok("http https://*.example.com")),
            ("tcp db.example.com:5432", Ok("tcp db.example.com:5432")),
            ("secret API_KEY", Ok("secret API_KEY")),
            ("env TZ", Ok("env TZ")),
            ("kv", Ok("kv")),
            ("dir /data/in", Ok("dir /data/in")),
            ("", Err("`@needs` is followed by `http`, `tcp`, `secret`, `env`, `kv` or `dir`")),
            ("everything", Err("`@needs` is followed by `http`, `tcp`, `secret`, `env`, `kv` or `dir`")),
            ("http", Err("`@needs http` is followed by one URL, such as `https://api.example.com`")),
            ("http a b", Err("`@needs http` is followed by one URL, such as `https://api.example.com`")),
            ("http api.example.com", Err("`@needs http`: a scheme is required: write `https://api.example.com`")),
            ("http https://*", Err("`@needs http`: `*.` can stand at the beginning of a name, once, and nowhere else")),
            ("kv 1GiB", Err("`@needs kv` is followed by nothing")),
            ("secret A-B", Err("`@needs secret` is followed by a name of letters, digits and `_`")),
            ("secret 1A", Err("`@needs secret` is followed by a name of letters, digits and `_`")),
            ("secret A\"]", Err("`@needs secret` is followed by a name of letters, digits and `_`")),
            ("dir data", Err("`@needs dir` is followed by a folder such as `/data`")),
            ("dir /data/../etc", Err("`@needs dir` is followed by a folder such as `/data`")),
            ("dir /", Err("`@needs dir` is followed by a folder such as `/data`")),
        ] {
            let shown = text.parse::<Need>().map(|need| need.to_string()).map_err(|error| error.to_string());
            assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{text}");
        }
        let error = "http \u{202e}\u{1b}[31m".parse::<Need>().unwrap_err().to_string();
        assert!(!error.contains(['\u{202e}', '\u{1b}']), "{error:?}");
    }

    #[test]
    fn what_is_not_declared_is_not_there() {
        let target = |url: &str| {
            let (scheme, rest) = url.split_once("://").unwrap();
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            Target::parse(Some(scheme), Some(host), Some(path)).unwrap()
        };
        let nothing = needs(&[]);
        assert!(nothing.allow_http(&target("https://a.example")) && nothing.allow(|need| *need == Need::Kv));
        let some = needs(&["http https://a.example/v1", "kv"]);
        assert!(some.allow_http(&target("https://a.example/v1/x")));
        assert!(!some.allow_http(&target("https://a.example/v2")));
        assert!(!some.allow_http(&target("https://a.example/v1/%2e%2e/v2")));
        assert!(!some.allow_http(&target("https://b.example/v1")));
        assert!(some.allow(|need| *need == Need::Kv) && !some.allow(|need| matches!(need, Need::Env(_))));
        assert!(!some.allow_socket(&Host::parse("a.example").unwrap(), 5432));
        let socket = needs(&["tcp a.example:5432"]);
        assert!(socket.allow_socket(&Host::parse("A.example.").unwrap(), 5432));
        assert!(!socket.allow_socket(&Host::parse("a.example").unwrap(), 5433));
        let (unreadable, errors) = Needs::read(["htp https://a.example"]);
        assert_eq!(errors, [NeedError::Kind]);
        assert!(!unreadable.allow_http(&target("https://a.example")));
    }

    #[test]
    fn a_declaration_that_is_dropped_widens() {
        let (none, narrow, wide) = (
            needs(&[]),
            needs(&["http https://a.example/v1", "kv"]),
            needs(&["http https://a.example", "kv", "env TZ"]),
        );
        assert!(narrow.beyond(&none).is_none() && none.beyond(&none).is_none() && narrow.beyond(&narrow).is_none());
        assert!(narrow.beyond(&wide).is_none());
        assert_eq!(none.beyond(&narrow), Widening::Everything);
        let Widening::Needs(more) = wide.beyond(&narrow) else { panic!("not everything") };
        let more: Vec<String> = more.into_iter().map(Need::to_string).collect();
        assert_eq!(more, ["http https://a.example", "env TZ"]);
    }

    #[test]
    fn there_is_an_end_of_them() {
        let many: Vec<String> = (0..100).map(|number| format!("env A{number}")).collect();
        let (needs, errors) = Needs::read(many.iter().map(String::as_str));
        assert_eq!((needs.iter().count(), errors), (MAX_NEEDS, vec![NeedError::TooMany]));
    }
}
