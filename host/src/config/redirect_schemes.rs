//! `auth.redirect_schemes`: the schemes by which clients may be called back. Its rules override the list of known
//! schemes.

use std::fmt;
use std::str::FromStr;

use super::text::{InvalidValue, Text, text_schema};
use crate::schemes::{self, Nature};

/// One rule of `auth.redirect_schemes`, which overrides the list of known schemes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SchemeRule {
    /// `myapp`: clients may be called back there.
    Allow(String),
    /// `!myapp`: clients may not be called back there.
    Deny(String),
    /// `!*`: clients may be called back only by schemes that are allowed by name.
    DenyOthers,
}

/// Schemes of the web, whose redirect URIs have rules of their own.
pub(super) const WEB: [&str; 2] = ["http", "https"];

impl FromStr for SchemeRule {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (is_denied, name) = text.strip_prefix('!').map_or((false, text), |name| (true, name));
        let name = name.to_ascii_lowercase();
        if name == "*" {
            return if is_denied {
                Ok(Self::DenyOthers)
            } else {
                Err("`*` would allow every scheme: allow them by name".into())
            };
        }
        if let Some((scheme, _)) = name.split_once(':').filter(|(scheme, _)| schemes::is_scheme(scheme)) {
            let sign = if is_denied { "!" } else { "" };
            return Err(format!("write the scheme alone: \"{sign}{scheme}\"").into());
        }
        if !schemes::is_scheme(&name) {
            return Err("expected \"myapp\" to allow a scheme, \"!myapp\" to refuse it, or \"!*\" to refuse all that are not allowed by name".into());
        }
        if WEB.contains(&name.as_str()) {
            return Err(
                "https, and http on loopback, are always allowed; this list is for schemes of applications".into()
            );
        }
        if is_denied {
            return Ok(Self::Deny(name));
        }
        if Nature::of(&name) == Nature::Run {
            return Err("browsers or systems run or show the content of its URIs, so no client can use it".into());
        }
        Ok(Self::Allow(name))
    }
}

impl fmt::Display for SchemeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(scheme) => f.write_str(scheme),
            Self::Deny(scheme) => write!(f, "!{scheme}"),
            Self::DenyOthers => f.write_str("!*"),
        }
    }
}

impl Text for SchemeRule {
    const WHAT: &'static str = "a scheme";
    const EXAMPLE: &'static str = "myapp";
    const PATTERN: &'static str = r"!?[A-Za-z][A-Za-z0-9+.-]*|!\*";
}

text_schema!(SchemeRule);

/// The reason for which no client may be called back by a scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SchemeRefusal {
    /// Browsers or systems act on the scheme. A rule can allow it, unless they run or show the content of its URIs.
    #[error("browsers or systems act on its scheme themselves")]
    ActedOn,
    /// The scheme is registered for something else. A rule can allow it.
    #[error("its scheme is registered for something else; `auth.redirect_schemes` can allow it")]
    Registered,
    /// A rule refuses the scheme.
    #[error("its scheme is refused by `auth.redirect_schemes`")]
    Refused,
}

/// The nature of a scheme by which a client may be called back. `scheme` is in lower case.
///
/// # Errors
/// The rule that refuses it.
pub(crate) fn accept(scheme: &str, rules: &[SchemeRule]) -> Result<Nature, SchemeRefusal> {
    let nature = Nature::of(scheme);
    let is_named = |rule: &SchemeRule| matches!(rule, SchemeRule::Allow(name) if name == scheme);
    let is_refused = |rule: &SchemeRule| matches!(rule, SchemeRule::Deny(name) if name == scheme);
    // No rule can allow these. Reading the rules refuses it already; here it would matter.
    if nature == Nature::Run {
        return Err(SchemeRefusal::ActedOn);
    }
    if rules.iter().any(is_refused) {
        return Err(SchemeRefusal::Refused);
    }
    if rules.iter().any(is_named) {
        return Ok(nature);
    }
    if rules.contains(&SchemeRule::DenyOthers) {
        return Err(SchemeRefusal::Refused);
    }
    match nature {
        Nature::Application(_) | Nature::Private => Ok(nature),
        Nature::Registered => Err(SchemeRefusal::Registered),
        Nature::ActedOn | Nature::Run => Err(SchemeRefusal::ActedOn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_allowed_and_refused_by_name() {
        let shape = Err(
            "expected \"myapp\" to allow a scheme, \"!myapp\" to refuse it, or \"!*\" to refuse all that are not allowed by name",
        );
        let web = Err("https, and http on loopback, are always allowed; this list is for schemes of applications");
        let run = Err("browsers or systems run or show the content of its URIs, so no client can use it");
        for (text, expected) in [
            ("myapp", Ok("myapp")),
            ("MyApp", Ok("myapp")),
            ("spotify", Ok("spotify")),
            ("com.example.app", Ok("com.example.app")),
            ("!zed", Ok("!zed")),
            ("!javascript", Ok("!javascript")),
            ("!*", Ok("!*")),
            ("*", Err("`*` would allow every scheme: allow them by name")),
            ("myapp://cb", Err("write the scheme alone: \"myapp\"")),
            ("!myapp:", Err("write the scheme alone: \"!myapp\"")),
            ("javascript:", Err("write the scheme alone: \"javascript\"")),
            ("", shape),
            ("!", shape),
            ("!!zed", shape),
            ("-zed", shape),
            ("my app", shape),
            ("my*", shape),
            ("1app", shape),
            ("https", web),
            ("!http", web),
            ("javascript", run),
            ("JavaScript", run),
            ("data", run),
            ("vbscript", run),
            ("blob", run),
            ("file", run),
            ("view-source", run),
            ("intent", run),
        ] {
            let shown = text.parse::<SchemeRule>().map(|rule| rule.to_string()).map_err(|error| error.to_string());
            assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{text}");
        }
    }
}
