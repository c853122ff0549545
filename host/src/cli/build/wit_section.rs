//! The custom section in which a component carries its WIT text.
//!
//! Toolchains drop documentation from components. A crate made by `tinymcp new` embeds its text itself; for others
//! it is added here, at the end of the component, where every tool ignores what it does not know.

use std::fs;
use std::path::Path;

use crate::plugins::docs;

/// Adds the text of the source's `wit/world.wit` unless the component carries one already.
pub(super) fn add(component: &mut Vec<u8>, source_dir: &Path) {
    let Ok(text) = fs::read(source_dir.join("wit/world.wit")) else { return };
    if !docs::has_wit_section(component) {
        push_section(component, docs::WIT_SECTION, &text);
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

    #[test]
    fn the_section_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("wit")).unwrap();
        let text = format!("package a:b;\nworld w {{\n  /// {}\n  export f: func();\n}}\n", "long ".repeat(100));
        fs::write(dir.path().join("wit/world.wit"), &text).unwrap();
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        add(&mut component, dir.path());
        assert!(docs::has_wit_section(&component));
        let length = component.len();
        add(&mut component, dir.path());
        assert_eq!(component.len(), length);
    }
}
