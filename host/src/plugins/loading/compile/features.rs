//! Features that a component uses and this host lacks: named, with the function, since the component is valid.

use std::collections::HashSet;

use wasmparser::component_types::{
    ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType, ComponentFuncTypeId, ComponentValType,
};
use wasmparser::types::TypesRef;
use wasmparser::{Encoding, Parser, Payload, PrimitiveValType, Validator, WasmFeatures};

use super::functions::Functions;
use crate::plugins::sandbox::engine::FEATURES;
use crate::sanitize::literal;

/// Functions that are named at most.
const MAX_NAMED: usize = 3;

/// Their names among authors.
const WORDS: [(WasmFeatures, &str); 21] = [
    (WasmFeatures::CM_ERROR_CONTEXT, "`error-context`"),
    (WasmFeatures::CM_FIXED_LENGTH_LISTS, "lists of fixed length (`list<T, N>`)"),
    (WasmFeatures::CM_VALUES, "values as imports and exports"),
    (WasmFeatures::CM_NESTED_NAMES, "nested names of packages"),
    (WasmFeatures::CM_ASYNC_STACKFUL, "async functions with stacks of their own"),
    (WasmFeatures::CM_MORE_ASYNC_BUILTINS, "the further async built-ins of the component model"),
    (WasmFeatures::CM_THREADING, "threads of the component model"),
    (WasmFeatures::CM_GC, "garbage-collected values in the component model"),
    (WasmFeatures::CM64, "64-bit memories in the component model"),
    (WasmFeatures::CM_IMPLEMENTS, "`implements` in names"),
    (WasmFeatures::CM_CANON_NAMES, "version suffixes in names"),
    (WasmFeatures::THREADS, "threads (shared memories and atomic instructions)"),
    (WasmFeatures::SHARED_EVERYTHING_THREADS, "threads that share everything"),
    (WasmFeatures::MEMORY64, "64-bit memories"),
    (WasmFeatures::GC_TYPES, "garbage-collected types"),
    (WasmFeatures::EXCEPTIONS, "exceptions"),
    (WasmFeatures::LEGACY_EXCEPTIONS, "exceptions of the old kind"),
    (WasmFeatures::STACK_SWITCHING, "stack switching"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "pages of other sizes"),
    (WasmFeatures::MEMORY_CONTROL, "control of memories"),
];

/// The features that a valid component uses and this host does not have, with the functions that have the first of them.
/// `None` for a component that stays invalid with all features, and for one that needs no others.
///
/// What is valid, needs nothing of which this host could be asked, and was refused by the engine all the same, is told
/// in the engine's words.
pub(super) fn missing(component: &[u8], refusal: &wasmtime::Error) -> Option<String> {
    let mut features = FEATURES;
    let mut first: Option<(WasmFeatures, usize)> = None;
    let mut all = Vec::new();
    let types = loop {
        match Validator::new_with_features(features).validate_all(component) {
            Ok(types) => break types,
            Err(error) => {
                let Some(needed) = error.missing_wasm_feature().filter(|needed| !features.contains(*needed)) else {
                    return is_valid(component).then(|| not_taken(refusal));
                };
                first.get_or_insert((needed, error.offset()));
                all.push(in_words(needed));
                features |= needed;
            }
        }
    };
    let Some((feature, offset)) = first else { return Some(not_taken(refusal)) };
    let named = match function_at(component, offset) {
        Some(function) => vec![function],
        None => Walk { types: types.as_ref(), feature, seen: HashSet::new() }.functions(component),
    };
    let shown: Vec<String> = named.iter().take(MAX_NAMED).cloned().collect();
    let more = named.len().saturating_sub(MAX_NAMED);
    let place = match (shown.join(", "), more) {
        (_, 0) if shown.is_empty() => String::new(),
        (shown, 0) => format!(", in {shown}"),
        (shown, more) => format!(", in {shown} and {more} more"),
    };
    Some(format!("it uses {}, which this host does not have{place}: build it without", all.join(" and ")))
}

fn is_valid(component: &[u8]) -> bool {
    Validator::new_with_features(WasmFeatures::all()).validate_all(component).is_ok()
}

fn not_taken(refusal: &wasmtime::Error) -> String {
    format!("it is valid, and this host's engine does not take it ({}): build it without", refusal.root_cause())
}

