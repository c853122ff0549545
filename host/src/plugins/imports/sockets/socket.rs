//! A socket of a guest: new, connecting, open, or done for.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::{TcpSocket, TcpStream};
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::p2::{Pollable, SocketResult};

use super::connection::{Connection, Cutter};
use super::later::Later;
use super::streams::{Reader, Writer};
use crate::egress::Place;
use crate::plugins::imports::allowance::ConnectionPlace;

/// The places of a socket.
type Places = (ConnectionPlace, Place);

/// The family of a socket's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn of(place: SocketAddr) -> Self {
        if place.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// A socket. Its places, among the call's connections and among the server's, are given back with it.
pub(super) struct Socket {
    pub(super) family: Family,
    state: State,
    _places: Places,
}

enum State {
    /// Nothing has happened yet.
    New(TcpSocket),
    /// On its way, or there and not asked for yet.
    Connecting(Later<Option<Open>>),
    /// The guest has its streams.
    Open(Open),
    /// It could not connect.
    Failed,
}

/// An open connection, as the socket has it.
pub(super) struct Open {
    connection: Arc<Connection>,
    writer: Writer,
    _cutter: Cutter,
}

impl Socket {
    /// A socket that is not bound to anything.
    pub(super) fn new(family: Family, places: Places) -> io::Result<Self> {
        let socket = match family {
            Family::V4 => TcpSocket::new_v4()?,
            Family::V6 => {
                let socket = TcpSocket::new_v6()?;
                // `wasi:sockets`: an IPv6 socket is that and nothing else.
                rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
                socket
            }
        };
        Ok(Self { family, state: State::New(socket), _places: places })
    }

    /// Begins to connect, to a place that was decided on, until it is `withdrawn`.
    pub(super) fn connect<W>(&mut self, place: SocketAddr, withdrawn: impl Fn() -> W) -> SocketResult<()>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let socket = match std::mem::replace(&mut self.state, State::Failed) {
            State::New(socket) => socket,
            other => {
                self.state = other;
                return Err(ErrorCode::InvalidState.into());
            }
        };
        let (while_connecting, while_open) = (withdrawn(), withdrawn());
        self.state = State::Connecting(Later::begin(async move {
            let stream = tokio::select! {
                biased;
                () = while_connecting => return Err(io::ErrorKind::PermissionDenied.into()),
                connected = socket.connect(place) => connected?,
            };
            let connection = Connection::new(stream);
            let cutter = connection.cut_when(while_open);
            let writer = Writer::new(Arc::clone(&connection));
            Ok(Some(Open { connection, writer, _cutter: cutter }))
        }));
        Ok(())
    }

    /// The streams, once it is connected.
    pub(super) fn streams(&mut self) -> SocketResult<(Reader, Writer)> {
        let State::Connecting(connecting) = &mut self.state else {
            return Err(ErrorCode::NotInProgress.into());
        };
        let open = match connecting.now() {
            None => return Err(ErrorCode::WouldBlock.into()),
            Some(Ok(open)) => open.take(),
            Some(Err(error)) => {
                let code = ErrorCode::from(&*error);
                self.state = State::Failed;
                return Err(code.into());
            }
        };
        let Some(open) = open else { return Err(ErrorCode::NotInProgress.into()) };
        let streams = (Reader::new(Arc::clone(&open.connection)), open.writer.clone());
        self.state = State::Open(open);
        Ok(streams)
    }

    /// The open connection.
    pub(super) fn open(&self) -> SocketResult<&Open> {
        match &self.state {
            State::Open(open) => Ok(open),
            State::New(_) | State::Connecting(_) | State::Failed => Err(ErrorCode::InvalidState.into()),
        }
    }

    /// The system's socket, for its options.
    pub(super) fn fd(&self) -> SocketResult<BorrowedFd<'_>> {
        match &self.state {
            State::New(socket) => Ok(socket.as_fd()),
            State::Open(open) => Ok(open.connection.as_fd()),
            State::Connecting(_) | State::Failed => Err(ErrorCode::InvalidState.into()),
        }
    }
}

impl Open {
    pub(super) fn stream(&self) -> &TcpStream {
        self.connection.stream()
    }

    /// Reads nothing more.
    pub(super) fn close_read(&self) {
        self.connection.close_read();
    }

    /// Writes nothing more, after what was written already.
    pub(super) fn close_write(&self) {
        self.writer.close();
    }
}

#[async_trait]
impl Pollable for Socket {
    async fn ready(&mut self) {
        if let State::Connecting(connecting) = &mut self.state {
            poll_fn(|context| connecting.poll(context)).await;
        }
    }
}
