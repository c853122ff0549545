//! The ways in which Redis is run: one server, a cluster, or a primary that sentinels replace.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Redis;
use crate::server::free_port;

/// The time within which one of them has come together.
const TOGETHER_MAX: Duration = Duration::from_secs(30);

/// A store.
pub enum Topology {
    /// On one server.
    One(Redis),
    /// On three, each with a third of the keys.
    Cluster([Redis; 3]),
    /// On a primary and a server that follows it, with a sentinel that puts the one in the place of the other.
    Sentinel(Sentinel),
}

/// Two servers and their sentinel.
pub struct Sentinel {
    servers: [Redis; 2],
    port: u16,
    process: Child,
    _dir: TempDir,
}

impl Topology {
    /// One server that has everything on its disk before it answers.
    pub fn one() -> Self {
        Self::One(Redis::durable())
    }

    /// Three servers of a cluster.
    ///
    /// # Panics
    /// When they do not come together.
    pub fn cluster() -> Self {
        let bus: [String; 3] = std::array::from_fn(|_| free_port().to_string());
        let servers = bus.each_ref().map(|bus| {
            let cluster = ["--cluster-enabled", "yes", "--cluster-port", bus];
            Redis::with(&[&cluster[..], &["--appendonly", "yes", "--appendfsync", "always"]].concat())
        });
        for (server, slots) in servers.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]]) {
            server.ask(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]);
        }
        for (server, bus) in servers.iter().zip(&bus).skip(1) {
            servers[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &server.port.to_string(), bus]);
        }
        let is_whole = |server: &Redis| {
            let info = server.ask(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        wait("a cluster that is whole", || servers.iter().all(is_whole));
        Self::Cluster(servers)
    }

    /// A primary, a secondary and a sentinel.
    ///
    /// # Panics
    /// When they do not come together.
    pub fn sentinel() -> Self {
        let primary = Redis::durable();
        let secondary = Redis::following(&primary);
        let (dir, port) = (tempfile::tempdir().expect("a temporary directory"), free_port());
        let config = dir.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 700\nsentinel failover-timeout main 3000\n",
            primary.port
        );
        std::fs::write(&config, text).expect("a file of ours");
        let mut command = Command::new("redis-server");
        command.arg(&config).arg("--sentinel").stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("redis-server is installed (tests/setup/system)");
        let this = Sentinel { servers: [primary, secondary], port, process, _dir: dir };
        wait("a sentinel that knows both", || this.says(&["INFO", "sentinel"]).contains("slaves=1"));
        Self::Sentinel(this)
    }

    /// The value of `state.url`.
    pub fn url(&self) -> String {
        match self {
            Self::One(redis) => redis.url(),
            Self::Cluster(servers) => {
                let nodes = servers.each_ref().map(|server| format!("127.0.0.1:{}", server.port));
                format!("redis+cluster://{}", nodes.join(","))
            }
            Self::Sentinel(sentinel) => format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port),
        }
    }

    /// The one server of a store that has no more.
    ///
    /// # Panics
    /// It has.
    pub fn only(&self) -> &Redis {
        match self {
            Self::One(redis) => redis,
            Self::Cluster(_) | Self::Sentinel(_) => panic!("this store has several servers"),
        }
    }

    /// Kills a server that takes writes, and returns once there is one again: itself, with what is on its disk; or another one,
    /// which may not have had the last writes, and which it follows from then on.
    ///
    /// # Panics
    /// When there is none after some seconds.
    pub fn crash(&mut self, round: usize) {
        let pause = || std::thread::sleep(Duration::from_millis(200));
        match self {
            Self::One(redis) => {
                redis.kill();
                pause();
                redis.revive();
            }
            Self::Cluster(servers) => {
                let server = &mut servers[round % 3];
                server.kill();
                pause();
                server.revive();
                wait("a cluster that is whole again", || server.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
            }
            Self::Sentinel(sentinel) => sentinel.fail_over(),
        }
    }
}

impl Sentinel {
    fn fail_over(&mut self) {
        let first = self.primary();
        let other = 1 - first;
        self.servers[first].kill();
        wait("another primary", || self.servers[other].plays("role:master"));
        // Until it names that one, it may still change its mind.
        let named = || self.says(&["SENTINEL", "get-master-addr-by-name", "main"]);
        wait("a sentinel that names it", || named().contains(&self.servers[other].port.to_string()));
        self.servers[first].revive();
        let port = self.servers[other].port.to_string();
        // The sentinel would tell it ten seconds later.
        let follow = ["REPLICAOF", "127.0.0.1", &port];
        wait("one that is told to follow", || self.servers[first].try_ask(&follow).is_some());
        self.primary();
    }

    /// The one that takes writes, once the other follows it. On a busy machine a sentinel may take one that is slow for one that
    /// is away, and change them back.
    fn primary(&self) -> usize {
        let is_pair = |primary: usize| {
            self.servers[primary].plays("role:master") && self.servers[1 - primary].plays("master_link_status:up")
        };
        wait("a primary and one that follows it", || is_pair(0) || is_pair(1));
        usize::from(!self.servers[0].plays("role:master"))
    }

    fn says(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(command).output();
        String::from_utf8_lossy(&output.expect("redis-cli is installed (tests/setup/system)").stdout).into_owned()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until something is so.
fn wait(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < TOGETHER_MAX, "{what}: not within {TOGETHER_MAX:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
