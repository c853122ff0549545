//! `wasi:sockets` for what is granted as `tcp`: connections to the addresses that the call's own look-ups of granted names
//! gave, on the ports of those entries. Nothing else: no UDP, no listening, no binding.
//!
//! The engine's own library decides by an address alone, and gives nobody a hold on a socket that is open. So its
//! `tcp`, `tcp-create-socket` and `ip-name-lookup` are replaced by ours; its `udp` stays, and denies everything. Its traits
//! and the names of its resources stay too, so that both are of one version: behind a handle of a
//! [`TcpSocket`](wasmtime_wasi::p2::TcpSocket) stands a [`socket::Socket`].
//!
//! Sockets never go through `egress.proxy`: a proxy for HTTP is none for other protocols.
//!
//! - `call`: what one call has of sockets. `names`: look-ups. `found`: what they gave, and what that leads to.
//! - `tcp`: the interface. `socket`: a socket of a guest; `options` are its options. `connection`: an open connection, which
//!   ends with its grant; `streams` are what a guest reads and writes. `later`: results of tasks.

pub(super) mod call;
mod connection;
mod found;
mod later;
mod names;
mod options;
mod socket;
mod streams;
mod tcp;

use std::fmt::Display;
use std::net::SocketAddr;

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Host as NetworkHost, HostNetwork};
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, tcp as tcp_interface, tcp_create_socket};
use wasmtime_wasi::p2::{Network, SocketError};

use super::guest::Guest;
use crate::egress::Egress;
use crate::grants::Grants;
use crate::grants::host::Host;
use crate::grants::snippet;
use crate::log_limiter::LogLimiter;
use crate::plugins::refusals;

static REFUSED: LogLimiter = LogLimiter::new("refused sockets of plugins");

/// Puts the interfaces in the place of the library's.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let linked = tcp_interface::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
        .and_then(|()| tcp_create_socket::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest))
        .and_then(|()| ip_name_lookup::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest));
    linker.allow_shadowing(false);
    linked
}

impl Guest {
    /// True if the call has any socket granted.
    fn has_sockets(&self) -> bool {
        self.grants.find(|grants| (!grants.tcp.is_empty()).then_some(())).is_some()
    }

    /// The host by which the call may connect to a place: granted at its beginning, and now.
    fn host_of(&self, egress: &Egress, place: SocketAddr) -> Option<Host> {
        let mut hosts = self.sockets.found.hosts(place);
        hosts.find(|host| self.grants.find(|grants| leads(grants, egress, host, place)).is_some())
    }

    /// Notes a refusal: the caller reads the place, the operator's log has the reason, and the guest gets an error that is
    /// the same for every reason. A look-up has no port.
    fn refuse(&mut self, host: &Host, port: Option<u16>, reason: &dyn Display) {
        let place = port.map_or_else(|| format!("tcp://{host}"), |port| format!("tcp://{host}:{port}"));
        self.sockets.note(crate::grants::outward(&place));
        self.decided("tcp", Some(&place), false);
        let (plugin, digest) = (&*self.plugin, self.digest);
        let to_grant = port.map(|port| snippet::of_socket(plugin, host, port)).filter(|lines| !lines.is_empty());
        refusals::note(plugin, &place, &reason.to_string(), to_grant.as_deref());
        REFUSED.log_of(plugin, || {
            tracing::warn!(plugin, %digest, place, to_grant, "plugin `{plugin}` may not connect to {place}: {reason}");
        });
    }
}

fn leads(grants: &Grants, egress: &Egress, host: &Host, place: SocketAddr) -> Option<()> {
    found::leads(grants, egress, host, place).then_some(())
}

/// The conversion of errors, for the interfaces here.
impl NetworkHost for Guest {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.resources.get(&error)?;
        Ok(error.downcast_ref::<std::io::Error>().map(ErrorCode::from))
    }
}

impl HostNetwork for Guest {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.resources.delete(network)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
