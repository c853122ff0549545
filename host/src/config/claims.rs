//! Rules about one claim of a workload's token: a text, in which `*` stands for one whole segment.

use std::fmt;
use std::str::FromStr;

use super::text::{InvalidValue, Text, text_schema};

/// The characters between two segments: `repo:octo/app:ref:refs/heads/main` has six.
const SEPARATORS: [char; 2] = ['/', ':'];

/// Stands for one whole segment, which is not empty.
const ANY: &str = "*";

/// The value that a claim must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRule(String);

impl ClaimRule {
    /// True if it has no wildcard in it.
    pub fn is_exact(&self) -> bool {
        segments(&self.0).all(|segment| segment != ANY)
    }

    /// True if a claim's value fits: segment by segment, with the same separators between them.
    pub fn fits(&self, value: &str) -> bool {
        let mut of_value = segments(value);
        let fits = segments(&self.0).all(|wanted| {
            of_value
                .next()
                .is_some_and(|found| found == wanted || wanted == ANY && !found.is_empty() && !is_separator(found))
        });
        fits && of_value.next().is_none()
    }
}

/// The segments of a text, and the separators between them.
fn segments(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(SEPARATORS).chain(text.ends_with(SEPARATORS).then_some("")).flat_map(|piece| {
        let (segment, separator) = match piece.char_indices().next_back() {
            Some((at, last)) if SEPARATORS.contains(&last) => piece.split_at(at),
            _ => (piece, ""),
        };
        std::iter::once(segment).chain(Some(separator).filter(|separator| !separator.is_empty()))
    })
}

fn is_separator(segment: &str) -> bool {
    segment.len() == 1 && segment.starts_with(SEPARATORS)
}

impl FromStr for ClaimRule {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text.is_empty() {
            return Err("a claim cannot be required to be empty".into());
        }
        if segments(text).any(|segment| segment != ANY && segment.contains(ANY)) {
            return Err("`*` stands for one whole segment between `/` or `:`, and for no part of one".into());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ClaimRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Text for ClaimRule {
    const WHAT: &'static str = "the value of a claim";
    const EXAMPLE: &'static str = "repo:octo/app:ref:refs/heads/main";
}

text_schema!(ClaimRule);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_one_whole_segment() {
        for (rule, value, expected) in [
            ("main", "main", true),
            ("main", "Main", false),
            ("main", "main ", false),
            ("main", "main/", false),
            ("main", "", false),
            ("refs/heads/*", "refs/heads/main", true),
            ("refs/heads/*", "refs/heads/", false),
            ("refs/heads/*", "refs/heads", false),
            ("refs/heads/*", "refs/heads/release/1", false),
            ("refs/heads/*", "refs/heads/a:b", false),
            ("refs/heads/*", "refs:heads/main", false),
            ("refs/heads/release/*", "refs/heads/release/1", true),
            ("repo:octo/*:ref:refs/heads/main", "repo:octo/app:ref:refs/heads/main", true),
            ("repo:octo/*:ref:refs/heads/main", "repo:octo/a/b:ref:refs/heads/main", false),
            ("repo:octo/*", "repo:octo/app:ref:refs/heads/main", false),
            ("repo:octo/*", "repo:octo/app:pull_request", false),
            ("repo:octo/*:*", "repo:octo/app:pull_request", true),
            ("*", "anything", true),
            ("*", "a/b", false),
            ("*", "/", false),
            ("*", "", false),
            ("*/*", "/", false),
            ("a/*/", "a/b/", true),
            ("a/*/", "a/b", false),
        ] {
            assert_eq!(rule.parse::<ClaimRule>().unwrap().fits(value), expected, "{rule} {value}");
        }
    }

    #[test]
    fn parts_of_segments_are_refused() {
        for (rule, expected) in [
            ("repo:octo/app", Some(true)),
            ("refs/heads/*", Some(false)),
            ("*", Some(false)),
            ("refs/heads/rel*", None),
            ("refs/**", None),
            ("repo:octo-*", None),
            ("", None),
        ] {
            assert_eq!(rule.parse::<ClaimRule>().ok().map(|rule| rule.is_exact()), expected, "{rule}");
        }
    }
}
