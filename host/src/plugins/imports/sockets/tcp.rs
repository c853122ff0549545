//! `wasi:sockets/tcp` and `tcp-create-socket`: sockets that connect, and do nothing else.

use std::net::SocketAddr;

use rustix::net::sockopt;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::{Host, HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, Network, SocketResult, TcpSocket, subscribe};

use super::socket::{Family, Socket};
use super::{found, options};
use crate::egress::Egress;
use crate::grants::host::Host as GrantedHost;
use crate::plugins::imports::guest::Guest;

/// The queue of a listener is nothing here, and its size is taken as a wish.
const NO_LISTENER: ErrorCode = ErrorCode::AccessDenied;

fn ours(socket: &Resource<TcpSocket>) -> Resource<Socket> {
    Resource::new_borrow(socket.rep())
}

impl Guest {
    fn socket(&self, socket: &Resource<TcpSocket>) -> SocketResult<&Socket> {
        Ok(self.resources.get(&ours(socket))?)
    }

    /// The reason that a place is refused, for the log, and the host that the guest means by it.
    fn why_not(&self, egress: &Egress, place: SocketAddr) -> (GrantedHost, String) {
        let began = self.grants.began();
        for host in self.sockets.found.hosts(place) {
            let entries = began.sockets(&host).filter(|grant| grant.to.port() == place.port());
            let mut judged = entries.map(|grant| egress.admit(&host, &[place.ip()], place.port(), grant.reach()));
            if let Some(first) = judged.next() {
                let reason = match judged.fold(first, Result::or) {
                    Err(refusal) => refusal.to_string(),
                    Ok(_) => "the grant was withdrawn while the call went on".to_owned(),
                };
                return (host, reason);
            }
        }
        match self.sockets.found.name_of(place.ip()) {
            Some(name) => (name.clone(), "no entry of `tcp` has this name with this port".to_owned()),
            None => {
                let reason = "no entry of `tcp` names this address, and no look-up of this call gave it";
                (GrantedHost::Address(place.ip()), reason.to_owned())
            }
        }
    }
}

impl tcp_create_socket::Host for Guest {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        let Some(egress) = self.services.egress.clone().filter(|_| self.has_sockets()) else {
            return Err(ErrorCode::AccessDenied.into());
        };
        let Some(place) = self.allowance.connections().open() else {
            let limit = self.allowance.max_connections();
            self.sockets.note(format!("a call may have {limit} connections at once: `connections`"));
            return Err(ErrorCode::NewSocketLimit.into());
        };
        let of_server = egress.place_now(&self.plugin).ok_or(ErrorCode::NewSocketLimit)?;
        let family = match family {
            IpAddressFamily::Ipv4 => Family::V4,
            IpAddressFamily::Ipv6 => Family::V6,
        };
        let socket = self.resources.push(Socket::new(family, (place, of_server))?)?;
        Ok(Resource::new_own(socket.rep()))
    }
}

impl Host for Guest {}

impl HostTcpSocket for Guest {
    async fn start_bind(
        &mut self,
        _socket: Resource<TcpSocket>,
        _network: Resource<Network>,
        _address: IpSocketAddress,
    ) -> SocketResult<()> {
        Err(NO_LISTENER.into())
    }

    fn finish_bind(&mut self, _socket: Resource<TcpSocket>) -> SocketResult<()> {
        Err(ErrorCode::NotInProgress.into())
    }

    fn start_connect(
        &mut self,
        socket: Resource<TcpSocket>,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.resources.get(&network)?;
        let asked = SocketAddr::from(address);
        // Without the zone of an IPv6 address: what has one is link-local, and never granted.
        let place = SocketAddr::new(asked.ip().to_canonical(), asked.port());
        let family = self.socket(&socket)?.family;
        let Some(egress) = self.services.egress.clone() else { return Err(ErrorCode::AccessDenied.into()) };
        let Some(host) = self.host_of(&egress, place) else {
            let (host, reason) = self.why_not(&egress, place);
            self.refuse(&host, Some(place.port()), &reason);
            return Err(ErrorCode::AccessDenied.into());
        };
        if Family::of(asked) != family || Family::of(place) != family {
            return Err(ErrorCode::InvalidArgument.into());
        }
        self.decided("tcp", Some(&format!("tcp://{host}:{}", place.port())), true);
        let grants = self.grants.clone();
        let withdrawn = move || {
            let (grants, egress, host) = (grants.clone(), egress.clone(), host.clone());
            async move { grants.withdrawn(|now| found::leads(now, &egress, &host, place)).await }
        };
        self.resources.get_mut(&ours(&socket))?.connect(place, withdrawn)
    }

    fn finish_connect(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let (reader, writer) = self.resources.get_mut(&ours(&socket))?.streams()?;
        let (input, output): (DynInputStream, DynOutputStream) = (Box::new(reader), Box::new(writer));
        let input = self.resources.push_child(input, &ours(&socket))?;
        let output = self.resources.push_child(output, &ours(&socket))?;
        Ok((input, output))
    }