fn in_words(feature: WasmFeatures) -> String {
    let known = WORDS.iter().find(|(known, _)| *known == feature).map(|(_, words)| (*words).to_owned());
    known.unwrap_or_else(|| {
        let names: Vec<String> =
            feature.iter_names().map(|(name, _)| name.to_ascii_lowercase().replace('_', "-")).collect();
        format!("the feature `{}`", names.join("`, `"))
    })
}

/// The function of a core module whose body is at this place of the file.
fn function_at(component: &[u8], offset: usize) -> Option<String> {
    let mut open: Vec<(Functions<'_>, Option<u32>)> = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.ok()?;
        match &payload {
            Payload::Version { .. } => open.push(Default::default()),
            Payload::End(_) => {
                if let Some((functions, Some(index))) = open.pop() {
                    return Some(match functions.name(index) {
                        Some(name) => format!("function `{name}` (number {index} of its module)"),
                        None => format!("function number {index} of its module"),
                    });
                }
            }
            payload => {
                let Some((functions, found)) = open.last_mut() else { continue };
                let index = functions.add(payload).ok().flatten();
                if let (Some(index), Payload::CodeSectionEntry(body)) = (index, payload)
                    && body.range().contains(&offset)
                {
                    *found = Some(index);
                }
            }
        }
    }
    None
}

/// A search for the functions of a component's interface that have a type of a feature in them.
struct Walk<'a> {
    types: TypesRef<'a>,
    feature: WasmFeatures,
    /// Types that have it not.
    seen: HashSet<ComponentDefinedTypeId>,
}

