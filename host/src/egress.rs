//! The way out: requests and sockets that plugins were granted, to addresses that were judged first.
//!
//! Everything here is decided in [`grants`](crate::grants) before it comes here; this room looks up a name once, judges
//! all of its answers, and dials one of those that were admitted. It knows nothing of plugins, of WebAssembly or of the
//! configuration.
//!
//! - `resolver`: from a name to addresses. `own`: what this server knows of itself and its network.
//! - `dial`: connections, and TLS. `proxy`: tunnels of the operator's proxy. `pool`: connections that are kept.
//! - `exchange`: one request and its answer. `upkeep`: what is part of none, and has a bound. `failure`: the reasons that there
//!   is none. `hold`: its end before its time.
//! - `places`: the connections that each plugin may have open, and its look-ups.
//! - `stand_in`: one that answers in the place of all hosts, for tests of plugins.

mod dial;
mod exchange;
mod failure;
mod hold;
mod own;
mod places;
mod pool;
mod proxy;
pub mod resolver;
mod stand_in;
mod upkeep;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Response};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use url::Url;

use self::dial::{Stream, Trust};
use self::exchange::Connections;
pub use self::exchange::{Order, Received};
pub use self::failure::Failure;
pub use self::hold::Hold;
pub use self::places::Place;
use self::places::Places;
use self::pool::Pool;
pub use self::pool::SentBody;
pub use self::proxy::{Direct, Proxy};
use self::resolver::Resolve;
pub use self::stand_in::StandIn;
use crate::grants::address::{AddressRefusal, Reach, Surroundings, Way};
use crate::grants::host::Host;
use crate::grants::rule::Rule;
use crate::grants::scheme::Scheme;
use crate::grants::target::Target;

/// Time for one look-up. The system's resolver gives up after about as long, and asks again.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// Look-ups at once, over all plugins. Each holds a thread of the system's resolver until it is answered, which can take
/// long after everybody has stopped waiting for it.
const LOOK_UPS_MAX: usize = 64;

/// Connections that are open at once, over all plugins: descriptors are the server's, too.
const CONNECTIONS_MAX: usize = 1024;

/// Addresses of one name that a proxy is asked for: it may have one family alone.
const PROXY_ATTEMPTS: usize = 4;

/// The addresses of `localhost` and of names below it, which nobody is asked for (RFC 6761 §6.3).
const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// The way out, as the operator has set it up. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Egress(Arc<Shared>);

/// What the operator says about the way out.
#[derive(Debug, Default)]
pub struct Settings {
    /// This server and its network.
    pub surroundings: Surroundings,
    /// The proxy, if there is one.
    pub proxy: Option<Proxy>,
    /// Certificates of further authorities, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// Further places of this server's own, where no plugin is led, such as where its telemetry goes.
    pub kept_apart: Vec<(Host, u16)>,
}

#[derive(Debug)]
struct Shared {
    resolver: Arc<dyn Resolve>,
    surroundings: Surroundings,
    proxy: Option<Proxy>,
    kept_apart: Vec<(Host, u16)>,
    trust: Trust,
    connections: Connections,
    /// A place for each look-up that is under way: names whose servers say nothing are their plugin's affair.
    look_ups: Arc<Places>,
    /// Time for one look-up, the wait for a place included.
    look_up_timeout: Duration,
    /// Answers in the place of all hosts, if anybody does.
    stand_in: Option<Arc<dyn StandIn>>,
}

impl Egress {
    /// A way out. Connections live on the runtime that this is called in.
    pub fn new(settings: Settings, resolver: Arc<dyn Resolve>) -> Self {
        Self::with(settings, resolver, None)
    }

    /// A way that leads to nobody but the one that stands in for all hosts. No name is looked up, and no socket opened.
    pub fn to(stand_in: Arc<dyn StandIn>) -> Self {
        Self::with(Settings::default(), Arc::new(stand_in::NoNames), Some(stand_in))
    }

