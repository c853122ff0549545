//! `tinymcp health`: asks the server of this machine if it serves, for supervisors that run a command, where there is no
//! shell and no other program.
//!
//! It is one request over a plain connection, without a runtime: it is run every few seconds.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::serve::listen_override;
use super::{ConfigArguments, Failure, load, logging, output};
use crate::config::Purpose;
use crate::config::address::Listen;

/// Time for the whole question: a supervisor has a limit of its own, and what it prints then helps nobody.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read: its status is in the first line.
const ANSWER_BYTES_MAX: usize = 1024;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The address that the server listens on, instead of `server.listen`
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Ask if it is ready for people: plugins scanned, identity provider known, not stopping
    #[arg(long)]
    ready: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let invocation = arguments.config.invocation(Purpose::Look, listen_override(arguments.listen));
    // A container engine keeps exit code 2 for itself.
    let setup = load(&invocation).map_err(|failure| Failure::failed(failure.into_message()))?;
    let path = if arguments.ready { "/readyz" } else { "/healthz" };
    let addresses = reached(setup.config.server.listen).map_err(Failure::failed)?;
    let until = Instant::now() + TIMEOUT;
    let mut last = None;
    for address in addresses {
        match status(address, path, until) {
            Ok(200) => {
                output::line("ok");
                return Ok(());
            }
            Ok(status) => return Err(Failure::failed(format!("http://{address}{path}: status {status}"))),
            Err(problem) => last = Some(format!("http://{address}{path}: {problem}")),
        }
    }
    Err(Failure::failed(last.unwrap_or_default()))
}

/// The addresses of this machine by which a listener is reached, one after the other.
///
/// # Errors
/// Nobody knows its port.
fn reached(listen: Listen) -> Result<Vec<SocketAddr>, &'static str> {
    if listen.port() == 0 {
        return Err("the system has chosen the server's port: name it with `--listen`");
    }
    let of = |address: SocketAddr| {
        let ips: Vec<IpAddr> = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => vec![Ipv4Addr::LOCALHOST.into()],
            // Such a listener has both families, or this machine has one of them switched off.
            IpAddr::V6(ip) if ip.is_unspecified() => vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
            ip => vec![ip],
        };
        ips.into_iter().map(move |ip| SocketAddr::new(ip, address.port()))
    };
    Ok(listen.addresses().into_iter().flat_map(of).collect())
}

/// The status of the answer to a GET (RFC 9112 §4). The health endpoints answer under any `Host`.
fn status(address: SocketAddr, path: &str, until: Instant) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, left(until)?)?;
    stream.set_write_timeout(Some(left(until)?))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 256];
    while !answer.contains(&b'\n') && answer.len() < ANSWER_BYTES_MAX {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut part)? {
            0 => break,
            length => answer.extend_from_slice(&part[..length]),
        }
    }
    status_of(&answer).ok_or_else(|| std::io::Error::other("this is no server of HTTP"))
}

/// The time that is left, which is never none: a socket takes that for no limit.
fn left(until: Instant) -> std::io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r' || *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next()?.starts_with("HTTP/1.").then(|| words.next()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_listener_is_reached_on_this_machine() {
        let check = |listen: &str, expected: &[&str]| {
            let addresses = reached(listen.parse().unwrap()).unwrap();
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            assert_eq!(addresses, expected, "{listen}");
        };
        check("127.0.0.1:8000", &["127.0.0.1:8000"]);
        check("0.0.0.0:8000", &["127.0.0.1:8000"]);
        check("[::]:8000", &["[::1]:8000", "127.0.0.1:8000"]);
        check("10.1.2.3:8000", &["10.1.2.3:8000"]);
        check("localhost:8000", &["127.0.0.1:8000", "[::1]:8000"]);
        assert!(reached("127.0.0.1:0".parse().unwrap()).is_err());
    }

    #[test]
    fn the_status_is_read_and_nothing_else_is_one() {
        for (answer, expected) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n"[..], Some(200)),
            (b"HTTP/1.1 503 Service Unavailable\r\n", Some(503)),
            (b"HTTP/1.0 200\n", Some(200)),
            (b"SSH-2.0-x 200\r\n", None),
            (b"HTTP/1.1 no\r\n", None),
            (b"HTTP/1.1 \xff\r\n", None),
            (b"", None),
        ] {
            assert_eq!(status_of(answer), expected, "{}", answer.escape_ascii());
        }
    }

    #[test]
    fn one_that_says_nothing_or_never_ends_has_its_time() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let soon = Instant::now() + Duration::from_millis(200);
        assert!(status(silent.local_addr().unwrap(), "/healthz", soon).is_err());
        let endless = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = endless.local_addr().unwrap();
        let talking = thread::spawn(move || {
            let (mut stream, _) = endless.accept().unwrap();
            while stream.write_all(&[b'x'; 512]).is_ok() {}
        });
        let error = status(address, "/healthz", Instant::now() + TIMEOUT).unwrap_err();
        assert_eq!(error.to_string(), "this is no server of HTTP");
        talking.join().unwrap();
    }
}
