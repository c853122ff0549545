//! Documentation put onto a signature.
//!
//! The engine's types have no names, so the comment on a named type is found by walking the signature and the text's
//! types side by side. Where the two do not line up, there is no description.

use super::outline::{Block, Definition, Member, Type, TypeDocs, definition};
use super::{FunctionDocs, TypedText, description};
use crate::plugins::types::shape::{Field, ResultShape, Shape, Signature, SuccessShape};

/// Bytes of documentation that one signature may carry. A schema repeats a type's documentation wherever the type
/// stands.
const MAX_SIGNATURE_BYTES: usize = 64 << 10;

/// Aliases in a row that are followed: a text may define `type a = b` and `type b = a`.
const MAX_ALIASES: usize = 16;

impl Signature {
    /// Puts the documentation of a function onto its parameters, its result and the types of both.
    pub fn apply_docs(&mut self, docs: &FunctionDocs) {
        let mut room = MAX_SIGNATURE_BYTES;
        for param in &mut self.params {
            let comment = docs.params.iter().find(|(name, _)| *name == param.name);
            param.docs = comment.and_then(|(_, text)| claim(text, &mut room));
        }
        self.output_docs = docs.returns.as_deref().and_then(|text| claim(text, &mut room));
        let Some(types) = &docs.types else { return };
        let mut attach = Attach { blocks: &types.blocks, room };
        attach.params(&mut self.params, types);
        if let Some(result) = &types.result {
            attach.output(self, result, types.scope);
        }
    }
}

/// A copy of the text, if there is room for it.
fn claim(text: &str, room: &mut usize) -> Option<String> {
    *room = room.checked_sub(text.len())?;
    Some(text.to_owned())
}

struct Attach<'a> {
    blocks: &'a [Block],
    room: usize,
}

