//! A Redis for servers that share a store: on loopback, in a directory of its own, ended with the test.

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
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
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(command).output();
        let output = output.expect("redis-cli is installed (tests/setup/system)");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
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
