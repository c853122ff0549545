//! A Redis of its own for a test: on loopback, in a directory of its own, ended with it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Address;

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
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
        let url = format!("redis://127.0.0.1:{}", self.port).parse().unwrap();
        Address { url, prefix: "tinymcp".to_owned(), authorities: None }
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
