//! Tags at the end of a comment, for facts that WIT has no place for.
//!
//! ```text
//! /// Finds the weather of a place.
//! ///
//! /// @param place a city, or `lat,lon`
//! /// @returns what to expect in the next
//! ///   24 hours
//! /// @read-only @open-world
//! ```
//!
//! `@needs …` has a line of its own, or the end of one, anywhere in a comment; see `needs`.

use super::Hints;

/// A function's comment, taken apart.
#[derive(Debug, Default)]
pub(super) struct ParsedComment {
    pub(super) description: String,
    pub(super) title: Option<String>,
    pub(super) returns: Option<String>,
    /// From `@param`, then from lines ``- `name`: text`` of the description, which keeps these.
    pub(super) params: Vec<(String, String)>,
    pub(super) hints: Hints,
    /// `@keep-warm`, of a world: see [`super::Docs::keep_warm`].
    pub(super) keep_warm: bool,
}

/// The effect of a tag without text.
type Claim = fn(&mut ParsedComment);

enum Tag<'a> {
    Param(&'a str, String),
    Returns(String),
    Title(String),
    Hint(Claim),
    /// Not one of ours: text.
    Unknown(String),
}

impl Tag<'_> {
    /// The text that the following line continues.
    fn text(&mut self) -> Option<&mut String> {
        match self {
            Self::Param(_, text) | Self::Returns(text) | Self::Title(text) | Self::Unknown(text) => Some(text),
            Self::Hint(_) => None,
        }
    }
}

/// The tag of a declaration; see `needs`.
const NEEDS: &str = "@needs";

/// The declarations in a comment, each as it follows `@needs`.
pub(super) fn needs(comment: &str) -> impl Iterator<Item = &str> {
    comment.lines().filter_map(|line| at_needs(line).map(|at| line[at + NEEDS.len()..].trim()))
}

/// The place of `@needs` in a line: at its beginning, or after other tags without text.
fn at_needs(line: &str) -> Option<usize> {
    let mut rest = line.trim_start();
    loop {
        let (word, after) = split_word(rest);
        if word == NEEDS {
            return Some(line.len() - rest.len());
        }
        hint(word)?;
        rest = after;
    }
}

pub(super) fn parse(comment: &str) -> ParsedComment {
    // Declarations are not for those who read descriptions.
    let lines: Vec<&str> = comment.lines().map(|line| at_needs(line).map_or(line, |at| &line[..at])).collect();
    let mut tagged = ParsedComment::default();
    let (end, tags) = tag_block(&lines);
    let mut description: Vec<String> = lines[..end].iter().map(|line| (*line).to_owned()).collect();
    for tag in tags {
        match tag {
            Tag::Param(name, text) => tagged.params.push((name.to_owned(), text)),
            Tag::Returns(text) => tagged.returns = Some(text),
            Tag::Title(text) => tagged.title = Some(text),
            Tag::Hint(set) => set(&mut tagged),
            Tag::Unknown(text) => description.push(text),
        }
    }
    let mut description = description.join("\n").trim().to_owned();
    while let Some((text, set)) = last_hint(&description) {
        set(&mut tagged);
        description.truncate(text);
    }
    tagged.params.extend(listed_params(&description));
    tagged.description = description;
    tagged
}

/// The tags after which nothing else comes, and the line of the first.
fn tag_block<'a>(lines: &[&'a str]) -> (usize, Vec<Tag<'a>>) {
    let mut first = lines.len();
    let mut tags: Vec<Tag<'a>> = Vec::new();
    let mut is_continuing = false;
    for (index, line) in lines.iter().map(|line| line.trim()).enumerate() {
        if line.is_empty() {
            is_continuing = false;
        } else if let Some(found) = tags_of(line) {
            if tags.is_empty() {
                first = index;
            }
            tags.extend(found);
            is_continuing = true;
        } else if tags.is_empty() {
            // Still the description.
        } else if line.starts_with('@') {
            tags.push(Tag::Unknown(line.to_owned()));
            is_continuing = true;
        } else if is_continuing && let Some(text) = tags.last_mut().and_then(Tag::text) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line);
        } else {
            // What looked like tags stands in the middle of the text, so it is text.
            tags.clear();
        }
    }
    if tags.is_empty() { (lines.len(), tags) } else { (first, tags) }
}

/// The tags of a line: hints, then at most one tag with a text. `None` if it is no such line.
fn tags_of(mut line: &str) -> Option<Vec<Tag<'_>>> {
    let mut tags = Vec::new();
    while !line.is_empty() {
        let (word, rest) = split_word(line);
        line = rest;
        let tag = match word {
            "@param" => {
                let (name, text) = split_word(rest);
                line = "";
                Tag::Param(name.trim_matches('`').trim_end_matches(':'), text.to_owned())
            }
            "@returns" => Tag::Returns(std::mem::take(&mut line).to_owned()),
            "@title" => Tag::Title(std::mem::take(&mut line).to_owned()),
            word => Tag::Hint(hint(word)?),
        };
        tags.push(tag);
    }
    (!tags.is_empty()).then_some(tags)
}

fn split_word(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

fn hint(word: &str) -> Option<Claim> {
    match word {
        "@read-only" => Some(|tagged| tagged.hints.read_only = Some(true)),
        "@destructive" => Some(|tagged| tagged.hints.destructive = Some(true)),
        "@idempotent" => Some(|tagged| tagged.hints.idempotent = Some(true)),
        "@open-world" => Some(|tagged| tagged.hints.open_world = Some(true)),
        "@keep-warm" => Some(|tagged| tagged.keep_warm = true),
        _ => None,
    }
}

/// A hint behind the last sentence, on the same line: the length of the text before it, and what it says.
fn last_hint(text: &str) -> Option<(usize, Claim)> {
    let start = text.rfind(char::is_whitespace).map_or(0, |space| space + 1);
    let set = hint(text.get(start..)?)?;
    Some((text[..start].trim_end().len(), set))
}

/// Lines ``- `name`: text``, with the indented lines that follow each.
fn listed_params(description: &str) -> Vec<(String, String)> {
    let mut params: Vec<(String, String)> = Vec::new();
    let mut is_continuing = false;
    for line in description.lines() {
        if let Some((name, text)) = listed_param(line) {
            params.push((name.to_owned(), text.trim().to_owned()));
            is_continuing = true;
        } else if is_continuing
            && line.starts_with(' ')
            && let Some((_, text)) = params.last_mut()
        {
            text.push('\n');
            text.push_str(line.trim());
        } else {
            is_continuing = false;
        }
    }
    params
}

fn listed_param(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let item = line.strip_prefix("- `").or_else(|| line.strip_prefix("* `"))?;
    item.split_once("`:")
}
