//! What commands print: plain text, with colour on a terminal only.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// Writes a line to standard output. A reader that has gone away, such as `head`, is no failure.
pub(super) fn line(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Writes a line about what is going on to standard error.
pub(super) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Writes why the command failed, one line for each line of the message.
pub(super) fn error(message: &str) {
    let (on, off) = (RED.render(), RED.render_reset());
    for line in message.lines() {
        let _ = writeln!(anstream::stderr(), "{on}error:{off} {line}");
    }
}

/// Writes what should be looked at.
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

fn paint(style: Style, text: &str) -> String {
    format!("{}{text}{}", style.render(), style.render_reset())
}

/// Writes JSON to standard output, for programs.
pub(super) fn json(value: &serde_json::Value) {
    let mut out = io::stdout().lock();
    let _ = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from).and_then(|()| writeln!(out));
}
