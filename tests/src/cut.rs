//! A way to another server that can be cut: the network between two machines.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A way. It is there while this is.
pub struct Way {
    /// The port at which it begins, on loopback.
    pub port: u16,
    is_cut: watch::Sender<bool>,
}

impl Way {
    /// A way to a port on loopback.
    ///
    /// # Panics
    /// When no port is left.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port of ours");
        let begin = listener.local_addr().expect("it listens").port();
        let is_cut = watch::Sender::new(false);
        let state = is_cut.subscribe();
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(carry(from, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), state.clone()));
            }
        });
        Self { port: begin, is_cut }
    }

    /// Cuts it, or mends it. Whoever is under way hears nothing more, and is not told.
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }
}

/// Carries bytes both ways while the way is whole; what came while it was cut is lost with its connection.
async fn carry(mut from: TcpStream, to: SocketAddr, mut is_cut: watch::Receiver<bool>) {
    if !*is_cut.borrow() {
        let Ok(mut to) = TcpStream::connect(to).await else { return };
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut from, &mut to) => return,
            _ = is_cut.wait_for(|is_cut| *is_cut) => {}
        }
    }
    // A lost network says nothing: the connection stays open until it is mended.
    let _ = is_cut.wait_for(|is_cut| !*is_cut).await;
}
