//! A Redis of its own for a test: on loopback, in a directory of its own, ended with it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Address, Redis};

/// A server that runs.
pub(crate) struct TestRedis {
    pub(crate) port: u16,
    dir: TempDir,
    options: Vec<String>,
    child: Child,
}

impl TestRedis {
    /// Starts one that writes everything to the disk before it answers.
    pub(crate) fn start() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts one with options of its own.
    pub(crate) fn with(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let child = spawn(port, &dir, &options);
        let this = Self { port, dir, options, child };
        this.wait();
        this
    }

    /// Kills it, as a power loss would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again with what is on its disk.
    pub(crate) fn revive(&mut self) {
        self.child = spawn(self.port, &self.dir, &self.options);
        self.wait();
    }

    pub(crate) fn address(&self) -> Address {
        self.address_with("")
    }

    /// The same with credentials, `user:password@`.
    pub(crate) fn address_with(&self, credentials: &str) -> Address {
        let url = format!("redis://{credentials}127.0.0.1:{}", self.port).parse().unwrap();
        Address { url, prefix: "tinymcp".to_owned(), authorities: None }
    }

    /// A store in it, whose root key nobody asks for.
    pub(crate) async fn open(&self) -> Redis {
        open(&self.address()).await
    }

    /// Asks it something by hand.
    pub(crate) fn ask(&self, command: &[&str]) -> ::redis::Value {
        let client = ::redis::Client::open(("127.0.0.1", self.port)).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut asked = ::redis::Cmd::new();
        for part in command {
            asked.arg(*part);
        }
        asked.query(&mut connection).unwrap()
    }

    fn wait(&self) {
        let begin = Instant::now();
        let client = ::redis::Client::open(("127.0.0.1", self.port)).unwrap();
        loop {
            let ping = || ::redis::cmd("PING").query::<String>(&mut client.get_connection()?);
            if ping().is_ok() {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Three servers of a cluster, each with a third of the keys.
pub(crate) struct TestCluster {
    pub(crate) servers: Vec<TestRedis>,
}

impl TestCluster {
    pub(crate) fn start() -> Self {
        let bus: Vec<String> = (0..3).map(|_| free_port().to_string()).collect();
        let options = |bus: &str| {
            TestRedis::with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                bus,
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
            ])
        };
        let servers: Vec<TestRedis> = bus.iter().map(|bus| options(bus)).collect();
        for (server, slots) in servers.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
            server.ask(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]);
        }
        for (server, bus) in servers.iter().zip(&bus).skip(1) {
            servers[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &server.port.to_string(), bus]);
        }
        let begin = Instant::now();
        let is_ok = |server: &TestRedis| {
            let ::redis::Value::BulkString(info) = server.ask(&["CLUSTER", "INFO"]) else { return false };
            let info = String::from_utf8_lossy(&info).into_owned();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        while !servers.iter().all(is_ok) {
            assert!(begin.elapsed() < Duration::from_secs(20), "the cluster does not come together");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { servers }
    }

    pub(crate) fn address(&self) -> Address {
        let nodes: Vec<String> = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        let url = format!("redis+cluster://{}", nodes.join(",")).parse().unwrap();
        Address { url, prefix: "tinymcp".to_owned(), authorities: None }
    }
}

/// A store at an address, whose root key nobody asks for.
pub(crate) async fn open(address: &Address) -> Redis {
    Redis::open(address, None, Some(|| b"check".to_vec()), |_| true).await.unwrap()
}

/// The same for a server of another version, which reads formats up to `latest`.
pub(crate) async fn open_up_to(latest: u8, address: &Address) -> Redis {
    Redis::open_up_to(latest, address, None, Some(|| b"check".to_vec()), |_| true).await.unwrap()
}

/// A primary, a server that follows it, and a sentinel that puts the one in the place of the other.
pub(crate) struct TestSentinel {
    pub(crate) primary: TestRedis,
    pub(crate) secondary: TestRedis,
    port: u16,
    _dir: TempDir,
    sentinel: Child,
}

impl TestSentinel {
    pub(crate) fn start() -> Self {
        let primary = TestRedis::with(&["--appendonly", "yes", "--repl-diskless-sync-delay", "0"]);
        let secondary =
            TestRedis::with(&["--appendonly", "yes", "--replicaof", &format!("127.0.0.1 {}", primary.port)]);
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = dir.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 700\nsentinel failover-timeout main 3000\n",
            primary.port
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&config).arg("--sentinel").stdout(Stdio::null()).stderr(Stdio::null());
        let sentinel = command.spawn().unwrap();
        let this = Self { primary, secondary, port, _dir: dir, sentinel };
        let begin = Instant::now();
        let knows_both = || {
            let info = ::redis::Client::open(("127.0.0.1", port))
                .and_then(|client| ::redis::cmd("INFO").arg("sentinel").query::<String>(&mut client.get_connection()?));
            info.is_ok_and(|info| info.contains("slaves=1"))
        };
        while !knows_both() {
            assert!(begin.elapsed() < Duration::from_secs(30), "the sentinel does not know both servers");
            std::thread::sleep(Duration::from_millis(50));
        }
        let follows = || {
            let ::redis::Value::BulkString(info) = this.secondary.ask(&["INFO", "replication"]) else { return false };
            String::from_utf8_lossy(&info).contains("master_link_status:up")
        };
        while !follows() {
            assert!(begin.elapsed() < Duration::from_secs(30), "the secondary does not follow");
            std::thread::sleep(Duration::from_millis(50));
        }
        this
    }

    /// Waits until the secondary has everything that the primary has by now. (`WAIT` asks for the writes of its own connection
    /// alone.)
    pub(crate) fn catch_up(&self) {
        let offset = |server: &TestRedis, name: &str| {
            let ::redis::Value::BulkString(info) = server.ask(&["INFO", "replication"]) else { panic!("no text") };
            let info = String::from_utf8(info).unwrap();
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap().trim().parse::<u64>().unwrap()
        };
        let (all, begin) = (offset(&self.primary, "master_repl_offset"), Instant::now());
        while offset(&self.secondary, "slave_repl_offset") < all {
            assert!(begin.elapsed() < Duration::from_secs(20), "the secondary does not catch up");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn address(&self) -> Address {
        let url = format!("redis+sentinel://127.0.0.1:{}/main", self.port).parse().unwrap();
        Address { url, prefix: "tinymcp".to_owned(), authorities: None }
    }
}

impl Drop for TestSentinel {
    fn drop(&mut self) {
        let _ = self.sentinel.kill();
        let _ = self.sentinel.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, dir: &TempDir, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .arg("--dir")
        .arg(dir.path())
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed (tests/setup/system)")
}