    async fn start_listen(&mut self, _socket: Resource<TcpSocket>) -> SocketResult<()> {
        Err(NO_LISTENER.into())
    }

    fn finish_listen(&mut self, _socket: Resource<TcpSocket>) -> SocketResult<()> {
        Err(ErrorCode::NotInProgress.into())
    }

    fn accept(
        &mut self,
        _socket: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        Err(ErrorCode::InvalidState.into())
    }

    fn local_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.socket(&socket)?.open()?.stream().local_addr()?.into())
    }

    fn remote_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.socket(&socket)?.open()?.stream().peer_addr()?.into())
    }

    fn is_listening(&mut self, _socket: Resource<TcpSocket>) -> wasmtime::Result<bool> {
        Ok(false)
    }

    fn address_family(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily> {
        Ok(match self.resources.get(&ours(&socket))?.family {
            Family::V4 => IpAddressFamily::Ipv4,
            Family::V6 => IpAddressFamily::Ipv6,
        })
    }

    fn set_listen_backlog_size(&mut self, _socket: Resource<TcpSocket>, _size: u64) -> SocketResult<()> {
        Err(ErrorCode::NotSupported.into())
    }

    fn keep_alive_enabled(&mut self, socket: Resource<TcpSocket>) -> SocketResult<bool> {
        Ok(sockopt::socket_keepalive(self.socket(&socket)?.fd()?)?)
    }

    fn set_keep_alive_enabled(&mut self, socket: Resource<TcpSocket>, is_enabled: bool) -> SocketResult<()> {
        Ok(sockopt::set_socket_keepalive(self.socket(&socket)?.fd()?, is_enabled)?)
    }

    fn keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(options::nanoseconds(sockopt::tcp_keepidle(self.socket(&socket)?.fd()?)?))
    }

    fn set_keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>, time: u64) -> SocketResult<()> {
        Ok(sockopt::set_tcp_keepidle(self.socket(&socket)?.fd()?, options::probe_time(time)?)?)
    }

    fn keep_alive_interval(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(options::nanoseconds(sockopt::tcp_keepintvl(self.socket(&socket)?.fd()?)?))
    }

    fn set_keep_alive_interval(&mut self, socket: Resource<TcpSocket>, time: u64) -> SocketResult<()> {
        Ok(sockopt::set_tcp_keepintvl(self.socket(&socket)?.fd()?, options::probe_time(time)?)?)
    }

    fn keep_alive_count(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u32> {
        Ok(sockopt::tcp_keepcnt(self.socket(&socket)?.fd()?)?)
    }

    fn set_keep_alive_count(&mut self, socket: Resource<TcpSocket>, count: u32) -> SocketResult<()> {
        Ok(sockopt::set_tcp_keepcnt(self.socket(&socket)?.fd()?, options::probes(count)?)?)
    }

    fn hop_limit(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u8> {
        let socket = self.socket(&socket)?;
        options::hop_limit(socket.fd()?, socket.family)
    }

    fn set_hop_limit(&mut self, socket: Resource<TcpSocket>, limit: u8) -> SocketResult<()> {
        let socket = self.socket(&socket)?;
        options::set_hop_limit(socket.fd()?, socket.family, limit)
    }

    fn receive_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(options::buffer_size(sockopt::socket_recv_buffer_size(self.socket(&socket)?.fd()?)?))
    }

    fn set_receive_buffer_size(&mut self, socket: Resource<TcpSocket>, size: u64) -> SocketResult<()> {
        let fd = self.socket(&socket)?.fd()?;
        options::set_buffer_size(size, |size| sockopt::set_socket_recv_buffer_size(fd, size))
    }

    fn send_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(options::buffer_size(sockopt::socket_send_buffer_size(self.socket(&socket)?.fd()?)?))
    }

    fn set_send_buffer_size(&mut self, socket: Resource<TcpSocket>, size: u64) -> SocketResult<()> {
        let fd = self.socket(&socket)?.fd()?;
        options::set_buffer_size(size, |size| sockopt::set_socket_send_buffer_size(fd, size))
    }

    fn subscribe(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.resources, ours(&socket))
    }

    fn shutdown(&mut self, socket: Resource<TcpSocket>, how: ShutdownType) -> SocketResult<()> {
        let open = self.socket(&socket)?.open()?;
        if matches!(how, ShutdownType::Receive | ShutdownType::Both) {
            open.close_read();
        }
        if matches!(how, ShutdownType::Send | ShutdownType::Both) {
            open.close_write();
        }
        Ok(())
    }

    fn drop(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<()> {
        self.resources.delete(Resource::<Socket>::new_own(socket.rep()))?;
        Ok(())
    }
}
