//! Text with `${VAR}` in it, kept as it was written until the value is used.

use std::borrow::Cow;
use std::fmt;

use schemars::json_schema;

use super::schema::inline_schema;

/// The value of a variable, if it is set; or the reason why its file gives none.
pub type Lookup<'v> = Result<Option<&'v str>, String>;

/// A text that may name variables: `${VAR}`, or `${VAR:-default}` for when it is not set or empty.
///
/// `$${` stands for a literal `${`; any other `$` is itself. What a variable holds is taken as it is, never looked
/// into again. `Debug` shows nothing, since a secret may have been written here in plain.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable { name: String, default: Option<String> },
}

/// The reason for which a template gives no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `${` without its end.
    #[error("`${{` without `}}`; write `$${{` for a literal `${{`")]
    Unclosed,
    /// The text between the braces is no name.
    #[error(
        "`${{…}}` without a variable's name, which is made of letters, digits and `_`; write `$${{` for a literal `${{`"
    )]
    BadName,
    /// The variable is not set, or empty, and there is no default.
    #[error("variable `{0}` is not set; set it in the environment or in `.env`, or write `${{{0}:-default}}`")]
    Missing(String),
    /// The variable names a file, which gives nothing.
    #[error("the file that `{name}_FILE` names cannot be used: {reason}")]
    Unreadable {
        /// The variable, without its `_FILE`.
        name: String,
        /// The system's error.
        reason: String,
    },
}

impl Template {
    /// Reads a text as it stands in the file.
    ///
    /// # Errors
    /// A `${` that is not closed, or that does not name a variable.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                literal.push_str(before);
                literal.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            let (inside, after) = rest[at + 2..].split_once('}').ok_or(TemplateError::Unclosed)?;
            let (name, default) = match inside.split_once(":-") {
                Some((name, default)) => (name, Some(default.to_owned())),
                None => (inside, None),
            };
            if !is_variable_name(name) {
                return Err(TemplateError::BadName);
            }
            literal.push_str(&rest[..at]);
            parts.push(Part::Literal(std::mem::take(&mut literal)));
            parts.push(Part::Variable { name: name.to_owned(), default });
            rest = after;
        }
        literal.push_str(rest);
        parts.push(Part::Literal(literal));
        Ok(Self(parts))
    }

    /// A text in which nothing is special, such as one that came out of a variable.
    pub fn literal(text: &str) -> Self {
        Self(vec![Part::Literal(text.to_owned())])
    }

    /// The text, with every variable replaced by its value.
    ///
    /// # Errors
    /// [`TemplateError::Missing`] for every variable that is not set, or empty, and has no default, and
    /// [`TemplateError::Unreadable`] for every one that names a file which gives nothing.
    pub fn resolve<'v>(&self, lookup: impl Fn(&str) -> Lookup<'v>) -> Result<String, Vec<TemplateError>> {
        self.resolve_by(&lookup, |value| value)
    }

    /// The same, without the white space around the value of each variable, which comes from copying it.
    ///
    /// # Errors
    /// As for [`Template::resolve`].
    pub(super) fn resolve_trimmed<'v>(
        &self,
        lookup: impl Fn(&str) -> Lookup<'v>,
    ) -> Result<String, Vec<TemplateError>> {
        self.resolve_by(&lookup, str::trim)
    }

    /// What its variables stand for, as [`Template::resolve_trimmed`] puts it in: without those that are empty, or that
    /// have no value.
    pub(super) fn values_trimmed<'v>(&self, lookup: impl Fn(&str) -> Lookup<'v>) -> Vec<String> {
        let variables = self.0.iter().filter(|part| matches!(part, Part::Variable { .. }));
        let values = variables.filter_map(|part| part.text(&lookup, str::trim).ok().map(Cow::into_owned));
        values.filter(|value| !value.is_empty()).collect()
    }

    fn resolve_by<'v>(
        &self,
        lookup: &impl Fn(&str) -> Lookup<'v>,
        taken: fn(&str) -> &str,
    ) -> Result<String, Vec<TemplateError>> {
        let mut resolved = String::new();
        let mut errors = Vec::new();
        for part in &self.0 {
            match part.text(lookup, taken) {
                Ok(text) => resolved.push_str(&text),
                Err(error) => errors.extend(Some(error).filter(|error| !errors.contains(error))),
            }
        }
        if errors.is_empty() { Ok(resolved) } else { Err(errors) }
    }

    /// The variables that it names.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable { name, .. } => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }
}

impl Part {
    fn text<'t, 'v: 't>(
        &'t self,
        lookup: &impl Fn(&str) -> Lookup<'v>,
        taken: fn(&str) -> &str,
    ) -> Result<Cow<'t, str>, TemplateError> {
        match self {
            Self::Literal(text) => Ok(text.into()),
            Self::Variable { name, default } => match lookup(name) {
                Ok(Some(value)) => Ok(taken(value).into()),
                Err(reason) => Err(TemplateError::Unreadable { name: name.clone(), reason }),
                Ok(None) => match default {
                    Some(default) => Ok(default.into()),
                    None => Err(TemplateError::Missing(name.clone())),
                },
            },
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template(..)")
    }
}

inline_schema!(Template => json_schema!({ "type": "string" }));

/// True for a name that a shell would accept for a variable.
pub(super) fn is_variable_name(name: &str) -> bool {
    let mut letters = name.chars();
    let starts = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    starts && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn check(text: &str, expected: Result<&str, &str>) {
        let environment = Environment::from_iter([("HOST", "example.com"), ("PORT", "8443"), ("EMPTY", "")]);
        let resolved = Template::parse(text).map_err(|error| vec![error]);
        let resolved = resolved.and_then(|template| template.resolve(|name| environment.lookup(name)));
        let resolved =
            resolved.map_err(|errors| errors.iter().map(TemplateError::to_string).collect::<Vec<_>>().join("\n"));
        assert_eq!(resolved.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn variables_are_replaced() {
        check("", Ok(""));
        check("plain $5 and $$", Ok("plain $5 and $$"));
        check("https://${HOST}:${PORT}/", Ok("https://example.com:8443/"));
        check("${NONE:-a:-b}${HOST:-unused}", Ok("a:-bexample.com"));
        check("${EMPTY:-default}", Ok("default"));
        check("${NONE:-}", Ok(""));
        check("$${HOST} is ${HOST}", Ok("${HOST} is example.com"));
    }

    #[test]
    fn what_gives_no_text_says_why() {
        let missing = "variable `NONE` is not set; set it in the environment or in `.env`, or write `${NONE:-default}`";
        check("${HOST}${NONE}", Err(missing));
        check("${HOST", Err("`${` without `}`; write `$${` for a literal `${`"));
        let name = "`${…}` without a variable's name, which is made of letters, digits and `_`; write `$${` for a literal `${`";
        check("${}", Err(name));
        check("${MY HOST}", Err(name));
    }

    #[test]
    fn every_variable_that_is_not_set_is_named_once() {
        let missing = |name| {
            format!(
                "variable `{name}` is not set; set it in the environment or in `.env`, or write `${{{name}:-default}}`"
            )
        };
        check("${NONE}/${HOST}/${EMPTY}/${NONE}", Err(&format!("{}\n{}", missing("NONE"), missing("EMPTY"))));
    }

    #[test]
    fn a_secret_in_plain_does_not_show() {
        assert_eq!(format!("{:?}", Template::literal("hunter2")), "Template(..)");
    }
}
