//! A load balancer, HAProxy, in front of servers that share a store. It gives requests to all in turn and asks `/readyz`.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;
use url::Url;

use crate::server::free_port;
use crate::until;

/// One that runs. It is ended when it is dropped.
pub struct Balancer {
    /// The address that it listens at.
    pub address: SocketAddr,
    _dir: TempDir,
    child: Child,
}

impl Balancer {
    /// Chooses an address for one, whose URL servers can be told before they start.
    pub fn address() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
    }

    /// Starts one in front of servers, which may come later and go.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(address: SocketAddr, servers: &[SocketAddr]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("haproxy.cfg");
        std::fs::write(&file, configuration(address, servers)).expect("a file of ours");
        let checked = Command::new(program()).arg("-c").arg("-f").arg(&file).output();
        let checked = checked.expect("HAProxy is installed (tests/setup/system)");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let mut command = Command::new(program());
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("it was just asked");
        let this = Self { address, _dir: dir, child };
        until("a load balancer that listens", async || TcpStream::connect(address).await.is_ok()).await;
        this
    }

    /// Its URL.
    pub fn base(&self) -> Url {
        base(self.address)
    }
}

/// The URL of one at this address.
pub fn base(address: SocketAddr) -> Url {
    format!("http://localhost:{}/", address.port()).parse().expect("a URL of ours")
}

/// A server that says in `/readyz` that it is not ready gets nothing within 0.2 s. One that refuses a connection, since it has
/// just ended, is asked nothing: another one gets that request.
fn configuration(address: SocketAddr, servers: &[SocketAddr]) -> String {
    let mut text = format!(
        "defaults\n    mode http\n    timeout connect 2s\n    timeout client 5m\n    timeout server 5m\n    retries 5\n    \
         option redispatch 1\nlisten all\n    bind {address}\n    balance roundrobin\n    option httpchk GET /readyz\n    \
         http-check expect status 200\n    default-server check inter 200ms fall 1 rise 1\n"
    );
    for (number, server) in servers.iter().enumerate() {
        writeln!(text, "    server s{number} {server}").expect("memory is enough");
    }
    text
}

/// Debian has it where a search path of ordinary people does not lead.
fn program() -> PathBuf {
    let installed = Path::new("/usr/sbin/haproxy");
    if installed.is_file() { installed.to_owned() } else { PathBuf::from("haproxy") }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
