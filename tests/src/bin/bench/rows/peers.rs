//! Calls of `add` beside servers of others, in the same rounds: FastMCP, and Wassette with the very component.
//!
//! One that is not at hand is named. One that is there and gives no right answers takes no part in the rounds, and its
//! error stands in its place.

use tinymcp_tests::http::Version;

use super::CONNECTIONS;
use super::calls::{cost_lines, latency_lines, rate_lines};
use super::rounds::{Clients, Contestant, in_turn, ratios, round};
use crate::Plan;
use crate::caller::{Dialect, Protocol};
use crate::figures::Unit;
use crate::site::Workshop;
use crate::table::Line;

/// # Errors
/// When one of ours does not start, or gives any wrong answer.
pub(super) async fn measure(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let protocol = Protocol { dialect: Dialect::Modern, http: Version::Http1 };
    let clients = Clients { protocol, connections: CONNECTIONS };
    let mut contestants = Contestant::USUAL.to_vec();
    let mut absent = Vec::new();
    let fastmcp = "pip could not install it, see `tests/setup/fastmcp-packages`";
    let wassette = "no `wassette` on the PATH or in WASSETTE";
    for (peer, is_at_hand, reason) in [
        (Contestant::FastMcp, workshop.peers().fastmcp.is_some(), fastmcp),
        (Contestant::Wassette, workshop.peers().wassette.is_some(), wassette),
    ] {
        if is_at_hand { contestants.push(peer) } else { absent.push(Line::missing(peer.name(), reason)) }
    }

    let site = workshop.site_with_login()?;
    let mut rounds = Vec::new();
    for number in 0..plan.rounds {
        for contestant in in_turn(&contestants, number) {
            match round(workshop, plan, &site, contestant, clients).await {
                Ok(round) => rounds.push(round),
                Err(error) if Contestant::USUAL.contains(&contestant) => return Err(error.context(contestant.name())),
                Err(error) => {
                    absent.push(Line::failed(contestant.name(), &error));
                    contestants.retain(|it| *it != contestant);
                    rounds.retain(|round| round.contestant != contestant);
                }
            }
        }
    }
    let mut lines = rate_lines(&rounds, &contestants, "");
    lines.extend(absent);
    for other in contestants.iter().filter(|it| **it != Contestant::Tinymcp) {
        let ratio = ratios(&rounds, *other, |round| round.tally.rate());
        lines.push(Line::new(format!("tinymcp / {}", other.short_name()), ratio, Unit::Ratio));
    }
    lines.extend(cost_lines(&rounds, &contestants, ""));
    lines.extend(latency_lines(&rounds, &contestants, ""));
    Ok(lines)
}
