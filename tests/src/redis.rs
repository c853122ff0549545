//! A Redis for servers that share a store: on loopback, in a directory of its own, ended with the test. [`topology`] has several of
//! them as one store.

pub mod topology;

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::server::free_port;

/// A server that runs, or was killed.
pub struct Redis {
    /// Its port on loopback.
    pub port: u16,
    dir: TempDir,
    options: Vec<String>,
    child: Child,
}

impl Redis {
    /// One that has everything on its disk before it answers.
    pub fn durable() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// One that loses everything since [`Redis::save`] when it is killed.
    pub fn forgetful() -> Self {
        Self::with(&["--appendonly", "no", "--dbfilename", "kept.rdb"])
    }

    /// One that follows another, and has everything that it has.
    pub fn following(primary: &Self) -> Self {
        let port = primary.port.to_string();
        let this = Self::with(&["--appendonly", "yes", "--appendfsync", "always", "--replicaof", "127.0.0.1", &port]);
        let begin = Instant::now();
        while !this.ask(&["INFO", "replication"]).contains("master_link_status:up") {
            assert!(begin.elapsed() < Duration::from_secs(20), "a secondary does not follow");
            std::thread::sleep(Duration::from_millis(20));
        }
        this
    }

    /// Takes over from the one that it follows, with everything that this one has by now. That one is told nothing.
    ///
    /// # Panics
    /// When it does not catch up.
    pub fn take_over_from(&self, primary: &Self) {
        let all = primary.offset("master_repl_offset");
        let begin = Instant::now();
        while self.offset("slave_repl_offset") < all {
            assert!(begin.elapsed() < Duration::from_secs(20), "a secondary does not catch up");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.ask(&["REPLICAOF", "NO", "ONE"]);
    }

    /// How much it has of what is replicated.
    fn offset(&self, name: &str) -> u64 {
        let info = self.ask(&["INFO", "replication"]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}: {info}"))
    }

    fn with(options: &[&str]) -> Self {
        let (dir, port) = (tempfile::tempdir().expect("a temporary directory"), free_port());
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let child = spawn(port, &dir, &options);
        let this = Self { port, dir, options, child };
        this.wait();
        this
    }

    /// The value of `state.url`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Writes everything to its disk.
    pub fn save(&self) {
        self.ask(&["SAVE"]);
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
    }

    /// Starts it again with what is on its disk.
    pub fn revive(&mut self) {
        self.child = spawn(self.port, &self.dir, &self.options);
        self.wait();
    }

    /// Stops it where it is, without a word to anybody; or lets it go on.
    pub fn freeze(&self, is_frozen: bool) {
        let signal = if is_frozen { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("there is `kill`").success());
    }

    /// Asks it something by hand, and gives what it answers as text.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn ask(&self, command: &[&str]) -> String {
        let output = self.asked(command);
        assert!(output.status.success(), "{output:?}");
        text(&output)
    }

    /// The same; nothing where it does not answer, as one whose part has just changed.
    pub fn try_ask(&self, command: &[&str]) -> Option<String> {
        let output = self.asked(command);
        output.status.success().then(|| text(&output))
    }

    /// Whether it says this of its part among several.
    fn plays(&self, word: &str) -> bool {
        self.try_ask(&["INFO", "replication"]).is_some_and(|info| info.contains(word))
    }

    fn asked(&self, command: &[&str]) -> Output {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(command).output();
        output.expect("redis-cli is installed (tests/setup/system)")
    }

    /// The format in which the servers of the store here write, if they have the usual prefix.
    ///
    /// # Panics
    /// When there is none.
    pub fn format(&self) -> u8 {
        let answer = self.ask(&["EVAL", "return string.byte(redis.call('GET', 'tinymcp:{00}:store'), 4)", "0"]);
        answer.parse().unwrap_or_else(|_| panic!("no store: {answer}"))
    }

    fn wait(&self) {
        let begin = Instant::now();
        let answers = || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() && self.ask(&["PING"]) == "PONG";
        while !answers() {
            assert!(begin.elapsed() < Duration::from_secs(20), "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
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
