//! Findings of `tinymcp doctor`, which prints them.

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// The thing that was checked, in a few words.
    pub(crate) subject: &'static str,
    /// The observation, in one line.
    pub(crate) seen: String,
    /// Steps to mend it, one sentence each.
    pub(crate) steps: Vec<String>,
}

/// The verdict on one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The thing is well.
    Good,
    /// It cannot be judged from here, or is worth knowing.
    Note,
    /// Something is wrong with it.
    Bad,
}

impl Finding {
    /// Reports a thing that is well.
    pub(crate) fn good(subject: &'static str, seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, subject, seen: seen.into(), steps: Vec::new() }
    }

    /// Reports a thing for a person to judge.
    pub(crate) fn note(subject: &'static str, seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, ..Self::good(subject, seen) }
    }

    /// Reports a thing that is wrong.
    pub(crate) fn bad(subject: &'static str, seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, ..Self::good(subject, seen) }
    }

    /// Adds a step.
    #[must_use]
    pub(crate) fn step(mut self, step: impl Into<String>) -> Self {
        self.steps.push(step.into());
        self
    }

    /// Adds several steps.
    #[must_use]
    pub(crate) fn steps(mut self, steps: impl IntoIterator<Item = String>) -> Self {
        self.steps.extend(steps);
        self
    }
}
