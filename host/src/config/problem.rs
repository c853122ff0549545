//! The problems of a configuration: place, key, fault and cure on one line each.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::key::Key;
use super::template::TemplateError;

/// The reason for which a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that the command line names, or the one in the working directory, cannot be read.
    #[error("configuration `{}` cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// Every problem that was found, one line each, the file's in the order of its lines.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// One problem, or one warning: `tinymcp.toml:12: limits.timout: unknown key; did you mean `timeout`?`.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The source of the value.
    pub source: Source,
    /// The key that it concerns; none for a line that is no key at all.
    pub key: Option<Key>,
    /// The fault, and the cure.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source != Source::Default {
            write!(f, "{}: ", self.source)?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        self.fault.fmt(f)
    }
}

/// The source of a value. Problems are listed in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A line of a file, counted from 1.
    File {
        /// The file as it was named.
        file: Arc<str>,
        /// Its line; none for the file as a whole.
        line: Option<usize>,
    },
    /// A variable of the environment, or of the `.env` file.
    Variable {
        /// Its name.
        name: String,
        /// The `.env` file and the line in it, when it came from there.
        line: Option<(Arc<str>, usize)>,
    },
    /// Variables of one string.
    Several(Vec<Source>),
    /// An argument of the command line, such as `--listen`.
    CommandLine(&'static str),
    /// The default: the key is not given.
    Default,
}

impl Source {
    /// A line of a file.
    pub(super) fn line(file: &Arc<str>, line: usize) -> Self {
        Self::File { file: Arc::clone(file), line: Some(line) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: None } => f.write_str(file),
            Self::File { file, line: Some(line) } => write!(f, "{file}:{line}"),
            Self::Variable { name, line: None } => f.write_str(name),
            Self::Variable { name, line: Some((file, line)) } => write!(f, "{file}:{line}: {name}"),
            Self::Several(sources) => {
                let sources: Vec<String> = sources.iter().map(Self::to_string).collect();
                f.write_str(&sources.join(", "))
            }
            Self::CommandLine(argument) => f.write_str(argument),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A fault of one key, line or variable. A value is quoted as it was written, with its `${…}`, since a variable may
/// hold a secret. Only values of the chosen provider are shown, unless their names tell of secrets.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// A line that is not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// A line of `.env` that assigns nothing.
    #[error("not a `NAME=value` line: {0}")]
    Assignment(&'static str),
    /// The `.env` file is there and cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A key that does not exist.
    #[error("unknown key; {}", instead(.nearest.as_deref(), .known))]
    UnknownKey {
        /// The known key that it most likely is.
        nearest: Option<String>,
        /// Every key that could stand there.
        known: Vec<&'static str>,
    },
    /// A name that does not follow the rules of its table.
    #[error("{0}")]
    Name(String),
    /// A key that has no default and was not given.
    #[error("missing key `{0}`")]
    MissingKey(String),
    /// A key of the command line that does not exist, or is a list or a table.
    #[error("no key with a single value")]
    NotScalar,
    /// The same key under two spellings.
    #[error("the same as `{0}`, which is given too; keep one of them")]
    Twice(Key),
    /// A value of another type.
    #[error("expected {expected}, got {got}")]
    Type {
        /// The values that fit, with an example.
        expected: String,
        /// The value that came.
        got: String,
    },
    /// A value of the right type that does not fit.
    #[error("{value}: {reason}")]
    Value {
        /// The value as it was written.
        value: String,
        /// The reason.
        reason: String,
    },
    /// A `${…}` that gives nothing.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A variable that a built-in provider needs.
    #[error("not set, and provider `{provider}` needs it{}; {}", colon(.what.as_deref()), set_or_rename(.similar.as_deref()))]
    MissingVariable {
        /// The provider.
        provider: String,
        /// The value to set, and the place to find it.
        what: Option<String>,
        /// A variable of nearly this name, which is set and which nobody asks for.
        similar: Option<String>,
    },
    /// Values that do not go together.
    #[error("{0}")]
    Conflict(String),
    /// A warning: the key does nothing with the login that was chosen.
    #[error("has no effect with provider `none`: callers are unknown")]
    NoLogin,
    /// A warning: a variable by which other programs find a proxy.
    #[error("ignored: `egress.proxy` alone chooses a proxy, by a URL or \"env\"")]
    IgnoredProxy,
    /// A warning: a variable that looks like ours, and is not.
    #[error("unknown variable, ignored{}", did_you_mean(.0.as_deref()))]
    UnknownVariable(Option<String>),
    /// A warning: a variable that names a list or a table.
    #[error("ignored: `{0}` is a list or a table, which only the file can set")]
    NotForVariables(Key),
}

fn instead(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

fn colon(what: Option<&str>) -> String {
    what.map_or_else(String::new, |what| format!(": {what}"))
}

fn set_or_rename(similar: Option<&str>) -> String {
    match similar {
        Some(similar) => format!("did you mean `{similar}`, which is set?"),
        None => "set it in the environment or in `.env`".to_owned(),
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

/// The known name that `name` most likely was meant to be, if one is near enough.
///
/// Case and dashes count for nothing; beyond that, one letter in three may be wrong.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let name = plain(name);
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&name, &plain(known)), known))
        .filter(|(distance, known)| distance * 3 <= known.len().max(name.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["listen", "base_url", "body", "grace"];
        for (name, expected) in [
            ("lisen", Some("listen")),
            ("lsiten", Some("listen")),
            ("base-url", Some("base_url")),
            ("BaseUrl", Some("base_url")),
            ("gracious", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
