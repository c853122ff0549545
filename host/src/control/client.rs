//! A command's side of the socket: one request for each connection.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::message::{Answer, MAX_LINE_BYTES, Request, VERSION};
use super::place::Place;
use crate::config::State;
use crate::kv::{self, Backend, KvError};
use crate::person_label;

/// Time for an answer: longer than a server takes to give up.
const TIMEOUT: Duration = Duration::from_secs(70);

/// The system lets this user not in.
const CLOSED: &str = "this user may not enter";

/// Whoever listens is neither this user nor, for root, the directory's.
const FOREIGN: &str = "another user's program listens in";

/// The way to a server.
#[derive(Debug, Clone)]
pub struct Client {
    place: Place,
}

/// The reason that a server gives no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// None is running with this state directory.
    #[error("no server is running with this state directory")]
    NoServer,
    /// The socket is another user's, or in a directory that is.
    #[error(
        "the server's control socket is in `{}`, which {why}: run this as the user that the server runs as, or as root",
        .directory.display()
    )]
    Closed {
        /// The directory.
        directory: std::path::PathBuf,
        /// Why it is no way.
        why: &'static str,
    },
    /// The connection broke, or was refused.
    #[error("the server's control socket: {0}")]
    Broken(#[from] io::Error),
    /// It says so.
    #[error("{0}")]
    Refused(String),
}

/// A reason why nobody can reach a server that is running with this `[state]`: it has not opened its socket in a directory
/// that is not its own.
pub fn why_unreachable(state: &State) -> Option<String> {
    Place::of(state).require_own().err().map(|error| error.to_string())
}

impl Client {
    /// The way to the server with this `[state]`, if one is running.
    ///
    /// # Errors
    /// [`ClientError::NoServer`], or another reason for no answer.
    pub async fn find(state: &State) -> Result<Self, ClientError> {
        let client = Self { place: Place::of(state) };
        let hello = client.ask("hello", Value::Null).await?;
        if let Some(key) = hello["person_label_key"].as_str() {
            person_label::use_shared_key(key);
        }
        Ok(client)
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask(&self, command: &str, arguments: Value) -> Result<Value, ClientError> {
        let asked = timeout(TIMEOUT, self.ask_and_wait(command, arguments)).await;
        asked.map_err(|_| ClientError::Broken(io::ErrorKind::TimedOut.into()))?
    }

    async fn ask_and_wait(&self, command: &str, arguments: Value) -> Result<Value, ClientError> {
        let stream = self.connect().await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoServer,
            io::ErrorKind::PermissionDenied => {
                let why = if error.raw_os_error().is_some() { CLOSED } else { FOREIGN };
                ClientError::Closed { directory: self.place.directory().to_owned(), why }
            }
            _ => ClientError::Broken(error),
        })?;
        let (reader, mut writer) = stream.into_split();
        let request = Request { version: VERSION, command: command.to_owned(), arguments };
        let mut line = serde_json::to_vec(&request).map_err(io::Error::from)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
        let mut text = Vec::new();
        BufReader::new(reader).take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut text).await?;
        match serde_json::from_slice(&text).map_err(io::Error::from)? {
            Answer::Result(result) => Ok(result),
            Answer::Error(error) => Err(ClientError::Refused(error)),
        }
    }

    /// Connects to a server of this user, or, for the system's own user, of the directory's.
    async fn connect(&self) -> io::Result<UnixStream> {
        let directory = self.place.open()?;
        let stream = UnixStream::connect(directory.address()?).await?;
        let (ours, server) = (rustix::process::geteuid().as_raw(), stream.peer_cred()?.uid());
        let is_believed = server == ours || (ours == 0 && server == directory.owner()?);
        match is_believed {
            true => Ok(stream),
            false => Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user listens there")),
        }
    }
}

/// The state of plugins that the server has.
#[async_trait]
impl Backend for Client {
    async fn ask(&self, request: kv::Request) -> Result<kv::Answer, KvError> {
        let unavailable = |error: &dyn std::fmt::Display| KvError::Unavailable(error.to_string());
        let arguments = serde_json::to_value(request).map_err(|error| unavailable(&error))?;
        let answer = Self::ask(self, "kv", arguments).await.map_err(|error| unavailable(&error))?;
        serde_json::from_value::<Result<kv::Answer, KvError>>(answer).map_err(|error| unavailable(&error))?
    }
}
