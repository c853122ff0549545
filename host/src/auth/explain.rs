//! What a page says when something went wrong: what happened, who must act, and how.

use serde::{Deserialize, Serialize};

/// An explanation for a person. Nothing in it is markup; whoever shows it escapes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The heading.
    pub title: String,
    /// What happened, in one or two sentences.
    pub happened: String,
    /// Who must act and how, one sentence each.
    pub steps: Vec<String>,
    /// Somebody else's words, such as the provider's.
    pub quote: Option<String>,
}

impl Explanation {
    /// An explanation without a quote.
    pub fn new(title: &str, happened: impl Into<String>, steps: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            happened: happened.into(),
            steps: steps.iter().map(|step| (*step).to_owned()).collect(),
            quote: None,
        }
    }

    /// The same with somebody else's words.
    #[must_use]
    pub fn quoting(mut self, words: impl Into<String>) -> Self {
        self.quote = Some(words.into());
        self
    }
}
