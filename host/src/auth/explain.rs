//! What a person is told when a login cannot go on.

/// One page's worth of it: what happened, and who must do what. Text between backticks is shown as code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The heading.
    pub title: String,
    /// What happened, in one or two sentences.
    pub happened: String,
    /// Who must act and how, one sentence each.
    pub steps: Vec<String>,
    /// The provider's own words, to be shown as a quotation.
    pub quote: Option<String>,
}
