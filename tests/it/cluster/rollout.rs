//! Servers that are replaced one by one by those of a later version, whose format an earlier one cannot read.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tinymcp_tests::guests::guest;
use tinymcp_tests::http::Request;
use tinymcp_tests::oauth::{OAuthClient, Tokens};
use tinymcp_tests::redis::Redis;
use tinymcp_tests::redis::topology::Topology;
use tinymcp_tests::server::{Server, Site};
use tinymcp_tests::{until, until_within};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::load::Load;
use super::{Cluster, SERVERS, greet, greets};
use crate::replicas::tasks;

/// The format of the later version.
const LATER: u8 = 2;

/// A server that has heard for less than 15 s does not know yet who else is there.
const AGREED_WITHIN: Duration = Duration::from_secs(30);

/// The formats of all records in the store: rows, spaces and entries of plugins with their key, and what all servers share.
fn formats(redis: &Redis) -> BTreeSet<u8> {
    const EACH: &str = "
local seen, out = {}, {}
local function see(value, head) seen[string.byte(value, head + 1)] = true end
for _, key in ipairs(redis.call('KEYS', 'tinymcp:*')) do
  local kind = string.match(key, '^tinymcp:{%x%x}:([^:]+)')
  if string.match(kind, '^r%d+$') then see(redis.call('GET', key), 16)
  elseif kind == 'kv-space' then see(redis.call('GET', key), 24)
  elseif kind == 'kv-key' then see(redis.call('GET', key), 0)
  elseif kind == 'switched-off' then see(redis.call('GET', key), 8)
  elseif kind == 'kv-entries' then
    for _, entry in ipairs(redis.call('HVALS', key)) do see(entry, 32) end
  elseif kind == 'plugins' then
    for _, row in ipairs(redis.call('HVALS', key)) do see(row, 8) end
  end
end
for format in pairs(seen) do out[#out + 1] = format end
return table.concat(out, ' ')
";
    let answer = redis.ask(&["EVAL", EACH, "0"]);
    answer.split(' ').map(|format| format.parse().unwrap_or_else(|_| panic!("{answer}"))).collect()
}

/// A person whose client renews its tokens all the time, at whatever server comes. Each renewal has to succeed.
struct Renewing {
    stop: watch::Sender<bool>,
    renewals: JoinHandle<(OAuthClient, Tokens, usize)>,
}

impl Renewing {
    fn start((client, mut tokens): (OAuthClient, Tokens)) -> Self {
        let (stop, stopped) = watch::channel(false);
        let renewals = tokio::spawn(async move {
            let mut count = 0;
            while !*stopped.borrow() {
                tokens = client.renew(&tokens.refresh).await;
                assert!(client.is_live(&tokens.access).await);
                count += 1;
            }
            (client, tokens, count)
        });
        Self { stop, renewals }
    }

    async fn end(self) -> (OAuthClient, Tokens, usize) {
        self.stop.send_replace(true);
        self.renewals.await.unwrap()
    }
}

/// People who have logged in so far, each through servers in turn.
#[derive(Default)]
struct People(Vec<(OAuthClient, Tokens)>);

impl People {
    async fn another(&mut self, cluster: &Cluster) {
        self.0.push(cluster.log_in(&format!("person{}", self.0.len())).await);
    }

    /// All of them are known at each server, and renew at one after the other.
    async fn check(&mut self, cluster: &Cluster) {
        for (number, (client, tokens)) in self.0.iter_mut().enumerate() {
            let at = |server: usize| {
                let base = format!("http://{}", cluster.server(server % SERVERS).address).parse().unwrap();
                client.through(&base)
            };
            *tokens = at(number).renew(&tokens.refresh).await;
            for server in 0..SERVERS {
                assert!(at(server).is_live(&tokens.access).await, "person{number} at server {server}");
            }
        }
    }
}

async fn details(server: &Server) -> Value {
    Request::new(server.address, "GET", "/readyz?details").send().await.json()["format"].clone()
}

fn site() -> Site {
    let plugins = greets().plugin("state", &guest("state"));
    plugins.plugin("everything", &guest("everything"))
}

const CONFIG: &str = "drain = \"1s\"\n[plugin.state]\nkv = {}\n[plugin.everything]\nprefix = \"\"\n";

#[tokio::test]
async fn no_call_fails_while_servers_are_replaced_by_a_later_version() {
    let mut cluster = Cluster::on(Topology::one(), site, CONFIG).await;
    let (_, tokens) = cluster.log_in("alice").await;
    let clients = cluster.clients(Some(&tokens.access)).await;
    let calls = Load::start(&clients, greet);
    let counts = Load::start(&clients, || ("state_count_up", json!({ "key": "n", "times": 1 })));
    let renewing = Renewing::start(cluster.log_in("bob").await);
    let task = tasks::slow(&clients[0], 1.0).await;
    tasks::becomes(&clients[0], &task, "completed").await;
    let mut people = People::default();
    for number in 0..SERVERS {
        people.another(&cluster).await;
        people.check(&cluster).await;
        assert_eq!(formats(cluster.redis.only()), BTreeSet::from([1]), "before server {number} is replaced");
        let mut server = cluster.servers[number].take().unwrap();
        server.terminate();
        server.ended().await;
        cluster.servers[number] = Some(server.kill().of_later_version(LATER).start().await);
        let (called, counted) = (calls.done(), counts.done());
        until("calls beside it", async || calls.done() > called + 50 && counts.done() > counted + 20).await;
        if number + 1 < SERVERS {
            let held = cluster.server(number);
            held.log.wait_for("for as long as there are servers that do not read 2: ").await;
            // Each says every three seconds that it is there.
            let holding = async || details(held).await["held_back_by"].as_array().map_or(0, Vec::len);
            until("all who hold it back", async || holding().await == SERVERS - 1 - number).await;
            let format = details(held).await;
            assert_eq!((&format["written"], &format["latest"]), (&json!(1), &json!(LATER)), "{format}");
            let holding = format["held_back_by"].as_array().unwrap();
            assert!(holding.iter().all(|name| name.as_str().unwrap().contains(" (0.")), "{format}");
        }
    }
    until_within(AGREED_WITHIN, "a later format that is agreed on", async || cluster.redis.only().format() == LATER)
        .await;
    cluster.server(0).log.wait_for("written in format 2 from now on").await;
    people.another(&cluster).await;
    people.check(&cluster).await;
    let counted = counts.done();
    until("entries of the later format", async || counts.done() > counted + 20).await;
    // What was written before stays as it is until it is written anew.
    assert_eq!(formats(cluster.redis.only()), BTreeSet::from([1, LATER]));
    assert_eq!(details(cluster.server(1)).await, json!({ "written": 2, "latest": 2, "held_back_by": [] }));

    let text = std::fs::read_to_string(cluster.server(0).site().path().join("tinymcp.toml")).unwrap();
    let earlier = site().variable("TINYMCP_SECRET", super::SECRET);
    std::fs::write(earlier.path().join("tinymcp.toml"), text).unwrap();
    let refused = earlier.refusal();
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("has format 2, and this version knows 1: run the version"), "{refused:?}");

    let (client, renewed, renewals) = renewing.end().await;
    assert!(renewals > 20 && client.is_live(&renewed.access).await, "{renewals} renewals");
    let (calls, counts) = (calls.stop().await, counts.stop().await);
    assert_eq!((calls.failures, counts.failures), (Vec::<String>::new(), Vec::new()));
    let counted = clients[1].value("state_get", json!({ "key": "n" })).await;
    assert_eq!(counted.as_str().unwrap(), counts.done.to_string());
    tasks::becomes(&clients[0], &task, "completed").await;
}
