//! Reads the outline of a WIT text: worlds, interfaces, functions, types, and the comments on them.
//!
//! A parser of its own. `wit-parser` 0.254 was tried in its place, on the texts of all plugins and guests and on those
//! of the tests beside this file. It reads every complete text, also one that uses packages from elsewhere, and bears
//! hostile ones. But an author would lose descriptions:
//!
//! - A package of several files: a Rust crate embeds `world.wit`, and its `use types.{place}` names an interface of a
//!   file beside it. `wit-parser` refuses the text as a whole, and every tool is without a word. The same holds for a
//!   file without a `package` line, which stands once in a package.
//! - A text with syntax of a newer WIT, or with one mistake: all is lost, and not one function.
//! - Comments on parameters: `wit-parser` drops them.
//!
//! This parser skips what it does not understand. A wrong reading costs a description and nothing else.

use super::lexer::{Token, TokenKind, tokens};
use super::outline::{Block, BlockKind, Definition, Function, Member, Type, TypeDocs, Use};

/// Depth to which `list<list<…>>` is followed. No type that nests deeper has a JSON form.
const MAX_TYPE_DEPTH: usize = 64;

/// Unreadable places that become warnings.
const MAX_WARNINGS: usize = 5;

/// The outline of one text.
#[derive(Default)]
pub(super) struct Text {
    pub(super) blocks: Vec<Block>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn parse(text: &str) -> Text {
    let mut parser = Parser { tokens: tokens(text), at: 0, package: None, outer: Vec::new(), text: Text::default() };
    while parser.at < parser.tokens.len() {
        parser.item();
    }
    parser.text
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    /// The package around the parser's position.
    package: Option<String>,
    /// Those of the blocks around it.
    outer: Vec<Option<String>>,
    text: Text,
}

impl<'a> Parser<'a> {
    /// One item outside of worlds and interfaces.
    fn item(&mut self) {
        let docs = self.docs_and_gates();
        match self.word() {
            Some("package") => {
                let name = self.path().split('@').next().map(str::to_owned);
                let around = std::mem::replace(&mut self.package, name);
                if self.eat('{') {
                    self.outer.push(around);
                } else {
                    self.eat(';');
                }
            }
            Some("interface") => self.block(BlockKind::Interface, docs),
            Some("world") => self.block(BlockKind::World, docs),
            // The end of a package block.
            None if self.eat('}') => {
                if let Some(around) = self.outer.pop() {
                    self.package = around;
                }
            }
            _ => self.skip(),
        }
    }

    fn block(&mut self, kind: BlockKind, docs: Option<String>) {
        let name = self.word().unwrap_or_default();
        let block = Block { docs, ..Block::new(kind, self.package.clone(), name) };
        self.members_of(block);
    }

    /// The braces of a world or interface, and the items in them.
    fn members_of(&mut self, mut block: Block) {
        if !self.eat('{') {
            return self.give_up("`{`");
        }
        while self.at < self.tokens.len() && !self.eat('}') {
            self.member_of(&mut block);
        }
        self.text.blocks.push(block);
    }

    fn member_of(&mut self, block: &mut Block) {
        let docs = self.docs_and_gates();
        let Some(word) = self.word() else { return self.skip() };
        // A function of an interface may be called like a keyword.
        if self.is_next(':') {
            return self.function(word, docs, block);
        }
        match word {
            "export" if block.kind == BlockKind::World => self.export(docs, block),
            "use" => self.use_types(block),
            "type" | "record" | "variant" | "enum" | "flags" => self.type_docs(word, docs, block),
            _ => self.skip(),
        }
    }

    /// `export name: func(…)`, `export name: interface {…}`; an interface that is exported by path has its own block.
    fn export(&mut self, docs: Option<String>, block: &mut Block) {
        match self.word() {
            Some(name) if self.is_next(':') && self.is_at(self.at + 1, TokenKind::Word("interface")) => {
                self.at += 2;
                self.members_of(Block { docs, ..Block::new(BlockKind::Interface, None, name) });
            }
            Some(name) if self.is_next(':') => self.function(name, docs, block),
            _ => self.skip(),
        }
    }

    /// `: async? func(params) -> result;` after the name.
    fn function(&mut self, name: &str, docs: Option<String>, block: &mut Block) {
        self.eat(':');
        self.eat_word("async");
        if !self.eat_word("func") {
            // A path, as in `export handler: wasi:http/handler;`.
            return self.skip();
        }
        if !self.eat('(') {
            return self.give_up("`(`");
        }
        let Some(params) = self.members(')') else { return self.skip() };
        let result = if self.eat_token(TokenKind::Arrow) { self.ty(0) } else { None };
        block.functions.push(Function { name: name.to_owned(), docs, params, result });
        if !self.eat(';') {
            self.give_up("`;`");
        }
    }

    /// `name`, `name: type` or `name(type)`, with commas between them, up to the closing sign. `None` if there is
    /// something else, which is where the parser then stands.
    fn members(&mut self, close: char) -> Option<Vec<Member>> {
        let mut members = Vec::new();
        while self.at < self.tokens.len() && !self.eat(close) {
            let docs = self.docs_and_gates();
            let Some(name) = self.word() else {
                self.warn("a name");
                return None;
            };
            let ty = if self.eat(':') {
                self.ty(0)
            } else if self.eat('(') {
                let ty = self.ty(0);
                self.eat(')');
                ty
            } else {
                None
            };
            members.push(Member { name: name.to_owned(), docs, ty });
            if !self.eat(',') && !self.is_next(close) {
                self.warn(&format!("`,` or `{close}`"));
                return None;
            }
        }
        Some(members)
    }

