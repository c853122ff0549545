//! Suggestions for arguments.

use crate::Everything;
use crate::exports::tinymcp::plugin::completions::{Guest, Suggestions, Target};

const WORDS: [&str; 4] = ["paris", "park", "party", "test"];
const IDS: [&str; 3] = ["1", "12", "123"];

impl Guest for Everything {
    fn complete(target: Target, _argument: String, typed: String, _others: Vec<(String, String)>) -> Suggestions {
        let known: &[&str] = match target {
            Target::Prompt(_) => &WORDS,
            Target::Template(_) => &IDS,
        };
        let values: Vec<String> =
            known.iter().filter(|word| word.starts_with(&typed)).map(|word| (*word).to_owned()).collect();
        Suggestions { total: Some(values.len() as u32), values, has_more: false }
    }
}
