//! Servers of one store: what a login, a refresh and a call cost there, in processor time and in steps of Redis.
//!
//! A step is a script or a message of the server's own; the commands within a script are a part of it. What a server does
//! while nobody asks it anything is measured first and taken off.

use std::time::{Duration, Instant};

use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::Client;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::redis::Redis;
use tinymcp_tests::server::Server;
use tinymcp_tests::world;

use crate::Plan;
use crate::figures::{Figures, Unit};
use crate::server::cpu_time;
use crate::site::Workshop;
use crate::table::Line;

/// Of each kind, in a round.
const LOGINS: u32 = 50;
const REFRESHES: u32 = 200;
const CALLS: u32 = 1000;

/// The time for which idle servers are watched.
const IDLE: Duration = Duration::from_secs(5);

const SECRET: &str = "a secret that all servers of this bench share";

/// A store, and two servers of it.
struct Pair {
    redis: Redis,
    one: Server,
    other: Server,
}

/// What had been spent at one moment.
#[derive(Clone, Copy)]
struct Spent {
    at: Instant,
    cpu: Duration,
    steps: f64,
    bytes: f64,
}

/// What one of many took.
struct Cost {
    cpu: f64,
    steps: f64,
    bytes: f64,
}

/// # Errors
/// When there is no Redis, or /proc cannot be read.
pub(super) async fn measure(workshop: &Workshop, plan: Plan) -> anyhow::Result<Vec<Line>> {
    let (mut idle, mut login, mut refresh) = (Vec::new(), Vec::new(), Vec::new());
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let pair = Pair::start(workshop).await;
        let before = pair.spent()?;
        tokio::time::sleep(IDLE).await;
        let after = pair.spent()?;
        let seconds = (after.at - before.at).as_secs_f64() * 2.0;
        let rate = Cost {
            cpu: (after.cpu - before.cpu).as_secs_f64() / seconds,
            steps: (after.steps - before.steps) / seconds,
            bytes: 0.0,
        };
        let base = pair.one.site().base();
        let client = OAuthClient::register(&base, Kind::ClaudeCode).await;
        let mut all = Vec::new();
        let logins = async || {
            for number in 0..LOGINS {
                all.push(client.log_in(&mut Browser::of(&format!("person{number}"))).await);
            }
        };
        login.push(pair.cost(&rate, LOGINS, logins).await?);
        let mut tokens: Tokens = client.log_in(&mut Browser::of("alice")).await;
        let refreshes = async || {
            for _ in 0..REFRESHES {
                tokens = client.renew(&tokens.refresh).await;
            }
        };
        refresh.push(pair.cost(&rate, REFRESHES, refreshes).await?);
        let call = async |client: Client| drop(client.result("tools/list", serde_json::json!({})).await);
        let first = async || {
            for tokens in &all {
                call(Client::modern(&pair.other).with_token(&tokens.access)).await;
            }
        };
        unknown.push(pair.cost(&rate, LOGINS, first).await?);
        let again = async || {
            for number in 0..CALLS {
                let tokens = &all[usize::try_from(number).unwrap_or_default() % all.len()];
                call(Client::modern(&pair.other).with_token(&tokens.access)).await;
            }
        };
        known.push(pair.cost(&rate, CALLS, again).await?);
        idle.push(rate);
    }
    let figures = |costs: &[Cost], figure: fn(&Cost) -> f64| costs.iter().map(figure).collect::<Figures>();
    let mut lines = vec![
        Line::new("an idle server, steps", figures(&idle, |it| it.steps), Unit::PerSecond),
        Line::new("an idle server, processor time a second", figures(&idle, |it| it.cpu), Unit::Milliseconds),
    ];
    for (what, costs) in [
        ("a login, from the client's first request", &login),
        ("a refresh", &refresh),
        ("the first request with a token here", &unknown),
        ("a further request", &known),
    ] {
        lines.push(Line::new(format!("{what}, steps"), figures(costs, |it| it.steps), Unit::Ratio));
        lines.push(Line::new(format!("{what}, processor time"), figures(costs, |it| it.cpu), Unit::Microseconds));
    }
    lines.push(Line::new("a session, memory of Redis", figures(&login, |it| it.bytes), Unit::Kibibytes));
    Ok(lines)
}

impl Pair {
    async fn start(workshop: &Workshop) -> Self {
        let redis = Redis::durable();
        let (first, second) = (world::local(), world::local());
        let (base, url) = (first.base(), redis.url());
        let published = base.as_str().trim_end_matches('/');
        let text = format!("[server]\nbase_url = \"{published}\"\n[state]\nurl = \"{url}\"\n");
        let sites = [first, second]
            .map(|site| site.config(&text).variable("TINYMCP_SECRET", SECRET).program(workshop.program()));
        let [first, second] = sites;
        Self { one: first.start().await, other: second.start().await, redis }
    }

    /// Both servers together.
    fn spent(&self) -> anyhow::Result<Spent> {
        let cpu = cpu_time(self.one.pid())? + cpu_time(self.other.pid())?;
        let said = self.redis.ask(&["INFO", "everything"]);
        let number = |text: &str| text.trim().parse::<f64>().unwrap_or_default();
        let calls = |command: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
            line.and_then(|line| line.split(',').next()).map_or(0.0, number)
        };
        let bytes = said.lines().find_map(|line| line.strip_prefix("used_memory_dataset:")).map_or(0.0, number);
        Ok(Spent { at: Instant::now(), cpu, steps: calls("evalsha") + calls("publish"), bytes })
    }

    async fn cost(&self, idle: &Cost, many: u32, work: impl AsyncFnOnce()) -> anyhow::Result<Cost> {
        let before = self.spent()?;
        work().await;
        let after = self.spent()?;
        let (seconds, many) = ((after.at - before.at).as_secs_f64() * 2.0, f64::from(many));
        Ok(Cost {
            cpu: ((after.cpu - before.cpu).as_secs_f64() - idle.cpu * seconds) / many,
            steps: (after.steps - before.steps - idle.steps * seconds) / many,
            bytes: (after.bytes - before.bytes) / many,
        })
    }
}
