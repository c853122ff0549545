//! Components: the guests of `tests/guests`, and the plugins that the project ships.

use std::fs;
use std::path::{Path, PathBuf};

use wasm_encoder::{
    BlockType, CodeSection, ComponentBuilder, ComponentExportKind, ComponentValType, ExportKind, ExportSection,
    Function, FunctionSection, Instruction, Module, ModuleArg, PrimitiveValType, TypeSection, ValType,
};

/// The directory of this crate.
pub fn tests_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The directory of the project.
pub fn project_dir() -> &'static Path {
    tests_dir().parent().expect("the tests are in the project")
}

/// A directory below cargo's target directory that stays from one run to the next.
pub fn kept_dir(name: &str) -> PathBuf {
    let executable = std::env::current_exe().expect("a program knows where it is");
    let target = executable.ancestors().nth(3).expect("tests are at target/debug/deps");
    let dir = target.join("tmp").join(name);
    fs::create_dir_all(&dir).expect("cargo's target directory can be written to");
    dir
}

/// The bytes of a guest, by the name of its folder in `tests/guests`.
///
/// # Panics
/// When it is not built.
pub fn guest(name: &str) -> Vec<u8> {
    let path = tests_dir().join(format!(".guests/{name}.wasm"));
    fs::read(&path)
        .unwrap_or_else(|error| panic!("guest `{name}` is not built ({error}): run `tests/run --setup-only`"))
}

/// The bytes of a plugin that the project ships, built from its sources as `tinymcp build` does it.
///
/// # Panics
/// When it does not build.
pub fn shipped(name: &str) -> Vec<u8> {
    // A fixed place: what has not changed is not built again.
    let dir = kept_dir("shipped");
    let plugins = dir.join("plugins");
    copy_changed(&project_dir().join("plugins").join(name), &plugins.join(name));
    fs::write(dir.join("tinymcp.toml"), "").expect("cargo's target directory can be written to");
    let built = crate::command::run(&dir, &["build", name]);
    assert_eq!(built.code, 0, "{built:?}");
    fs::read(plugins.join(format!("{name}.wasm"))).expect("it was just built")
}

/// Copies a directory, but for files that are there already: their times say what has to be built.
///
/// # Panics
/// When something cannot be read or written.
pub fn copy_changed(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("cargo's target directory can be written to");
    for entry in fs::read_dir(from).expect("sources can be read").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_changed(&source, &target);
        } else {
            let text = fs::read(&source).expect("sources can be read");
            if fs::read(&target).ok().as_ref() != Some(&text) {
                fs::write(&target, text).expect("cargo's target directory can be written to");
            }
        }
    }
}

/// A component that is written as text.
///
/// # Panics
/// If the text is no component.
pub fn from_text(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A component that exports functions without parameters, each of which gives the number 42: pairs of an interface, or
/// nothing for the world itself, and a function. `further` is text to add to it.
pub fn exporting(functions: &[(&str, &str)], further: &str) -> Vec<u8> {
    let mut interfaces: std::collections::BTreeMap<&str, String> = std::collections::BTreeMap::new();
    let mut exports = String::new();
    for (interface, function) in functions {
        match *interface {
            "" => exports += &format!("(export \"{function}\" (func $answer))\n"),
            interface => {
                *interfaces.entry(interface).or_default() += &format!("(export \"{function}\" (func $answer))")
            }
        }
    }
    for (index, (interface, functions)) in interfaces.iter().enumerate() {
        exports += &format!("(instance $i{index} {functions}) (export \"{interface}\" (instance $i{index}))\n");
    }
    from_text(&format!(
        "(component {further}
            (core module $module (func (export \"answer\") (result i32) i32.const 42))
            (core instance $instance (instantiate $module))
            (func $answer (result u32) (canon lift (core func $instance \"answer\")))
            {exports})"
    ))
}

/// The same component in another file: it has one more custom section.
/// `mark` tells two of them apart.
pub fn marked(component: &[u8], mark: u32) -> Vec<u8> {
    with_section(component, "mark", &mark.to_le_bytes())
}

/// The same component with these declarations of needs, one in each line.
pub fn needing(component: &[u8], needs: &str) -> Vec<u8> {
    with_section(component, "tinymcp-needs", needs.as_bytes())
}

/// The same component with this WIT text, from which its descriptions are read.
pub fn documented(component: &[u8], wit: &str) -> Vec<u8> {
    with_section(component, "tinymcp-wit", wit.as_bytes())
}

fn with_section(component: &[u8], name: &str, data: &[u8]) -> Vec<u8> {
    let mut component = component.to_vec();
    let section = wasm_encoder::CustomSection { name: name.into(), data: data.into() };
    wasm_encoder::ComponentSection::append_to_component(&section, &mut component);
    component
}

/// The same component without `@keep-warm`: every call is in a fresh instance.
///
/// # Panics
/// If `@keep-warm` is the only tag of its author.
pub fn never_warm(component: &[u8]) -> Vec<u8> {
    const TAG: &[u8] = b"@keep-warm";
    // Of the same length, so that the section is as long as it says.
    const WORD: &[u8] = b"keep cold.";
    let mut cold = component.to_vec();
    let tags: Vec<usize> = (0..cold.len()).filter(|start| cold[*start..].starts_with(TAG)).collect();
    assert!(!tags.is_empty(), "the component has no `@keep-warm`");
    for start in tags {
        cold[start..start + TAG.len()].copy_from_slice(WORD);
    }
    cold
}

/// A small component that takes a compiler long: `boom` has a loop in a loop in a loop, as many as `loops`, and in the
/// innermost each local variable is changed, so that every loop has a value of its own for each of them.
///
/// Time and memory grow with the product, the file with the sum. Its result is 0.
pub fn bomb(loops: usize, locals: u32) -> Vec<u8> {
    let mut body = Function::new([(locals, ValType::I32)]);
    for _ in 0..loops {
        body.instruction(&Instruction::Loop(BlockType::Empty));
    }
    for local in 1..locals {
        body.instruction(&Instruction::LocalGet(local - 1)).instruction(&Instruction::LocalSet(local));
    }
    for _ in 0..loops {
        body.instruction(&Instruction::LocalGet(0)).instruction(&Instruction::BrIf(0)).instruction(&Instruction::End);
    }
    body.instruction(&Instruction::LocalGet(0)).instruction(&Instruction::End);

    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], [ValType::I32]);
    functions.function(0);
    let mut exports = ExportSection::new();
    exports.export("boom", ExportKind::Func, 0);
    code.function(&body);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);

    let mut component = ComponentBuilder::default();
    let module = component.core_module(None, &module);
    let instance = component.core_instantiate(None, module, std::iter::empty::<(&str, ModuleArg)>());
    let core = component.core_alias_export(None, instance, "boom", ExportKind::Func);
    let (ty, mut function) = component.type_function(None);
    let u32_type = ComponentValType::Primitive(PrimitiveValType::U32);
    function.params(std::iter::empty::<(&str, ComponentValType)>()).result(Some(u32_type));
    let lifted = component.lift_func(None, core, ty, []);
    component.export("boom", ComponentExportKind::Func, lifted, None);
    component.finish()
}
