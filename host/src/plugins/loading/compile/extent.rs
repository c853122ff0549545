//! The extent of a component: what it has too much of for a compiler and an engine, found before anything is compiled.
//!
//! What the engine keeps of a function beside its code grows with their number, and validator and compiler recurse or
//! search as deep as blocks are nested. Neither shows in the size of a file: a million empty functions take four
//! megabytes of it. The largest language runtimes have some ten thousands, and nest some hundreds.

use wasmparser::{BinaryReaderError, FunctionBody, Operator, Parser, Payload};

use super::functions::Functions;

/// Functions of all modules of a component.
const MAX_FUNCTIONS: u32 = 250_000;

/// Blocks within each other in one function.
const MAX_NESTING: usize = 10_000;

/// Sections of all modules and components: each type, import, instance and alias of the component model is one for some
/// tools.
const MAX_SECTIONS: usize = 100_000;

/// What a component has too much of, in words; what cannot be read is the validator's to tell.
pub(super) fn excess(component: &[u8]) -> Option<String> {
    let mut open: Vec<Functions<'_>> = Vec::new();
    let (mut functions, mut sections) = (0_u32, 0_usize);
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.ok()?;
        match &payload {
            Payload::Version { .. } => open.push(Functions::default()),
            Payload::End(_) => {
                open.pop();
            }
            // Before their bodies.
            Payload::CodeSectionStart { count, .. } => {
                functions = functions.saturating_add(*count);
                if functions > MAX_FUNCTIONS {
                    return Some(format!(
                        "it has {functions} functions or more, and {MAX_FUNCTIONS} is the most that this host takes: make \
                         it several components"
                    ));
                }
            }
            _ => {}
        }
        if !matches!(payload, Payload::CodeSectionEntry(_)) {
            sections += 1;
        }
        if sections > MAX_SECTIONS {
            return Some(format!("it has more than {MAX_SECTIONS} sections, modules and components"));
        }
        let Some(module) = open.last_mut() else { continue };
        let index = module.add(&payload).ok()?;
        if let (Some(index), Payload::CodeSectionEntry(body)) = (index, &payload)
            && nesting(body).ok()? > MAX_NESTING
        {
            let named = module.name(index).map(|name| format!("function `{name}` (number {index} of its module)"));
            let function = named.unwrap_or_else(|| format!("function number {index} of its module"));
            return Some(format!(
                "{function} has more than {MAX_NESTING} blocks within each other, and no more are taken: make it several"
            ));
        }
    }
    None
}

/// The most blocks of a function within each other.
fn nesting(body: &FunctionBody<'_>) -> Result<usize, BinaryReaderError> {
    // No shorter body nests more.
    if body.as_bytes().len() <= MAX_NESTING {
        return Ok(0);
    }
    let (mut depth, mut most) = (0_usize, 0);
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        match operators.read()? {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => depth += 1,
            Operator::End => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        BlockType, CodeSection, Component, ExportKind, ExportSection, Function, FunctionSection, Instruction, Module,
        ModuleSection, TypeSection,
    };

    use super::*;

    /// A component of a module with so many functions, the last of which nests so many loops.
    fn component(count: u32, loops: usize) -> Vec<u8> {
        let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
        types.ty().function([], []);
        let mut exports = ExportSection::new();
        exports.export("last", ExportKind::Func, count - 1);
        for index in 0..count {
            functions.function(0);
            let mut body = Function::new([]);
            if index == count - 1 {
                (0..loops).for_each(|_| {
                    body.instruction(&Instruction::Loop(BlockType::Empty));
                });
                (0..loops).for_each(|_| {
                    body.instruction(&Instruction::End);
                });
            }
            code.function(body.instruction(&Instruction::End));
        }
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&exports).section(&code);
        let mut component = Component::new();
        component.section(&ModuleSection(&module));
        component.finish()
    }

    #[test]
    fn what_is_too_much_is_named() {
        assert_eq!(excess(&component(10_000, 5000)), None);
        let many = excess(&component(1_000_000, 0)).unwrap();
        assert!(many.starts_with("it has 1000000 functions or more, and 250000 is the most"), "{many}");
        let deep = excess(&component(2, 100_000)).unwrap();
        assert!(deep.starts_with("function `last` (number 1 of its module) has more than 10000 blocks"), "{deep}");
        assert_eq!(excess(b"\0asm\x0d\0\x01\0\x07"), None);
    }
}
