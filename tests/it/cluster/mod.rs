//! Three servers of one store, behind a load balancer that gives requests to all in turn: what a client sees of it that knows
//! one URL and nothing else.

mod clients;
mod load;
mod rollout;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tinymcp_tests::balancer::{self, Balancer};
use tinymcp_tests::browser::Browser;
use tinymcp_tests::client::Client;
use tinymcp_tests::cut::Way;
use tinymcp_tests::guests::guest;
use tinymcp_tests::oauth::{Kind, OAuthClient, Tokens};
use tinymcp_tests::redis::Redis;
use tinymcp_tests::redis::topology::Topology;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::{until, world};

use self::load::Load;

const SECRET: &str = "a secret that all servers of this test share";

const SERVERS: usize = 3;

/// Times that each server is taken down: once, or more in the long form, `tests/cluster`.
fn rounds() -> usize {
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests chooses")]
    std::env::var("TEST_CLUSTER_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap())
}

/// The Redis of a test that does not say which: one server, or in the long form what is asked for.
fn topology() -> Topology {
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests chooses")]
    match std::env::var("TEST_CLUSTER_REDIS").as_deref() {
        Err(_) | Ok("one") => Topology::one(),
        Ok("cluster") => Topology::cluster(),
        Ok("sentinel") => Topology::sentinel(),
        Ok(other) => panic!("TEST_CLUSTER_REDIS is one, cluster or sentinel, and not {other}"),
    }
}

/// The servers, their store and what is in front of them.
struct Cluster {
    redis: Topology,
    balancer: Balancer,
    /// None for one that was taken down.
    servers: Vec<Option<Server>>,
}

impl Cluster {
    /// Servers of sites like this one, with further configuration.
    async fn of(site: impl Fn() -> Site, config: &str) -> Self {
        Self::on(topology(), site, config).await
    }

    /// The same on a Redis.
    async fn on(redis: Topology, site: impl Fn() -> Site, config: &str) -> Self {
        let urls = vec![redis.url(); SERVERS];
        Self::with(redis, &urls, site, config).await
    }

    /// The same, each with a way of its own to the store.
    async fn with(redis: Topology, urls: &[String], site: impl Fn() -> Site, config: &str) -> Self {
        let address = Balancer::address();
        let base = balancer::base(address);
        let published = base.as_str().trim_end_matches('/');
        let mut servers = Vec::new();
        for url in urls {
            let text =
                format!("[server]\nbase_url = \"{published}\"\n{config}\n[state]\nurl = \"{url}\"\nstale = \"1s\"\n");
            let site = site().config(&text).variable("TINYMCP_SECRET", SECRET);
            servers.push(Some(site.start().await));
        }
        let addresses: Vec<SocketAddr> = servers.iter().flatten().map(|server| server.address).collect();
        let balancer = Balancer::start(address, &addresses).await;
        let this = Self { redis, balancer, servers };
        until("servers behind the load balancer", async || this.is_open().await).await;
        this
    }

    async fn is_open(&self) -> bool {
        tinymcp_tests::http::Request::new(self.balancer.address, "GET", "/readyz").send().await.status == 200
    }

    fn server(&self, number: usize) -> &Server {
        self.servers[number].as_ref().unwrap()
    }

    /// A client of the modern era, and one of the older whose session began at the first server.
    async fn clients(&self, token: Option<&str>) -> [Client; 2] {
        let with_token = |client: Client| match token {
            Some(token) => client.with_token(token),
            None => client,
        };
        let legacy = match token {
            Some(token) => Client::legacy_with_token(self.server(0), token).await,
            None => Client::legacy(self.server(0)).await,
        };
        [with_token(Client::modern(self.server(0))), legacy].map(|client| client.via(self.balancer.address))
    }

    async fn log_in(&self, name: &str) -> (OAuthClient, Tokens) {
        let client = OAuthClient::register(&self.balancer.base(), Kind::ClaudeCode).await;
        let tokens = client.log_in(&mut Browser::of(name)).await;
        (client, tokens)
    }
}

fn greets() -> Site {
    world::local().plugin("greeter-v1", &guest("greeter-v1"))
}

fn greet() -> (&'static str, serde_json::Value) {
    ("greeter_v1_greet", json!({ "name": "Ada" }))
}

/// Each server says that it is not ready before it stops to listen, as a rollout does it: the load balancer hears of it first.
#[tokio::test]
async fn no_call_fails_while_servers_are_replaced_one_by_one() {
    let mut cluster = Cluster::of(greets, "drain = \"1s\"").await;
    let (_, tokens) = cluster.log_in("alice").await;
    let load = Load::start(&cluster.clients(Some(&tokens.access)).await, greet);
    for number in (0..SERVERS).cycle().take(SERVERS * rounds()) {
        let before = load.done();
        let mut server = cluster.servers[number].take().unwrap();
        server.terminate();
        server.ended().await;
        cluster.servers[number] = Some(server.kill().start().await);
        until("calls beside it", async || load.done() > before + 50).await;
    }
    let ended = load.stop().await;
    assert_eq!(ended.failures, Vec::<String>::new());
    assert!(ended.done > 150, "{} calls", ended.done);
}

/// A call under way at a server that is killed fails, and is not run again elsewhere: it may have done its work.
#[tokio::test]
async fn a_server_that_is_killed_takes_its_own_calls_alone_and_none_runs_twice() {
    let site = || world::local().plugin("state", &guest("state"));
    let mut cluster = Cluster::of(site, "[plugin.state]\nkv = {}\n").await;
    let (_, tokens) = cluster.log_in("alice").await;
    let clients = cluster.clients(Some(&tokens.access)).await;
    let load = Load::start(&clients, || ("state_count_up", json!({ "key": "n", "times": 1 })));
    until("calls", async || load.done() > 20).await;
    let kills = 2 * rounds();
    for number in (1..SERVERS).cycle().take(kills) {
        let before = load.done();
        let site = cluster.servers[number].take().unwrap().kill();
        until("calls beside it", async || load.done() > before + 20).await;
        cluster.servers[number] = Some(site.start().await);
    }
    let ended = load.stop().await;
    // At each kill, at most one call of each caller was under way there.
    assert!(ended.failures.len() <= kills * load::CALLERS * clients.len(), "{:?}", ended.failures);
    let counted = clients[0].value("state_get", json!({ "key": "n" })).await;
    let counted: usize = counted.as_str().unwrap().parse().unwrap();
    let most = ended.done + ended.failures.len();
    assert!(
        (ended.done..=most).contains(&counted),
        "{} done, {} failed, {counted} counted",
        ended.done,
        ended.failures.len()
    );
}

/// Clients that renew as fast as they can, through whatever server comes, while servers and the store are killed under them: each
/// has a token that is good in the end. One whose answer was lost sends its request again, as clients do.
#[tokio::test(flavor = "multi_thread")]
async fn honest_clients_keep_their_sessions_through_a_storm() {
    storm(topology(), SERVERS * rounds()).await;
}

/// The same while a part of the keys is away.
#[tokio::test(flavor = "multi_thread")]
async fn honest_clients_keep_their_sessions_where_the_store_is_a_cluster() {
    storm(Topology::cluster(), SERVERS * rounds()).await;
}

/// The same while one Redis takes over from another, and the last writes are lost.
#[tokio::test(flavor = "multi_thread")]
async fn honest_clients_keep_their_sessions_where_another_redis_takes_over() {
    storm(Topology::sentinel(), 2 * rounds()).await;
}

async fn storm(redis: Topology, crashes: usize) {
    const CLIENTS: usize = 6;
    // All clients have one address.
    let site = || world::local().variable("TINYMCP_AUTH_REQUESTS_PER_MINUTE", "100000");
    let mut cluster = Cluster::on(redis, site, "").await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(cluster.log_in(&format!("person{number}")).await);
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let storm: Vec<_> = clients
        .into_iter()
        .map(|(client, mut tokens)| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut renewals = 0_usize;
                while !*stopped.borrow() {
                    tokens = renewed(&client, &tokens).await;
                    renewals += 1;
                }
                (client, tokens, renewals)
            })
        })
        .collect();
    for (round, number) in (0..SERVERS).cycle().take(crashes).enumerate() {
        let site = cluster.servers[number].take().unwrap().kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::block_in_place(|| cluster.redis.crash(round));
        cluster.servers[number] = Some(site.start().await);
    }
    stop.send_replace(true);
    for client in storm {
        let (client, tokens, renewals) = client.await.unwrap();
        assert!(renewals > 10, "{renewals} renewals");
        let tokens = renewed(&client, &tokens).await;
        until("a token that is good", async || client.is_live(&tokens.access).await).await;
    }
}

