//! `wasi:http/outgoing-handler`: requests that the plugin was granted, and no others.
//!
//! The guest is told the same of every request that is refused, `HTTP-request-denied`, whatever the reason; its caller
//! reads which place is not granted; the operator's log has the reason. The decision is made in [`grants`](crate::grants),
//! the request sent by [`egress`](crate::egress).

pub(super) mod call;
mod code;
mod decision;
mod exchange;
mod login;
mod received;
mod record;
mod sent;

use std::future::{poll_fn, ready};
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::uri::Scheme;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use self::call::{Direction, Requests};
use self::decision::decide;
use self::exchange::{Exchange, Terms};
use self::received::Answer;
use self::sent::{Sent, Verdict};
use super::guest::Guest;
use crate::egress::{Egress, Hold, Order};
use crate::grants::decide::sent_path;
use crate::grants::in_force::CallGrants;
use crate::grants::target::Target;
use crate::grants::{HttpGrant, headers};
use crate::plugins::notes::RequestEnd;
use crate::principal::Principal;

/// Bytes of a request's body that the host buffers before it is sent: two such chunks for each body. Together with
/// the bound of resources it bounds what a guest can make the host hold, beyond its own memory, to some dozen megabytes.
const BODY_CHUNK_BYTES: usize = 8 * 1024;

/// Time for look-up, connection and TLS, where the guest does not want less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let Self {
            allowance,
            requests,
            plugin,
            digest,
            grants,
            services,
            http_limits,
            resources,
            http,
            conversation,
            ..
        } = self;
        let hooks = requests.get_or_insert_with(|| {
            let caller = conversation.caller.clone();
            let egress = services.egress.clone();
            let connections = allowance.connections().clone();
            let requests = Requests::new(plugin, *digest, grants, egress, *http_limits, connections, caller);
            Box::new(requests.noted_in(conversation.notes.as_ref()))
        });
        WasiHttpCtxView { hooks: &mut **hooks, table: resources, ctx: http }
    }
}

type Sending<T> = Box<dyn Future<Output = Result<T, HttpError>> + Send>;

impl WasiHttpHooks for Requests {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _body_sent: Sending<()>,
    ) -> Sending<(Response<WasiBody>, Sending<()>)> {
        match self.admit(request, options.unwrap_or_default()) {
            Ok(admitted) => Box::new(admitted.send()),
            Err(error) => Box::new(ready(Err(error))),
        }
    }

    /// The target's own is set when the request is sent.
    fn set_host_header(&mut self) -> bool {
        false
    }

    /// An entry has a scheme, and nothing is assumed.
    fn default_scheme(&mut self) -> Option<Scheme> {
        None
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }
}

/// A request that may be sent.
struct Admitted {
    egress: Egress,
    caller: Option<Arc<Principal>>,
    target: Target,
    entry: Arc<HttpGrant>,
    grants: CallGrants,
    hold: Hold,
    parts: Parts,
    body: WasiBody,
    options: RequestOptions,
    exchange: Arc<Exchange>,
}

impl Requests {
    /// Decides on a request.
    fn admit(&mut self, request: Request<WasiBody>, options: RequestOptions) -> Result<Admitted, HttpError> {
        let call = Arc::clone(&self.call);
        let (mut parts, body) = request.into_parts();
        let uri = &parts.uri;
        let path = uri.path_and_query().map(|path| path.as_str());
        let target = Target::parse(uri.scheme_str(), uri.authority().map(|it| it.as_str()), path);
        let target = target.map_err(|error| call.refuse_unreadable(&error))?;
        headers::expect_plain(&parts.headers).map_err(|error| call.refuse_unreadable(&error))?;
        let grants = &self.grants;
        let entry = decide(grants, &parts.method, &target).map_err(|denial| {
            if let Some(egress) = &self.egress {
                egress.denied(&parts.method, &target);
            }
            call.deny(&target, &denial)
        })?;
        let Some(egress) = self.egress.clone() else {
            return Err(call.refuse(&target, &"this command sends no requests", None));
        };
        // Without a caller it is lists that are made, which all callers read.
        if self.caller.is_none() && !entry.credentials.is_none() {
            return Err(call.refuse(&target, &"lists are made without credentials", None));
        }
        let place = call.begin(&target)?;
        if entry.must_stand() {
            headers::remove_overrides(&mut parts.headers);
        }
        let terms = Terms::new(&call, grants, parts.method.clone(), target.clone(), Arc::clone(&entry));
        let hold = Hold::default();
        let exchange = Exchange::begin(terms, place, &egress, hold.clone());
        let (caller, grants) = (self.caller.clone(), grants.clone());
        Ok(Admitted { egress, caller, target, entry, grants, hold, parts, body, options, exchange })
    }
}

impl Admitted {
    async fn send(self) -> Result<(Response<WasiBody>, Sending<()>), HttpError> {
        let Self { egress, caller, target, entry, grants, hold, mut parts, body, options, exchange } = self;
        let call = Arc::clone(exchange.call());
        let mut cut = exchange.cut();
        let waiting = call.wait();
        let answered = async {
            let credentials = call.credentials(&target, &entry, caller.as_deref()).await?;
            let mut path = sent_path(&entry.rule, &target);
            credentials.put_in(&mut parts.headers, &mut path);
            call.count(call::head_bytes(&path, &parts.headers), Direction::Sent)?;
            let order = Order {
                owner: Arc::clone(&call.plugin),
                target,
                entry,
                credentials: credentials.fingerprint(),
                hold,
                grants,
                connect_timeout: options.connect_timeout.map_or(CONNECT_TIMEOUT, |it| it.min(CONNECT_TIMEOUT)),
                answer_timeout: options.first_byte_timeout,
            };
            let verdict = Verdict::default();
            let whose = (Arc::clone(&exchange), egress.clone());
            let body = Sent::new(&parts, body, whose, order.hold.body(), verdict.clone());
            let answer = egress.send(&order, parts, &path, body.boxed_unsync()).await.map_err(|failure| {
                let by_guest = || verdict.get().map(|verdict| verdict.into_error(&call));
                let refused = exchange.verdict().or_else(by_guest);
                refused.unwrap_or_else(|| call.failed(&order.target, &failure))
            })?;
            Ok((credentials, answer))
        };
        let (credentials, answer) = tokio::select! {
            biased;
            () = poll_fn(|context| cut.poll(context)) => Err(exchange.verdict().unwrap_or(HttpError::ConnectionTerminated)),
            answered = answered => answered,
        }?;
        drop(waiting);
        call.ended(RequestEnd::Answered);
        let (mut head, received) = answer.into_parts();
        call.count(call::head_bytes("", &head.headers), Direction::Received)?;
        received::make_fit(&mut head, &credentials)?;
        let body = Answer::new(received, &credentials, exchange, options.between_bytes_timeout);
        Ok((Response::from_parts(head, body.boxed_unsync()), Box::new(ready(Ok(())))))
    }
}
