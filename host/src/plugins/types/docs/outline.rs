//! The outline of a WIT text, as its author arranged it: worlds and interfaces, their functions and their types.

/// Interfaces that may pass a type on to each other by `use`; a text may close a circle.
const MAX_USES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    World,
    Interface,
}

/// A world or an interface: in both, names stand for types.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: BlockKind,
    /// `namespace:name`, if the text says so.
    pub(super) package: Option<String>,
    pub(super) name: String,
    pub(super) docs: Option<String>,
    /// The functions of an interface; those that a world exports.
    pub(super) functions: Vec<Function>,
    pub(super) types: Vec<TypeDocs>,
    pub(super) uses: Vec<Use>,
}

#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) docs: Option<String>,
    pub(super) params: Vec<Member>,
    pub(super) result: Option<Type>,
}

/// A parameter, field, case or flag.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) docs: Option<String>,
    pub(super) ty: Option<Type>,
}

/// A type as the text writes it: `list<point>` is `list` with the argument `point`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Type {
    pub(super) name: String,
    pub(super) arguments: Vec<Type>,
}

/// A named type.
#[derive(Debug)]
pub(super) struct TypeDocs {
    pub(super) name: String,
    pub(super) docs: Option<String>,
    pub(super) definition: Definition,
}

#[derive(Debug)]
pub(super) enum Definition {
    /// `type name = …`
    Alias(Type),
    /// `record`, `variant`, `enum` or `flags`
    Members(Vec<Member>),
}

/// `use interface.{original as name}`
#[derive(Debug)]
pub(super) struct Use {
    pub(super) name: String,
    pub(super) interface: String,
    pub(super) original: String,
}

impl Block {
    pub(super) fn new(kind: BlockKind, package: Option<String>, name: &str) -> Self {
        let name = name.to_owned();
        Self { kind, package, name, docs: None, functions: Vec::new(), types: Vec::new(), uses: Vec::new() }
    }

    /// True if `interface` is this one. A component says `acme:maths/trigonometry@1.0.0`, a text in that package
    /// `trigonometry`.
    pub(super) fn is_called(&self, interface: &str) -> bool {
        let interface = interface.split_once('@').map_or(interface, |(name, _version)| name);
        match (interface.split_once('/'), &self.package) {
            (Some((package, name)), Some(own)) => own == package && self.name == name,
            (Some((_, name)), None) => self.name == name || self.name == interface,
            (None, _) => self.name == interface,
        }
    }
}

/// Finds the type behind a name in a block, and the block that defines it.
pub(super) fn definition<'a>(blocks: &'a [Block], scope: usize, name: &str) -> Option<(usize, &'a TypeDocs)> {
    let (mut scope, mut name) = (scope, name);
    for _ in 0..MAX_USES {
        let block = blocks.get(scope)?;
        if let Some(found) = block.types.iter().find(|ty| ty.name == name) {
            return Some((scope, found));
        }
        let used = block.uses.iter().find(|used| used.name == name)?;
        let is_source = |other: &Block| other.kind == BlockKind::Interface && other.is_called(&used.interface);
        scope = blocks.iter().position(is_source)?;
        name = &used.original;
    }
    None
}
