//! The custom sections in which a component carries its WIT text, one for each file.
//!
//! Toolchains drop documentation from components. A crate made by `tinymcp new` embeds its `wit/world.wit` itself;
//! missing files are added here, at the end of the component, where every tool ignores unknown sections.

use std::fs;
use std::path::Path;

use super::wit::{self, Wit};
use crate::plugins::types::docs;

/// Adds the text of every file that describes the source's tools, unless the component carries it already. A component
/// with only other texts stays as it is: its author has chosen the words.
pub(super) fn add(component: &mut Vec<u8>, source_dir: &Path, wit: Option<&Wit>) {
    let files = wit.map_or_else(|| wit::files_in(&source_dir.join("wit")), Wit::files);
    let texts: Vec<String> = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    let carried = docs::wit_texts(component);
    let is_carried = |text: &String| carried.contains(&text.as_str());
    if !carried.is_empty() && !texts.iter().any(is_carried) {
        return;
    }
    let missing: Vec<String> = texts.iter().filter(|text| !is_carried(text)).cloned().collect();
    for text in missing {
        push_section(component, docs::WIT_SECTION, text.as_bytes());
    }
}

/// Appends a custom section (component model, Binary.md: `section_0`): id 0, size, name, contents.
fn push_section(component: &mut Vec<u8>, name: &str, contents: &[u8]) {
    let mut body = Vec::new();
    push_leb128(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(contents);
    component.push(0);
    push_leb128(component, body.len());
    component.extend(body);
}

fn push_leb128(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source with these files below `wit`, and a component with these texts in it.
    fn added(files: &[(&str, &str)], carried: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = dir.path().join("wit").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        carried.iter().for_each(|text| push_section(&mut component, docs::WIT_SECTION, text.as_bytes()));
        let wit = Wit::read(dir.path()).unwrap();
        add(&mut component, dir.path(), wit.as_ref());
        let once = component.len();
        add(&mut component, dir.path(), wit.as_ref());
        assert_eq!(component.len(), once, "a second time nothing is missing");
        docs::wit_texts(&component).into_iter().map(str::to_owned).collect()
    }

    const WORLD: &str = "package a:b;\nworld w {\n  use types.{t};\n  export f: func(t: t);\n  export c:d/api;\n}\n";
    const TYPES: &str = "interface types {\n  /// A number\n  type t = u8;\n}\n";
    const API: &str = "package c:d;\ninterface api {\n  /// Do it\n  g: func();\n}\n";
    const UNUSED: &str = "package e:f;\ninterface more {\n  h: func();\n}\n";

    #[test]
    fn every_file_that_describes_tools_is_added_once() {
        let files = [("world.wit", WORLD), ("types.wit", TYPES), ("deps/d/api.wit", API), ("deps/f/more.wit", UNUSED)];
        for carried in [&[][..], &[WORLD], &[WORLD, TYPES]] {
            let mut texts = added(&files, carried);
            texts.sort();
            assert_eq!(texts, [TYPES, WORLD, API], "{carried:?}");
        }
    }

    #[test]
    fn words_of_the_author_s_own_stay_alone() {
        let files = [("world.wit", "package a:b;\nworld w {\n  export f: func();\n}\n")];
        assert_eq!(added(&files, &["world other {}"]), ["world other {}"]);
    }

    #[test]
    fn a_long_text_is_found_again() {
        let text = format!("package a:b;\nworld w {{\n  /// {}\n  export f: func();\n}}\n", "long ".repeat(100));
        assert_eq!(added(&[("world.wit", &text)], &[]), [text]);
    }
}
