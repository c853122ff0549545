//! The function of a component that costs a compiler most: to be named when a limit was reached.
//!
//! The compiler does not say which function it is at. What its time and memory grow with is known, though: every block
//! may meet every local variable. The function with the largest product is named with its numbers, so that its author
//! can judge for themselves.

use std::fmt;

use wasmparser::{BinaryReaderError, FunctionBody, Operator, Parser, Payload};

use super::functions::Functions;

/// A function that costs much.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Costly {
    /// Its number in its core module.
    index: u32,
    /// Its name in its module, if it has one.
    name: Option<String>,
    size: Size,
}

/// The numbers with which the cost of a function grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    blocks: u64,
    locals: u64,
    bytes: usize,
}

impl Size {
    fn of(body: &FunctionBody<'_>) -> Result<Self, BinaryReaderError> {
        let mut size = Self { blocks: 1, locals: 0, bytes: body.as_bytes().len() };
        for group in body.get_locals_reader()? {
            size.locals += u64::from(group?.0);
        }
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            size.blocks += match operators.read()? {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::Else | Operator::BrIf { .. } => 1,
                Operator::If { .. } => 2,
                Operator::BrTable { targets } => u64::from(targets.len()) + 1,
                _ => 0,
            };
        }
        Ok(size)
    }

    fn cost(self) -> u64 {
        self.blocks.saturating_mul(self.locals + 1).saturating_add(self.bytes as u64)
    }
}

impl fmt::Display for Costly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, name, size: Size { blocks, locals, bytes } } = self;
        match name {
            Some(name) => write!(f, "function `{name}` (number {index} of its module)")?,
            None => write!(f, "function number {index} of its module")?,
        }
        write!(
            f,
            " costs most, with {blocks} blocks, {locals} local variables and {bytes} bytes; make it several, or raise the limit"
        )
    }
}

/// The function of any core module of a component that costs most. What cannot be read is left out.
pub(super) fn costliest(component: &[u8]) -> Option<Costly> {
    let mut open: Vec<Module<'_>> = Vec::new();
    let mut best: Option<Costly> = None;
    for payload in Parser::new(0).parse_all(component) {
        let Ok(payload) = payload else { break };
        match payload {
            Payload::Version { .. } => open.push(Module::default()),
            Payload::End(_) => best = larger(best, open.pop().and_then(Module::costliest)),
            payload => {
                if let Some(module) = open.last_mut() {
                    // Names are a courtesy.
                    let _ = module.add(&payload);
                }
            }
        }
    }
    // Of a file that ends too early, what there was of it.
    open.into_iter().fold(best, |best, module| larger(best, module.costliest()))
}

fn larger(one: Option<Costly>, other: Option<Costly>) -> Option<Costly> {
    one.into_iter().chain(other).reduce(|one, other| if other.size.cost() > one.size.cost() { other } else { one })
}

/// A module, or a component, whose end has not been read.
#[derive(Default)]
struct Module<'a> {
    functions: Functions<'a>,
    best: Option<(u32, Size)>,
}

impl<'a> Module<'a> {
    fn add(&mut self, payload: &Payload<'a>) -> Result<(), BinaryReaderError> {
        let function = self.functions.add(payload)?;
        if let (Some(index), Payload::CodeSectionEntry(body)) = (function, payload) {
            let size = Size::of(body)?;
            if self.best.is_none_or(|(_, best)| size.cost() > best.cost()) {
                self.best = Some((index, size));
            }
        }
        Ok(())
    }

    fn costliest(self) -> Option<Costly> {
        let (index, size) = self.best?;
        Some(Costly { index, name: self.functions.name(index), size })
    }
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        CodeSection, Component, ExportKind, ExportSection, Function, FunctionSection, Instruction, Module,
        ModuleSection, NameMap, NameSection, TypeSection, ValType,
    };

    use super::*;

    /// A module of two functions: a short one, and one of many blocks and locals.
    fn module(names: bool) -> Module {
        let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
        types.ty().function([], []);
        let mut exports = ExportSection::new();
        exports.export("big", ExportKind::Func, 1);
        for (blocks, locals) in [(0, 0), (50, 1000)] {
            functions.function(0);
            let mut body = Function::new([(locals, ValType::I32)]);
            for _ in 0..blocks {
                body.instruction(&Instruction::Block(wasm_encoder::BlockType::Empty)).instruction(&Instruction::End);
            }
            code.function(body.instruction(&Instruction::End));
        }
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&exports).section(&code);
        if names {
            let mut of_functions = NameMap::new();
            of_functions.append(1, "dispatch");
            let mut names = NameSection::new();
            names.functions(&of_functions);
            module.section(&names);
        }
        module
    }

    #[test]
    fn the_function_with_most_blocks_and_locals_is_named() {
        for (names, expected) in [(false, "function `big`"), (true, "function `dispatch`")] {
            let mut component = Component::new();
            component.section(&ModuleSection(&module(names)));
            let message = costliest(&component.finish()).unwrap().to_string();
            let named = message.starts_with(expected);
            assert!(named && message.contains("(number 1 of its module)"), "{message}");
            assert!(message.contains("51 blocks, 1000 local variables"), "{message}");
        }
    }

    #[test]
    fn what_is_no_component_names_nothing() {
        assert_eq!(costliest(b""), None);
        assert_eq!(costliest(b"\0asm\x0d\0\x01\0"), None);
    }
}
