//! YAML, changed by its lines: a map of maps in block style, as people and clients write configurations. Whatever is
//! written in another way is refused. The reader of the check knows all of YAML.

use serde_json::{Map, Value};

use super::toml::comment;
use super::{At, EditError};

pub(super) fn read(text: &str) -> Result<Value, EditError> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Value::Null);
    }
    let is_content = |line: &str| !(line.trim().is_empty() || line.starts_with(['#', '%']) || line.starts_with("---"));
    let mut lines = text.lines().skip_while(|line| !is_content(line));
    if lines.any(|line| line.trim_end() == "---") {
        return Err(EditError::Unusual("it has more than one document"));
    }
    serde_saphyr::from_str(text).map_err(|error| EditError::Unreadable(format!("YAML: {error}")))
}

/// Some lines of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    /// The line of the key.
    head: usize,
    /// The line after the last one of the value.
    end: usize,
    /// Columns before the key.
    indent: usize,
}

pub(super) fn put(text: &str, at: At<'_>, entry: &Map<String, Value>) -> Result<String, EditError> {
    let table = the_table(at)?;
    let mut lines = lines_of(text)?;
    let Some(outer) = find(&lines, 0..lines.len(), 0, table) else {
        lines.push(format!("{}:", key(table)));
        lines.extend(written(at.name, &Value::Object(entry.clone()), 2, 2));
        return Ok(text_of(&lines));
    };
    open(&mut lines, outer, table)?;
    let inner = children(&lines, outer);
    let indent = inner.unwrap_or(2);
    match find(&lines, outer.head + 1..outer.end, indent, at.name) {
        None => {
            let new = written(at.name, &Value::Object(entry.clone()), indent, indent.max(1));
            lines.splice(outer.end..outer.end, new);
        }
        Some(own) => update(&mut lines, own, at, entry, indent)?,
    }
    Ok(text_of(&lines))
}

/// Changes the members of an entry that differ, and removes those that it is not to have.
fn update(
    lines: &mut Vec<String>,
    own: Block,
    at: At<'_>,
    entry: &Map<String, Value>,
    step: usize,
) -> Result<(), EditError> {
    if !rest_of(&lines[own.head], own.indent).is_empty() {
        return Err(EditError::Unusual("the entry is not a block of lines"));
    }
    let Some(indent) = children(lines, own) else {
        let new = written(at.name, &Value::Object(entry.clone()), own.indent, step.max(1));
        lines.splice(own.head..own.head + 1, new);
        return Ok(());
    };
    let there: Value = read(&lines[own.head..own.end].join("\n"))?;
    let there = there.get(at.name).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut end = own.end;
    for (name, _) in there.iter().filter(|(name, value)| entry.get(*name) != Some(*value)) {
        let member = find(lines, own.head + 1..end, indent, name).ok_or(EditError::Unusual("a member of the entry"))?;
        let new = match entry.get(name) {
            Some(wanted) => written(name, wanted, indent, 2),
            None => Vec::new(),
        };
        end = end - (member.end - member.head) + new.len();
        lines.splice(member.head..member.end, new);
    }
    let missing = entry.iter().filter(|(name, _)| !there.contains_key(*name));
    let new: Vec<String> = missing.flat_map(|(name, value)| written(name, value, indent, 2)).collect();
    lines.splice(end..end, new);
    Ok(())
}

pub(super) fn take(text: &str, at: At<'_>) -> Result<String, EditError> {
    let table = the_table(at)?;
    let mut lines = lines_of(text)?;
    let not_found = EditError::Unusual("the entry is not a block of lines");
    let outer = find(&lines, 0..lines.len(), 0, table).ok_or(not_found)?;
    let indent = children(&lines, outer).ok_or(EditError::Unusual("the table is not a block of lines"))?;
    let own = find(&lines, outer.head + 1..outer.end, indent, at.name);
    let own = own.ok_or(EditError::Unusual("the entry is not a block of lines"))?;
    lines.drain(own.head..own.end);
    let outer = Block { end: outer.end - (own.end - own.head), ..outer };
    if children(&lines, outer).is_none() {
        // Without a value the key would have null.
        let line = &lines[outer.head];
        let after = comment(line).map(|comment| format!(" {comment}")).unwrap_or_default();
        lines[outer.head] = format!("{}: {{}}{after}", key(table));
    }
    Ok(text_of(&lines))
}

/// The comments outside of the entry, in their order.
pub(super) fn comments(text: &str, at: At<'_>) -> Vec<String> {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let own = at.tables.first().and_then(|table| {
        let outer = find(&lines, 0..lines.len(), 0, table)?;
        find(&lines, outer.head + 1..outer.end, children(&lines, outer)?, at.name)
    });
    let is_own = |number: usize| own.is_some_and(|own| (own.head..own.end).contains(&number));
    let others = lines.iter().enumerate().filter(|(number, _)| !is_own(*number));
    others.filter_map(|(_, line)| comment(line)).collect()
}

