//! The table that the bench prints, line by line as rows are done.

use std::io::{self, Write as _};

use super::figures::{Figures, Goal, Unit};
use super::rows::Row;

/// One figure with what it is of.
pub(crate) struct Line {
    what: String,
    measured: Measured,
    goal: Option<Goal>,
    /// A judgement in words, beside the goal.
    remark: String,
}

enum Measured {
    Figures(Figures, Unit),
    /// The reason why there are none.
    Missing(String),
    /// The error that was in the way.
    Failed(String),
}

impl Line {
    pub(crate) fn new(what: impl Into<String>, figures: Figures, unit: Unit) -> Self {
        Self::of(what, Measured::Figures(figures, unit))
    }

    /// Something that this machine does not have.
    pub(crate) fn missing(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::of(what, Measured::Missing(reason.into()))
    }

    /// Something that could not be measured though it is there.
    pub(crate) fn failed(what: impl Into<String>, error: &anyhow::Error) -> Self {
        Self::of(what, Measured::Failed(format!("{error:#}")))
    }

    fn of(what: impl Into<String>, measured: Measured) -> Self {
        Self { what: what.into(), measured, goal: None, remark: String::new() }
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    pub(crate) fn remark(mut self, words: impl Into<String>) -> Self {
        self.remark = words.into();
        self
    }

    pub(crate) fn is_failure(&self) -> bool {
        matches!(self.measured, Measured::Failed(_))
    }

    fn print(&self) -> io::Result<()> {
        let what = format!("  {}", self.what);
        match &self.measured {
            Measured::Figures(figures, unit) => {
                let verdict = self.verdict(figures, *unit);
                columns(&what, &unit.show(figures.median()), &spread(figures, *unit), &verdict)
            }
            Measured::Missing(reason) => writeln!(io::stdout(), "{what:<44} not at hand: {reason}"),
            Measured::Failed(error) => writeln!(io::stdout(), "{what:<44} NOT MEASURED: {error}"),
        }
    }

    fn verdict(&self, figures: &Figures, unit: Unit) -> String {
        let goal = self.goal.map(|goal| {
            let verdict = if goal.is_reached_by(figures.median()) { "reached" } else { "MISSED" };
            format!("{}  {verdict}", goal.show(unit))
        });
        let remark = Some(self.remark.clone()).filter(|remark| !remark.is_empty());
        goal.into_iter().chain(remark).collect::<Vec<_>>().join(", ")
    }
}

fn spread(figures: &Figures, unit: Unit) -> String {
    if figures.len() < 2 {
        return String::new();
    }
    let [smallest, largest] = [figures.smallest(), figures.largest()].map(|it| unit.show(it));
    format!("{smallest} .. {largest}")
}

/// # Errors
/// When nobody reads the table any more.
pub(crate) fn print_head(last: &str) -> io::Result<()> {
    columns("", "median", "spread", last)
}

/// # Errors
/// When nobody reads the table any more.
pub(crate) fn print(row: Row, lines: &[Line]) -> io::Result<()> {
    writeln!(io::stdout(), "\n{}: {}", row.name(), row.title())?;
    lines.iter().try_for_each(Line::print)
}

/// # Errors
/// When nobody reads the table any more.
pub(crate) fn print_failure(row: Row, error: &anyhow::Error) -> io::Result<()> {
    writeln!(io::stdout(), "\n{}: {}\n  NOT MEASURED: {error:#}", row.name(), row.title())
}

fn columns(what: &str, measured: &str, spread: &str, goal: &str) -> io::Result<()> {
    let line = format!("{what:<44} {measured:>12}  {spread:<26} {goal}");
    writeln!(io::stdout(), "{}", line.trim_end())
}
