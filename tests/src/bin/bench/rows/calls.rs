//! Calls of `add`: TinyMCP, a bare rmcp server and an axum echo, over HTTP/1.1 and HTTP/2.

use tinymcp_tests::http::Version;

use super::CONNECTIONS;
use super::rounds::{Clients, Contestant, Round, figures, ratios, rounds, rounds_at, version_name};
use crate::Plan;
use crate::caller::{Dialect, Protocol};
use crate::figures::{Goal, Unit};
use crate::site::Workshop;
use crate::table::Line;

const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];

/// Calls in a second. The ratios are what counts: they are those of one round, and so of one state of the machine.
///
/// # Errors
/// When a server does not start, or gives any wrong answer.
pub(super) async fn rates(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for http in VERSIONS {
        let clients = Clients { protocol: Protocol { dialect: Dialect::Modern, http }, connections: CONNECTIONS };
        let rounds = rounds(workshop, plan, &Contestant::USUAL, clients).await?;
        lines.extend(lines_of(&rounds, &Contestant::USUAL, http));
    }
    Ok(lines)
}

/// The same in sessions of the legacy era, for information.
///
/// # Errors
/// As [`rates`].
pub(super) async fn legacy(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let contestants = [Contestant::Tinymcp, Contestant::Rmcp];
    let protocol = Protocol { dialect: Dialect::Legacy, http: Version::Http1 };
    let rounds = rounds(workshop, plan, &contestants, Clients { protocol, connections: CONNECTIONS }).await?;
    let mut lines = rate_lines(&rounds, &contestants, "");
    let ratio = ratios(&rounds, Contestant::Rmcp, |round| round.tally.rate());
    lines.push(Line::new("tinymcp / rmcp", ratio, Unit::Ratio));
    lines.extend(cost_lines(&rounds, &contestants, ""));
    Ok(lines)
}

/// The same for a component as plain cargo builds it, with 1 MiB of stack that has to be clean for every call.
///
/// # Errors
/// As [`rates`]; and when the component was not built.
pub(super) async fn plain(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let contestants = [Contestant::Tinymcp, Contestant::Rmcp];
    let protocol = Protocol { dialect: Dialect::Modern, http: Version::Http1 };
    let site = workshop.site_with_login()?;
    site.put("add.wasm", &workshop.plain_add()?)?;
    let clients = Clients { protocol, connections: CONNECTIONS };
    let rounds = rounds_at(workshop, plan, &site, &contestants, clients).await?;
    let mut lines = rate_lines(&rounds, &contestants, "");
    let ratio = ratios(&rounds, Contestant::Rmcp, |round| round.tally.rate());
    lines.push(Line::new("tinymcp / rmcp", ratio, Unit::Ratio).goal(Goal::AtLeast(0.8)));
    lines.extend(cost_lines(&rounds, &contestants, ""));
    Ok(lines)
}

/// The time of a call that has the server to itself.
///
/// # Errors
/// As [`rates`].
pub(super) async fn latencies(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for http in VERSIONS {
        let clients = Clients { protocol: Protocol { dialect: Dialect::Modern, http }, connections: 1 };
        let rounds = rounds(workshop, plan, &Contestant::USUAL, clients).await?;
        let prefix = format!("{} ", version_name(http));
        lines.extend(latency_lines(&rounds, &Contestant::USUAL, &prefix));
        for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
            let ratio = ratios(&rounds, Contestant::Rmcp, |round| round.tally.latencies().at(share));
            let line = Line::new(format!("{prefix}{name}: tinymcp / rmcp"), ratio, Unit::Ratio);
            lines.push(line.goal(Goal::AtMost(1.0)));
        }
        lines.extend(cost_lines(&rounds, &Contestant::USUAL, &prefix));
    }
    Ok(lines)
}

fn lines_of(rounds: &[Round], contestants: &[Contestant], http: Version) -> Vec<Line> {
    let prefix = format!("{} ", version_name(http));
    // What is to be reached is reached over HTTP/1.1, which most clients speak to a server without TLS.
    let with_goal = |line: Line, goal| if http == Version::Http1 { line.goal(goal) } else { line };
    let mut lines = rate_lines(rounds, contestants, &prefix);
    for (other, least) in [(Contestant::Rmcp, 1.5), (Contestant::Echo, 0.55)] {
        let ratio = ratios(rounds, other, |round| round.tally.rate());
        let line = Line::new(format!("{prefix}tinymcp / {}", other.short_name()), ratio, Unit::Ratio);
        lines.push(with_goal(line, Goal::AtLeast(least)));
    }
    lines.extend(cost_lines(rounds, contestants, &prefix));
    let ratio = ratios(rounds, Contestant::Rmcp, |round| round.cpu_per_call);
    let line = Line::new(format!("{prefix}CPU per call: tinymcp / rmcp"), ratio, Unit::Ratio);
    lines.push(with_goal(line, Goal::AtMost(0.62)));
    lines.extend(latency_lines(rounds, contestants, &prefix));
    lines
}

/// Calls in a second.
pub(super) fn rate_lines(rounds: &[Round], contestants: &[Contestant], prefix: &str) -> Vec<Line> {
    let line = |contestant: &Contestant| {
        let rates = figures(rounds, *contestant, |round| round.tally.rate());
        Line::new(format!("{prefix}{}", contestant.name()), rates, Unit::PerSecond)
    };
    contestants.iter().map(line).collect()
}

/// Processor time of a call.
pub(super) fn cost_lines(rounds: &[Round], contestants: &[Contestant], prefix: &str) -> Vec<Line> {
    let line = |contestant: &Contestant| {
        let cpu = figures(rounds, *contestant, |round| round.cpu_per_call);
        Line::new(format!("{prefix}CPU per call: {}", contestant.short_name()), cpu, Unit::Microseconds)
    };
    contestants.iter().map(line).collect()
}

/// Median and p99 of a call.
pub(super) fn latency_lines(rounds: &[Round], contestants: &[Contestant], prefix: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
        for contestant in contestants {
            let latencies = figures(rounds, *contestant, |round| round.tally.latencies().at(share));
            let what = format!("{prefix}{name}: {}", contestant.short_name());
            lines.push(Line::new(what, latencies, Unit::Microseconds));
        }
    }
    lines
}