    fn with(settings: Settings, resolver: Arc<dyn Resolve>, stand_in: Option<Arc<dyn StandIn>>) -> Self {
        let Settings { mut surroundings, proxy, authorities, mut kept_apart } = settings;
        kept_apart.extend(proxy.as_ref().and_then(|proxy| place_of(&proxy.url)));
        surroundings.own.extend(kept_apart.iter().cloned().filter_map(own::of_proxy));
        Self(Arc::new(Shared {
            resolver,
            surroundings,
            proxy,
            kept_apart,
            trust: Trust::new(authorities),
            connections: Connections {
                pool: Arc::new(Pool::default()),
                places: Places::new(CONNECTIONS_MAX),
                handle: Handle::try_current().ok(),
            },
            look_ups: Places::new(LOOK_UPS_MAX),
            look_up_timeout: LOOK_UP_TIMEOUT,
            stand_in,
        }))
    }

    /// Tells the one that stands in for all hosts, if there is one, of a request that was not granted.
    pub fn denied(&self, method: &Method, target: &Target) {
        if let Some(stand_in) = &self.0.stand_in {
            stand_in.denied(method, &stand_in::url_of(target));
        }
    }

    /// Finds the addresses behind a granted host: one look-up, of which every answer is judged. Any of the addresses may
    /// be dialled on this port, and no other.
    ///
    /// # Errors
    /// There is no address, or one of them may not be dialled.
    pub async fn look_up(
        &self,
        plugin: &Arc<str>,
        host: &Host,
        port: u16,
        reach: Reach<'_>,
    ) -> Result<Vec<SocketAddr>, AddressRefusal> {
        self.expect_foreign(host, port)?;
        let answers = self.answers(plugin, host).await?;
        self.admit(host, &answers, port, reach)
    }

    /// The first half of [`Self::look_up`], for a host with several entries: one look-up for all of them, of which
    /// nothing may be dialled before [`Self::admit`].
    ///
    /// # Errors
    /// There is no address.
    pub async fn answers(&self, plugin: &Arc<str>, host: &Host) -> Result<Vec<IpAddr>, AddressRefusal> {
        match host {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(_) if host.is_loopback() => Ok(LOCALHOST.to_vec()),
            Host::Name(name) => self.resolve(plugin, name).await,
        }
    }

    /// Judges all answers for a host by one of its entries.
    ///
    /// # Errors
    /// One of them may not be dialled.
    pub fn admit(
        &self,
        host: &Host,
        answers: &[IpAddr],
        port: u16,
        reach: Reach<'_>,
    ) -> Result<Vec<SocketAddr>, AddressRefusal> {
        if self.0.stand_in.is_some() {
            return Err(AddressRefusal::None);
        }
        self.expect_foreign(host, port)?;
        own::admit(&self.0.surroundings, answers, port, reach)
    }

    /// Takes a place among the connections of this server, for a socket of a plugin, unless it has as many as it may. A
    /// connection that is kept for nobody gives way to a later one.
    pub fn place_now(&self, plugin: &Arc<str>) -> Option<Place> {
        let place = self.0.connections.places.take(plugin);
        if place.is_none() && !self.0.connections.make_room(plugin) {
            self.0.connections.places.tell(plugin);
        }
        place
    }

    /// Connections that are open, over all plugins.
    pub fn open(&self) -> usize {
        self.0.connections.places.open()
    }

