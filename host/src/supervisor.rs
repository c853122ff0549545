//! What a supervisor is told: systemd's `sd_notify(3)`, a datagram to the socket that `NOTIFY_SOCKET` names.
//!
//! Without a socket nobody is told anything. A message that cannot be sent is no failure of the server.

use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Environment;

/// The way to the supervisor. Clones lead to the same.
#[derive(Clone, Default)]
pub(crate) struct Supervisor {
    socket: Option<Arc<(UnixDatagram, SocketAddr)>>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that has started this process, by its variables.
    pub(crate) fn of(environment: &Environment) -> Self {
        let Some(name) = environment.get("NOTIFY_SOCKET") else { return Self::default() };
        let opened = address(name).and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        let socket = opened.and_then(|(socket, address)| {
            // A supervisor that reads nothing must not hold up the server.
            socket.set_nonblocking(true)?;
            Ok(Arc::new((socket, address)))
        });
        let warn = |error: &std::io::Error| tracing::warn!(%error, "the supervisor is told nothing: `NOTIFY_SOCKET` cannot be used");
        let socket = socket.inspect_err(warn).ok();
        let watchdog = socket.as_ref().and_then(|_| watchdog(environment, std::process::id()));
        Self { socket, watchdog }
    }

    /// The server serves, with this state.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\n{}", said(status)));
    }

    /// The configuration is being read anew. [`Self::ready`] ends it.
    pub(crate) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let microseconds = seconds * 1_000_000 + u64::try_from(now.tv_nsec / 1000).unwrap_or_default();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\n"));
    }

    /// The server ends.
    pub(crate) fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\n{}", said(status)));
    }

    /// The state of the server, for `systemctl status`.
    pub(crate) fn status(&self, status: &str) {
        self.tell(&said(status));
    }

    /// Says that the server is alive, twice in each span in which the supervisor wants to hear of it; without end. It comes
    /// from the threads that serve requests, so that one that is stuck is found out.
    pub(crate) async fn keep_alive(&self) {
        let Some(watchdog) = self.watchdog else { return std::future::pending().await };
        let mut ticks = tokio::time::interval(watchdog / 2);
        loop {
            ticks.tick().await;
            self.tell("WATCHDOG=1\n");
        }
    }

    /// True if there is anybody.
    pub(crate) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    fn tell(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        let (socket, address) = &**socket;
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::debug!(%error, "the supervisor was not told");
        }
    }
}

/// One line, since a further one would be another message.
fn said(status: &str) -> String {
    format!("STATUS={}\n", status.replace('\n', " "))
}

/// A path, or with `@` in front a name that is none of the file system.
fn address(name: &str) -> std::io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => SocketAddr::from_pathname(name),
    }
}

/// The span of the watchdog, if it is meant for this process.
fn watchdog(environment: &Environment, pid: u32) -> Option<Duration> {
    let number = |name: &str| environment.get(name)?.trim().parse::<u64>().ok();
    if number("WATCHDOG_PID").is_some_and(|of| of != u64::from(pid)) {
        return None;
    }
    number("WATCHDOG_USEC").filter(|microseconds| *microseconds >= 1000).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn messages_reach_the_socket_by_path_and_by_name() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("tinymcp-test-{}", std::process::id());
        let abstract_name = <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstract_name).unwrap();
        for (socket, variable) in [(by_path, path.display().to_string()), (by_name, format!("@{name}"))] {
            let supervisor = Supervisor::of(&environment(&[("NOTIFY_SOCKET", &variable)]));
            assert!(supervisor.is_there());
            supervisor.ready("one\ntwo");
            let mut buffer = [0; 200];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\nSTATUS=one two\n");
            supervisor.reloading();
            let length = socket.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let (_, since) = text.trim_end().split_once("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(since.parse::<u64>().unwrap() > 0, "{text}");
        }
        assert!(!Supervisor::of(&environment(&[])).is_there());
        // Nobody listens there: nothing happens.
        Supervisor::of(&environment(&[("NOTIFY_SOCKET", "/nowhere/notify")])).ready("");
    }

    #[test]
    fn the_watchdog_is_for_one_process() {
        let of = |variables: &[(&str, &str)]| watchdog(&environment(variables), 7);
        assert_eq!(of(&[("WATCHDOG_USEC", "2000000")]), Some(Duration::from_secs(2)));
        assert_eq!(of(&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "7")]), Some(Duration::from_secs(2)));
        assert_eq!(of(&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "8")]), None);
        assert_eq!(of(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(of(&[("WATCHDOG_USEC", "soon")]), None);
    }
}
