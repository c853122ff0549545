//! The authors' descriptions of their tools, read from a component.
//!
//! Toolchains drop WIT comments from the binary. So an author's crate, or `tinymcp build`, embeds the WIT text in a
//! custom section `tinymcp-wit`; the section `package-docs` of the WIT tools is read where that is missing.
//!
//! All of it is the author's claim. It describes and never decides: types and names come from the component, and needs
//! (`needs`) can only narrow what an operator grants. It goes
//! to people and models, so it is capped and freed of invisible characters (see [`clean`]). It never fails a load: an
//! unreadable part is a warning.

use std::sync::Arc;

use crate::grants::needs::Needs;
use crate::plugins::names::FunctionName;
use crate::sanitize::{clean, cut};

mod attach;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod lexer;
mod needs;
mod outline;
mod package;
mod sections;
mod tags;
mod wit;

use self::outline::{Block, BlockKind, Type};
use self::sections::Sections;
pub use self::sections::{NEEDS_SECTION, WIT_SECTION, wit_texts};

/// Bytes of a description that are kept. A model reads every description of every tool in every conversation.
pub(in crate::plugins) const MAX_DESCRIPTION_BYTES: usize = 2 << 10;

/// Bytes of a title that are kept: it is one line in a list.
pub(in crate::plugins) const MAX_TITLE_BYTES: usize = 100;

/// The documentation of one component.
#[derive(Debug, Default)]
pub struct Docs {
    blocks: Arc<[Block]>,
    world: Option<String>,
    keep_warm: bool,
    needs: Needs,
    warnings: Vec<String>,
}

/// The documentation of one function.
#[derive(Debug, Clone, Default)]
pub struct FunctionDocs {
    /// The description of the tool.
    pub description: Option<String>,
    /// `@title`: a name for people.
    pub title: Option<String>,
    /// `@returns`: the description of the result.
    pub returns: Option<String>,
    /// The descriptions of parameters, by name. The names are the author's too, and need not exist.
    pub params: Vec<(String, String)>,
    /// The tool's effect on the world, as its author claims it.
    pub hints: Hints,
    types: Option<TypedText>,
}

/// The author's claims about a tool's behaviour, where there are any: the tags without text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints {
    /// `@read-only`: changes nothing.
    pub read_only: Option<bool>,
    /// `@destructive`: may delete or overwrite.
    pub destructive: Option<bool>,
    /// `@idempotent`: a second call with the same arguments changes nothing more.
    pub idempotent: Option<bool>,
    /// `@open-world`: deals with systems outside.
    pub open_world: Option<bool>,
}

/// The types of a function as the text names them, from which the documentation of types is found.
#[derive(Debug, Clone)]
struct TypedText {
    blocks: Arc<[Block]>,
    /// The block whose names the types use.
    scope: usize,
    params: Vec<(String, Option<Type>)>,
    result: Option<Type>,
}

impl FunctionDocs {
    /// Documentation that does not come from a WIT text.
    pub(in crate::plugins) fn listed(description: Option<String>, title: Option<String>, hints: Hints) -> Self {
        Self { description, title, hints, ..Self::default() }
    }
}

impl Docs {
    /// Reads the documentation that a component carries. What cannot be read is left out, with a warning.
    pub fn from_component(component: &[u8]) -> Self {
        let sections = Sections::find(component);
        let (needs, unreadable) = needs::read(&sections);
        let Sections { texts, package_docs, mut warnings, .. } = sections;
        warnings.extend(unreadable);
        let mut blocks = Vec::new();
        for text in texts {
            let read = wit::parse(text);
            blocks.extend(read.blocks);
            warnings.extend(read.warnings);
        }
        if blocks.is_empty()
            && let Some(section) = package_docs
        {
            match package::parse(section) {
                Ok(read) => blocks = read,
                Err(error) => warnings.push(format!("section `package-docs` not read: {error}")),
            }
        }
        let worlds = blocks.iter().filter(|block| block.kind == BlockKind::World);
        let comments: Vec<_> = worlds.filter_map(|world| world.docs.as_deref()).map(tags::parse).collect();
        let world = comments.iter().find_map(|world| description(&world.description));
        let keep_warm = comments.iter().any(|world| world.keep_warm);
        Self { blocks: blocks.into(), world, keep_warm, needs, warnings }
    }

