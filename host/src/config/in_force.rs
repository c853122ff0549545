//! What is in force, for `tinymcp check`: TOML, with the source of each value behind it.

use std::fmt;

use super::key::{Key, quoted};
use super::problem::Source;

/// What stands in place of a secret.
pub(super) const REDACTED: &str = "\"***\"";

/// Every value that was read, in the order in which the keys are declared. It displays as TOML without secrets.
#[derive(Clone, Debug)]
pub struct InForce(pub(super) Vec<Line>);

/// One key with its value.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) key: Key,
    /// The value in TOML, as it was written, or redacted.
    pub(super) shown: String,
    pub(super) source: Source,
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Key::default();
        for line in &self.0 {
            if line.key.table() != table {
                let gap = if table.is_root() { "" } else { "\n" };
                table = line.key.table();
                writeln!(f, "{gap}[{table}]")?;
            }
            writeln!(f, "{} = {}  # {}", quoted(line.key.name()), line.shown, line.source)?;
        }
        Ok(())
    }
}
