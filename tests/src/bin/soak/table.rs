//! The table: a line a minute, and the verdicts below it.

use std::io::{self, Write as _};

use super::gauge::Reading;
use super::ledger::{Event, Language, Page};
use super::slope::{Allowance, Series, Verdict, judge, median};

/// Something that must not grow.
pub(crate) struct Quantity {
    name: &'static str,
    unit: &'static str,
    allowance: Allowance,
    read: fn(&Reading) -> f64,
}

/// What is judged. The reasons for the numbers are in `--help`.
pub(crate) fn quantities(memory_kib: f64) -> [Quantity; 4] {
    let allowance = |a_minute, from_minutes| Allowance { a_minute, from_minutes };
    [
        Quantity { name: "memory", unit: "KiB", allowance: allowance(memory_kib, 44.0), read: |it| it.memory },
        Quantity { name: "descriptors", unit: "", allowance: allowance(0.2, 10.0), read: |it| it.descriptors },
        Quantity { name: "threads", unit: "", allowance: allowance(0.1, 10.0), read: |it| it.threads },
        Quantity { name: "rows", unit: "", allowance: allowance(2.0, 44.0), read: |it| it.rows },
    ]
}

/// # Errors
/// When nobody reads the table any more.
pub(crate) fn print_head() -> io::Result<()> {
    writeln!(
        io::stdout(),
        "{:>6} {:>8} {:>5} {:>7} {:>5} {:>7}  {:>6} {:>6} {:>8} {:>7} {:>8} {:>9} {:>4} {:>7} {:>6}  {:>15} {:>15} {:>15}",
        "minute",
        "MiB",
        "fds",
        "threads",
        "rows",
        "disk MB",
        "calls",
        "logins",
        "renewals",
        "reloads",
        "sessions",
        "listeners",
        "cuts",
        "outages",
        "failed",
        "Rust p50/p99 ms",
        "Python",
        "JavaScript",
    )
}

/// Prints the medians of a minute's readings beside what happened in it.
///
/// # Errors
/// When nobody reads the table any more.
pub(crate) fn print_minute(minutes: f64, readings: &[Reading], page: &Page) -> io::Result<()> {
    let middle = |read: fn(&Reading) -> f64| {
        let mut figures: Vec<f64> = readings.iter().map(read).collect();
        median(&mut figures).unwrap_or(f64::NAN)
    };
    let latency = |language| match page.latency(language) {
        Some((p50, p99)) => format!("{:.1} / {:.1}", p50 * 1e3, p99 * 1e3),
        None => "-".to_owned(),
    };
    writeln!(
        io::stdout(),
        "{minutes:>6.1} {:>8.1} {:>5.0} {:>7.0} {:>5.0} {:>7.1}  {:>6} {:>6} {:>8} {:>7} {:>8} {:>9} {:>4} {:>7} {:>6}  {:>15} {:>15} {:>15}",
        middle(|it| it.memory) / 1024.0,
        middle(|it| it.descriptors),
        middle(|it| it.threads),
        middle(|it| it.rows),
        middle(|it| it.disk) / 1024.0,
        page.calls(),
        page.events(Event::Login),
        page.events(Event::Renewal),
        page.events(Event::Reload),
        page.events(Event::Session),
        page.events(Event::Listener),
        page.events(Event::Disconnect),
        page.events(Event::Outage),
        page.failures,
        latency(Language::Rust),
        latency(Language::Python),
        latency(Language::JavaScript),
    )
}

/// Prints a line for each quantity. Returns whether none of them grows.
///
/// # Errors
/// When nobody reads the table any more.
pub(crate) fn print_verdicts(quantities: &[Quantity], readings: &[(f64, Reading)], minutes: f64) -> io::Result<bool> {
    let mut is_flat = true;
    writeln!(io::stdout(), "\nslopes of the second half (Theil-Sen), a minute:")?;
    for Quantity { name, unit, allowance, read } in quantities {
        let series: Series = readings.iter().map(|(at, reading)| (*at, read(reading))).collect();
        let verdict = judge(&series, minutes, *allowance);
        let words = match verdict {
            Verdict::Flat(_) => "flat".to_owned(),
            Verdict::Grows(_) => "GROWS".to_owned(),
            Verdict::NotJudged(_) => format!("not judged: takes {} minutes", allowance.from_minutes),
        };
        is_flat &= !matches!(verdict, Verdict::Grows(_));
        let most = format!("at most {:.1} {unit}", allowance.a_minute);
        writeln!(io::stdout(), "  {name:<12} {:>10.2} {unit:<4} {most:<20} {words}", verdict.slope())?;
    }
    Ok(is_flat)
}
