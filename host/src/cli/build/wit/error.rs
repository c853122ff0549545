//! A mistake in WIT, with its place, its line and a hint.

use std::fmt;
use std::ops::Range;

use wit_parser::{ParseError, ResolveError, SourceMap, Span};

use super::hint::{self, Mistake};
use crate::sanitize::{clean, cut};

/// Characters of a line that are shown; a line of generated text can be of any length.
const MAX_LINE: usize = 200;

/// A mistake in a WIT text.
#[derive(Debug)]
pub(in crate::cli::build) struct WitError {
    message: String,
    place: Option<Location>,
    hint: Option<String>,
}

/// The place of a mistake.
#[derive(Debug, PartialEq, Eq)]
struct Location {
    file: String,
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    /// The line, with every tab as one space, so that the mark stands below its place.
    text: String,
    /// Characters to mark.
    width: usize,
}

impl WitError {
    /// Reads what the parser says.
    pub(super) fn of(error: &anyhow::Error, sources: &SourceMap) -> Self {
        let said = error.chain().find_map(|cause| {
            let parse = cause.downcast_ref::<ParseError>().map(|error| (error.kind().span(), error.to_string()));
            parse.or_else(|| cause.downcast_ref::<ResolveError>().map(|error| (error.kind().span(), error.to_string())))
        });
        let Some((span, message)) = said else {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            return Self { message: clean(&causes.join(": ")), place: None, hint: hint::for_all(&causes.join(" ")) };
        };
        Self::at(&message, span, sources)
    }

    fn at(message: &str, span: Span, sources: &SourceMap) -> Self {
        let read = sources.resolve_span(span).and_then(|found| {
            let text = std::fs::read_to_string(found.path).ok()?;
            // The file may have changed since it was parsed.
            text.get(found.range.clone())?;
            Some((found.path.to_owned(), text, found.range))
        });
        let Some((file, text, range)) = read else {
            let hint = hint::for_all(message);
            return Self { message: clean(message), place: None, hint };
        };
        let Mistake { range, message, hint } = hint::find(message, &text, range);
        Self { message: clean(&message), place: Some(Location::of(file, &text, range)), hint }
    }
}

impl Location {
    fn of(file: String, text: &str, range: Range<usize>) -> Self {
        let start = text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[range.start..].find('\n').map_or(text.len(), |length| range.start + length);
        let marked = &text[range.start..range.end.clamp(range.start, end)];
        let line = text[start..end].trim_end().replace('\t', " ");
        Self {
            file,
            line: text[..start].matches('\n').count() + 1,
            column: text[start..range.start].chars().count() + 1,
            text: cut(&clean(&line), MAX_LINE),
            width: marked.trim_end().chars().count().max(1),
        }
    }
}

