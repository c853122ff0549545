//! Hints for people who write WIT in the manner of another language.
//!
//! The parser reports what it expected. A hint looks at the few words around that place, and knows the usual mistakes
//! of newcomers.

use std::ops::Range;

/// Types of other languages, with their names in WIT.
const TYPES: [(&[&str], &str); 16] = [
    (&["int", "integer", "i32", "int32", "sint32", "signed"], "s32"),
    (&["i8", "int8", "sint8"], "s8"),
    (&["i16", "int16", "short", "sint16"], "s16"),
    (&["i64", "int64", "long", "isize", "bigint", "sint64"], "s64"),
    (&["uint", "uint32", "unsigned"], "u32"),
    (&["uint8", "byte"], "u8"),
    (&["uint16"], "u16"),
    (&["uint64", "usize", "size_t", "ulong"], "u64"),
    (&["float32", "single", "f16", "float16", "half", "bf16"], "f32"),
    (&["float", "float64", "double", "number", "decimal", "real", "f128", "float128"], "f64"),
    (&["str", "text", "&str", "uuid", "date", "datetime", "time", "timestamp", "json", "any", "object"], "string"),
    (&["duration", "timespan"], "u64"),
    (&["boolean"], "bool"),
    (&["character", "rune"], "char"),
    (&["bytes", "bytearray", "buffer", "blob", "binary"], "list<u8>"),
    (&["string-literal", "strings"], "list<string>"),
];

/// Integers for which WIT has no type.
const WIDE: [&str; 8] = ["u128", "i128", "s128", "int128", "uint128", "u256", "i256", "bigdecimal"];

/// Types with arguments of other languages.
const GENERICS: [(&[&str], &str); 4] = [
    (&["array", "vec", "vector", "sequence", "seq", "set", "slice", "iterable"], "list"),
    (&["optional", "maybe", "nullable"], "option"),
    (&["either", "expected", "outcome"], "result"),
    (&["pair"], "tuple"),
];

/// Lists of pairs, in other languages.
const MAPS: [&str; 6] = ["dict", "dictionary", "hashmap", "btreemap", "mapping", "hash"];

/// Keywords of other languages, with the keyword of WIT.
const KEYWORDS: [(&[&str], &str); 6] = [
    (&["fn", "function", "fun", "def", "method", "proc"], "func"),
    (&["struct", "class", "message", "object"], "record"),
    (&["union", "oneof"], "variant"),
    (&["bitflags", "bitset"], "flags"),
    (&["typedef", "alias", "typealias"], "type"),
    (&["trait", "service", "protocol"], "interface"),
];

/// The words that cannot name anything without a `%`, separated by spaces.
pub(in crate::cli) const RESERVED: &str = "\
    as async bool borrow char constructor enum error-context export f32 f64 flags from func future import include \
    interface list map option own package record resource result s16 s32 s64 s8 static stream string tuple type \
    u16 u32 u64 u8 use variant with world _";

/// A mistake, seen more closely.
pub(super) struct Mistake {
    /// Its place, which is not always the one that the parser reports.
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// A hint for a mistake without a place.
pub(super) fn for_all(message: &str) -> Option<String> {
    message
        .contains("no `package` header")
        .then(|| "begin `world.wit` with a line `package local:NAME;`, where NAME is yours to choose".to_owned())
}

/// Finds the mistake at a place that the parser reports.
pub(super) fn find(message: &str, text: &str, range: Range<usize>) -> Mistake {
    let around = Context::of(text, &range);
    let same = |hint: String| Mistake { range: range.clone(), message: message.to_owned(), hint: Some(hint) };
    if let Some(found) = around.misspelt_name() {
        return found;
    }
    if let Some(hint) = around.foreign_word(message).or_else(|| around.sign(message)).or_else(|| for_all(message)) {
        return same(hint);
    }
    if let Some(found) = around.missing_sign(message) {
        return found;
    }
    if let Some(name) = message.strip_prefix("package '").and_then(|rest| rest.split_once('\'')).map(|(name, _)| name) {
        return same(missing_package(name));
    }
    let hint = around.reserved_name(message).or_else(|| around.nearest_name(message));
    Mistake { range, message: message.to_owned(), hint }
}

/// The cure for a package that is not there.
fn missing_package(name: &str) -> String {
    let plain = name.split('@').next().unwrap_or(name);
    let folder = format!("wit/deps/{}", plain.replace(':', "-"));
    if plain == "tinymcp:plugin" {
        return format!(
            "put the host's WIT, in its version, into `{folder}`: `tinymcp new` makes a crate that has it there"
        );
    }
    format!("put the package `{plain}` into `{folder}`")
}

/// The words and signs around a place.
struct Context<'a> {
    text: &'a str,
    /// The word or sign there.
    here: Range<usize>,
    /// Those before and after it.
    before: Vec<Range<usize>>,
    after: Vec<Range<usize>>,
}

