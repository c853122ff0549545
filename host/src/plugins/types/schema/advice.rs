//! Advice to the author of a tool that works: places where clients cut or round.

use super::lint::each;
use crate::plugins::plugin::{Function, FunctionKind};
use crate::plugins::types::shape::{Integer, Shape};

/// Characters of a description that every client passes on (VS Code with GPT-4 cuts there; OpenAI's API has refused more).
const MAX_DESCRIPTION_CHARS: usize = 1024;

/// Advice on one tool, a line each.
pub fn advice(function: &Function) -> Vec<String> {
    let mut all = Vec::new();
    let chars = function.docs.description.as_deref().map_or(0, |text| text.chars().count());
    if chars > MAX_DESCRIPTION_CHARS {
        all.push(too_long("its description", chars));
    }
    each(&function.input_schema, "", &mut |schema, place| {
        let chars = schema.get("description").and_then(|text| text.as_str()).map_or(0, |text| text.chars().count());
        if chars > MAX_DESCRIPTION_CHARS {
            all.push(too_long(&format!("the description at {place} of its input schema"), chars));
        }
    });
    let FunctionKind::Typed { signature, .. } = &function.kind else { return all };
    for param in &signature.params {
        if let Some(integer) = wide(&param.shape) {
            all.push(format!(
                "parameter `{}` has a `{}`: JavaScript clients round numbers beyond 2^53; a decimal string is taken \
                 exactly",
                param.name,
                Shape::Integer(integer)
            ));
        }
    }
    if let Some(integer) = signature.output.value().and_then(wide) {
        all.push(format!(
            "the result has a `{}`: JavaScript clients round numbers beyond 2^53; give what is an identifier as `string`",
            Shape::Integer(integer)
        ));
    }
    all
}

fn too_long(what: &str, chars: usize) -> String {
    format!("{what} has {chars} characters: some clients cut it at {MAX_DESCRIPTION_CHARS}, or refuse the tool")
}

/// The first 64-bit integer inside.
fn wide(shape: &Shape) -> Option<Integer> {
    match shape {
        Shape::Integer(integer @ (Integer::S64 | Integer::U64)) => Some(*integer),
        shape => shape.parts().into_iter().find_map(|(_, part)| wide(part)),
    }
}
