//! The types of a world as jco deals with them: a workaround before the build, and warnings.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use wit_parser::{Function, Resolve, Type, TypeDefKind, TypeId, TypeOwner, World, WorldItem};

use crate::cli::build::error::BuildError;
use crate::cli::build::wit::{self, Wit, copy, hint};

/// Depth to which types are looked into; those that nest deeper have no JSON form.
const MAX_DEPTH: usize = 64;

/// The folder of WIT that jco is given for a source.
///
/// A type of the world itself that is part of another such type is written into the component twice by componentize-qjs
/// 0.4, and no host takes the file. The same types in an interface are fine, so jco gets a copy of the WIT with the
/// types in an interface. The tools are the same.
pub(super) fn prepare(wit: &Wit, source_dir: &Path, target_dir: &Path) -> Result<PathBuf, BuildError> {
    let own = source_dir.join("wit");
    let Some((place, inner, outer)) = wit.world().and_then(|world| nested(&wit.resolve, world)) else {
        return Ok(own);
    };
    let refused = || BuildError::NestedTypes { place: place.clone(), inner: inner.clone(), outer: outer.clone() };
    let world = wit.world().map(|world| world.name.clone()).unwrap_or_default();
    let interfaces = &wit.resolve.packages[wit.package].interfaces;
    let named = |number: u32| if number == 0 { format!("{world}-types") } else { format!("{world}-types{number}") };
    let name = (0..).map(named).find(|name| !interfaces.contains_key(name)).unwrap_or_default();
    let mut moved = None;
    for file in wit::files_in(&own) {
        let text = fs::read_to_string(&file).map_err(BuildError::io(&file))?;
        if let Some(text) = move_types(&text, &world, &name) {
            moved = Some((file, text));
            break;
        }
    }
    let (file, text) = moved.ok_or_else(refused)?;
    let changes = BTreeMap::from([(file.strip_prefix(&own).unwrap_or(&file).to_owned(), text)]);
    let copy = copy::make(&own, &changes, &target_dir.join("wit").join(source_dir.file_name().unwrap_or_default()))?;
    match Wit::read(copy.parent().unwrap_or(&copy)) {
        Ok(Some(read)) if read.world().and_then(|world| nested(&read.resolve, world)).is_none() => Ok(copy),
        _ => Err(refused()),
    }
}

/// A type of the world that is part of another one of it: the other's place, and the names of both.
fn nested(resolve: &Resolve, world: &World) -> Option<(String, String, String)> {
    let own: Vec<TypeId> = world
        .imports
        .values()
        .filter_map(|item| match item {
            WorldItem::Type { id, .. } if is_defined_here(resolve, *id) => Some(*id),
            _ => None,
        })
        .collect();
    own.iter().find_map(|outer| {
        let mut live = wit_parser::LiveTypes::default();
        live.add_type_id(resolve, *outer);
        let inner = live.iter().find(|id| id != outer && own.contains(id))?;
        let name = |id: TypeId| resolve.types[id].name.clone().unwrap_or_default();
        Some((resolve.source_map.render_location(resolve.types[*outer].span), name(inner), name(*outer)))
    })
}

/// Tells a type that a world defines from one that it has of an interface by `use`.
fn is_defined_here(resolve: &Resolve, id: TypeId) -> bool {
    let is_interfaces = |id: TypeId| matches!(resolve.types[id].owner, TypeOwner::Interface(_));
    !matches!(resolve.types[id].kind, TypeDefKind::Type(Type::Id(of)) if is_interfaces(of))
}