impl Walk<'_> {
    fn functions(mut self, component: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
            match payload {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    if depth == 1 && encoding != Encoding::Component {
                        return found;
                    }
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section.into_iter().flatten() {
                        let item = self.types.component_item_for_export(export.name.name);
                        self.item("function", export.name.name, item.map(|item| item.ty), &mut found);
                    }
                }
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section.into_iter().flatten() {
                        let item = self.types.component_item_for_import(import.name.name);
                        self.item("imported function", import.name.name, item.map(|item| item.ty), &mut found);
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn item(&mut self, kind: &str, name: &str, ty: Option<ComponentEntityType>, found: &mut Vec<String>) {
        let types = self.types;
        match ty {
            Some(ComponentEntityType::Func(function)) if self.uses(function) => {
                found.push(format!("{kind} `{}`", literal(name)));
            }
            Some(ComponentEntityType::Instance(instance)) => {
                for (function, item) in &types[instance].exports {
                    if let ComponentEntityType::Func(id) = item.ty
                        && self.uses(id)
                    {
                        found.push(format!("{kind} `{}#{}`", literal(name), literal(function)));
                    }
                }
            }
            _ => {}
        }
    }

    fn uses(&mut self, function: ComponentFuncTypeId) -> bool {
        let function = &self.types[function];
        let params: Vec<ComponentValType> = function.params.iter().map(|(_, ty)| *ty).collect();
        params.into_iter().chain(function.result).any(|ty| self.has(ty))
    }

    /// Tells whether a type is of the feature, or has one inside. The validator bounds the depth of types.
    fn has(&mut self, ty: ComponentValType) -> bool {
        let id = match ty {
            ComponentValType::Primitive(ty) => return self.is_of_feature(ty),
            ComponentValType::Type(id) => id,
        };
        if self.seen.contains(&id) {
            return false;
        }
        let inside: Vec<ComponentValType> = match &self.types[id] {
            ComponentDefinedType::Primitive(ty) => return self.is_of_feature(*ty),
            ComponentDefinedType::FixedLengthList { .. } if self.feature == WasmFeatures::CM_FIXED_LENGTH_LISTS => {
                return true;
            }
            ComponentDefinedType::List { element, .. } | ComponentDefinedType::FixedLengthList { element, .. } => {
                vec![*element]
            }
            ComponentDefinedType::Map { key, value, .. } => vec![*key, *value],
            ComponentDefinedType::Record(record) => record.fields.values().copied().collect(),
            ComponentDefinedType::Variant(variant) => variant.cases.values().filter_map(|case| case.ty).collect(),
            ComponentDefinedType::Tuple(tuple) => tuple.types.to_vec(),
            ComponentDefinedType::Option { ty, .. } => vec![*ty],
            ComponentDefinedType::Result { ok, err, .. } => ok.iter().chain(err).copied().collect(),
            ComponentDefinedType::Future { ty, .. } | ComponentDefinedType::Stream { ty, .. } => {
                ty.iter().copied().collect()
            }
            ComponentDefinedType::Flags(_)
            | ComponentDefinedType::Enum(_)
            | ComponentDefinedType::Own(_)
            | ComponentDefinedType::Borrow(_) => Vec::new(),
        };
        let has = inside.into_iter().any(|ty| self.has(ty));
        if !has {
            self.seen.insert(id);
        }
        has
    }

    fn is_of_feature(&self, ty: PrimitiveValType) -> bool {
        self.feature == WasmFeatures::CM_ERROR_CONTEXT && ty == PrimitiveValType::ErrorContext
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::sandbox::engine::compiling_engine;

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    fn refusal(component: &[u8]) -> wasmtime::Error {
        compiling_engine().unwrap().precompile_component(component).unwrap_err()
    }

    const MODULE: &str = r#"
        (core module $m (memory (export "mem") 1)
            (func (export "f") (param i32) unreachable)
            (func (export "g") (param i32 i32 i32 i32) unreachable))
        (core instance $i (instantiate $m))"#;

    #[test]
    fn a_feature_is_named_with_the_functions_that_have_it() {
        let error_context = component(&format!(
            r#"(component {MODULE}
                (type $bad (record (field "why" error-context)))
                (type $deep (list $bad))
                (func $f (param "it" u32) (canon lift (core func $i "f")))
                (func $e (param "it" error-context) (canon lift (core func $i "f")))
                (instance $x (export "fails" (func $e)) (export "fine" (func $f)))
                (export "a:b/c@0.1.0" (instance $x)))"#
        ));
        let fixed = component(&format!(
            r#"(component {MODULE}
                (type $four (list u8 4))
                (func (export "four") (param "it" $four) (canon lift (core func $i "g")))
                (func (export "fine") (param "it" u32) (canon lift (core func $i "f"))))"#
        ));
        let atomic = component(
            r#"(component
                (core module
                    (memory 1)
                    (func $idle)
                    (func $wait_for_it (drop (i32.atomic.load (i32.const 0))))))"#,
        );
        for (component, expected) in [
            (
                &error_context,
                "it uses `error-context`, which this host does not have, in function `a:b/c@0.1.0#fails`:",
            ),
            (
                &fixed,
                "it uses lists of fixed length (`list<T, N>`), which this host does not have, in function `four`:",
            ),
            (
                &atomic,
                "it uses threads (shared memories and atomic instructions), which this host does not have, in function `wait_for_it` (number 1 of its module):",
            ),
        ] {
            let message = missing(component, &refusal(component)).unwrap();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn what_is_not_valid_at_all_misses_nothing() {
        assert_eq!(missing(b"\0asm\x0d\0\x01\0\x07", &refusal(b"\0asm\x0d\0\x01\0\x07")), None);
        let cut = b"\0asm\x0d\0\x01\0\x07\x80";
        assert_eq!(missing(cut, &refusal(cut)), None);
    }

    #[test]
    fn what_the_engine_alone_refuses_is_told_in_its_words() {
        for (text, expected) in [
            (r#"(component (component $c) (export "c" (component $c)))"#, "exporting a component"),
            (r#"(component (import "c" (component)))"#, "import"),
            (r#"(component (import "v" (value $v string)) (export "w" (value $v)))"#, "value"),
        ] {
            let component = component(text);
            let message = missing(&component, &refusal(&component)).unwrap();
            assert!(message.contains(expected) && message.ends_with("build it without"), "{message}");
        }
    }

    #[test]
    fn all_features_are_named() {
        let both = component(r#"(component (core module (memory i64 1)) (core module (memory 1 1 shared)))"#);
        let message = missing(&both, &refusal(&both)).unwrap();
        assert!(message.contains("64-bit memories and threads"), "{message}");
    }

    #[test]
    fn a_map_is_not_missing() {
        let map = component(&format!(
            r#"(component {MODULE}
                (core module $r (memory (export "mem") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                    (func (export "f") (param i32 i32) unreachable))
                (core instance $j (instantiate $r))
                (type $map (map string u32))
                (func (export "f") (param "it" $map)
                    (canon lift (core func $j "f") (memory (core memory $j "mem")) (realloc (core func $j "realloc")))))"#
        ));
        assert!(compiling_engine().unwrap().precompile_component(&map).is_ok());
    }
}
