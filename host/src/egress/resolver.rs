//! From names to addresses: the system's resolver, or another one in tests.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Look-ups of the system's resolver at once. Each holds a thread until it is answered, which can take long after
/// everybody has stopped waiting for it.
const LOOK_UPS_MAX: usize = 64;

/// Something that knows the addresses of names.
#[async_trait::async_trait]
pub trait Resolve: Debug + Send + Sync + 'static {
    /// All addresses of a name, in the order in which they are to be tried.
    ///
    /// # Errors
    /// There are none, or nobody could be asked.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of this machine, with its `hosts` file and its search domains.
#[derive(Debug)]
pub struct System(Arc<Semaphore>);

impl Default for System {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOK_UPS_MAX)))
    }
}

#[async_trait::async_trait]
impl Resolve for System {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)?;
        let name = name.to_owned();
        let look_up = move || {
            let _place = place;
            Ok((name.as_str(), 0).to_socket_addrs()?.map(|found| found.ip()).collect())
        };
        tokio::task::spawn_blocking(look_up).await.map_err(io::Error::other)?
    }
}
