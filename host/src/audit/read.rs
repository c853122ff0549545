//! Finding lines again: by person, tool, event and time, in the file and in those that it was moved to.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

pub use super::people::Wanted;
use super::time;

/// The longest line that is read; none of this server's is as long.
const LINE_BYTES: u64 = 1024 * 1024;

/// What lines are looked for.
#[derive(Debug, Default)]
pub struct Filter {
    /// The person.
    pub person: Option<Wanted>,
    /// The name of the tool, or of its plugin.
    pub tool: Option<String>,
    /// The kind of the event.
    pub event: Option<String>,
    /// Not before this time.
    pub since: Option<SystemTime>,
    /// Before this time.
    pub until: Option<SystemTime>,
}

impl Filter {
    /// True for a line that is looked for.
    pub fn fits(&self, line: &Value) -> bool {
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        let when = || text("time").and_then(time::parse);
        let names_person =
            |wanted: &Wanted| ["person", "email", "whom"].iter().any(|name| text(name).is_some_and(|it| wanted.is(it)));
        self.event.as_deref().is_none_or(|event| text("event") == Some(event))
            && self.tool.as_deref().is_none_or(|tool| [text("tool"), text("plugin")].contains(&Some(tool)))
            && self.person.as_ref().is_none_or(names_person)
            && self.since.is_none_or(|since| when().is_some_and(|when| when >= since))
            && self.until.is_none_or(|until| when().is_some_and(|when| when < until))
    }
}

/// The file, and before it those beside it that it was moved to: `audit.jsonl.1`, `audit.jsonl-20261130`. The oldest
/// first, by the time of their last change.
///
/// # Errors
/// There is none, or they cannot be looked for.
pub fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let entry_name = entry.file_name();
        let Some(rest) = entry_name.to_str().and_then(|entry| entry.strip_prefix(name)) else { continue };
        let is_ours = rest.is_empty() || (rest.starts_with(['.', '-']) && !rest.ends_with(".gz"));
        let metadata = entry.metadata()?;
        if is_ours && metadata.is_file() {
            found.push((rest.is_empty(), metadata.modified()?, entry.path()));
        }
    }
    if found.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    found.sort();
    Ok(found.into_iter().map(|(_, _, path)| path).collect())
}

/// Gives each line of a file that fits to `take`, as it is written and as JSON. Lines that are no JSON, such as the torn
/// one of a machine that lost its power, are counted.
///
/// # Errors
/// The file cannot be read.
pub fn each(path: &Path, filter: &Filter, mut take: impl FnMut(&str, &Value)) -> io::Result<u64> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut unreadable = 0;
    loop {
        let mut line = Vec::new();
        if io::Read::take(&mut reader, LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(unreadable);
        }
        let text = str::from_utf8(&line).map(str::trim_end);
        match text.ok().and_then(|text| Some((text, serde_json::from_str::<Value>(text).ok()?))) {
            Some((text, value)) if value.is_object() => {
                if filter.fits(&value) {
                    take(text, &value);
                }
            }
            _ if line.iter().all(u8::is_ascii_whitespace) => {}
            _ => unreadable += 1,
        }
    }
}
