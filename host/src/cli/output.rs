//! The output of commands: plain text, with colour on a terminal only.
//!
//! Much of it quotes others, whose texts must not move, colour or hide anything on a terminal. So our own styles are
//! marks until all else is escaped.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use crate::sanitize;

/// A mark that begins a style. None of them is a character.
const BOLD: char = '\u{fdd0}';
const DIM: char = '\u{fdd1}';
const RED: char = '\u{fdd2}';
const GREEN: char = '\u{fdd3}';
const YELLOW: char = '\u{fdd4}';

/// The mark that ends any style.
const END: char = '\u{fdd5}';

fn style(mark: char) -> Option<Style> {
    match mark {
        BOLD => Some(Style::new().bold()),
        DIM => Some(Style::new().dimmed()),
        RED => Some(AnsiColor::Red.on_default()),
        GREEN => Some(AnsiColor::Green.on_default()),
        YELLOW => Some(AnsiColor::Yellow.on_default()),
        _ => None,
    }
}

/// The text for a terminal: our styles, and all other invisible characters escaped. Lines stay.
fn rendered(text: &str) -> String {
    let mut rendered = String::with_capacity(text.len());
    for part in text.split_inclusive(|char| char == END || style(char).is_some()) {
        let mark = part.chars().next_back().filter(|char| *char == END || style(*char).is_some());
        rendered.push_str(&sanitize::escape_lines(part.strip_suffix(|char| Some(char) == mark).unwrap_or(part)));
        match mark.map(style) {
            Some(Some(style)) => rendered.push_str(&style.render().to_string()),
            Some(None) => rendered.push_str(&Style::new().bold().render_reset().to_string()),
            None => {}
        }
    }
    rendered
}

/// Writes a line to standard output. A reader that has gone away, such as `head`, is no failure.
pub(super) fn line(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = writeln!(out, "{}", rendered(text)).and_then(|()| out.flush());
}

/// Writes the result of a tool to standard output: unchanged for a program, and escaped for a terminal.
pub(super) fn result(text: &str) {
    let mut out = io::stdout().lock();
    let text = if out.is_terminal() { sanitize::escape_lines(text).into() } else { Cow::Borrowed(text) };
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Writes a line about what is going on to standard error.
pub(super) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{}", rendered(text));
}

/// Writes the reason why the command failed, one line for each line of the message.
pub(super) fn error(message: &str) {
    for line in message.lines() {
        note(&format!("{} {line}", bad("error:")));
    }
}

/// Writes a warning.
pub(super) fn warning(message: &str) {
    note(&format!("{} {message}", notable("warning:")));
}

pub(super) fn bold(text: &str) -> String {
    paint(BOLD, text)
}

pub(super) fn dim(text: &str) -> String {
    paint(DIM, text)
}

pub(super) fn good(text: &str) -> String {
    paint(GREEN, text)
}

pub(super) fn notable(text: &str) -> String {
    paint(YELLOW, text)
}

pub(super) fn bad(text: &str) -> String {
    paint(RED, text)
}

fn paint(mark: char, text: &str) -> String {
    format!("{mark}{text}{END}")
}

/// Writes a text of this program's own to standard output, as it is: a script.
pub(super) fn plain(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes JSON to standard output, for programs.
pub(super) fn json(value: &serde_json::Value) {
    let mut out = io::stdout().lock();
    let text = sanitize::escape_json(&format!("{value:#}"));
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_styles_reach_a_terminal() {
        let text = format!("{}\n{}", bad("not loaded:"), "\u{1b}[2J\rx\u{202e}y\u{2028}\u{9b}1m é👩\u{200d}🚀");
        let expected = "\u{1b}[31mnot loaded:\u{1b}[0m\n\\u{1b}[2J\\rx\\u{202e}y\\u{2028}\\u{9b}1m é👩\u{200d}🚀";
        assert_eq!(rendered(&text), expected);
    }
}
