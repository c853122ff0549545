//! The stack that a component sets aside before it does anything, as its linker laid it out.
//!
//! The host makes all memory clean that a call has used, and the stack is the first of it: an untouched
//! part costs as much as a used one.

use wasmparser::{DataKind, Encoding, Operator, Parser, Payload};

/// The stack that Rust's targets ask for where nobody has chosen another. Less than that was chosen, with reasons.
const DEFAULT_STACK: u32 = 1 << 20;

/// The line that gives a crate another stack.
const LINE: &str = r#"println!("cargo::rustc-link-arg-cdylib=-zstack-size=131072");"#;

/// Exports by which a component shows that a whole language runtime is inside. Its author cannot choose that stack.
const RUNTIMES: [&str; 2] = ["init", "exports"];

/// Advice to its author, if the component reserves more than it needs.
pub fn advice(component: &[u8]) -> Option<String> {
    let stack = stack(component).filter(|stack| *stack >= DEFAULT_STACK)?;
    Some(format!(
        "it reserves {} KiB of stack, and memory is made clean for every call; 128 KiB is enough for most: let `main` in `build.rs` do `{LINE}`",
        stack >> 10
    ))
}

/// A core module, as far as it was read.
#[derive(Default)]
struct Module {
    /// The first variable of it, which compilers of the LLVM family keep the stack's end in.
    pointer: Option<u32>,
    has_global: bool,
    /// The address of the first data.
    first_data: Option<u32>,
}

impl Module {
    /// The stack's size, if it lies below everything else, so that its end says how large it is.
    fn stack(&self) -> Option<u32> {
        let pointer = self.pointer.filter(|pointer| *pointer > 0)?;
        self.first_data.is_none_or(|first| first >= pointer).then_some(pointer)
    }
}

/// The largest stack of the modules of a component.
fn stack(component: &[u8]) -> Option<u32> {
    let mut modules = Vec::new();
    let mut largest = None;
    for payload in Parser::new(0).parse_all(component) {
        match payload.ok()? {
            Payload::Version { encoding, .. } => {
                modules.push((encoding == Encoding::Module).then(Module::default));
            }
            Payload::ComponentExportSection(exports) if modules.len() == 1 => {
                let mut names = exports.into_iter().flatten().map(|export| export.name.name);
                if names.any(|name| RUNTIMES.contains(&name)) {
                    return None;
                }
            }
            Payload::GlobalSection(globals) => {
                let Some(Some(module)) = modules.last_mut() else { continue };
                for global in globals.into_iter().flatten().filter(|global| global.ty.mutable) {
                    if !std::mem::replace(&mut module.has_global, true) {
                        module.pointer = constant(&global.init_expr);
                    }
                }
            }
            Payload::DataSection(data) => {
                let Some(Some(module)) = modules.last_mut() else { continue };
                for data in data.into_iter().flatten() {
                    if let DataKind::Active { offset_expr, .. } = data.kind
                        && let Some(offset) = constant(&offset_expr)
                    {
                        module.first_data = Some(module.first_data.map_or(offset, |first| first.min(offset)));
                    }
                }
            }
            Payload::End(_) => {
                if let Some(Some(module)) = modules.pop() {
                    largest = largest.max(module.stack());
                }
            }
            _ => {}
        }
    }
    largest
}

/// The number that an expression is.
fn constant(expression: &wasmparser::ConstExpr<'_>) -> Option<u32> {
    match expression.get_operators_reader().read().ok()? {
        Operator::I32Const { value } => Some(value.cast_unsigned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        Component, ConstExpr, DataSection, GlobalSection, GlobalType, MemorySection, MemoryType, ModuleSection, ValType,
    };

    use super::*;

    /// A component with a module whose first variable begins with this, and whose data are there.
    fn component(pointer: i32, mutable: bool, data: i32) -> Vec<u8> {
        let mut module = wasm_encoder::Module::new();
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 32,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        module.section(&memories);
        let mut globals = GlobalSection::new();
        let ty = GlobalType { val_type: ValType::I32, mutable, shared: false };
        globals.global(ty, &ConstExpr::i32_const(pointer));
        module.section(&globals);
        let mut section = DataSection::new();
        section.active(0, &ConstExpr::i32_const(data), *b"data");
        module.section(&section);
        let mut component = Component::new();
        component.section(&ModuleSection(&module));
        component.finish()
    }

    #[test]
    fn a_stack_is_known_where_it_comes_first() {
        assert_eq!(stack(&component(1 << 20, true, 1 << 20)), Some(1 << 20));
        assert_eq!(stack(&component(1 << 17, true, 1 << 20)), Some(1 << 17));
        assert_eq!(stack(&component(1 << 20, true, 1024)), None, "data before the stack's end");
        assert_eq!(stack(&component(1 << 20, false, 1 << 20)), None, "a constant is no pointer");
        assert_eq!(stack(b"\0asm\x0d\0\x01\0"), None);
        assert_eq!(stack(b"no wasm"), None);
    }

    #[test]
    fn less_than_the_default_was_chosen() {
        for (stack, size) in [(1 << 20, "1024 KiB of stack"), (1 << 23, "8192 KiB of stack")] {
            let advice = advice(&component(stack, true, stack)).unwrap();
            assert!(advice.contains(LINE) && advice.contains(size), "{advice}");
        }
        for chosen in [1 << 17, 1 << 19] {
            assert_eq!(advice(&component(chosen, true, 1 << 23)), None);
        }
    }
}
