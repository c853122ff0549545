//! Look-ups and connections of one guest, with a resolver that says something else each time.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{Host as _, HostResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::{Network, SocketResult, TcpSocket};
use wasmtime_wasi::sockets::WasiSocketsView as _;

use super::call::MAX_LOOK_UPS;
use super::*;
use crate::config::Limits;
use crate::egress;
use crate::egress::resolver::Resolve;
use crate::grants::TcpGrant;
use crate::grants::in_force::{CallGrants, InForce};
use crate::plugins::conversation::Conversation;
use crate::plugins::imports::guest::Surroundings;
use crate::plugins::plugin::Digest;
use crate::plugins::services::Services;

/// Gives each of these answers once.
#[derive(Debug)]
struct Changing(Mutex<VecDeque<Vec<IpAddr>>>);

#[async_trait::async_trait]
impl Resolve for Changing {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.lock().unwrap().pop_front().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Never answers.
#[derive(Debug)]
struct Silent;

#[async_trait::async_trait]
impl Resolve for Silent {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

struct Call {
    guest: Guest,
    in_force: Arc<InForce>,
}

fn grants(entries: &[&str]) -> Arc<Grants> {
    let tcp = entries.iter().map(|entry| {
        let (is_private, entry) = entry.strip_prefix("private ").map_or((false, *entry), |entry| (true, entry));
        TcpGrant { to: entry.parse().unwrap(), is_private }
    });
    Arc::new(Grants { tcp: tcp.collect(), ..Grants::default() })
}

impl Call {
    fn new(entries: &[&str], answers: &[&[&str]]) -> Self {
        let parsed = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Self::with(entries, Arc::new(Changing(Mutex::new(answers.iter().map(parsed).collect()))))
    }

    fn with(entries: &[&str], resolver: Arc<dyn Resolve>) -> Self {
        let egress = Egress::new(egress::Settings::default(), resolver);
        let in_force = Arc::new(InForce::new(grants(entries)));
        let surroundings = Surroundings {
            plugin: "test".into(),
            digest: Digest::of(b""),
            settings: Arc::default(),
            announcements: Default::default(),
            grants: CallGrants::new(in_force.get(), Arc::clone(&in_force)),
            services: Arc::new(Services { egress: Some(egress), ..Services::default() }),
        };
        Self { guest: Guest::new(surroundings, &Limits::default(), Conversation::default()), in_force }
    }

    fn network(&mut self) -> Resource<Network> {
        self.guest.sockets().instance_network().unwrap()
    }

    /// Looks a name up as a guest does, and gives all addresses.
    async fn look_up(&mut self, name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
        let network = self.network();
        let stream = self.guest.resolve_addresses(network, name.to_owned()).map_err(code)?;
        let mut found = Vec::new();
        loop {
            match self.guest.resolve_next_address(Resource::new_borrow(stream.rep())).map_err(code) {
                Ok(Some(IpAddress::Ipv4((a, b, c, d)))) => found.push(IpAddr::from([a, b, c, d])),
                Ok(Some(IpAddress::Ipv6((a, b, c, d, e, f, g, h)))) => {
                    found.push(IpAddr::from([a, b, c, d, e, f, g, h]));
                }
                Ok(None) => break,
                Err(ErrorCode::WouldBlock) => tokio::task::yield_now().await,
                Err(code) => return Err(code),
            }
        }
        HostResolveAddressStream::drop(&mut self.guest, stream).unwrap();
        Ok(found)
    }

    fn socket(&mut self) -> SocketResult<Resource<TcpSocket>> {
        self.guest.create_tcp_socket(IpAddressFamily::Ipv4)
    }

