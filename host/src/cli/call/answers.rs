//! Answers to the questions of a tool, from a file: a JSON object with one for each key.
//!
//! An answer is what a client would send, such as `{"action": "accept", "content": {"name": "Ada"}}`. For a form its
//! fields alone are enough, and `"decline"` or `"cancel"` for a person who does not fill it in.

use serde_json::{Map, Value, json};

use super::super::Failure;
use super::input;
use crate::mcp;
use crate::plugins::wit::input::{Answer, Request};

/// The answers at hand.
#[derive(Default)]
pub(in crate::cli) struct Answers(Map<String, Value>);

/// The reason for which a call has neither a result nor an error.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum NoEnd {
    /// It asks for what there are no answers to, by these keys.
    #[error(
        "the tool asks its client ({0}), and a command cannot answer: `--answers FILE.json` has the answers, by these keys"
    )]
    Unanswered(String),
    /// An answer is none.
    #[error("the answer `{0}` has no form of one: see `tinymcp call --help`")]
    NoAnswer(String),
    /// It asks without end.
    #[error("it asked {0} times, and had no result")]
    Asking(usize),
}

impl From<NoEnd> for Failure {
    fn from(reason: NoEnd) -> Self {
        match reason {
            NoEnd::Unanswered(_) | NoEnd::Asking(_) => Self::failed(reason),
            NoEnd::NoAnswer(_) => Self::start(reason),
        }
    }
}

impl Answers {
    /// These, by the keys of the questions.
    pub(in crate::cli) fn of(answers: Map<String, Value>) -> Self {
        Self(answers)
    }

    /// Reads a file of them.
    pub(super) fn read(file: &str) -> Result<Self, Failure> {
        let answers = serde_json::from_str(&input::file(file)?);
        answers.map(Self).map_err(|error| Failure::start(format!("the answers are not a JSON object: {error}")))
    }

    /// The answers to these questions.
    ///
    /// # Errors
    /// The questions without one, or an answer that is none.
    pub(super) fn to(&self, request: &Request) -> Result<Vec<(String, Answer)>, NoEnd> {
        let keys = request.questions.iter().map(|(key, _)| key);
        let lacking: Vec<String> =
            keys.clone().filter(|key| !self.0.contains_key(*key)).map(|key| format!("`{key}`")).collect();
        if !lacking.is_empty() {
            return Err(NoEnd::Unanswered(lacking.join(", ")));
        }
        keys.map(|key| {
            let answer = answer(&self.0[key]).ok_or_else(|| NoEnd::NoAnswer(key.clone()))?;
            Ok((key.clone(), answer))
        })
        .collect()
    }
}

fn answer(given: &Value) -> Option<Answer> {
    let is_whole =
        |object: &Map<String, Value>| ["action", "roots", "model"].iter().any(|key| object.contains_key(*key));
    match given {
        Value::String(action) => mcp::client_answer(&json!({ "action": action })),
        Value::Object(object) if is_whole(object) => mcp::client_answer(given),
        Value::Object(_) => mcp::client_answer(&json!({ "action": "accept", "content": given })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::wit::input::Reaction;

    #[test]
    fn short_forms_are_answers_too() {
        let accepted = |given: Value| match answer(&given) {
            Some(Answer::Person(Reaction::Accepted(fields))) => fields.len(),
            _ => usize::MAX,
        };
        assert_eq!(accepted(json!({ "name": "Ada", "age": 7 })), 2);
        assert_eq!(accepted(json!({ "action": "accept", "content": { "name": "Ada" } })), 1);
        assert!(matches!(answer(&json!("decline")), Some(Answer::Person(Reaction::Declined))));
        assert!(matches!(answer(&json!({ "roots": [] })), Some(Answer::Roots(_))));
        for bad in [json!(7), json!("perhaps"), json!({ "action": "x" }), json!({ "name": { "deep": 1 } })] {
            assert!(answer(&bad).is_none(), "{bad}");
        }
    }
}
