//! This server beside that of another commit, in alternating rounds of the same rows: what became slower.
//!
//! A figure is a **regression** if the median of the rounds' ratios is worse by more than [`NOISE`], *and* each round is
//! worse: what the machine does meanwhile makes single rounds worse, and not all of them. The two run directly after each
//! other, so that a ratio is of one state of the machine.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tinymcp_tests::http::Version;

use super::rounds::{Clients, Contestant, in_turn, round, version_name};
use super::{CONNECTIONS, Row};
use crate::Plan;
use crate::caller::{Dialect, Protocol};
use crate::figures::{Figures, Unit};
use crate::site::{Site, Workshop};
use crate::table::Line;

/// Worse by a share that nobody cares about.
const NOISE: f64 = 0.05;

/// Rows that can be compared.
pub(crate) const ROWS: [Row; 4] = [Row::Calls, Row::Legacy, Row::Latency, Row::Start];

/// In fewer rounds all are worse by chance too often.
const FEWEST: usize = 5;

/// Starts in a round: they are short.
const STARTS: usize = 4;

/// A figure of one round.
struct Figure {
    name: String,
    unit: Unit,
    better: Better,
    value: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    Higher,
    Lower,
}

/// One of the two, with a site of its own: each has its own compiled code.
struct Side {
    workshop: Workshop,
    site: Site,
    /// The figures of each round.
    rounds: Vec<Vec<Figure>>,
}

impl Side {
    fn new(workshop: Workshop) -> anyhow::Result<Self> {
        let site = workshop.site_with_login()?;
        Ok(Self { workshop, site, rounds: Vec::new() })
    }
}

/// The lines of a row, and whether one of its figures is a regression.
///
/// # Errors
/// When one of the two does not start, or gives any wrong answer.
pub(crate) async fn measure(
    row: Row,
    workshop: &Workshop,
    base: &Path,
    plan: Plan,
) -> anyhow::Result<(Vec<Line>, bool)> {
    let mut sides = [Side::new(workshop.with_tinymcp(base))?, Side::new(workshop.clone())?];
    for (side, name) in sides.iter().zip(["base", "new"]) {
        // This one compiles.
        side.workshop.tinymcp(&side.site).await.context(name)?.0.end().await?;
    }
    for number in 0..plan.rounds {
        let mut round = [Vec::new(), Vec::new()];
        for scenario in scenarios(row)? {
            for index in in_turn(&[0, 1], number) {
                let Side { workshop, site, .. } = &sides[index];
                let figures = scenario.figures(workshop, site, plan).await;
                round[index].extend(figures.context(if index == 0 { "base" } else { "new" })?);
            }
        }
        for (side, figures) in sides.iter_mut().zip(round) {
            side.rounds.push(figures);
        }
    }
    let [base, new] = &sides;
    let mut lines = Vec::new();
    let mut is_worse = false;
    for (index, first) in new.rounds[0].iter().enumerate() {
        let of = |side: &Side| -> Vec<f64> { side.rounds.iter().map(|figures| figures[index].value).collect() };
        let (base, new) = (of(base), of(new));
        let ratios: Figures = new.iter().zip(&base).map(|(new, base)| new / base).collect();
        let verdict = judge(&ratios, first.better);
        is_worse |= verdict == Verdict::Worse;
        lines.extend([
            Line::new(format!("{}: base", first.name), base.into_iter().collect(), first.unit),
            Line::new(format!("{}: new", first.name), new.into_iter().collect(), first.unit),
            Line::new(format!("{}: new / base", first.name), ratios, Unit::Ratio).remark(verdict.words()),
        ]);
    }
    Ok((lines, is_worse))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    NotJudged,
    Same,
    Better,
    Worse,
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::NotJudged => "not judged: takes 5 rounds",
            Self::Same => "the same",
            Self::Better => "better",
            Self::Worse => "REGRESSION",
        }
    }
}