/// The text with the types of a world in an interface beside it, if the world is in this text.
fn move_types(text: &str, world: &str, interface: &str) -> Option<String> {
    let tokens = hint::tokens(text);
    let word = |index: usize| tokens.get(index).map_or("", |token| &text[token.clone()]);
    let start = wit::start_of_world(text, &tokens, world)?;
    let opening = tokens[start + 2].end;
    let (mut moved, mut names): (Vec<Range<usize>>, Vec<String>) = (Vec::new(), Vec::new());
    let mut at = start + 3;
    while at < tokens.len() && word(at) != "}" {
        let end = end_of_item(&word, at, tokens.len());
        let mut first = at;
        // Attributes, such as `@since(version = 0.1.0)`.
        while word(first) == "@" {
            first += if word(first + 2) == "(" { closing(&word, first + 2, tokens.len()) - first + 1 } else { 2 };
        }
        let keyword = word(first);
        if keyword == "use" {
            let open = (first..end).find(|index| word(*index) == "{")?;
            let last = |index: &usize| matches!(word(index + 1), "," | "}");
            names.extend((open + 1..end).filter(last).map(word).filter(|name| *name != ",").map(str::to_owned));
            moved.push(tokens[at].start..tokens[end].end);
        } else if matches!(keyword, "type" | "record" | "variant" | "enum" | "flags") {
            names.push(word(first + 1).to_owned());
            moved.push(tokens[at].start..tokens[end].end);
        }
        at = end + 1;
    }
    let closing = tokens.get(at)?.end;
    let items: Vec<&str> = moved.iter().map(|range| &text[range.clone()]).collect();
    let mut rest = String::new();
    let mut from = opening;
    for range in &moved {
        rest.push_str(&text[from..range.start]);
        from = range.end;
    }
    rest.push_str(&text[from..closing]);
    Some(format!(
        "{}\n    use {interface}.{{{}}};\n{rest}\ninterface {interface} {{\n{}\n}}\n{}",
        &text[..opening],
        names.join(", "),
        items.join("\n"),
        &text[closing..]
    ))
}

/// The last word or sign of the item that begins here: its `;`, or the bracket that ends it.
fn end_of_item<'a>(word: &impl Fn(usize) -> &'a str, start: usize, length: usize) -> usize {
    let mut at = start;
    while at < length {
        match word(at) {
            ";" => return at,
            "(" => at = closing(word, at, length),
            "{" => {
                at = closing(word, at, length);
                if word(at + 1) != ";" {
                    return at;
                }
            }
            _ => {}
        }
        at += 1;
    }
    length.saturating_sub(1)
}

