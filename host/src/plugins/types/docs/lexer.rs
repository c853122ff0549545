//! WIT text as words, signs and the documentation before them.

/// A word or sign, with the documentation comments that stand before it.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind<'a>,
    pub(super) docs: Option<String>,
    /// Line in the text, from 1.
    pub(super) line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind<'a> {
    /// A name, a keyword or a number; `%list` is the name `list`.
    Word(&'a str),
    /// Any other character.
    Sign(char),
    /// `->`
    Arrow,
}

pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { rest: text, line: 1, docs: Vec::new() };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next() {
        tokens.push(token);
    }
    tokens
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    /// Lines of documentation that wait for the token they describe.
    docs: Vec<String>,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks_and_comments();
        let first = self.rest.chars().next()?;
        let line = self.line;
        let kind = match first {
            '-' if self.rest.starts_with("->") => {
                self.take(2);
                TokenKind::Arrow
            }
            '%' => {
                self.take(1);
                TokenKind::Word(self.take(word_length(self.rest)))
            }
            first if is_word_char(first) => TokenKind::Word(self.take(word_length(self.rest))),
            first => {
                self.take(first.len_utf8());
                TokenKind::Sign(first)
            }
        };
        let docs = std::mem::take(&mut self.docs);
        Some(Token { kind, docs: (!docs.is_empty()).then(|| docs.join("\n")), line })
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            self.take(self.rest.len() - self.rest.trim_start().len());
            if self.rest.starts_with("//") {
                let comment = self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
                // A ruler of slashes is no documentation.
                if let Some(line) = comment.strip_prefix("///").filter(|line| !line.starts_with('/')) {
                    self.docs.push(line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned());
                }
            } else if self.rest.starts_with("/*") {
                let comment = self.take(block_length(self.rest));
                let inner = comment.strip_prefix("/**").and_then(|inner| inner.strip_suffix("*/"));
                self.docs.extend(inner.into_iter().flat_map(block_lines));
            } else {
                return;
            }
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

fn is_word_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// A name may have a hyphen inside, but `->` is no part of it.
fn word_length(text: &str) -> usize {
    let is_inside = |(index, char): &(usize, char)| {
        is_word_char(*char) || *char == '-' && text[index + 1..].starts_with(is_word_char)
    };
    text.char_indices().take_while(is_inside).count()
}

/// Block comments nest.
fn block_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut end = 0;
    while end < text.len() {
        let rest = &text.as_bytes()[end..];
        if rest.starts_with(b"/*") {
            depth += 1;
            end += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            end += 2;
            if depth == 0 {
                return end;
            }
        } else {
            end += 1;
        }
    }
    text.len()
}

/// The lines of a block comment without the column of stars that many draw.
fn block_lines(inner: &str) -> impl Iterator<Item = String> {
    inner.trim().lines().map(|line| {
        let line = line.trim();
        let line = line.strip_prefix('*').unwrap_or(line);
        line.strip_prefix(' ').unwrap_or(line).to_owned()
    })
}
