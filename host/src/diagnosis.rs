//! What a look at one thing has found: for `tinymcp doctor`, which prints it.

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Whether it is well.
    pub(crate) verdict: Verdict,
    /// What was looked at, in a few words.
    pub(crate) subject: &'static str,
    /// What was seen, in one line.
    pub(crate) seen: String,
    /// What to do about it, one sentence each.
    pub(crate) steps: Vec<String>,
}

/// Whether a thing is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is.
    Good,
    /// It cannot be told from here, or is worth knowing.
    Note,
    /// It is not.
    Bad,
}

impl Finding {
    /// This is well.
    pub(crate) fn good(subject: &'static str, seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, subject, seen: seen.into(), steps: Vec::new() }
    }

    /// This is for a person to judge.
    pub(crate) fn note(subject: &'static str, seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, ..Self::good(subject, seen) }
    }

    /// This is wrong.
    pub(crate) fn bad(subject: &'static str, seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, ..Self::good(subject, seen) }
    }

    /// The same with one more thing to do.
    #[must_use]
    pub(crate) fn step(mut self, step: impl Into<String>) -> Self {
        self.steps.push(step.into());
        self
    }

    /// The same with more things to do.
    #[must_use]
    pub(crate) fn steps(mut self, steps: impl IntoIterator<Item = String>) -> Self {
        self.steps.extend(steps);
        self
    }
}
