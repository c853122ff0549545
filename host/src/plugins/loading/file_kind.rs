//! The kinds of files that people put where a plugin should be: told apart, so that a message can say what the file is, and
//! the cure.
//!
//! [`require_component`] goes by the first bytes, before anything is compiled.

use std::borrow::Cow;

use wasmparser::{Parser, Payload};

use super::error::LoadError;
use crate::sanitize::literal;

/// Bytes that are looked at to tell a text.
const LOOKED_AT: usize = 1024;

/// Bytes of it that are shown.
const SHOWN: usize = 16;

const MAGIC: &[u8] = b"\0asm";

const ARCHIVE: &str = "unpack it, and put the component that is in it here";
const COMPRESSED: &str = "unpack it first";
const NATIVE: &str = "a plugin is WebAssembly: build it with `--target wasm32-wasip2`";

/// Files that are known by their first bytes: the offset and the bytes, their kind, and the cure.
const KNOWN: [(usize, &[u8], &str, &str); 18] = [
    (7, b"\xc8", "code that wasmtime has compiled already (`.cwasm`)", "put the component here that it was made from"),
    (0, b"\x7fELF", "a native program or library (ELF)", NATIVE),
    (0, b"\xcf\xfa\xed\xfe", "a native program or library (Mach-O)", NATIVE),
    (0, b"\xce\xfa\xed\xfe", "a native program or library (Mach-O)", NATIVE),
    (0, b"\xca\xfe\xba\xbe", "a native program (Mach-O) or Java code", NATIVE),
    (0, b"MZ", "a native program or library (Windows)", NATIVE),
    (0, b"!<arch>\n", "a static library", NATIVE),
    (0, b"BC\xc0\xde", "LLVM bitcode", NATIVE),
    (0, b"PK\x03\x04", "a ZIP archive", ARCHIVE),
    (0, b"PK\x05\x06", "an empty ZIP archive", ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", ARCHIVE),
    (0, b"Rar!", "a RAR archive", ARCHIVE),
    (257, b"ustar", "a tar archive", ARCHIVE),
    (0, b"\x1f\x8b", "compressed with gzip", COMPRESSED),
    (0, b"BZh", "compressed with bzip2", COMPRESSED),
    (0, b"\xfd7zXZ", "compressed with xz", COMPRESSED),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", COMPRESSED),
    (0, b"%PDF-", "a PDF document", "put the component itself here"),
];

/// Tells the kinds of files apart by their first bytes, with a message for each.
pub(in crate::plugins) fn require_component(bytes: &[u8]) -> Result<(), LoadError> {
    let Some((magic, rest)) = bytes.split_at_checked(MAGIC.len()) else {
        return Err(LoadError::Empty(bytes.len()));
    };
    if magic != MAGIC {
        return Err(LoadError::NotWasm(not_wasm(bytes)));
    }
    match rest.first_chunk() {
        None => Err(LoadError::Empty(bytes.len())),
        Some([0x0d, 0, 1, 0]) => Ok(()),
        Some([1, 0, 0, 0]) => Err(LoadError::CoreModule(core_module(bytes))),
        Some(&[low, high, layer, _]) => {
            Err(LoadError::OtherVersionOfWasm { version: u16::from_le_bytes([low, high]), layer: layer.into() })
        }
    }
}

/// The kind of a file that is no WebAssembly, and the cure.
fn not_wasm(bytes: &[u8]) -> String {
    let is_elf = bytes.starts_with(b"\x7fELF");
    let begins = |(offset, start, ..): &&(usize, &[u8], &str, &str)| {
        // Wasmtime's own code is ELF with a mark.
        (*offset != 7 || is_elf) && bytes.get(*offset..).is_some_and(|rest| rest.starts_with(start))
    };
    if let Some((_, _, what, cure)) = KNOWN.iter().find(begins) {
        return format!("it is {what}: {cure}");
    }
    let shown = literal(&String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]));
    match text(bytes).as_deref().map(kind_of_text) {
        Some(Some(kind)) => format!("it is {kind}"),
        Some(None) => format!("it is a text, which begins with `{shown}`: put the built component here"),
        None => format!("it begins with `{shown}`"),
    }
}

/// The beginning of a file, if that is text.
fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let start = &bytes[..bytes.len().min(LOOKED_AT)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character that is cut in two is text all the same.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let is_odd = |char: char| char.is_control() && !char.is_whitespace();
    (!text.contains(is_odd)).then(|| Cow::Borrowed(text.trim_start_matches('\u{feff}')))
}

