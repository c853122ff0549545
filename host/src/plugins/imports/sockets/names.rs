//! `wasi:sockets/ip-name-lookup`: names that an entry of `tcp` has, and no others.
//!
//! A name that is not granted, one that leads where nothing may be sent and one that does not exist are one error to the
//! guest, at one place: nobody explores a network by it. A name is looked up after it was granted; all of its answers are
//! judged, by each of its entries.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::vec;

use async_trait::async_trait;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, HostResolveAddressStream, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, SocketResult, subscribe};

use super::found::{Answers, judge};
use super::later::Later;
use crate::egress::Egress;
use crate::grants::address::AddressRefusal;
use crate::grants::host::Host;
use crate::grants::in_force::CallGrants;
use crate::plugins::imports::guest::Guest;

/// One look-up of a guest.
struct LookUp {
    host: Host,
    answers: Later<Result<Answers, Refused>>,
    /// What the guest has not asked for yet, once the answers are there.
    rest: Option<vec::IntoIter<IpAddr>>,
}

/// The reason that a name has no addresses for a guest.
#[derive(Debug, Clone, thiserror::Error)]
enum Refused {
    #[error("no entry of `tcp` has this name")]
    NotGranted,
    #[error(transparent)]
    Address(#[from] AddressRefusal),
}

/// The longest text that is read as a name: the DNS has names of 253 bytes, which IDNA may make of more.
const MAX_NAME_BYTES: usize = 1024;

/// The error of every look-up that gives nothing.
const NO_NAME: ErrorCode = ErrorCode::NameUnresolvable;

impl ip_name_lookup::Host for Guest {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.resources.get(&network)?;
        let host = host_of(&name).ok_or(ErrorCode::InvalidArgument)?;
        let is_granted = self.grants.find(|grants| grants.sockets(&host).next().map(|_| ())).is_some();
        let answers = match self.services.egress.clone().filter(|_| is_granted) {
            Some(egress) => {
                let place = self.sockets.look_up().ok_or(ErrorCode::TemporaryResolverFailure)?;
                let looking = look_up(egress, Arc::clone(&self.plugin), self.grants.clone(), host.clone());
                Later::begin(async move {
                    // To its end, even if the guest drops it: the system's resolver cannot be stopped, and holds a thread.
                    let looking = tokio::spawn(async move {
                        let answers = looking.await;
                        drop(place);
                        answers
                    });
                    looking.await?
                })
            }
            None => Later::Done(Ok(Err(Refused::NotGranted))),
        };
        let look_up = self.resources.push(LookUp { host, answers, rest: None })?;
        Ok(Resource::new_own(look_up.rep()))
    }
}

/// Looks a name up, once.
async fn look_up(
    egress: Egress,
    plugin: Arc<str>,
    grants: CallGrants,
    host: Host,
) -> io::Result<Result<Answers, Refused>> {
    let found = match egress.answers(&plugin, &host).await {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    let judged = judge(grants.began(), &egress, &host, &found);
    Ok(judged.map_err(Refused::from))
}

/// A name, or an address in any spelling.
fn host_of(name: &str) -> Option<Host> {
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    match name.parse::<IpAddr>() {
        Ok(address) => Some(Host::Address(address.to_canonical())),
        Err(_) => Host::parse(name).ok(),
    }
}

fn ours(stream: &Resource<ResolveAddressStream>) -> Resource<LookUp> {
    Resource::new_borrow(stream.rep())
}

impl HostResolveAddressStream for Guest {
    fn resolve_next_address(&mut self, stream: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>> {
        let look_up = self.resources.get_mut(&ours(&stream))?;
        if let Some(rest) = &mut look_up.rest {
            return Ok(rest.next().map(IpAddress::from));
        }
        let answered = match look_up.answers.now() {
            None => return Err(ErrorCode::WouldBlock.into()),
            Some(Ok(answered)) => answered.clone(),
            Some(Err(error)) => {
                tracing::error!(%error, "a look-up of a name has failed in this server");
                return Err(NO_NAME.into());
            }
        };
        match answered {
            Ok(answers) => {
                let mut rest = answers.addresses.clone().into_iter();
                let first = rest.next().map(IpAddress::from);
                look_up.rest = Some(rest);
                self.sockets.found.remember(&answers);
                Ok(first)
            }
            Err(refused) => {
                let host = look_up.host.clone();
                self.refuse(&host, None, &refused);
                Err(NO_NAME.into())
            }
        }
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.resources, ours(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.resources.delete(Resource::<LookUp>::new_own(stream.rep()))?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for LookUp {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| self.answers.poll(context)).await;
    }
}