/// The bracket that closes the one that is here.
fn closing<'a>(word: &impl Fn(usize) -> &'a str, open: usize, length: usize) -> usize {
    let mut depth = 0;
    for at in open..length {
        match word(at) {
            "(" | "{" => depth += 1,
            ")" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    length.saturating_sub(1)
}

/// Warns of the functions whose numbers JavaScript changes: its own are exact to 2^53 only, and jco gives and takes
/// 64-bit integers as such.
pub(super) fn warnings(wit: &Wit) -> Vec<String> {
    let Some(world) = wit.world() else { return Vec::new() };
    let resolve = &wit.resolve;
    let mut functions: Vec<&Function> = Vec::new();
    for item in world.exports.values() {
        match item {
            WorldItem::Function(function) => functions.push(function),
            WorldItem::Interface { id, .. } => {
                let interface = &resolve.interfaces[*id];
                let is_known = interface.package.is_some_and(|package| wit::is_known(&resolve.packages[package].name));
                if !is_known {
                    functions.extend(interface.functions.values());
                }
            }
            WorldItem::Type { .. } => {}
        }
    }
    let mut warnings = Vec::new();
    for function in functions {
        let params = function.params.iter().map(|param| (format!("parameter `{}`", param.name), &param.ty));
        let result = function.result.iter().map(|ty| ("result".to_owned(), ty));
        for (place, ty) in params.chain(result) {
            if let Some(long) = long_integer(resolve, ty, MAX_DEPTH) {
                warnings.push(format!(
                    "function `{}`: the {place} has the type `{long}`, and JavaScript's numbers are exact to 2^53 only: what is larger arrives as another number; use `string` for ids, or `u32` or `f64`",
                    function.name
                ));
            }
        }
    }
    warnings
}

/// The first type of 64 bits in a type.
fn long_integer(resolve: &Resolve, ty: &Type, depth: usize) -> Option<&'static str> {
    let of = |ty: &Type| long_integer(resolve, ty, depth.checked_sub(1)?);
    match ty {
        Type::U64 => Some("u64"),
        Type::S64 => Some("s64"),
        Type::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::Record(record) => record.fields.iter().find_map(|field| of(&field.ty)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().find_map(of),
            TypeDefKind::Variant(variant) => variant.cases.iter().find_map(|case| of(case.ty.as_ref()?)),
            TypeDefKind::Result(result) => [&result.ok, &result.err].into_iter().flatten().find_map(of),
            TypeDefKind::Option(ty) | TypeDefKind::List(ty) | TypeDefKind::Type(ty) => of(ty),
            TypeDefKind::FixedLengthList(ty, _) => of(ty),
            TypeDefKind::Map(key, value) => of(key).or_else(|| of(value)),
            TypeDefKind::Future(ty) | TypeDefKind::Stream(ty) => of(ty.as_ref()?),
            TypeDefKind::Resource
            | TypeDefKind::Handle(_)
            | TypeDefKind::Flags(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Unknown => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wit(dir: &Path, files: &[(&str, &str)]) -> Wit {
        for (file, text) in files {
            let path = dir.join("wit").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Wit::read(dir).unwrap_or_else(|error| panic!("{error}")).unwrap()
    }

    #[test]
    fn types_of_a_world_that_are_in_each_other_move_into_an_interface() {
        let dir = tempfile::tempdir().unwrap();
        let text = r"
            package local:a;
            interface others { record third { x: u8 } }
            interface w-types {}
            /// A world
            world %w { // with a comment {
                use others.{third as fourth};
                record inner { a: u32, t: fourth }
                /* record no { } */
                export first: func(of: inner) -> outer;
                variant outer { one(inner), two }
                type many = list<outer>;
                import named: interface { go: func(); }
                export mine: interface { use others.{third}; f: func(t: third); }
                export last: func(of: many) -> fourth;
            }
            interface after {}
        ";
        let wit = wit(dir.path(), &[("world.wit", "interface more {}"), ("named.wit", text)]);
        let prepared = prepare(&wit, dir.path(), &dir.path().join("target")).unwrap();
        assert!(prepared.starts_with(dir.path().join("target")));
        let read = Wit::read(prepared.parent().unwrap()).unwrap().unwrap();
        let exports = |wit: &Wit| wit.world().unwrap().exports.len();
        assert_eq!(exports(&read), exports(&wit));
        assert!(nested(&read.resolve, read.world().unwrap()).is_none());
        assert!(nested(&wit.resolve, wit.world().unwrap()).is_some());
    }

    #[test]
    fn other_worlds_stay_as_they_are() {
        for text in [
            "package local:a; world w { record one { x: u8 } record two { y: u8 } export f: func(a: one) -> two; }",
            "package local:a; interface i { record one { x: u8 } } world w { use i.{one}; record two { y: one } }",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let wit = wit(dir.path(), &[("world.wit", text)]);
            assert_eq!(
                prepare(&wit, dir.path(), &dir.path().join("target")).unwrap(),
                dir.path().join("wit"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_moved_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let text = "package local:a;\nworld w {\n  resource r;\n  record inner { x: u8 }\n  record outer { y: inner, z: borrow<r> }\n}\n";
        let wit = wit(dir.path(), &[("world.wit", text)]);
        let refused = prepare(&wit, dir.path(), &dir.path().join("target")).unwrap_err().to_string();
        assert!(refused.contains("world.wit:5:10") && refused.contains("`outer`"), "{refused}");
    }

    #[test]
    fn long_integers_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let text =
            "package local:a; interface api { record r { id: option<list<s64>> } g: func() -> result<r, string>; }
            world w { export api; export f: func(a: u64, b: u32, c: f64); export h: func(a: string); }";
        let warnings = warnings(&wit(dir.path(), &[("world.wit", text)]));
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        for said in
            ["function `f`: the parameter `a` has the type `u64`", "function `g`: the result has the type `s64`"]
        {
            assert!(warnings.iter().any(|warning| warning.contains(said)), "{warnings:?}");
        }
    }
}