/// Words and signs that are looked at on either side.
const WINDOW: usize = 6;

impl<'a> Context<'a> {
    fn of(text: &'a str, range: &Range<usize>) -> Self {
        let tokens = tokens(text);
        let index = tokens.iter().position(|token| token.end > range.start).unwrap_or(tokens.len());
        let here = tokens.get(index).cloned().unwrap_or(range.clone());
        let before = tokens[..index].iter().rev().take(WINDOW).cloned().collect();
        let after = tokens.get(index + 1..).unwrap_or_default().iter().take(WINDOW).cloned().collect();
        Self { text, here, before, after }
    }

    fn here(&self) -> &'a str {
        &self.text[self.here.clone()]
    }

    /// The word or sign before this one, counted backwards from 0.
    fn before(&self, back: usize) -> &'a str {
        self.before.get(back).map_or("", |token| &self.text[token.clone()])
    }

    fn after(&self, ahead: usize) -> &'a str {
        self.after.get(ahead).map_or("", |token| &self.text[token.clone()])
    }

    /// A name in another case: `roll_dice`, `rollDice`, `RollDice`. Types of other languages get another hint.
    fn misspelt_name(&self) -> Option<Mistake> {
        let word = self.here();
        let is_name = word.starts_with(|first: char| first.is_ascii_alphabetic());
        let has_both =
            word.bytes().any(|byte| byte.is_ascii_uppercase()) && word.bytes().any(|it| it.is_ascii_lowercase());
        if !is_name || !(word.contains('_') || has_both) || foreign_type(word).is_some() || self.is_generic() {
            return None;
        }
        Some(Mistake {
            range: self.here.clone(),
            message: "a name is written in kebab case".to_owned(),
            hint: Some(format!("write `{}` for `{word}`", kebab(word))),
        })
    }

    fn is_generic(&self) -> bool {
        self.after(0) == "<" || (self.here() == "<")
    }

    /// A type or keyword of another language.
    fn foreign_word(&self, message: &str) -> Option<String> {
        let word = self.here();
        let lower = word.to_ascii_lowercase();
        // The parser takes `array` for a name, and stops at the `<` behind it.
        let generic = if word == "<" { self.before(0) } else { word };
        if self.is_generic() {
            let lower = generic.to_ascii_lowercase();
            if MAPS.contains(&lower.as_str()) {
                return Some(format!("write `list<tuple<string, …>>` for `{generic}<…>`: JSON has it as pairs"));
            }
            if let Some(known) = known(&GENERICS, &lower).or_else(|| own_generic(generic)) {
                return Some(format!("write `{known}` for `{generic}`"));
            }
        }
        if matches!(lower.as_str(), "void" | "none" | "unit" | "null" | "nil") && self.before(0) == "->" {
            return Some(format!("leave out `-> {word}`: a function without a result has no arrow"));
        }
        if word == "(" && self.before(0) == "->" {
            return Some(self.bracketed_result());
        }
        if let Some(hint) = self.argument_without_brackets().or_else(|| self.without_arguments(message)) {
            return Some(hint);
        }
        let begins = |found: &str| {
            let keyword = known(&KEYWORDS, &found.to_ascii_lowercase())?;
            Some(format!("write `{keyword}` for `{found}`"))
        };
        // `export f: fn(…)` is taken for a path, and the parser stops at the bracket.
        if word == "(" && self.before(1) == ":" && known(&KEYWORDS, self.before(0)) == Some("func") {
            return begins(self.before(0));
        }
        if message.contains("expected") && self.is_first() && word != "object" && known(&KEYWORDS, &lower).is_some() {
            return begins(word);
        }
        let found = foreign_type(word)?;
        let is_type = ["not exist", "not defined", "invalid character in identifier"];
        is_type.iter().any(|said| message.contains(said)).then(|| format!("write `{found}` for `{word}`"))
    }

    /// A result in brackets: `-> ()`, `-> (u8, u8)`, `-> (a: u8)`.
    fn bracketed_result(&self) -> String {
        let rest = &self.text[self.here.end..];
        let inside = rest.split([')', ';', '\n']).next().unwrap_or_default().trim();
        match inside {
            "" => "leave out `-> ()`: a function without a result has no arrow".to_owned(),
            named if named.contains(':') => {
                "a result has no name: write `-> TYPE`, with a `record` or a `tuple<…>` for several".to_owned()
            }
            several if several.contains(',') => format!("write `tuple<{several}>` for `({several})`"),
            one => format!("write `-> {one}`: there are no brackets"),
        }
    }

    /// An argument without brackets: `optional string`, `list of string`.
    fn argument_without_brackets(&self) -> Option<String> {
        let is_word = |word: &str| word.starts_with(|first: char| first.is_ascii_alphabetic());
        let (outer, inner) = (self.before(0), self.here());
        let begins_type = matches!(self.before(1), ":" | "->" | "<" | ",");
        let lower = outer.to_ascii_lowercase();
        let own = ["list", "option"].into_iter().find(|own| *own == lower);
        let known = known(&GENERICS, &lower).filter(|known| matches!(*known, "list" | "option")).or(own)?;
        let argument = if inner == "of" { self.after(0) } else { inner };
        let of = if inner == "of" { "of " } else { "" };
        (begins_type && is_word(inner) && is_word(argument))
            .then(|| format!("write `{known}<{argument}>` for `{outer} {of}{argument}`"))
    }

    /// A type without its arguments (`array`, `list`, `option`), or one that WIT lacks.
    fn without_arguments(&self, message: &str) -> Option<String> {
        let is_missing = ["not exist", "not defined"].iter().any(|said| message.contains(said));
        let expects_bracket = message.contains("expected '<'");
        let word = if expects_bracket { self.before(0) } else { self.here() };
        if !is_missing && !expects_bracket || self.is_generic() {
            return None;
        }
        let lower = word.to_ascii_lowercase();
        if WIDE.contains(&lower.as_str()) {
            return Some(format!("WIT has no `{word}`: the widest integers are `u64` and `s64`; a `string` holds any"));
        }
        if MAPS.contains(&lower.as_str()) {
            return Some(format!("write `list<tuple<string, TYPE>>` for `{word}`: JSON has it as pairs"));
        }
        let own = ["list", "option", "tuple"].into_iter().find(|own| *own == lower);
        let known = known(&GENERICS, &lower).or(own)?;
        Some(format!("write `{known}<TYPE>` for `{word}`, with what is in it"))
    }

    /// True if an item of a world or interface begins here.
    fn is_first(&self) -> bool {
        matches!(self.before(0), "" | "{" | "}" | ";")
    }

    /// A sign of another language.
    fn sign(&self, message: &str) -> Option<String> {
        let (before, here, after) = (self.before(0), self.here(), self.after(0));
        match here {
            "[" if matches!(before, ":" | "->" | "<" | ",") => Some(format!("write `list<{after}>` for `[{after}]`")),
            "[" if after == "]" => Some(format!("write `list<{before}>` for `{before}[]`")),
            "?" => Some(format!("write `option<{before}>` for `{before}?`")),
            "|" => Some("write a `variant` for a choice of types".to_owned()),
            "&" | "*" if before == ":" => Some(format!("leave out the `{here}`: a value is always given whole")),
            "#" => Some("a comment begins with `//`, one that describes what follows with `///`".to_owned()),
            ":" if self.before(1) == "->" => Some("a result has no name: write `-> TYPE`".to_owned()),
            ":" if before == ")" => Some("a result is written `-> TYPE`".to_owned()),
            "=" if before == ")" || after == ">" => Some("a result is written `-> TYPE`".to_owned()),
            "=" if message.contains("expected") => Some("WIT has no default values: use `option<…>`".to_owned()),
            ";" if message.contains("expected '}'") => Some("a `,` stands between them".to_owned()),
            ";" if message.contains("expected ')'") => Some("a `)` is missing before it".to_owned()),
            "world" | "interface" | "package" if message.contains("type definition") => {
                Some("a `}` is missing before it".to_owned())
            }
            "," if message.contains("';'") => Some("a `;` ends it".to_owned()),
            _ if self.before(0) == "package" || (self.before(1) == "package" && here == ";") => {
                let name = if here == ";" { before } else { here };
                Some(format!("a package has two names: `package local:{};`", kebab(name)))
            }
            _ if matches!(self.before(0), "func") && matches!(self.before(1), "export" | "import") => {
                Some(format!("the name stands first: `{} NAME: func(…)`", self.before(1)))
            }
            "func" if matches!(before, "export" | "import") => {
                Some(format!("the name stands first: `{before} NAME: func(…)`"))
            }
            "(" if matches!(self.before(1), "export" | "import") => {
                Some(format!("the name stands first: `{} NAME: func(…)`", self.before(1)))
            }
            ")" | "," if message.contains("':'") => Some("a parameter is written `name: TYPE`".to_owned()),
            _ if message.contains("expected ':'") => Some("a `:` stands between a name and its type".to_owned()),
            _ if message.contains("found eof") || message.contains("unexpected end") => {
                Some("a `}` is missing before the end of the file".to_owned())
            }
            _ => None,
        }
    }

    /// A sign that should stand behind the word before this one.
    fn missing_sign(&self, message: &str) -> Option<Mistake> {
        let sign = [("expected ';'", ";"), ("expected '}'", ","), ("expected ')'", ",")];
        let (_, sign) = sign.into_iter().find(|(said, _)| message.contains(said))?;
        let last = self.before.first()?;
        let end = last.end - 1;
        // The last character, whole.
        let start = self.text.floor_char_boundary(end);
        Some(Mistake {
            range: start..last.end,
            message: message.to_owned(),
            hint: Some(format!("a `{sign}` is missing here")),
        })
    }

    /// A keyword of WIT as a name.
    fn reserved_name(&self, message: &str) -> Option<String> {
        let word = self.here();
        let is_name = message.contains("expected an identifier") || message.contains("expected identifier");
        // `func(u8)` lacks a name, and has a type instead.
        if is_name && self.before(0) == "(" && self.after(0) != ":" {
            return Some("a parameter is written `name: TYPE`".to_owned());
        }
        (is_name && RESERVED.split(' ').any(|reserved| reserved == word))
            .then(|| format!("write `%{word}` for `{word}`, which is a word of WIT"))
    }

    /// A name of this text that differs by a typing error.
    fn nearest_name(&self, message: &str) -> Option<String> {
        if !(message.contains("not defined") || message.contains("not exist")) {
            return None;
        }
        let word = self.here();
        let is_item = |token: &Range<usize>| {
            matches!(
                &self.text[token.clone()],
                "type" | "record" | "variant" | "enum" | "flags" | "resource" | "interface"
            )
        };
        let tokens = tokens(self.text);
        let named = tokens.windows(2).filter(|pair| is_item(&pair[0])).map(|pair| &self.text[pair[1].clone()]);
        let own = ["string", "bool", "list", "option", "result", "tuple", "char", "record", "func"];
        let (distance, nearest) = named.chain(own).map(|name| (strsim::damerau_levenshtein(name, word), name)).min()?;
        (distance > 0 && distance <= 1 + word.len() / 4).then(|| format!("did you mean `{nearest}`?"))
    }
}

