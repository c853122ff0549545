//! The server's side of the socket: a few requests at a time, each with bounded lines and deadlines.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::commands::{COMMANDS, Parts};
use super::message::{Answer, MAX_LINE_BYTES, Request, VERSION};
use super::place::Place;
use super::recorded::USER;
use super::waiting::{Waiting, WaitingPlace};
use crate::config;
use crate::file_lock::{self, FileLock, Taken};
use crate::log_limiter::LogLimiter;
use crate::state::StateDir;

static STRANGERS: LogLimiter = LogLimiter::new("connections of other users to the control socket");

/// Requests that are worked on at a time; further ones wait.
const REQUESTS: usize = 16;

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
pub fn listen(
    state: &StateDir,
    config: &config::State,
    parts: Parts,
    tracker: &TaskTracker,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut locks = vec![lock(&state.path().join(LOCK))?];
    let place = Place::of(config);
    let directory = place.prepare()?;
    if !place.is_in_state() {
        // Of another server, which has another state directory.
        locks.push(lock(&directory.lock_path())?);
    }
    // Left by a server that was killed: nobody has the lock.
    directory.remove()?;
    let listener = UnixListener::from_std(directory.listen()?)?;
    let parts = Arc::new(parts);
    let connections = tracker.clone();
    tracker.spawn(async move {
        accept(&listener, &parts, &connections, &stop).await;
        let _ = directory.remove();
        drop(locks);
    });
    Ok(())
}

fn lock(path: &std::path::Path) -> io::Result<FileLock> {
    match file_lock::take(path)? {
        Taken::Now(lock) => Ok(lock),
        Taken::Before(pid) => {
            let pid = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            Err(io::Error::other(format!("another server has it{pid}")))
        }
    }
}

/// What all connections share.
#[derive(Clone)]
struct Shared {
    parts: Arc<Parts>,
    waiting: Waiting,
    requests: Arc<Semaphore>,
}

/// Takes connections until `stop`, which ends those under way too: what they began is done, or not.
async fn accept(listener: &UnixListener, parts: &Arc<Parts>, connections: &TaskTracker, stop: &CancellationToken) {
    let requests = Arc::new(Semaphore::new(REQUESTS));
    let shared = Shared { parts: Arc::clone(parts), waiting: Waiting::default(), requests };
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) if is_ours(&stream) => {
                // The place before the next connection is taken: their order counts.
                let (shared, stop, place) = (shared.clone(), stop.clone(), shared.waiting.enter());
                connections.spawn(async move {
                    if let Some(Err(error)) = stop.run_until_cancelled(serve(stream, &shared, place)).await {
                        tracing::debug!(%error, "a connection to the control socket broke");
                    }
                });
            }
            Ok(_) => STRANGERS.log(|| tracing::warn!("a connection of another user to the control socket was refused")),
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
async fn serve(stream: UnixStream, shared: &Shared, first: WaitingPlace) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut place = Some(first);
    loop {
        let waiting = place.take().unwrap_or_else(|| shared.waiting.enter());
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(MAX_LINE_BYTES as u64 + 1);
        let read = tokio::select! {
            read = timeout(LINE_TIMEOUT, bounded.read_until(b'\n', &mut line)) => read,
            () = waiting.taken() => return Ok(()),
        };
        match read {
            Ok(Ok(1..)) => {}
            Ok(Ok(0)) | Err(_) => return Ok(()),
            Ok(Err(error)) => return Err(error),
        }
        drop(waiting);
        let Ok(_turn) = shared.requests.acquire().await else { return Ok(()) };
        let parts = &shared.parts;
        let is_whole = line.len() <= MAX_LINE_BYTES;
        let answer = match is_whole {
            true => timeout(WORK_TIMEOUT, USER.scope(user, answer(parts, &line))).await,
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