    /// `name` or `name<type, …>`. `None` if it is not understood.
    fn ty(&mut self, depth: usize) -> Option<Type> {
        let name = self.word()?.to_owned();
        let mut arguments = Vec::new();
        if self.eat('<') {
            while !self.eat('>') {
                if depth == MAX_TYPE_DEPTH {
                    return None;
                }
                arguments.push(self.ty(depth + 1)?);
                if !self.eat(',') && !self.is_next('>') {
                    return None;
                }
            }
        }
        Some(Type { name, arguments })
    }

    fn type_docs(&mut self, keyword: &str, docs: Option<String>, block: &mut Block) {
        let Some(name) = self.word() else { return self.give_up("a name") };
        let definition = if keyword == "type" {
            self.eat('=');
            let Some(ty) = self.ty(0) else { return self.skip() };
            self.eat(';');
            Definition::Alias(ty)
        } else if self.eat('{') {
            let members = self.members('}');
            if members.is_none() {
                // Nothing nests in a type's braces.
                while self.at < self.tokens.len() && !self.eat('}') {
                    self.at += 1;
                }
            }
            Definition::Members(members.unwrap_or_default())
        } else {
            return self.give_up("`{`");
        };
        block.types.push(TypeDocs { name: name.to_owned(), docs, definition });
    }

    /// `use path.{name, original as name};`
    fn use_types(&mut self, block: &mut Block) {
        let interface = self.path();
        if !(self.eat('.') && self.eat('{')) {
            return self.skip();
        }
        while self.at < self.tokens.len() && !self.eat('}') {
            let Some(original) = self.word() else { return self.skip() };
            let name = if self.eat_word("as") { self.word().unwrap_or(original) } else { original };
            let (name, original) = (name.to_owned(), original.to_owned());
            block.uses.push(Use { name, interface: interface.clone(), original });
            self.eat(',');
        }
        self.eat(';');
    }

    /// `name`, `namespace:package/name` or the same with `@1.2.3` behind it.
    fn path(&mut self) -> String {
        let mut path = String::new();
        while let Some(token) = self.tokens.get(self.at) {
            match token.kind {
                TokenKind::Word(word) => path.push_str(word),
                TokenKind::Sign(sign @ (':' | '/' | '@' | '+' | '-')) => path.push(sign),
                TokenKind::Sign('.') if self.is_at(self.at + 1, TokenKind::Sign('{')) => break,
                TokenKind::Sign('.') => path.push('.'),
                TokenKind::Sign(_) | TokenKind::Arrow => break,
            }
            self.at += 1;
        }
        path
    }

    /// The comment before an item; `@since(…)` and the like between the two say nothing here.
    fn docs_and_gates(&mut self) -> Option<String> {
        let docs = self.tokens.get_mut(self.at).and_then(|token| token.docs.take());
        while self.eat('@') {
            self.word();
            if self.eat('(') {
                while self.at < self.tokens.len() && !self.eat(')') {
                    self.at += 1;
                }
            }
        }
        docs
    }

    /// Goes on behind the item: a `;`, or the end of its braces. Stops before braces that close around it.
    fn skip(&mut self) {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(token) = self.tokens.get(self.at) {
            match token.kind {
                TokenKind::Sign('{') => depth += 1,
                TokenKind::Sign('}') if depth == 0 => break,
                TokenKind::Sign('}') => depth -= 1,
                _ => {}
            }
            self.at += 1;
            let is_end = matches!(token.kind, TokenKind::Sign(';' | '}'));
            if is_end && depth == 0 {
                // `use a.{b};` ends behind the `;`, a resource at its `}`.
                self.eat(';');
                return;
            }
        }
        // Outside of everything, a stray `}` is nobody's to close.
        if self.at == start {
            self.at += 1;
        }
    }

    fn give_up(&mut self, expected: &str) {
        self.warn(expected);
        self.skip();
    }

    fn warn(&mut self, expected: &str) {
        if self.text.warnings.len() < MAX_WARNINGS {
            let line = self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line);
            self.text.warnings.push(format!("WIT text not understood: expected {expected} in line {line}"));
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        match self.tokens.get(self.at)?.kind {
            TokenKind::Word(word) => {
                self.at += 1;
                Some(word)
            }
            TokenKind::Sign(_) | TokenKind::Arrow => None,
        }
    }

    fn eat(&mut self, sign: char) -> bool {
        self.eat_token(TokenKind::Sign(sign))
    }

    fn eat_word(&mut self, word: &str) -> bool {
        self.eat_token(TokenKind::Word(word))
    }

    fn eat_token(&mut self, kind: TokenKind<'_>) -> bool {
        let is_match = self.is_at(self.at, kind);
        self.at += usize::from(is_match);
        is_match
    }

    fn is_next(&self, sign: char) -> bool {
        self.is_at(self.at, TokenKind::Sign(sign))
    }

    fn is_at(&self, index: usize, kind: TokenKind<'_>) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind == kind)
    }
}