/// The name that WIT has for a type of another language.
fn foreign_type(word: &str) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    let own = ["bool", "string", "char"].into_iter().find(|own| *own == lower && *own != word);
    known(&TYPES, &lower).or(own)
}

/// A generic type of WIT's own in another case: `Option`, `List`.
fn own_generic(word: &str) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    ["list", "option", "result", "tuple"].into_iter().find(|own| *own == lower && *own != word)
}

fn known(table: &[(&[&str], &'static str)], word: &str) -> Option<&'static str> {
    table.iter().find(|(words, _)| words.contains(&word)).map(|(_, known)| *known)
}

/// A name as WIT writes it.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    let mut last = '-';
    for char in name.chars() {
        let begins = char.is_ascii_uppercase() && (last.is_ascii_lowercase() || last.is_ascii_digit());
        if (begins || char == '_') && last != '-' && last != '_' {
            kebab.push('-');
        }
        if char != '_' {
            kebab.extend(char.to_lowercase());
        }
        last = char;
    }
    kebab.trim_matches('-').to_owned()
}

/// The words and signs of a text, without its comments.
pub(in crate::cli::build) fn tokens(text: &str) -> Vec<Range<usize>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            let word = rest.find(|char: char| !(char.is_alphanumeric() || char == '_' || char == '-' || char == '%'));
            let word = word.unwrap_or(rest.len());
            let length = match word {
                0 => first.len_utf8(),
                _ if rest.starts_with("->") => 2,
                word => word,
            };
            tokens.push(at..at + length);
            length
        };
        at += length;
    }
    tokens
}
