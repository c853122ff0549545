//! Decides whether something grows: the slope of the second half of its measurements, as robust as medians are.
//!
//! The slope is that of Theil and Sen: the median of the slopes between any two measurements. Up to a quarter of them may be
//! anything without moving it far, so that a burst, or what a plugin that is being replaced takes, is no growth.

/// Measurements of one thing over time: minutes since the start, and figures.
pub(crate) type Series = Vec<(f64, f64)>;

/// Fewer measurements than this say nothing.
const FEWEST: usize = 12;

/// A limit for a slope.
#[derive(Clone, Copy)]
pub(crate) struct Allowance {
    /// The most that is still flat, in a minute.
    pub(crate) a_minute: f64,
    /// Runs below these minutes are still filling something up that is bounded.
    pub(crate) from_minutes: f64,
}

/// The outcome for one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    Flat(f64),
    Grows(f64),
    /// The run was too short; the slope is shown all the same.
    NotJudged(f64),
}

impl Verdict {
    pub(crate) fn slope(self) -> f64 {
        match self {
            Self::Flat(slope) | Self::Grows(slope) | Self::NotJudged(slope) => slope,
        }
    }
}

/// Judges the second half of a run of that many minutes.
pub(crate) fn judge(series: &[(f64, f64)], minutes: f64, allowance: Allowance) -> Verdict {
    let half = second_half(series, minutes);
    let slope = theil_sen(&half);
    if minutes < allowance.from_minutes || half.len() < FEWEST {
        Verdict::NotJudged(slope)
    } else if slope > allowance.a_minute {
        Verdict::Grows(slope)
    } else {
        Verdict::Flat(slope)
    }
}

fn second_half(series: &[(f64, f64)], minutes: f64) -> Series {
    series.iter().copied().filter(|(at, _)| *at >= minutes / 2.0).collect()
}

/// The median of the slopes between any two measurements; 0 for fewer than two.
fn theil_sen(series: &[(f64, f64)]) -> f64 {
    let mut slopes = Vec::with_capacity(series.len() * series.len().saturating_sub(1) / 2);
    for (index, (from, before)) in series.iter().enumerate() {
        for (to, after) in &series[index + 1..] {
            if to > from {
                slopes.push((after - before) / (to - from));
            }
        }
    }
    median(&mut slopes).unwrap_or(0.0)
}

/// The middle one, and of two the mean; `None` of nothing.
pub(crate) fn median(figures: &mut [f64]) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let (lower, upper) = (figures.get(figures.len().saturating_sub(1) / 2)?, figures.get(figures.len() / 2)?);
    Some(f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance = Allowance { a_minute: 256.0, from_minutes: 10.0 };

    /// A measurement every five seconds of an hour.
    fn hour(figure: impl Fn(usize, f64) -> f64) -> Series {
        (0..720).map(|number| (number, f64::from(number as u32) / 12.0)).map(|(n, at)| (at, figure(n, at))).collect()
    }

    /// Up to `width` in both directions, the same in every run.
    fn noise(number: usize, width: f64) -> f64 {
        let hash = (number as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
        (hash as f64 / (1u64 << 53) as f64 - 0.5) * 2.0 * width
    }

    #[test]
    fn a_leak_is_found_under_noise_that_is_larger_than_it() {
        // 300 KiB a minute make 9 MiB in the second half; the noise is 8 MiB in each direction.
        let series = hour(|number, at| 40_000.0 + 300.0 * at + noise(number, 8_192.0));
        let verdict = judge(&series, 60.0, ALLOWANCE);
        assert!(matches!(verdict, Verdict::Grows(slope) if (270.0..330.0).contains(&slope)), "{verdict:?}");
    }

    #[test]
    fn noise_alone_is_flat() {
        let verdict = judge(&hour(|number, _| 40_000.0 + noise(number, 8_192.0)), 60.0, ALLOWANCE);
        assert!(matches!(verdict, Verdict::Flat(slope) if slope.abs() < 100.0), "{verdict:?}");
    }

    #[test]
    fn what_fills_up_in_the_first_half_is_flat() {
        let verdict = judge(&hour(|_, at| 40_000.0 + 2_000.0 * at.min(25.0)), 60.0, ALLOWANCE);
        assert_eq!(verdict, Verdict::Flat(0.0));
    }

    #[test]
    fn bursts_are_flat_though_they_are_more_at_the_end() {
        let is_burst = |number: usize, at: f64| at > 45.0 && number.is_multiple_of(5);
        let verdict =
            judge(&hour(|number, at| if is_burst(number, at) { 400_000.0 } else { 40_000.0 }), 60.0, ALLOWANCE);
        assert_eq!(verdict, Verdict::Flat(0.0));
    }

    #[test]
    fn rows_that_are_swept_once_a_minute_are_flat_and_those_that_stay_are_not() {
        let one = Allowance { a_minute: 1.0, from_minutes: 42.0 };
        let sawtooth = |at: f64| 600.0 + 30.0 * at.fract();
        assert!(matches!(judge(&hour(|_, at| sawtooth(at)), 60.0, one), Verdict::Flat(_)));
        assert!(matches!(judge(&hour(|_, at| sawtooth(at) + 2.0 * at), 60.0, one), Verdict::Grows(_)));
    }

    #[test]
    fn a_leak_in_steps_is_found() {
        // A descriptor more every four minutes.
        let allowance = Allowance { a_minute: 0.1, from_minutes: 10.0 };
        assert!(matches!(judge(&hour(|_, at| 60.0 + (at / 4.0).floor()), 60.0, allowance), Verdict::Grows(_)));
    }

    #[test]
    fn a_short_run_is_not_judged_and_one_without_measurements_neither() {
        let series: Series = hour(|_, at| 1_000.0 * at).into_iter().filter(|(at, _)| *at < 2.0).collect();
        let verdict = judge(&series, 2.0, ALLOWANCE);
        assert!(matches!(verdict, Verdict::NotJudged(slope) if (999.0..1001.0).contains(&slope)), "{verdict:?}");
        assert_eq!(judge(&[], 60.0, ALLOWANCE), Verdict::NotJudged(0.0));
    }

    #[test]
    fn what_shrinks_does_not_grow() {
        assert!(matches!(judge(&hour(|_, at| 90_000.0 - 900.0 * at), 60.0, ALLOWANCE), Verdict::Flat(_)));
    }
}
