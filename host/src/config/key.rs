//! The path of a key, `plugin.weather.timeout`, and the variable that overrides it.

use std::fmt;

use crate::sanitize::misleads;

/// Prefix of the variables that override a key, or that the host reads on its own.
pub(super) const PREFIX: &str = "TINYMCP_";

/// Keys with a second variable, whose name is older than the rule. The rule's own name wins where both are set.
const SHORT_NAMES: [(&str, &str); 2] = [("server.base_url", "BASE_URL"), ("auth.provider", "AUTH_PROVIDER")];

/// A key of the configuration, from the root. It displays as it would be written in TOML.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<String>);

impl Key {
    /// The key `name` in the table that this key names.
    #[must_use]
    pub(super) fn child(&self, name: &str) -> Self {
        let mut segments = self.0.clone();
        segments.push(name.to_owned());
        Self(segments)
    }

    /// The table in which this key stands.
    pub(super) fn table(&self) -> Self {
        let (_, table) = self.0.split_last().unwrap_or((&EMPTY, &[]));
        Self(table.to_vec())
    }

    /// The name within its table.
    pub(super) fn name(&self) -> &str {
        self.0.last().unwrap_or(&EMPTY)
    }

    /// True for `table` itself, and for every key below it.
    pub(super) fn is_within(&self, table: &Self) -> bool {
        self.0.starts_with(&table.0)
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The variables that override this key, the strongest first: `TINYMCP_` with section and key in upper case.
    pub(super) fn variables(&self) -> Vec<String> {
        let upper = |segment: &String| segment.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let segments: Vec<String> = self.0.iter().map(upper).collect();
        let path = self.0.join(".");
        let short = SHORT_NAMES.iter().filter(|(key, _)| *key == path);
        std::iter::once(format!("{PREFIX}{}", segments.join("_")))
            .chain(short.map(|(_, name)| (*name).to_owned()))
            .collect()
    }
}

static EMPTY: String = String::new();

/// The key that a dotted path of plain names gives.
impl From<&str> for Key {
    fn from(path: &str) -> Self {
        Self(path.split('.').map(str::to_owned).collect())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(".")?;
            }
            f.write_str(&quoted(segment))?;
        }
        Ok(())
    }
}

/// One segment of a key as TOML writes it: bare where it may be.
pub(super) fn quoted(segment: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !segment.is_empty() && segment.chars().all(bare) { segment.to_owned() } else { text(segment) }
}

/// A text as TOML writes it, on one line and with escapes for characters that nobody sees.
pub(super) fn text(raw: &str) -> String {
    let is_escaped = |char: char| char.is_control() || misleads(char);
    if !raw.contains(is_escaped) {
        return toml::Value::from(raw).to_string();
    }
    let mut text = String::from("\"");
    for char in raw.chars() {
        match char {
            '"' | '\\' => text.extend(['\\', char]),
            char if is_escaped(char) => text.push_str(&format!("\\U{:08X}", u32::from(char))),
            char => text.push(char),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn keys_display_as_toml_and_name_their_variables() {
        let key = Key::from("auth.scopes").child("weather:read");
        assert_eq!(key.to_string(), r#"auth.scopes."weather:read""#);
        assert_eq!(key.variables(), ["TINYMCP_AUTH_SCOPES_WEATHER_READ"]);
        let key = Key::from("auth.scopes").child("a\u{202e}\n\u{e0041}\"\\'é");
        assert_eq!(key.to_string(), r#"auth.scopes."a\U0000202E\U0000000A\U000E0041\"\\'é""#);
        assert_eq!(Key::from("server.base_url").variables(), ["TINYMCP_SERVER_BASE_URL", "BASE_URL"]);
    }
}