/// Texts that are taken for components, and the cure.
fn kind_of_text(text: &str) -> Option<&'static str> {
    if text.starts_with("version https://git-lfs.github.com/") {
        return Some("a pointer of Git LFS, and not the file itself: `git lfs pull` fetches that");
    }
    let is_comment = |line: &&str| {
        line.is_empty()
            || [";;", "//", "(;", "/*", "*", "@", "<!--", "<?xml"].iter().any(|start| line.starts_with(start))
    };
    let mut lines = text.lines().map(str::trim).skip_while(is_comment);
    let first = lines.next()?;
    let lower = first.to_ascii_lowercase();
    if ["<!doctype html", "<html", "<head", "<body"].iter().any(|start| lower.starts_with(start)) {
        return Some("a web page, most likely in place of a download: fetch the file itself");
    }
    if lower.starts_with("(module") || lower.starts_with("(component") {
        return Some("WebAssembly in its text form: `wasm-tools parse` makes it binary");
    }
    let is_package = first.strip_prefix("package ").is_some_and(|rest| rest.contains(':'));
    let is_item = ["world ", "interface "].iter().filter_map(|start| first.strip_prefix(start)).any(|rest| {
        let (name, behind) = rest.split_once('{').unwrap_or((rest, ""));
        let is_name = |char: char| char.is_ascii_alphanumeric() || "-%".contains(char);
        name.trim().chars().all(is_name) && !name.trim().is_empty() && !behind.contains('=')
    });
    if is_package || is_item {
        return Some(
            "a WIT text, which describes an interface and has no code: put the component here that was built from it \
             (`tinymcp build` builds a folder with sources and `wit/`)",
        );
    }
    None
}

/// The origin of a core module, as far as it shows, and how a component comes from there.
fn core_module(bytes: &[u8]) -> &'static str {
    let mut found = Module::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(payload) => found.add(payload),
            Err(_) => break,
        }
    }
    found.origin()
}

#[derive(Default)]
struct Module {
    imports_wasi: bool,
    imports_javascript: bool,
    exports_start: bool,
    has_interface: bool,
    is_object: bool,
}

