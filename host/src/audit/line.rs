//! A line: one object of JSON, whose members stand in the order in which they are added, and that nobody's text can break.
//!
//! Every text is cut to [`TEXT_BYTES`]. Whatever is no plainly visible character is written as `\uXXXX`: controls, further
//! ends of lines, direction controls, invisible characters. So a line ends where its object ends, for every reader of
//! lines, and shows what it holds.

use std::fmt::Write as _;
use std::time::SystemTime;

use super::time;
use crate::sanitize;

/// The most bytes of one text: names of clients and tools have no more than that in lines.
pub(super) const TEXT_BYTES: usize = 256;

/// The most items of one list.
pub(super) const ITEMS: usize = 24;

/// A line under way.
pub(super) struct Line(String);

impl Line {
    /// A line about an event of now.
    pub(super) fn new(event: &str) -> Self {
        let mut line = Self(String::with_capacity(384));
        line.0.push('{');
        line.text("time", &time::rfc3339(SystemTime::now()));
        line.text("event", event);
        line
    }

    /// Adds a text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        quoted(&mut self.0, value);
    }

    /// Adds a text, if there is one.
    pub(super) fn maybe(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Adds a number.
    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    /// Adds a list of texts, unless it is empty; the number of those that are too many follows it.
    pub(super) fn texts<'t>(&mut self, name: &str, values: impl IntoIterator<Item = &'t str>) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return;
        }
        self.name(name);
        self.0.push('[');
        for (number, value) in values.by_ref().take(ITEMS).enumerate() {
            if number > 0 {
                self.0.push(',');
            }
            quoted(&mut self.0, value);
        }
        self.0.push(']');
        let more = values.count();
        if more > 0 {
            self.number(&format!("{name}_left_out"), more as u64);
        }
    }

    /// Adds a list of objects, unless it is empty.
    pub(super) fn objects<T>(&mut self, name: &str, items: &[T], write: impl Fn(&mut Self, &T)) {
        if items.is_empty() {
            return;
        }
        self.name(name);
        self.0.push('[');
        for (number, item) in items.iter().take(ITEMS).enumerate() {
            self.0.push_str(if number > 0 { ",{" } else { "{" });
            write(self, item);
            self.0.push('}');
        }
        self.0.push(']');
    }

    /// The whole line, with its end.
    pub(super) fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }

    /// Begins a member. Its name is one of ours.
    fn name(&mut self, name: &str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{name}\":");
    }
}

/// Adds a text as a string of JSON (RFC 8259 §7).
fn quoted(line: &mut String, raw: &str) {
    line.push('"');
    let cut;
    let text = match raw.len() <= TEXT_BYTES {
        true => raw,
        false => {
            cut = sanitize::cut(raw, TEXT_BYTES);
            &cut
        }
    };
    for char in text.chars() {
        match char {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            char if char.is_control() || sanitize::misleads(char) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
            char => line.push(char),
        }
    }
    line.push('"');
}
