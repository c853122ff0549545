//! The kind of a component that gives no tools, and the cure.

use wasmparser::{ComponentExternalKind, Parser, Payload};

/// The kinds of components that give no tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComponentKind {
    /// `fn main`.
    Program,
    /// A server of HTTP requests.
    WebHandler,
    /// WIT in binary form.
    WitPackage,
    /// There is nothing that it exports.
    Nothing,
    /// Something else.
    Other,
}

impl ComponentKind {
    /// Goes by the names that a component exports, and its bytes.
    pub(in crate::plugins) fn of<'a>(exports: impl Iterator<Item = &'a str>, bytes: &[u8]) -> Self {
        let mut is_empty = true;
        for name in exports {
            is_empty = false;
            let interface = name.split_once('@').map_or(name, |(interface, _)| interface);
            match interface {
                "wasi:cli/run" => return Self::Program,
                "wasi:http/incoming-handler" | "wasi:http/handler" => return Self::WebHandler,
                _ => {}
            }
        }
        if is_wit_package(bytes) {
            return Self::WitPackage;
        }
        if is_empty { Self::Nothing } else { Self::Other }
    }

    /// True for components that were never meant to be plugins.
    pub(in crate::plugins) fn is_something_else(self) -> bool {
        match self {
            Self::Program | Self::WebHandler | Self::WitPackage => true,
            Self::Nothing | Self::Other => false,
        }
    }

    /// The same in words, and the cure.
    pub(in crate::plugins) fn in_words(self) -> &'static str {
        match self {
            Self::Program => {
                "it is a program (`fn main`, which it exports as `wasi:cli/run`), and a plugin is a library: \
                 `crate-type = [\"cdylib\"]`, and functions in a WIT world; `tinymcp new NAME` makes one"
            }
            Self::WebHandler => {
                "it is a web handler (it exports an interface of `wasi:http` for that), which needs a web server such as \
                 `wasmtime serve`; a plugin exports functions of its own: `tinymcp new NAME` makes one"
            }
            Self::WitPackage => {
                "it is a package of WIT in binary form, which describes interfaces and has no code: put the component \
                 here that was built from it"
            }
            Self::Nothing | Self::Other => {
                "a function becomes one when the component's WIT world exports it, as in the crate that `tinymcp new \
                 NAME` makes"
            }
        }
    }
}

/// Tells whether a component consists of types alone, as WIT in binary form does.
pub(in crate::plugins) fn is_wit_package(bytes: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut has_types = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::Version { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::ComponentExportSection(section)) if depth == 1 => {
                let mut kinds = section.into_iter().flatten().map(|export| export.kind);
                if kinds.any(|kind| kind != ComponentExternalKind::Type) {
                    return false;
                }
                has_types = true;
            }
            Ok(Payload::ComponentTypeSection(_) | Payload::CustomSection(_)) => {}
            // Code, imports, instances, or a file that is cut short.
            Ok(_) | Err(_) => return false,
        }
    }
    has_types
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_without_tools_is_something_else() {
        let cases: [(&[&str], ComponentKind); 5] = [
            (&["wasi:cli/run@0.2.6"], ComponentKind::Program),
            (&["a:b/types", "wasi:cli/run@0.3.0-rc-1"], ComponentKind::Program),
            (&["wasi:http/incoming-handler@0.2.0"], ComponentKind::WebHandler),
            (&["a:b/types"], ComponentKind::Other),
            (&[], ComponentKind::Nothing),
        ];
        for (exports, expected) in cases {
            assert_eq!(ComponentKind::of(exports.iter().copied(), b""), expected, "{exports:?}");
        }
    }
}