impl Module {
    fn add(&mut self, payload: Payload<'_>) {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports().flatten() {
                    self.imports_wasi |= matches!(import.module, "wasi_snapshot_preview1" | "wasi_unstable");
                    let is_javascript = matches!(import.module, "wbg" | "go" | "gojs")
                        || import.module.starts_with("__wbindgen")
                        || import.module.ends_with("_bg.js");
                    self.imports_javascript |= is_javascript;
                }
            }
            Payload::ExportSection(section) => {
                self.exports_start |= section.into_iter().flatten().any(|export| export.name == "_start");
            }
            Payload::CustomSection(section) => {
                self.has_interface |= section.name().starts_with("component-type");
                self.is_object |= matches!(section.name(), "linking" | "dylink.0");
            }
            _ => {}
        }
    }

    fn origin(&self) -> &'static str {
        if self.is_object {
            return "; it is an object file or a shared library, which a linker makes a module of first";
        }
        if self.has_interface {
            return "; its interface is in it already, so that `wasm-tools component new` makes a component of it too";
        }
        if self.imports_javascript {
            return "; it is made for JavaScript, and calls functions that are there alone";
        }
        match (self.imports_wasi, self.exports_start) {
            (true, true) => {
                "; it is a program for `wasm32-wasip1`, and a plugin is a library with a WIT world: `tinymcp new NAME` \
                 makes one"
            }
            (true, false) => "; it is made for `wasm32-wasip1`, which knows no components",
            (false, _) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
    use wit_parser::{ManglingAndAbi, Resolve};

    use super::*;
    use crate::plugins::loading::component_kind::is_wit_package;

    fn told(bytes: &[u8]) -> String {
        require_component(bytes).unwrap_err().to_string()
    }

    #[test]
    fn other_files_are_told_apart() {
        let tar = [&[b'a'; 257][..], b"ustar\x0000"].concat();
        let cwasm = [b"\x7fELF\x02\x01\x01\xc8".as_slice(), &[0; 32]].concat();
        let cases: [(&[u8], &str); 27] = [
            (b"", "the file is empty or cut short (0 bytes)"),
            (b"\0asm\x0d\0", "cut short (6 bytes)"),
            (b"\0as", "cut short (3 bytes)"),
            (b"PK\x03\x04 a zip file", "a ZIP archive: unpack it"),
            (b"\x1f\x8b\x08\0", "compressed with gzip: unpack it first"),
            (&tar, "a tar archive"),
            (b"\x7fELF\x02\x01\x01\0", "a native program or library (ELF): a plugin is WebAssembly"),
            (&cwasm, "code that wasmtime has compiled already"),
            (b"MZ\x90\0\x03", "a native program or library (Windows)"),
            (b"\0asm\x01\0\0\0", "a core WebAssembly module, not a component: build it with `--target wasm32-wasip2`"),
            (b"\0asm\x02\0\0\0", "of version 2, layer 0, and a component has version 13, layer 1"),
            (b"\0asm\x0a\0\x01\0", "of version 10, layer 1"),
            (b"<!DOCTYPE html>\n<html>", "a web page"),
            (b"  <HTML><body>", "a web page"),
            (b";; mine\n(component)", "WebAssembly in its text form"),
            (b"(module (func))", "WebAssembly in its text form"),
            (b"// mine\npackage a:b;\nworld w {}", "a WIT text"),
            (b"/* mine\n * own\n */\n@since(version = 0.1.0)\ninterface i\n{\n}", "a WIT text"),
            (b"<!-- saved -->\n<head>", "a web page"),
            (b"world w {\n}", "a WIT text"),
            (b"package main\n\nfunc main() {}", "a text, which begins with `package main\\n\\nfu`"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a pointer of Git LFS"),
            (b"hello there, plugin", "not a WebAssembly file: it is a text, which begins with `hello there, plu`"),
            (b"#!/bin/sh\necho", "a text, which begins with `#!/bin/sh\\necho`"),
            ("gr\u{fc}\u{df}e".as_bytes(), "a text, which begins with `gr\u{fc}\u{df}e`"),
            (b"\xff\xfe\x01\x02", "not a WebAssembly file: it begins with"),
            (b"\x01a\xcd\x8f\xef\xbe\xa0", "it begins with `\\u{1}a\\u{34f}\\u{ffa0}`"),
        ];
        for (bytes, expected) in cases {
            let told = told(bytes);
            assert!(told.contains(expected), "{told}");
        }
        assert!(require_component(b"\0asm\x0d\0\x01\0").is_ok());
    }

    #[test]
    fn text_that_is_cut_within_a_character_is_text() {
        let long = "\u{e4}".repeat(LOOKED_AT);
        assert!(text(&long.as_bytes()[..LOOKED_AT + 1]).is_some());
        assert!(text(&[b"a".as_slice(), long.as_bytes()].concat()).is_some());
        assert!(text(b"a\0b").is_none());
    }

    fn world(wit: &str) -> (Resolve, wit_parser::PackageId, wit_parser::WorldId) {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("test.wit", wit).unwrap();
        let world = resolve.select_world(&[package], Some("w")).unwrap();
        (resolve, package, world)
    }

    #[test]
    fn core_modules_say_where_they_come_from() {
        let module = |wat_imports: &[&str], exports: &[&str]| {
            let (mut types, mut imports) = (wasm_encoder::TypeSection::new(), wasm_encoder::ImportSection::new());
            types.ty().function([], []);
            for module in wat_imports {
                imports.import(module, "f", wasm_encoder::EntityType::Function(0));
            }
            let mut exported = wasm_encoder::ExportSection::new();
            for name in exports {
                exported.export(name, wasm_encoder::ExportKind::Func, 0);
            }
            let mut module = wasm_encoder::Module::new();
            module.section(&types).section(&imports).section(&exported);
            module.finish()
        };
        let cases = [
            (module(&["wasi_snapshot_preview1"], &["_start"]), "a program for `wasm32-wasip1`"),
            (module(&["wasi_snapshot_preview1"], &["add"]), "made for `wasm32-wasip1`"),
            (module(&["__wbindgen_placeholder__"], &[]), "made for JavaScript"),
            (module(&["./x_bg.js"], &[]), "made for JavaScript"),
        ];
        for (module, expected) in cases {
            assert!(told(&module).contains(expected), "{}", told(&module));
        }
        let (resolve, _, world) = world("package a:b; world w { export f: func(); }");
        let mut embedded = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
        embed_component_metadata(&mut embedded, &resolve, world, StringEncoding::UTF8).unwrap();
        assert!(told(&embedded).contains("`wasm-tools component new`"), "{}", told(&embedded));
    }

    #[test]
    fn a_package_of_wit_is_no_component_with_code() {
        let wit = "package a:b; interface i { type t = u8; f: func() -> t; } world w { export i; }";
        let (resolve, package, world) = world(wit);
        let encoded = wit_component::encode(&resolve, package).unwrap();
        assert!(require_component(&encoded).is_ok() && is_wit_package(&encoded));
        assert!(!is_wit_package(&encoded[..encoded.len() - 1]));

        let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let component = ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
        assert!(!is_wit_package(&component));
        assert!(!is_wit_package(b"\0asm\x0d\0\x01\0"));
    }
}
