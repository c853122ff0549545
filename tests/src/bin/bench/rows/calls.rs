//! Calls of `add`: TinyMCP, a bare rmcp server and an axum echo in turn, each round with processes of its own.

use std::time::Duration;

use anyhow::Context as _;

use tinymcp_tests::browser::Browser;
use tinymcp_tests::oauth::{Kind, OAuthClient};

use super::CONNECTIONS;
use crate::Plan;
use crate::caller::{Dialect, Target};
use crate::figures::{Figures, Goal, Unit};
use crate::load::{Load, Tally};
use crate::server::Server;
use crate::site::{Site, Workshop};
use crate::table::Line;

/// Calls before each round that are not counted: caches, memory and the processor's clock come up to speed.
const WARM_UP: Duration = Duration::from_millis(500);

/// The server under measurement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contestant {
    Tinymcp,
    Rmcp,
    Echo,
}

/// One round of one of them.
struct Round {
    contestant: Contestant,
    tally: Tally,
    /// Processor time that the server took for a call, in seconds.
    cpu_per_call: f64,
}

impl Contestant {
    fn name(self) -> &'static str {
        match self {
            Self::Tinymcp => "tinymcp, add as a component",
            Self::Rmcp => "rmcp, add in native code",
            Self::Echo => "axum, the request as it came",
        }
    }

    async fn start(self, workshop: &Workshop, site: &Site) -> anyhow::Result<Server> {
        match self {
            Self::Tinymcp => Ok(workshop.tinymcp(site).await?.0),
            Self::Rmcp => workshop.baseline("baseline-rmcp").await,
            Self::Echo => workshop.baseline("baseline-echo").await,
        }
    }

    /// Whom to call. TinyMCP is measured as people use it: logged in.
    async fn target(self, server: &Server) -> anyhow::Result<Target> {
        let mut target = Target::open(server.address);
        if self == Self::Tinymcp {
            let base = format!("http://localhost:{}", server.address.port()).parse()?;
            let client = OAuthClient::register(&base, Kind::ClaudeCode).await;
            target.token = Some(client.log_in(&mut Browser::of("alice")).await.access);
        }
        Ok(target)
    }
}

/// Calls in a second. The ratios are what counts: they are those of one round, and so of one state of the machine.
///
/// # Errors
/// When a server does not start, or gives any wrong answer.
pub(super) async fn rates(workshop: &Workshop, plan: Plan, dialect: Dialect) -> anyhow::Result<Vec<Line>> {
    let contestants: &[Contestant] = match dialect {
        Dialect::Legacy => &[Contestant::Tinymcp, Contestant::Rmcp],
        Dialect::Modern | Dialect::Echo => &[Contestant::Tinymcp, Contestant::Rmcp, Contestant::Echo],
    };
    let rounds = rounds(workshop, plan, contestants, dialect, CONNECTIONS).await?;
    let mut lines = Vec::new();
    for contestant in contestants {
        let rates = figures(&rounds, *contestant, |round| round.tally.rate());
        lines.push(Line::new(contestant.name(), rates, Unit::PerSecond));
    }
    let to_rmcp = Line::new("tinymcp / rmcp", ratios(&rounds, Contestant::Rmcp), Unit::Ratio);
    let to_echo = Line::new("tinymcp / axum", ratios(&rounds, Contestant::Echo), Unit::Ratio);
    match dialect {
        // For information: the figures to reach are those of the modern era.
        Dialect::Legacy => lines.push(to_rmcp),
        Dialect::Modern | Dialect::Echo => lines
            .extend([to_rmcp.goal(Goal::AtLeast(0.8)).later(Goal::AtLeast(1.2)), to_echo.later(Goal::AtLeast(0.4))]),
    }
    for contestant in contestants {
        let cpu = figures(&rounds, *contestant, |round| round.cpu_per_call);
        lines.push(Line::new(format!("CPU per call: {}", contestant.name()), cpu, Unit::Microseconds));
    }
    Ok(lines)
}

/// The time of a call that has the server to itself.
///
/// # Errors
/// As [`rates`].
pub(super) async fn latencies(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let contestants = [Contestant::Tinymcp, Contestant::Rmcp, Contestant::Echo];
    let rounds = rounds(workshop, plan, &contestants, Dialect::Modern, 1).await?;
    let mut lines = Vec::new();
    for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
        for contestant in contestants {
            let latencies = figures(&rounds, contestant, |round| round.tally.latencies().at(share));
            lines.push(Line::new(format!("{name}: {}", contestant.name()), latencies, Unit::Microseconds));
        }
    }
    Ok(lines)
}

async fn rounds(
    workshop: &Workshop,
    plan: Plan,
    contestants: &[Contestant],
    dialect: Dialect,
    connections: usize,
) -> anyhow::Result<Vec<Round>> {
    let site = workshop.site_with_login()?;
    let mut rounds = Vec::new();
    for number in 0..plan.rounds {
        // Nobody is always the first, or always behind the same other.
        let mut order = contestants.to_vec();
        order.rotate_left(number % contestants.len());
        for contestant in order {
            let round = round(workshop, plan, &site, contestant, dialect, connections).await;
            rounds.push(round.with_context(|| contestant.name())?);
        }
    }
    Ok(rounds)
}

async fn round(
    workshop: &Workshop,
    plan: Plan,
    site: &Site,
    contestant: Contestant,
    dialect: Dialect,
    connections: usize,
) -> anyhow::Result<Round> {
    let dialect = if contestant == Contestant::Echo { Dialect::Echo } else { dialect };
    let server = contestant.start(workshop, site).await?;
    let target = contestant.target(&server).await?;
    Load::run(&target, dialect, connections, WARM_UP).await?;
    let cpu_before = server.cpu_time()?;
    let tally = Load::run(&target, dialect, connections, plan.round).await?;
    let cpu = server.cpu_time()?.saturating_sub(cpu_before);
    server.end().await?;
    if let Some(failure) = &tally.first_failure {
        anyhow::bail!(
            "{} of {} calls failed, the first with: {failure}",
            tally.failed,
            tally.failed + tally.answered()
        );
    }
    let cpu_per_call = cpu.as_secs_f64() / tally.answered() as f64;
    Ok(Round { contestant, tally, cpu_per_call })
}

fn figures(rounds: &[Round], contestant: Contestant, figure: impl Fn(&Round) -> f64) -> Figures {
    rounds.iter().filter(|round| round.contestant == contestant).map(figure).collect()
}

/// The rate of TinyMCP as a share of the other's, round by round.
fn ratios(rounds: &[Round], other: Contestant) -> Figures {
    let rates =
        |contestant| rounds.iter().filter(move |round| round.contestant == contestant).map(|it| it.tally.rate());
    rates(Contestant::Tinymcp).zip(rates(other)).map(|(ours, theirs)| ours / theirs).collect()
}