fn the_table<'a>(at: At<'a>) -> Result<&'a str, EditError> {
    match at.tables {
        [table] => Ok(table),
        _ => Err(EditError::Unusual("tables in tables")),
    }
}

fn lines_of(text: &str) -> Result<Vec<String>, EditError> {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_document = |line: &String| line.starts_with("---") || line.starts_with("...");
    if lines.iter().skip_while(|line| !is_content(line)).skip(1).any(is_document) {
        return Err(EditError::Unusual("several documents"));
    }
    if lines.iter().any(|line| line.starts_with('\t')) {
        return Err(EditError::Unusual("tabs"));
    }
    Ok(lines)
}

fn text_of(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn is_content(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with('#')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The value of a key among these lines, which all keys of its map are indented like.
fn find(lines: &[String], among: std::ops::Range<usize>, indent: usize, name: &str) -> Option<Block> {
    let is_head =
        |line: &str| indent_of(line) == indent && is_content(line) && name_of(&line[indent..]).as_deref() == Some(name);
    let head = among.clone().find(|number| is_head(&lines[*number]))?;
    // A list may stand as far to the left as its key.
    let is_within =
        |line: &str| indent_of(line) > indent || (indent_of(line) == indent && line[indent..].starts_with("- "));
    let mut end = head + 1;
    for (number, line) in lines.iter().enumerate().take(among.end).skip(head + 1) {
        if is_content(line) {
            if !is_within(line) {
                break;
            }
            end = number + 1;
        }
    }
    Some(Block { head, end, indent })
}

/// The key at the beginning of a line.
fn name_of(line: &str) -> Option<String> {
    if let Some(quoted) = line.strip_prefix('"') {
        let end = quoted.find('"')? + 2;
        line[end..].trim_start().starts_with(':').then(|| serde_json::from_str(&line[..end]).ok())?
    } else if let Some(rest) = line.strip_prefix('\'') {
        let (name, rest) = rest.split_once('\'')?;
        rest.trim_start().starts_with(':').then(|| name.to_owned())
    } else {
        let (name, rest) = line.split_once(':')?;
        (rest.is_empty() || rest.starts_with(' ')).then(|| name.trim_end().to_owned())
    }
}

/// What stands behind a key on its line, without a comment.
fn rest_of(line: &str, indent: usize) -> String {
    let end = comment(line).map_or(line.len(), |comment| line.trim_end().len() - comment.len());
    let line = &line[..end];
    let rest = line[indent.min(line.len())..].split_once(": ").map_or("", |(_, rest)| rest);
    rest.trim().to_owned()
}

/// The columns before the keys of a map in block style; none for an empty one.
fn children(lines: &[String], block: Block) -> Option<usize> {
    lines[block.head + 1..block.end].iter().find(|line| is_content(line)).map(|line| indent_of(line))
}

/// Makes room under a key that has nothing.
fn open(lines: &mut [String], block: Block, table: &str) -> Result<(), EditError> {
    match rest_of(&lines[block.head], block.indent).as_str() {
        "" => Ok(()),
        "{}" | "null" | "~" if children(lines, block).is_none() => {
            let after = comment(&lines[block.head]).map(|comment| format!(" {comment}")).unwrap_or_default();
            lines[block.head] = format!("{}:{after}", key(table));
            Ok(())
        }
        _ => Err(EditError::Unusual("the table is not a block of lines")),
    }
}

/// A member as lines.
fn written(name: &str, value: &Value, indent: usize, step: usize) -> Vec<String> {
    let before = " ".repeat(indent);
    let head = format!("{before}{}:", key(name));
    match value {
        Value::Object(members) if !members.is_empty() => {
            let members = members.iter().flat_map(|(name, value)| written(name, value, indent + step, step));
            std::iter::once(head).chain(members).collect()
        }
        Value::Array(items) if !items.is_empty() => {
            let items = items.iter().map(|item| format!("{before}{}- {}", " ".repeat(step), scalar(item)));
            std::iter::once(head).chain(items).collect()
        }
        other => vec![format!("{head} {}", scalar(other))],
    }
}

fn key(name: &str) -> String {
    scalar(&Value::from(name))
}

/// A value on one line. JSON is YAML.
fn scalar(value: &Value) -> String {
    const WORDS: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "y"];
    match value {
        Value::String(text) => {
            let is_first = |char: char| char.is_ascii_alphabetic() || char == '/';
            let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-./".contains(char);
            let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str()) || text.eq_ignore_ascii_case("n");
            if text.starts_with(is_first) && text.chars().all(is_plain) && !is_word {
                text.clone()
            } else {
                value.to_string()
            }
        }
        other => other.to_string(),
    }
}