    /// Runs something beside the connections, on the threads of the server.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.connections.handle().spawn(task);
    }

    /// Refuses this server and its proxy by their names, before any look-up.
    fn expect_foreign(&self, host: &Host, port: u16) -> Result<(), AddressRefusal> {
        let is_own = |(own, own_port): &(Host, u16)| own == host && *own_port == port;
        match self.0.kept_apart.iter().any(is_own) {
            true => Err(AddressRefusal::Own),
            false => self.0.surroundings.expect_foreign(host, port),
        }
    }

    async fn resolve(&self, plugin: &Arc<str>, name: &str) -> Result<Vec<IpAddr>, AddressRefusal> {
        let looking = async {
            let place = self.0.look_ups.wait(plugin).await;
            let (resolver, name) = (Arc::clone(&self.0.resolver), name.to_owned());
            // To its end, whoever still waits: nobody stops the system's resolver, and the place is that of its thread.
            let asked = self.0.connections.handle().spawn(async move {
                let answers = resolver.resolve(&name).await;
                drop(place);
                answers
            });
            asked.await.map_err(io::Error::other)?
        };
        match tokio::time::timeout(self.0.look_up_timeout, looking).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a name was not found");
                Err(AddressRefusal::None)
            }
            Err(_elapsed) => Err(AddressRefusal::Unanswered),
        }
    }

    /// Sends a granted request: `parts` has its method and headers, `path` its path and query as they are sent. The
    /// answer's head is waited for; redirects are answers.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn send(
        &self,
        order: &Order,
        parts: Parts,
        path: &str,
        body: SentBody,
    ) -> Result<Response<Received>, Failure> {
        let dial = async {
            if let Some(stand_in) = &self.0.stand_in {
                // An address is judged by itself; what a name leads to is nobody's business here.
                if let Host::Address(address) = order.target.host() {
                    own::admit(&self.0.surroundings, &[*address], order.target.port(), order.entry.rule.reach())?;
                }
                return Ok((stand_in::connect(stand_in, &order.target, &self.0.connections.handle()), false));
            }
            let stream = self.reach(&order.owner, &order.target, &order.entry.rule).await?;
            match order.target.scheme() {
                Scheme::Http => Ok((stream, false)),
                Scheme::Https => self.0.trust.secure(stream, order.target.host(), true).await,
            }
        };
        self.0.connections.send(order, parts, path, body, dial).await
    }

    /// A connection to a target's host, or a tunnel to it. All that may be dialled is looked up here.
    async fn reach(&self, plugin: &Arc<str>, target: &Target, rule: &Rule) -> Result<Stream, Failure> {
        let (host, port, reach) = (target.host(), target.port(), rule.reach());
        let proxy = self.0.proxy.as_ref().filter(|proxy| !proxy.direct.contains(host));
        let resolves = proxy.is_some_and(|proxy| proxy.resolves);
        let way = Way::of(rule.is_near(), host, proxy.is_some(), resolves);
        let Some(proxy) = proxy.filter(|_| way != Way::Direct) else {
            let places = self.look_up(plugin, host, port, reach).await?;
            return Ok(Box::new(dial::connect(&places).await?));
        };
        if way == Way::ProxyToName {
            self.expect_foreign(host, port)?;
            return self.tunnel(plugin, proxy, &dial::authority(host, port)).await;
        }
        let mut failure = Failure::Proxy("there is no address to ask for".to_owned());
        for place in self.look_up(plugin, host, port, reach).await?.into_iter().take(PROXY_ATTEMPTS) {
            match self.tunnel(plugin, proxy, &dial::of_address(place.ip(), port)).await {
                Ok(stream) => return Ok(stream),
                Err(reason) => failure = reason,
            }
        }
        Err(failure)
    }

    /// A tunnel through the proxy to a place, `host:port`. The proxy's own address is the operator's affair.
    async fn tunnel(&self, plugin: &Arc<str>, proxy: &Proxy, place: &str) -> Result<Stream, Failure> {
        let failed = |reason: &str| Failure::Proxy(reason.to_owned());
        let (host, port) = place_of(&proxy.url).ok_or_else(|| failed("its URL has no host"))?;
        let stream = self.dial_proxy(plugin, &host, port).await.map_err(|failure| failed(&failure.to_string()))?;
        let stream: Stream = match proxy.url.scheme() {
            "https" => self.0.trust.secure(Box::new(stream), &host, false).await?.0,
            _ => Box::new(stream),
        };
        Ok(Box::new(proxy.tunnel(stream, place).await?))
    }

    async fn dial_proxy(&self, plugin: &Arc<str>, host: &Host, port: u16) -> Result<TcpStream, Failure> {
        let addresses = match host {
            Host::Address(address) => vec![*address],
            Host::Name(_) if host.is_loopback() => LOCALHOST.to_vec(),
            Host::Name(name) => self.resolve(plugin, name).await?,
        };
        let places: Vec<SocketAddr> = addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
        dial::connect(&places).await
    }
}

/// The host of a proxy's URL, where nobody else is led to.
fn place_of(url: &Url) -> Option<(Host, u16)> {
    Some((Host::parse(url.host_str()?).ok()?, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests;
