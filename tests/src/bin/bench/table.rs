//! The table that the bench prints, line by line as rows are done.

use std::io::{self, Write as _};

use super::figures::{Figures, Goal, Unit};
use super::rows::Row;

/// One figure with what it is of.
pub(crate) struct Line {
    what: String,
    figures: Figures,
    unit: Unit,
    goal: Option<Goal>,
    /// The target of a later version.
    later: Option<Goal>,
}

impl Line {
    pub(crate) fn new(what: impl Into<String>, figures: Figures, unit: Unit) -> Self {
        Self { what: what.into(), figures, unit, goal: None, later: None }
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    pub(crate) fn later(mut self, goal: Goal) -> Self {
        self.later = Some(goal);
        self
    }

    fn spread(&self) -> String {
        if self.figures.len() < 2 {
            return String::new();
        }
        let [smallest, largest] = [self.figures.smallest(), self.figures.largest()].map(|it| self.unit.show(it));
        format!("{smallest} .. {largest}")
    }

    fn verdict(&self) -> String {
        let later = self.later.map(|goal| format!("later {}", goal.show(self.unit)));
        let goal = self.goal.map(|goal| {
            let verdict = if goal.is_reached_by(self.figures.median()) { "reached" } else { "MISSED" };
            format!("{}  {verdict}", goal.show(self.unit))
        });
        goal.into_iter().chain(later).collect::<Vec<_>>().join(", ")
    }
}

/// # Errors
/// When nobody reads the table any more.
pub(crate) fn print_head() -> io::Result<()> {
    columns("", "median", "spread", "to reach")
}

/// # Errors
/// When nobody reads the table any more.
pub(crate) fn print(row: Row, lines: &[Line]) -> io::Result<()> {
    writeln!(io::stdout(), "\n{}: {}", row.name(), row.title())?;
    for line in lines {
        let measured = line.unit.show(line.figures.median());
        columns(&format!("  {}", line.what), &measured, &line.spread(), &line.verdict())?;
    }
    Ok(())
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
