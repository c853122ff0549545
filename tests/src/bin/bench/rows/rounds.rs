//! Rounds of calls: each contestant in turn, each time with a process of its own.

use std::time::Duration;

use anyhow::Context as _;
use tinymcp_tests::browser::Browser;
use tinymcp_tests::http::Version;
use tinymcp_tests::oauth::{Kind, OAuthClient};

use crate::Plan;
use crate::caller::{Caller, Dialect, Protocol, Target};
use crate::figures::Figures;
use crate::load::{Load, Tally};
use crate::server::Server;
use crate::site::{Site, Workshop};

/// Calls before each round that are not counted: caches, memory and the processor's clock come up to speed.
const WARM_UP: Duration = Duration::from_millis(500);

/// Time for a server that answers before it has loaded its tools.
const TOOLS_WITHIN: Duration = Duration::from_secs(30);

/// The server under measurement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Contestant {
    Tinymcp,
    Rmcp,
    Echo,
    FastMcp,
    Wassette,
}

/// The clients of a round.
#[derive(Clone, Copy)]
pub(super) struct Clients {
    pub(super) protocol: Protocol,
    pub(super) connections: usize,
}

/// One round of one of them.
pub(super) struct Round {
    pub(super) contestant: Contestant,
    pub(super) tally: Tally,
    /// Processor time that the server took for a call, in seconds.
    pub(super) cpu_per_call: f64,
}

impl Contestant {
    /// The three that every machine has.
    pub(super) const USUAL: [Self; 3] = [Self::Tinymcp, Self::Rmcp, Self::Echo];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tinymcp => "tinymcp, add as a component",
            Self::Rmcp => "rmcp, add in native code",
            Self::Echo => "axum, the request as it came",
            Self::FastMcp => "FastMCP, add in Python",
            Self::Wassette => "Wassette, the same component",
        }
    }

    /// The name in a ratio.
    pub(super) fn short_name(self) -> &'static str {
        match self {
            Self::Tinymcp => "tinymcp",
            Self::Rmcp => "rmcp",
            Self::Echo => "axum",
            Self::FastMcp => "FastMCP",
            Self::Wassette => "Wassette",
        }
    }

    async fn start(self, workshop: &Workshop, site: &Site) -> anyhow::Result<Server> {
        match self {
            Self::Tinymcp => Ok(workshop.tinymcp(site).await?.0),
            Self::Rmcp => workshop.baseline("baseline-rmcp").await,
            Self::Echo => workshop.baseline("baseline-echo").await,
            Self::FastMcp => {
                workshop.fastmcp(workshop.peers().fastmcp.as_deref().context("FastMCP is not at hand")?).await
            }
            Self::Wassette => {
                workshop.wassette(workshop.peers().wassette.as_deref().context("Wassette is not at hand")?).await
            }
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

    /// The dialect that it understands, of those that are asked for.
    fn dialect(self, wanted: Dialect) -> Dialect {
        match self {
            Self::Echo => Dialect::Echo,
            Self::Wassette => Dialect::Legacy,
            Self::Tinymcp | Self::Rmcp | Self::FastMcp => wanted,
        }
    }
}

/// The name of a version in the table.
pub(super) fn version_name(version: Version) -> &'static str {
    match version {
        Version::Http1 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}

/// # Errors
/// When one of them does not start, or gives any wrong answer.
pub(super) async fn rounds(
    workshop: &Workshop,
    plan: Plan,
    contestants: &[Contestant],
    clients: Clients,
) -> anyhow::Result<Vec<Round>> {
    rounds_at(workshop, plan, &workshop.site_with_login()?, contestants, clients).await
}

/// The same with this site of TinyMCP's.
///
/// # Errors
/// As [`rounds`].
pub(super) async fn rounds_at(
    workshop: &Workshop,
    plan: Plan,
    site: &Site,
    contestants: &[Contestant],
    clients: Clients,
) -> anyhow::Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for number in 0..plan.rounds {
        for contestant in in_turn(contestants, number) {
            let round = round(workshop, plan, site, contestant, clients).await;
            rounds.push(round.with_context(|| contestant.name())?);
        }
    }
    Ok(rounds)
}

/// The order of a round: nobody is always the first, or always behind the same other.
pub(super) fn in_turn<T: Clone>(contestants: &[T], round: usize) -> Vec<T> {
    let mut order = contestants.to_vec();
    order.rotate_left(round % contestants.len().max(1));
    order
}

/// # Errors
/// When the server does not start, or gives any wrong answer.
pub(super) async fn round(
    workshop: &Workshop,
    plan: Plan,
    site: &Site,
    contestant: Contestant,
    clients: Clients,
) -> anyhow::Result<Round> {
    let Clients { protocol, connections } = clients;
    let protocol = Protocol { dialect: contestant.dialect(protocol.dialect), ..protocol };
    let server = contestant.start(workshop, site).await?;
    let target = contestant.target(&server).await?;
    answers(&target, protocol).await?;
    Load::run(&target, protocol, connections, WARM_UP).await?;
    let cpu_before = server.cpu_time()?;
    let tally = Load::run(&target, protocol, connections, plan.round).await?;
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

/// Waits for the first right answer.
async fn answers(target: &Target, protocol: Protocol) -> anyhow::Result<()> {
    let began = std::time::Instant::now();
    loop {
        let answered = match Caller::connect(target, protocol).await {
            Ok(mut caller) => caller.add(1).await,
            Err(error) => Err(error),
        };
        match answered {
            Err(error) if began.elapsed() > TOOLS_WITHIN => return Err(error.context("no right answer")),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Ok(()) => return Ok(()),
        }
    }
}

pub(super) fn figures(rounds: &[Round], contestant: Contestant, figure: impl Fn(&Round) -> f64) -> Figures {
    rounds.iter().filter(|round| round.contestant == contestant).map(figure).collect()
}

/// A figure of TinyMCP as a share of the other's, round by round.
pub(super) fn ratios(rounds: &[Round], other: Contestant, figure: impl Fn(&Round) -> f64) -> Figures {
    let of = |contestant| rounds.iter().filter(move |round| round.contestant == contestant).map(&figure);
    of(Contestant::Tinymcp).zip(of(other)).map(|(ours, theirs)| ours / theirs).collect()
}

#[cfg(test)]
mod tests {
    use super::in_turn;

    #[test]
    fn everybody_is_first_once() {
        let firsts: Vec<i32> = (0..3).map(|round| in_turn(&[1, 2, 3], round)[0]).collect();
        assert_eq!(firsts, [1, 2, 3]);
    }
}
