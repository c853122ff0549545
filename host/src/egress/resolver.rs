//! From names to addresses: the system's resolver, or another one in tests.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};

/// Something that knows the addresses of names.
#[async_trait::async_trait]
pub trait Resolve: Debug + Send + Sync + 'static {
    /// All addresses of a name, in the order in which they are to be tried.
    ///
    /// # Errors
    /// There are none, or nobody could be asked.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of this machine, with its `hosts` file and its search domains. Each look-up holds a thread until it is
/// answered.
#[derive(Debug, Default)]
pub struct System;

#[async_trait::async_trait]
impl Resolve for System {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = name.to_owned();
        let look_up = move || Ok((name.as_str(), 0).to_socket_addrs()?.map(|found| found.ip()).collect());
        tokio::task::spawn_blocking(look_up).await.map_err(io::Error::other)?
    }
}
