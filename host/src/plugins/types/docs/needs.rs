//! What an author says that the component needs: lines `@needs …` of comments in a WIT text, and the section
//! `tinymcp-needs`, which has one declaration in each line, for toolchains without comments.
//!
//! Declarations narrow what is granted, so that one that is lost would widen it. That is why every comment of a text
//! counts, wherever it stands and whether the rest of the text is understood or not, and why what cannot be read counts
//! as a declaration of nothing.

use serde_json::Value;

use super::lexer::tokens;
use super::sections::Sections;
use super::{package, tags};
use crate::grants::needs::Needs;

/// Declarations of one component that are looked at; those beyond are not declared.
const MAX_DECLARATIONS: usize = 256;

/// Reads all declarations; and gives a warning for each that cannot be read.
pub(super) fn read(sections: &Sections<'_>) -> (Needs, Vec<String>) {
    let mut declarations = Vec::new();
    for text in &sections.texts {
        for comment in tokens(text).iter().filter_map(|token| token.docs.as_deref()) {
            declarations.extend(tags::needs(comment).map(str::to_owned));
        }
    }
    if let Some(docs) = sections.package_docs.and_then(package::json) {
        of_strings(&docs, &mut declarations);
    }
    let lines = sections.needs.iter().flat_map(|text| text.lines()).map(str::trim).filter(|line| !line.is_empty());
    declarations.extend(lines.map(str::to_owned));
    let (mut needs, errors) = Needs::read(declarations.iter().take(MAX_DECLARATIONS).map(String::as_str));
    let mut warnings: Vec<String> =
        errors.iter().map(|error| format!("{error}; what cannot be read counts as a need of nothing")).collect();
    if sections.has_lost_needs {
        needs = needs.with_unreadable();
        warnings.push("a part of what it declares to need cannot be read, and counts as a need of nothing".to_owned());
    }
    (needs, warnings)
}

/// Declarations in any text of the section `package-docs`.
fn of_strings(value: &Value, declarations: &mut Vec<String>) {
    match value {
        Value::String(text) => declarations.extend(tags::needs(text).map(str::to_owned)),
        Value::Array(values) => values.iter().for_each(|value| of_strings(value, declarations)),
        Value::Object(members) => members.values().for_each(|value| of_strings(value, declarations)),
        _ => {}
    }
}