/// A type behind all aliases: of WIT itself, with arguments, or one with members.
enum Resolved<'a> {
    BuiltIn(&'a Type),
    Members(&'a [Member]),
}

impl<'a> Attach<'a> {
    fn params(&mut self, params: &mut [Field], text: &'a TypedText) {
        for param in params {
            let typed = text.params.iter().find(|(name, _)| *name == param.name);
            if let Some((_, Some(ty))) = typed {
                self.field(&mut param.shape, &mut param.docs, ty, text.scope);
            }
        }
    }

    fn output(&mut self, signature: &mut Signature, result: &'a Type, scope: usize) {
        let docs = &mut signature.output_docs;
        match &mut signature.output {
            ResultShape::Nothing => {}
            ResultShape::Value(shape) => self.field(shape, docs, result, scope),
            ResultShape::Fallible { ok: Some(ok), .. } | ResultShape::Rich { ok: SuccessShape::Value(ok), .. } => {
                if let Some((Resolved::BuiltIn(result), scope)) = self.resolve(result, scope)
                    && result.name == "result"
                    && let [ty, ..] = result.arguments.as_slice()
                {
                    self.field(ok, docs, ty, scope);
                }
            }
            ResultShape::Fallible { ok: None, .. } | ResultShape::Rich { .. } => {}
        }
    }

    /// Gives a field without documentation that of its type; then does the same inside the type.
    fn field(&mut self, shape: &mut Shape, docs: &mut Option<String>, ty: &'a Type, scope: usize) {
        if docs.is_none() {
            *docs = self.type_docs(ty, scope);
        }
        self.inside(shape, ty, scope);
    }

    fn inside(&mut self, shape: &mut Shape, ty: &'a Type, scope: usize) {
        let Some((resolved, scope)) = self.resolve(ty, scope) else { return };
        match resolved {
            Resolved::Members(members) => self.members(shape, members, scope),
            Resolved::BuiltIn(ty) => self.arguments(shape, ty, scope),
        }
    }

    fn arguments(&mut self, shape: &mut Shape, ty: &'a Type, scope: usize) {
        match (shape, ty.name.as_str(), ty.arguments.as_slice()) {
            (Shape::List(item), "list", [ty]) => self.inside(item, ty, scope),
            (Shape::Option(value), "option", [ty]) => self.inside(value, ty, scope),
            (Shape::Map(value), "map", [_, ty]) => self.inside(value, ty, scope),
            (Shape::Entries(entry), "map", [_, ty]) => {
                if let Shape::Record(fields) = &mut **entry
                    && let Some(value) = fields.last_mut()
                {
                    self.field(&mut value.shape, &mut value.docs, ty, scope);
                }
            }
            (Shape::Tuple(items), "tuple", types) if items.len() == types.len() => {
                for (item, ty) in items.iter_mut().zip(types) {
                    self.inside(item, ty, scope);
                }
            }
            (Shape::Result { ok, err }, "result", types) => {
                for (payload, ty) in [ok, err].into_iter().zip(types) {
                    if let Some(payload) = payload {
                        self.inside(payload, ty, scope);
                    }
                }
            }
            _ => {}
        }
    }

    fn members(&mut self, shape: &mut Shape, members: &'a [Member], scope: usize) {
        let member = |name: &str| members.iter().find(|member| member.name == name);
        match shape {
            Shape::Record(fields) => {
                for field in fields {
                    let Some(member) = member(&field.name) else { continue };
                    field.docs = self.comment(member);
                    if let Some(ty) = &member.ty {
                        self.field(&mut field.shape, &mut field.docs, ty, scope);
                    }
                }
            }
            Shape::Variant(cases) => {
                for case in cases.iter_mut() {
                    let Some(member) = member(&case.name) else { continue };
                    case.docs = self.comment(member);
                    if let (Some(shape), Some(ty)) = (&mut case.shape, &member.ty) {
                        self.field(shape, &mut case.docs, ty, scope);
                    }
                }
            }
            Shape::Enum(labels) | Shape::Flags(labels) => {
                for label in labels.iter_mut() {
                    label.docs = member(&label.name).and_then(|member| self.comment(member));
                }
            }
            _ => {}
        }
    }

    fn comment(&mut self, member: &Member) -> Option<String> {
        self.claim(member.docs.as_deref()?)
    }

    /// The documentation of a named type, or of its alias's target; an option is described as its value.
    fn type_docs(&mut self, ty: &'a Type, scope: usize) -> Option<String> {
        let (mut ty, mut scope) = (ty, scope);
        for _ in 0..MAX_ALIASES {
            if let ("option", [value]) = (ty.name.as_str(), ty.arguments.as_slice()) {
                ty = value;
                continue;
            }
            let (written_in, found) = self.definition(ty, scope)?;
            if let Some(docs) = &found.docs {
                return self.claim(docs);
            }
            let Definition::Alias(next) = &found.definition else { return None };
            (ty, scope) = (next, written_in);
        }
        None
    }

    fn resolve(&self, ty: &'a Type, scope: usize) -> Option<(Resolved<'a>, usize)> {
        let (mut ty, mut scope) = (ty, scope);
        for _ in 0..MAX_ALIASES {
            let Some((written_in, found)) = self.definition(ty, scope) else {
                return Some((Resolved::BuiltIn(ty), scope));
            };
            scope = written_in;
            match &found.definition {
                Definition::Alias(next) => ty = next,
                Definition::Members(members) => return Some((Resolved::Members(members), scope)),
            }
        }
        None
    }

    /// A type with arguments is WIT's own, even where the text has a type called `%list`.
    fn definition(&self, ty: &Type, scope: usize) -> Option<(usize, &'a TypeDocs)> {
        if ty.arguments.is_empty() { definition(self.blocks, scope, &ty.name) } else { None }
    }

    fn claim(&mut self, raw: &str) -> Option<String> {
        let text = description(raw)?;
        self.room = self.room.checked_sub(text.len())?;
        Some(text)
    }
}