    /// Connects, and gives the socket.
    async fn connect(&mut self, place: SocketAddr) -> Result<Resource<TcpSocket>, ErrorCode> {
        let (network, socket) = (self.network(), self.socket().map_err(code)?);
        let handle = || Resource::new_borrow(socket.rep());
        self.guest.start_connect(handle(), network, IpSocketAddress::from(place)).map_err(code)?;
        loop {
            match self.guest.finish_connect(handle()).map_err(code) {
                Ok(_) => return Ok(socket),
                Err(ErrorCode::WouldBlock) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(code) => return Err(code),
            }
        }
    }
}

fn code(error: SocketError) -> ErrorCode {
    error.downcast().unwrap()
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let place = listener.local_addr().unwrap();
    (listener, place)
}

#[tokio::test]
async fn a_name_that_changes_its_answer_leads_to_nothing_that_was_not_judged() {
    let mut call = Call::new(&["a.example.com:80"], &[&["8.8.8.8"], &["127.0.0.1"], &["8.8.8.9", "10.0.0.1"], &[]]);
    assert_eq!(call.look_up("a.example.com").await.unwrap(), ["8.8.8.8".parse::<IpAddr>().unwrap()]);
    for _ in 0..4 {
        // This machine, a private address among others, no address, and no answer.
        assert!(matches!(call.look_up("a.example.com").await, Err(ErrorCode::NameUnresolvable)));
    }
    for place in ["127.0.0.1:80", "8.8.8.9:80", "10.0.0.1:80", "8.8.8.8:81"] {
        assert!(matches!(call.connect(place.parse().unwrap()).await, Err(ErrorCode::AccessDenied)), "{place}");
    }
}

#[tokio::test]
async fn what_is_not_granted_is_not_looked_up() {
    let mut call = Call::new(&["a.example.com:80"], &[&["8.8.8.8"]]);
    for name in ["b.example.com", "xa.example.com", "example.com", "8.8.8.8", "::ffff:8.8.8.8", "localhost"] {
        assert!(matches!(call.look_up(name).await, Err(ErrorCode::NameUnresolvable)), "{name}");
    }
    for name in ["", "a b", "*.example.com", "a.example.com%", "user@a.example.com"] {
        assert!(matches!(call.look_up(name).await, Err(ErrorCode::InvalidArgument)), "{name}");
    }
    // The only answer is still there.
    assert_eq!(call.look_up("A.EXAMPLE.com.").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_call_has_few_look_ups_under_way_whether_it_waits_for_them_or_not() {
    let mut call = Call::with(&["a.example.com:80"], Arc::new(Silent));
    let network = call.network();
    for _ in 0..MAX_LOOK_UPS {
        let network = Resource::new_borrow(network.rep());
        let stream = call.guest.resolve_addresses(network, "a.example.com".to_owned()).unwrap();
        tokio::task::yield_now().await;
        HostResolveAddressStream::drop(&mut call.guest, stream).unwrap();
    }
    let one_more = call.guest.resolve_addresses(network, "a.example.com".to_owned());
    assert!(matches!(one_more.map_err(code), Err(ErrorCode::TemporaryResolverFailure)));
}

#[tokio::test]
async fn an_address_of_an_earlier_call_is_no_address_of_this_one() {
    let (_listener, place) = listener().await;
    let entry = format!("localhost:{}", place.port());
    let mut call = Call::new(&[&entry], &[]);
    call.look_up("localhost").await.unwrap();
    call.connect(place).await.unwrap();
    call.guest.end();
    assert!(matches!(call.connect(place).await, Err(ErrorCode::AccessDenied)));
}

#[tokio::test]
async fn a_withdrawn_grant_ends_look_ups_and_connections() {
    let (listener, place) = listener().await;
    let entry = format!("localhost:{}", place.port());
    let mut call = Call::new(&[&entry], &[]);
    call.look_up("localhost").await.unwrap();
    let _socket = call.connect(place).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    call.in_force.set(Arc::default());
    let ended = async { stream.read(&mut [0; 1]).await.unwrap() };
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap(), 0, "the peer sees the end");
    assert!(matches!(call.look_up("localhost").await, Err(ErrorCode::NameUnresolvable)));
    assert!(matches!(call.connect(place).await, Err(ErrorCode::AccessDenied)));
    // What is granted anew is for new calls, and this one began with it: it has it again.
    call.in_force.set(grants(&[&entry]));
    call.look_up("localhost").await.unwrap();
    call.connect(place).await.unwrap();
}

#[tokio::test]
async fn an_entry_that_is_no_longer_private_holds_no_private_address() {
    let mut call = Call::new(&["private db.internal:5432"], &[&["10.0.0.1"]]);
    assert_eq!(call.look_up("db.internal").await.unwrap().len(), 1);
    let place = "10.0.0.1:5432".parse().unwrap();
    let egress = call.guest.services.egress.clone().unwrap();
    assert!(call.guest.host_of(&egress, place).is_some());
    call.in_force.set(grants(&["db.internal:5432"]));
    assert!(call.guest.host_of(&egress, place).is_none());
}

#[tokio::test]
async fn a_socket_binds_and_listens_nowhere() {
    let mut call = Call::new(&["127.0.0.1:80"], &[]);
    let (network, socket) = (call.network(), call.socket().unwrap());
    let handle = || Resource::new_borrow(socket.rep());
    for place in ["0.0.0.0:0", "127.0.0.1:0", "0.0.0.0:80"] {
        let place: SocketAddr = place.parse().unwrap();
        let network = Resource::new_borrow(network.rep());
        let bound = call.guest.start_bind(handle(), network, IpSocketAddress::from(place)).await;
        assert!(matches!(bound.map_err(code), Err(ErrorCode::AccessDenied)), "{place}");
    }
    assert!(matches!(call.guest.start_listen(handle()).await.map_err(code), Err(ErrorCode::AccessDenied)));
    assert!(matches!(call.guest.finish_bind(handle()).map_err(code), Err(ErrorCode::NotInProgress)));
    assert!(matches!(call.guest.finish_listen(handle()).map_err(code), Err(ErrorCode::NotInProgress)));
    assert!(matches!(call.guest.accept(handle()).map_err(code), Err(ErrorCode::InvalidState)));
    assert!(matches!(call.guest.finish_connect(handle()).map_err(code), Err(ErrorCode::NotInProgress)));
}

#[tokio::test]
async fn options_are_those_of_the_system_within_bounds() {
    let mut call = Call::new(&["127.0.0.1:80"], &[]);
    let socket = call.socket().unwrap();
    let handle = || Resource::new_borrow(socket.rep());
    let guest = &mut call.guest;
    guest.set_keep_alive_enabled(handle(), true).unwrap();
    assert!(guest.keep_alive_enabled(handle()).unwrap());
    guest.set_keep_alive_idle_time(handle(), 1).unwrap();
    assert_eq!(guest.keep_alive_idle_time(handle()).unwrap(), 1_000_000_000);
    guest.set_keep_alive_interval(handle(), u64::MAX).unwrap();
    guest.set_keep_alive_count(handle(), u32::MAX).unwrap();
    guest.set_hop_limit(handle(), 7).unwrap();
    assert_eq!(guest.hop_limit(handle()).unwrap(), 7);
    guest.set_receive_buffer_size(handle(), u64::MAX).unwrap();
    guest.set_send_buffer_size(handle(), 65536).unwrap();
    assert!(guest.send_buffer_size(handle()).unwrap() > 0 && guest.receive_buffer_size(handle()).unwrap() > 0);
    assert!(guest.set_hop_limit(handle(), 0).is_err() && guest.set_keep_alive_count(handle(), 0).is_err());
    assert!(guest.set_keep_alive_idle_time(handle(), 0).is_err() && guest.set_send_buffer_size(handle(), 0).is_err());
    assert!(guest.local_address(handle()).is_err() && guest.remote_address(handle()).is_err());
}

#[tokio::test]
async fn without_a_grant_there_is_no_socket() {
    let mut call = Call::new(&[], &[]);
    assert!(matches!(call.socket().map_err(code), Err(ErrorCode::AccessDenied)));
    let mut call = Call::new(&["127.0.0.1:80"], &[]);
    let held: Vec<_> = (0..16).map(|_| call.socket().unwrap()).collect();
    assert!(matches!(call.socket().map_err(code), Err(ErrorCode::NewSocketLimit)));
    let first = held.into_iter().next().unwrap();
    HostTcpSocket::drop(&mut call.guest, first).unwrap();
    call.socket().unwrap();
}