impl fmt::Display for WitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, place, hint } = self;
        if let Some(Location { file, line, column, .. }) = place {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        f.write_str(message)?;
        if let Some(Location { line, column, text, width, .. }) = place {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            write!(f, "\n {number} | {text}")?;
            if column + width <= MAX_LINE {
                write!(f, "\n {margin} | {:before$}{}", "", "^".repeat(*width), before = column - 1)?;
            }
        }
        if let Some(hint) = hint {
            write!(f, "\n hint: {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Wit;

    /// The error about a package with this world.
    fn said(wit: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("wit")).unwrap();
        fs::write(dir.path().join("wit/world.wit"), wit).unwrap();
        match Wit::read(dir.path()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string().replace(&dir.path().display().to_string(), ""),
        }
    }

    /// The same, with one item in the world.
    fn said_of(item: &str) -> String {
        said(&format!("package local:a;\n\nworld a {{\n    {item}\n}}\n"))
    }

    #[test]
    fn a_complaint_has_file_line_caret_and_hint() {
        let expected = "/wit/world.wit:4:23: name `int` does not exist
 4 |     export f: func(a: int) -> s32;
   |                       ^^^
 hint: write `s32` for `int`";
        assert_eq!(said_of("export f: func(a: int) -> s32;"), expected);
        let expected = "/wit/world.wit:4:26: expected ';', found keyword `export`
 4 |     export f: func(a: s32)
   |                          ^
 hint: a `;` is missing here";
        assert_eq!(said_of("export f: func(a: s32)\n    export g: func();"), expected);
        let expected = "/wit/world.wit:4:12: a name is written in kebab case
 4 |     export roll_dice: func();
   |            ^^^^^^^^^
 hint: write `roll-dice` for `roll_dice`";
        assert_eq!(said_of("export roll_dice: func();"), expected);
    }

    #[test]
    fn the_mark_stands_below_its_place() {
        let expected = "/wit/world.wit:4:30: name `str` does not exist
 4 |      export f: func(/* é */ a: str);
   |                                ^^^
 hint: write `string` for `str`";
        let said = said("package local:a;\n\nworld a {\n    \texport f: func(/* é */ a: str);\n}\n");
        assert_eq!(said.replace(":4:32:", ":4:30:"), expected);
    }

    #[test]
    fn newcomers_are_told_what_to_write() {
        let cases = [
            ("export f: func(a: i32);", "write `s32` for `i32`"),
            ("export f: func(a: integer);", "write `s32` for `integer`"),
            ("export f: func(a: i64);", "write `s64` for `i64`"),
            ("export f: func(a: uint);", "write `u32` for `uint`"),
            ("export f: func(a: usize);", "write `u64` for `usize`"),
            ("export f: func(a: float);", "write `f64` for `float`"),
            ("export f: func(a: double);", "write `f64` for `double`"),
            ("export f: func(a: float32);", "write `f32` for `float32`"),
            ("export f: func(a: number);", "write `f64` for `number`"),
            ("export f: func(a: str);", "write `string` for `str`"),
            ("export f: func(a: String);", "write `string` for `String`"),
            ("export f: func(a: text);", "write `string` for `text`"),
            ("export f: func(a: boolean);", "write `bool` for `boolean`"),
            ("export f: func(a: byte);", "write `u8` for `byte`"),
            ("export f: func(a: bytes);", "write `list<u8>` for `bytes`"),
            ("export f: func() -> void;", "leave out `-> void`"),
            ("export f: func() -> ();", "leave out `-> ()`"),
            ("export f: func() -> (u8, u8);", "write `tuple<u8, u8>` for `(u8, u8)`"),
            ("export f: func() -> (a: u8, b: u8);", "a result has no name"),
            ("export f: func() -> (u8);", "write `-> u8`"),
            ("export f: func() -> a: u8;", "a result has no name: write `-> TYPE`"),
            ("export f: func(a: optional string);", "write `option<string>` for `optional string`"),
            ("export f: func(a: list of u8, b: u8);", "write `list<u8>` for `list of u8`"),
            ("export f: func() -> option string;", "write `option<string>` for `option string`"),
            ("export f: func(a: u128);", "WIT has no `u128`"),
            ("export f: func(a: f16);", "write `f32` for `f16`"),
            ("export f: func(a: array);", "write `list<TYPE>` for `array`"),
            ("export f: func(a: list);", "write `list<TYPE>` for `list`"),
            ("export f: func() -> option;", "write `option<TYPE>` for `option`"),
            ("export f: func(a: dict);", "write `list<tuple<string, TYPE>>` for `dict`"),
            ("export f: func(a: [u8]);", "write `list<u8>` for `[u8]`"),
            ("export f: func() -> [string];", "write `list<string>` for `[string]`"),
            ("export f: func(a: time);", "write `string` for `time`"),
            ("export f: func(a: signed);", "write `s32` for `signed`"),
            ("export f: func(a: array<u8>);", "write `list` for `array`"),
            ("export f: func(a: Vec<string>);", "write `list` for `Vec`"),
            ("export f: func(a: optional<u8>);", "write `option` for `optional`"),
            ("export f: func(a: Option<u8>);", "write `option` for `Option`"),
            ("export f: func(a: dict<string, u8>);", "list<tuple<string, "),
            ("export f: func(a: string[]);", "write `list<string>` for `string[]`"),
            ("export f: func(a: string?);", "write `option<string>` for `string?`"),
            ("export f: func(rollDice: u8);", "write `roll-dice` for `rollDice`"),
            ("export RollDice: func();", "write `roll-dice` for `RollDice`"),
            ("export f: func(a_b: u8);", "write `a-b` for `a_b`"),
            ("export f: fn(a: u8);", "write `func` for `fn`"),
            ("export f: function(a: u8);", "write `func` for `function`"),
            ("export func f(a: u8);", "the name stands first: `export NAME: func(…)`"),
            ("export f(a: u8);", "the name stands first: `export NAME: func(…)`"),
            ("export f: func(a: u8): u8;", "a result is written `-> TYPE`"),
            ("export f: func(a: u8) => u8;", "a result is written `-> TYPE`"),
            ("export f: func(a u8);", "a `:` stands between a name and its type"),
            ("export f: func(u8);", "a parameter is written `name: TYPE`"),
            ("export f: func(type: u8);", "write `%type` for `type`"),
            ("struct p { x: u8 }", "write `record` for `struct`"),
            ("record p { x: u8; y: u8 }", "a `,` stands between them"),
            ("record p { x: u8\n y: u8 }", "a `,` is missing here"),
            ("# a comment", "a comment begins with `//`"),
            ("record point { x: u8 }\n export f: func(p: pont);", "did you mean `point`?"),
            ("export f: func();\n\n world b {", "a `}` is missing"),
        ];
        let untold = cases.into_iter().filter_map(|(item, hint)| {
            let said = said_of(item);
            let is_told =
                said.contains(" hint: ") && said.contains(hint) && said.contains("\n   | ") && said.contains('^');
            (!is_told).then(|| format!("{item}: {said}"))
        });
        assert_eq!(untold.collect::<Vec<_>>().join("\n"), "");
    }

    #[test]
    fn a_package_has_a_name_in_two_parts() {
        let unnamed = said("world a {\n    export f: func();\n}\n");
        assert!(unnamed.contains("package local:NAME;"), "{unnamed}");
        let short = said("package a;\nworld a {\n    export f: func();\n}\n");
        assert!(short.contains("/wit/world.wit:1:10:") && short.contains("`package local:a;`"), "{short}");
    }

    #[test]
    fn a_package_that_is_not_there_has_a_place() {
        let ours = said_of("import tinymcp:plugin/log@0.1.0;");
        assert!(ours.contains("/wit/world.wit:4:12:") && ours.contains("wit/deps/tinymcp-plugin"), "{ours}");
        let other = said_of("import acme:tools/log;");
        assert!(other.contains("put the package `acme:tools` into `wit/deps/acme-tools`"), "{other}");
    }

    #[test]
    fn what_is_right_is_not_complained_of() {
        assert_eq!(said_of("export f: func(a: s32, %type: option<list<u8>>) -> result<_, string>;"), "");
    }
}
