//! Measurements of one thing, and how they are summed up.

use std::time::Duration;

/// One or more measurements of one thing, in order of size.
pub(crate) struct Figures(Vec<f64>);

/// In what a figure is shown.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// A number of things.
    Count,
    /// Things in a second.
    PerSecond,
    /// A ratio.
    Ratio,
    /// From seconds.
    Microseconds,
    /// From seconds.
    Milliseconds,
    /// From bytes.
    Kibibytes,
    /// From bytes.
    Mebibytes,
}

/// The target of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Figures {
    /// The measurement at this share of all, between 0 and 1; NaN without measurements.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub(crate) fn smallest(&self) -> f64 {
        self.at(0.0)
    }

    pub(crate) fn largest(&self) -> f64 {
        self.at(1.0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<f64> for Figures {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }
}

impl FromIterator<Duration> for Figures {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        durations.into_iter().map(|duration| duration.as_secs_f64()).collect()
    }
}

impl Unit {
    pub(crate) fn show(self, figure: f64) -> String {
        match self {
            Self::Count => format!("{figure:.0}"),
            Self::PerSecond => format!("{figure:.0}/s"),
            Self::Ratio => format!("{figure:.2}"),
            Self::Microseconds => format!("{:.1} µs", figure * 1e6),
            Self::Milliseconds => format!("{:.1} ms", figure * 1e3),
            Self::Kibibytes => format!("{:.0} KiB", figure / 1024.0),
            Self::Mebibytes => format!("{:.1} MiB", figure / (1024.0 * 1024.0)),
        }
    }
}

impl Goal {
    pub(crate) fn is_reached_by(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(goal) => figure >= goal,
            Self::AtMost(goal) => figure <= goal,
        }
    }

    pub(crate) fn show(self, unit: Unit) -> String {
        match self {
            Self::AtLeast(goal) => format!(">= {}", unit.show(goal)),
            Self::AtMost(goal) => format!("<= {}", unit.show(goal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_their_share() {
        let figures = Figures::from_iter([3.0, 1.0, 2.0, 5.0, 4.0]);
        assert_eq!((figures.smallest(), figures.median(), figures.largest()), (1.0, 3.0, 5.0));
        assert_eq!(figures.at(0.99), 5.0);
        assert!(Figures::from_iter::<[f64; 0]>([]).median().is_nan());
    }

    #[test]
    fn a_figure_that_could_not_be_measured_reaches_nothing() {
        assert!(!Goal::AtLeast(0.8).is_reached_by(f64::NAN));
        assert!(!Goal::AtMost(0.8).is_reached_by(f64::NAN));
    }
}