    /// `@keep-warm` of the world: its start is expensive, and what one call leaves in memory may be there for the same
    /// person's next.
    pub fn keep_warm(&self) -> bool {
        self.keep_warm
    }

    /// What it declares to need: the only part of it all that decides anything, since it can only narrow.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The comment on the world, for a description of the whole plugin.
    pub fn world(&self) -> Option<&str> {
        self.world.as_deref()
    }

    /// The documentation of a function; empty, if its author wrote none.
    pub fn function(&self, name: &FunctionName) -> FunctionDocs {
        let Some((scope, function)) = self.find(name) else { return FunctionDocs::default() };
        let read = tags::parse(&clean(function.docs.as_deref().unwrap_or_default()));
        let comments =
            function.params.iter().filter_map(|param| Some((param.name.clone(), description(param.docs.as_deref()?)?)));
        // What is first counts: a comment on the parameter itself, a tag, a line of the description.
        let params =
            comments.chain(read.params.into_iter().map(|(name, text)| (name, cut(&text, MAX_DESCRIPTION_BYTES))));
        FunctionDocs {
            description: some_text(cut(&read.description, MAX_DESCRIPTION_BYTES)),
            title: read.title.and_then(|title| some_text(cut(&title.replace('\n', " "), MAX_TITLE_BYTES))),
            returns: read.returns.and_then(|returns| some_text(cut(&returns, MAX_DESCRIPTION_BYTES))),
            // A tag without a text is none.
            params: params.filter(|(_, text)| !text.is_empty()).collect(),
            hints: read.hints,
            types: Some(TypedText {
                blocks: Arc::clone(&self.blocks),
                scope,
                params: function.params.iter().map(|param| (param.name.clone(), param.ty.clone())).collect(),
                result: function.result.clone(),
            }),
        }
    }

    /// The faults of the documentation. Gives each warning once.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Faults for the author to mend: tools without documentation, and functions that the text says its world exports
    /// while they are no tools.
    pub fn mismatches(&self, exported: &[&FunctionName]) -> Vec<String> {
        let undocumented = exported.iter().filter(|name| {
            self.find(name).is_none_or(|(_, function)| function.docs.as_deref().is_none_or(str::is_empty))
        });
        let mut warnings: Vec<_> = undocumented
            .map(|name| format!("function `{name}` has no documentation: write a `///` comment above it in the WIT"))
            .collect();
        // A text may hold worlds of other plugins; one that shares no export with the component is not its own.
        for world in self.blocks.iter().filter(|block| block.kind == BlockKind::World) {
            let is_exported = |function: &&outline::Function| {
                exported.iter().any(|name| name.interface.is_none() && name.function == function.name)
            };
            if !world.functions.iter().any(|function| is_exported(&function)) {
                continue;
            }
            let missing = world.functions.iter().filter(|function| !is_exported(function));
            warnings.extend(missing.map(|function| {
                format!("documentation of function `{}`, which is no tool of the component", clean(&function.name))
            }));
        }
        warnings
    }

    fn find(&self, name: &FunctionName) -> Option<(usize, &outline::Function)> {
        self.blocks
            .iter()
            .enumerate()
            .filter(|(_, block)| match &name.interface {
                None => block.kind == BlockKind::World,
                Some(interface) => block.kind == BlockKind::Interface && block.is_called(interface),
            })
            .find_map(|(index, block)| {
                let function = block.functions.iter().find(|function| function.name == name.function)?;
                Some((index, function))
            })
    }
}

/// A comment as a description: readable, capped, and `None` if nothing is left of it.
pub(in crate::plugins) fn description(raw: &str) -> Option<String> {
    some_text(cut(clean(raw).trim(), MAX_DESCRIPTION_BYTES))
}

fn some_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
pub(in crate::plugins) mod tests;
