//! The server's side of the socket: a few connections at a time, each with bounded lines and deadlines.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::{Address, FILE};
use super::commands::{COMMANDS, Parts};
use super::message::{Answer, MAX_LINE_BYTES, Request, VERSION};
use crate::file_lock::{self, Taken};
use crate::state::StateDir;

/// Connections at a time; further ones wait.
const CONNECTIONS: usize = 16;

/// Time for a line, from the one before.
const LINE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for an answer to be made.
const WORK_TIMEOUT: Duration = Duration::from_secs(60);

/// Time after an error of the system, such as too few descriptors.
const PAUSE: Duration = Duration::from_millis(500);

/// The lock of the server that has the socket. Its socket's file stays when it is killed, and this does not.
const LOCK: &str = "control.lock";

/// Listens at the socket of a state directory, on `tracker` until `stop`.
///
/// # Errors
/// Another server has it, or the system refuses it. A server works without.
pub fn listen(state: &StateDir, parts: Parts, tracker: &TaskTracker, stop: CancellationToken) -> io::Result<()> {
    let lock = match file_lock::take(&state.path().join(LOCK))? {
        Taken::Now(lock) => lock,
        Taken::Before(pid) => {
            let pid = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            return Err(io::Error::other(format!("another server has it{pid}")));
        }
    };
    let address = Address::within(state.path())?;
    let file = state.path().join(FILE);
    // Left by a server that was killed: nobody has the lock.
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(address.path())?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let parts = Arc::new(parts);
    let connections = tracker.clone();
    tracker.spawn(async move {
        accept(&listener, &parts, &connections, &stop).await;
        let _ = fs::remove_file(file);
        drop(lock);
    });
    Ok(())
}

/// Takes connections until `stop`, which ends those under way too: what they began is done, or not.
async fn accept(listener: &UnixListener, parts: &Arc<Parts>, connections: &TaskTracker, stop: &CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepting = async { (Arc::clone(&places).acquire_owned().await, listener.accept().await) };
        let Some((place, accepted)) = stop.run_until_cancelled(accepting).await else { return };
        match accepted {
            Ok((stream, _)) => {
                let (parts, stop) = (Arc::clone(parts), stop.clone());
                connections.spawn(async move {
                    if is_ours(&stream)
                        && let Some(Err(error)) = stop.run_until_cancelled(serve(stream, &parts)).await
                    {
                        tracing::debug!(%error, "a connection to the control socket broke");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection to the control socket taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// True for the user of this process, and for the system's own.
fn is_ours(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ours || peer.uid() == 0)
}

/// Answers one line after the other, until the client goes away or says nothing.
async fn serve(stream: UnixStream, parts: &Arc<Parts>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(MAX_LINE_BYTES as u64 + 1);
        match timeout(LINE_TIMEOUT, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0)) | Err(_) => return Ok(()),
            Ok(Err(error)) => return Err(error),
        }
        let is_whole = line.len() <= MAX_LINE_BYTES;
        let answer = match is_whole {
            true => timeout(WORK_TIMEOUT, answer(parts, &line)).await,
            false => Ok(Answer::Error(format!("a line has at most {MAX_LINE_BYTES} bytes"))),
        };
        let answer = answer.unwrap_or_else(|_| Answer::Error("it took too long".to_owned()));
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        timeout(LINE_TIMEOUT, writer.write_all(&text)).await??;
        if !is_whole {
            return Ok(());
        }
    }
}

async fn answer(parts: &Arc<Parts>, line: &[u8]) -> Answer {
    let request: Request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => return Answer::Error(format!("not a request: {error}")),
    };
    if request.version != VERSION {
        return Answer::Error(format!(
            "requests of version {} are not known here, but of {VERSION}: use the program that the server runs",
            request.version
        ));
    }
    match COMMANDS.iter().find(|command| command.name == request.command) {
        Some(command) => match (command.run)(Arc::clone(parts), request.arguments).await {
            Ok(result) => Answer::Result(result),
            Err(error) => Answer::Error(error),
        },
        None => {
            let known: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
            Answer::Error(format!("unknown command; known here: {}", known.join(", ")))
        }
    }
}