/// Judges the ratios of new to base.
fn judge(ratios: &Figures, better: Better) -> Verdict {
    let (higher, lower) =
        if better == Better::Higher { (Verdict::Better, Verdict::Worse) } else { (Verdict::Worse, Verdict::Better) };
    if ratios.len() < FEWEST {
        Verdict::NotJudged
    } else if ratios.median() > 1.0 + NOISE && ratios.smallest() > 1.0 {
        higher
    } else if ratios.median() < 1.0 / (1.0 + NOISE) && ratios.largest() < 1.0 {
        lower
    } else {
        Verdict::Same
    }
}

/// One measurement of a row.
enum Scenario {
    Calls(Clients),
    Starts,
}

fn scenarios(row: Row) -> anyhow::Result<Vec<Scenario>> {
    let of =
        |dialect, http, connections| Scenario::Calls(Clients { protocol: Protocol { dialect, http }, connections });
    let both = |connections| [Version::Http1, Version::Http2].map(|http| of(Dialect::Modern, http, connections));
    Ok(match row {
        Row::Calls => both(CONNECTIONS).into(),
        Row::Legacy => vec![of(Dialect::Legacy, Version::Http1, CONNECTIONS)],
        Row::Latency => both(1).into(),
        Row::Start => vec![Scenario::Starts],
        _ => anyhow::bail!("`{}` cannot be compared", row.name()),
    })
}

impl Scenario {
    /// Always the same figures in the same order.
    async fn figures(&self, workshop: &Workshop, site: &Site, plan: Plan) -> anyhow::Result<Vec<Figure>> {
        let clients = match self {
            Self::Calls(clients) => *clients,
            Self::Starts => return starts(workshop, site).await,
        };
        let round = round(workshop, plan, site, Contestant::Tinymcp, clients).await?;
        let figure = |name: &str, unit, better, value| {
            let name = format!("{} {name}", version_name(clients.protocol.http));
            Figure { name, unit, better, value }
        };
        let latencies = round.tally.latencies();
        let cpu = figure("CPU per call", Unit::Microseconds, Better::Lower, round.cpu_per_call);
        Ok(if clients.connections > 1 {
            vec![figure("calls", Unit::PerSecond, Better::Higher, round.tally.rate()), cpu]
        } else {
            let p50 = figure("p50", Unit::Microseconds, Better::Lower, latencies.median());
            vec![p50, figure("p99", Unit::Microseconds, Better::Lower, latencies.at(0.99)), cpu]
        })
    }
}

async fn starts(workshop: &Workshop, site: &Site) -> anyhow::Result<Vec<Figure>> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let (server, time) = workshop.tinymcp(site).await?;
        server.end().await?;
        times.push(time);
    }
    let (server, _) = workshop.tinymcp(site).await?;
    let memory = server.settled_memory().await?;
    server.end().await?;
    ensure!(memory > 0.0, "a server without memory");
    let time = Figures::from_iter(times).median();
    let figure = |name: &str, unit, value| Figure { name: name.to_owned(), unit, better: Better::Lower, value };
    Ok(vec![figure("exec to ready", Unit::Milliseconds, time), figure("idle", Unit::Mebibytes, memory)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regression_is_larger_than_noise_and_in_every_round() {
        let judge = |ratios: [f64; 5], better| judge(&Figures::from_iter(ratios), better);
        assert_eq!(judge([1.06, 1.08, 1.1, 1.02, 1.3], Better::Lower), Verdict::Worse);
        assert_eq!(judge([1.06, 1.08, 1.1, 0.99, 1.3], Better::Lower), Verdict::Same, "one round is better");
        assert_eq!(judge([1.01, 1.02, 1.03, 1.04, 1.5], Better::Lower), Verdict::Same, "less than the noise");
        assert_eq!(judge([0.9, 0.92, 0.94, 0.8, 0.99], Better::Higher), Verdict::Worse);
        assert_eq!(judge([0.9, 0.92, 0.94, 0.8, 0.99], Better::Lower), Verdict::Better);
        assert_eq!(judge([1.0; 5], Better::Higher), Verdict::Same);
        assert_eq!(super::judge(&Figures::from_iter([1.5; 3]), Better::Lower), Verdict::NotJudged);
    }
}
