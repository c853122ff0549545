//! A server as a process of its own: started, waited for, looked at, and ended by its process id.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;

use super::http::Connection;

/// Time between two looks whether a server is ready: what its figure may be wrong by.
const LOOK: Duration = Duration::from_millis(1);

/// Ticks of `/proc/PID/stat` in a second; Linux shows 100 on every architecture, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// Lines of the log that an error shows.
const TAIL: usize = 12;

/// Memory that has not changed by more than this over [`SETTLE`] has settled.
const SETTLED_BYTES: f64 = 64.0 * 1024.0;
const SETTLE: Duration = Duration::from_secs(3);

/// Memory that never settles is taken as it is.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// A program that serves, and how it is told to.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// The option before the address to listen at.
    pub(crate) listen: &'static str,
    pub(crate) ready: Ready,
    /// A directory for whatever it keeps, for a program that looks for one.
    pub(crate) home: Option<PathBuf>,
}

/// The sign that a server is ready.
#[derive(Clone, Copy)]
pub(crate) enum Ready {
    /// Status 200 at `/readyz`.
    Says,
    /// Any answer: the server has no such path.
    Answers,
}

impl Program {
    /// A program that knows `--listen` and `/readyz`, as those of this workspace do.
    pub(crate) fn ours(path: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { path, arguments, listen: "--listen", ready: Ready::Says, home: None }
    }
}

/// A running server; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pid: u32,
    pub(crate) address: SocketAddr,
    log: Log,
}

/// The server's standard error.
#[derive(Clone)]
struct Log {
    tail: Arc<Mutex<VecDeque<String>>>,
    loads: watch::Sender<u64>,
}

impl Server {
    /// Starts a program on a port of its own, and waits until it is ready. Returns the time from exec until then.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is not ready in time; with the end of its log.
    pub(crate) async fn start(program: &Program, within: Duration) -> anyhow::Result<(Self, Duration)> {
        let Program { path, arguments, listen, ready, home } = program;
        let address = free_address().await?;
        let mut command = Command::new(path);
        // Settings of whoever runs the bench must not change what is measured.
        command.args(arguments).arg(listen).arg(address.to_string()).env_clear();
        command.envs(home.as_ref().map(|home| ("HOME", home)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let began = Instant::now();
        let mut child = command.spawn().with_context(|| format!("`{}` cannot be started", path.display()))?;
        let pid = child.id().context("the server ended at once")?;
        let log = Log { tail: Arc::default(), loads: watch::Sender::new(0) };
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log.clone().read(stderr));
        }
        let mut server = Self { child, pid, address, log };
        let ready = tokio::time::timeout(within, server.ready(*ready)).await;
        let log = || format!("the end of its log:\n{}", server.log.tail());
        match ready {
            Ok(Ok(())) => Ok((server, began.elapsed())),
            Ok(Err(error)) => Err(error.context(log())),
            Err(_elapsed) => bail!("`{}` was not ready within {within:?}; {}", path.display(), log()),
        }
    }

    /// Ends the process and waits until it is gone, so that it does not run beside the next one.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("the server could not be ended")
    }

    /// Processor time of the process so far.
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        cpu_time(self.pid)
    }

    /// Resident memory (`VmRSS`) in bytes, once it has settled.
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) async fn settled_memory(&self) -> anyhow::Result<f64> {
        let began = Instant::now();
        let mut before = self.memory()?;
        loop {
            tokio::time::sleep(SETTLE).await;
            let now = self.memory()?;
            if (now - before).abs() <= SETTLED_BYTES || began.elapsed() > SETTLE_WITHIN {
                return Ok(now);
            }
            before = now;
        }
    }

    fn memory(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no `VmRSS` in /proc")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024.0)
    }

    /// The number of plugins that the server says it has loaded since its start.
    pub(crate) fn loads(&self) -> watch::Receiver<u64> {
        self.log.loads.subscribe()
    }

    async fn ready(&mut self, sign: Ready) -> anyhow::Result<()> {
        let request = format!("GET /readyz HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}");
            }
            if is_ready(self.address, request.as_bytes(), sign).await {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Processor time of a process so far.
///
/// # Errors
/// When the process is gone.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name may hold anything, in parentheses; user and system time are the 14th and 15th field.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_secs_f64(ticks.iter().sum::<f64>() / TICKS_PER_SECOND))
}

/// Asks over one connection until the answer is yes; `false` if the connection does not come about or breaks.
async fn is_ready(address: SocketAddr, request: &[u8], sign: Ready) -> bool {
    let Ok(mut connection) = Connection::open(address).await else { return false };
    while let Ok((head, _)) = connection.exchange(request).await {
        if head.status == 200 || matches!(sign, Ready::Answers) {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

impl Log {
    async fn read(self, stderr: ChildStderr) {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains(" loaded plugin ") {
                self.loads.send_modify(|loads| *loads += 1);
            }
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line);
        }
    }

    fn tail(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// An address that nobody listens on. Somebody could take it before the server does, who would then say so.
async fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()
}