/// Renews, again and again until there is an answer. No answer may say that the session is over.
async fn renewed(client: &OAuthClient, tokens: &Tokens) -> Tokens {
    let begin = Instant::now();
    loop {
        let parameters = client.renewal(&tokens.refresh);
        if let Ok(incomplete) = client.posting("/token", &parameters).try_open().await
            && let Ok(answer) = incomplete.complete().await
        {
            match answer.status {
                200 => return Tokens::of(&answer),
                502..=504 => {}
                _ => panic!("{answer:?}"),
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "no renewal");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A server that has lost its way to the store honours for `state.stale` what it has verified, and then gets nothing any more. What
/// was revoked meanwhile is dead there, too, before it is back.
#[tokio::test]
async fn a_server_that_is_cut_off_from_the_store_gets_no_requests() {
    let redis = Redis::durable();
    let way = Way::to(redis.port).await;
    let urls = [redis.url(), redis.url(), format!("redis://127.0.0.1:{}", way.port)];
    let cluster = Cluster::with(Topology::One(redis), &urls, greets, "").await;
    let (client, tokens) = cluster.log_in("alice").await;
    let cut_off = client.through(&format!("http://{}", cluster.server(2).address).parse().unwrap());
    let (other, revoked) = cluster.log_in("bob").await;
    assert!(cut_off.is_live(&tokens.access).await && cut_off.is_live(&revoked.access).await);
    way.cut(true);
    assert_eq!(other.revoke(&revoked.refresh).await.status, 200);
    until("it is not ready", async || cluster.server(2).get("/readyz").await.status == 503).await;
    let initialize = tinymcp_tests::client::initialize("2025-11-25");
    until("it honours nothing any more", async || {
        let asked = cut_off.request("POST", "/mcp").json(&initialize).bearer(&revoked.access);
        asked.send().await.status == 503
    })
    .await;
    // One look of the load balancer at each server.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let load = Load::start(&cluster.clients(Some(&tokens.access)).await, greet);
    until("calls", async || load.done() > 60).await;
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    way.cut(false);
    until("it is back", async || cluster.server(2).get("/readyz").await.status == 200).await;
    assert!(cut_off.is_live(&tokens.access).await && !cut_off.is_live(&revoked.access).await);
}
