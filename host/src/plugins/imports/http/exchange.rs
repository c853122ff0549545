//! One request under way, from its decision to the end of what it sends and receives.
//!
//! Invariant: a request that has an open body, in either direction, counts as a connection of its call, and is cut when
//! its grant is withdrawn or its call ends, whether or not anybody reads or writes.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use http::Method;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use wasmtime_wasi_http::Error as HttpError;

use super::call::Call;
use super::decision::{Refusal, has_same_terms};
use crate::egress::{Egress, Hold};
use crate::grants::in_force::CallGrants;
use crate::grants::target::Target;
use crate::grants::{Grants, HttpGrant};
use crate::plugins::imports::allowance::ConnectionPlace;

/// A request under way. What it sends and what it receives hold it, each until its own end.
pub(super) struct Exchange {
    terms: Arc<Terms>,
    _place: ConnectionPlace,
    /// Ends the wait for the cut.
    _done: DropGuard,
}

/// All that decides whether it goes on.
pub(super) struct Terms {
    call: Arc<Call>,
    grants: CallGrants,
    method: Method,
    target: Target,
    entry: Arc<HttpGrant>,
    cut: CancellationToken,
    /// The caller and the log are told of a withdrawal, once.
    told: OnceLock<()>,
}

impl Terms {
    pub(super) fn new(
        call: &Arc<Call>,
        grants: &CallGrants,
        method: Method,
        target: Target,
        entry: Arc<HttpGrant>,
    ) -> Self {
        let (call, grants) = (Arc::clone(call), grants.clone());
        Self { call, grants, method, target, entry, cut: CancellationToken::new(), told: OnceLock::new() }
    }

    fn is_granted(&self, now: &Grants) -> bool {
        now.decide(&self.method, &self.target).is_ok_and(|other| has_same_terms(&self.entry, other))
    }

    /// The reason that it does not go on, if it does not.
    fn verdict(&self) -> Option<HttpError> {
        if self.call.ended.is_cancelled() {
            return Some(HttpError::ConnectionTerminated);
        }
        if !self.cut.is_cancelled() && self.is_granted(&self.grants.now()) {
            return None;
        }
        self.told.get_or_init(|| drop(self.call.deny(&self.target, &Refusal::Withdrawn)));
        Some(HttpError::HttpRequestDenied)
    }

    /// Cuts the request when its grant is withdrawn or its call ends, unless it is done before.
    async fn watch(self: Arc<Self>, done: CancellationToken, hold: Hold) {
        tokio::select! {
            biased;
            () = done.cancelled() => return,
            () = self.call.ended.cancelled() => {}
            () = self.grants.withdrawn(|now| self.is_granted(now)) => {}
        }
        // The caller is told before anything of it can be seen.
        drop(self.verdict());
        self.cut.cancel();
        hold.cut().await;
    }
}

impl Exchange {
    /// Begins: from now on it can be cut.
    pub(super) fn begin(terms: Terms, place: ConnectionPlace, egress: &Egress, hold: Hold) -> Arc<Self> {
        let (terms, done) = (Arc::new(terms), CancellationToken::new());
        egress.spawn(Arc::clone(&terms).watch(done.clone(), hold));
        Arc::new(Self { terms, _place: place, _done: done.drop_guard() })
    }

    pub(super) fn call(&self) -> &Arc<Call> {
        &self.terms.call
    }

    /// The reason that it does not go on, if it does not. It is known here as soon as it is true.
    pub(super) fn verdict(&self) -> Option<HttpError> {
        self.terms.verdict()
    }

    /// The cut, for one who waits for it beside something else.
    pub(super) fn cut(&self) -> Cut {
        Cut { token: self.terms.cut.clone(), waiting: None }
    }
}

/// A wait for the cut of a request.
pub(super) struct Cut {
    token: CancellationToken,
    /// Made by the first wait: most bodies are empty or come at once.
    waiting: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Cut {
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.token.is_cancelled() {
            return Poll::Ready(());
        }
        let wait = || Box::pin(self.token.clone().cancelled_owned());
        self.waiting.get_or_insert_with(wait).as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http_body::{Body, Frame};
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc;
    use wasmtime_wasi_http::WasiBody;

    use super::super::call::{HttpLimits, Requests};
    use super::super::sent::{Sent, Verdict};
    use super::*;
    use crate::config::Limits;
    use crate::egress::{self, resolver::System};
    use crate::grants::credentials::Credentials;
    use crate::grants::in_force::InForce;
    use crate::grants::rule::Rule;
    use crate::plugins::digest::Digest;
    use crate::plugins::imports::allowance::{Allowance, Connections};

    /// A body that ends when its other side is gone, as a guest's does.
    struct Piped(mpsc::Receiver<Bytes>);

    impl Body for Piped {
        type Data = Bytes;
        type Error = HttpError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
            self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
        }
    }

    struct Upload {
        requests: Requests,
        in_force: Arc<InForce>,
        connections: Connections,
        guest: mpsc::Sender<Bytes>,
        sent: Sent,
    }

    /// An upload of a call that may have one connection; its answer was read.
    fn upload() -> Upload {
        upload_by(Method::POST)
    }

    fn upload_by(method: Method) -> Upload {
        let to = "http://a.example".parse().unwrap();
        let entry = HttpGrant { rule: Rule::to(to), credentials: Credentials::default() };
        let grants = Arc::new(Grants { http: vec![entry.clone()], ..Grants::default() });
        let in_force = Arc::new(InForce::new(grants));
        let call_grants = CallGrants::new(in_force.get(), Arc::clone(&in_force));
        let limits = Limits::default();
        let connections = Allowance::new(&limits).connections().clone();
        let egress = Egress::new(egress::Settings::default(), Arc::new(System));
        let requests = Requests::new(
            &"test".into(),
            Digest::of(b""),
            &call_grants,
            Some(egress.clone()),
            HttpLimits::of(&limits),
            connections.clone(),
            None,
        );
        let target = Target::parse(Some("http"), Some("a.example"), Some("/")).unwrap();
        let place = requests.call.begin(&target).unwrap();
        let (head, ()) = http::Request::builder().method(method.clone()).body(()).unwrap().into_parts();
        let terms = Terms::new(&requests.call, &call_grants, method, target, Arc::new(entry));
        let hold = Hold::default();
        let exchange = Exchange::begin(terms, place, &egress, hold.clone());
        let (guest, body) = mpsc::channel(4);
        let body: WasiBody = Piped(body).boxed_unsync();
        let sent = Sent::new(&head, body, (exchange, egress), hold.body(), Verdict::default());
        Upload { requests, in_force, connections, guest, sent }
    }

    async fn next(sent: &mut Sent) -> Option<Result<Bytes, String>> {
        let frame = tokio::time::timeout(Duration::from_secs(5), sent.frame()).await.unwrap()?;
        Some(frame.map(|frame| frame.into_data().unwrap()).map_err(|error| error.to_string()))
    }

    fn cut() -> Option<Result<Bytes, String>> {
        Some(Err("the request was cut".to_owned()))
    }

    #[tokio::test]
    async fn a_guest_may_end_a_body_that_was_sent_already() {
        let Upload { requests: _under_way, guest, sent, .. } = upload_by(Method::GET);
        drop(sent);
        guest.send(Bytes::new()).await.expect("nothing of it is missing");
        let Upload { requests: _also, guest, sent, .. } = upload();
        drop(sent);
        guest.send(Bytes::new()).await.expect_err("nobody takes the rest of it");
    }

    #[tokio::test]
    async fn a_body_that_ends_with_its_call_is_no_whole_one() {
        let Upload { requests, guest, mut sent, .. } = upload();
        guest.send(Bytes::from_static(b"part")).await.unwrap();
        assert_eq!(next(&mut sent).await, Some(Ok(Bytes::from_static(b"part"))));
        drop(requests);
        drop(guest);
        assert_eq!(next(&mut sent).await, cut());
    }

    #[tokio::test]
    async fn a_body_that_the_guest_ended_is_whole() {
        let Upload { requests, guest, mut sent, .. } = upload();
        drop(guest);
        assert_eq!(next(&mut sent).await, None);
        drop(requests);
    }

    #[tokio::test]
    async fn nothing_is_written_into_a_request_of_an_earlier_call() {
        let Upload { requests, guest, mut sent, .. } = upload();
        drop(requests);
        guest.send(Bytes::from_static(b"of the next call")).await.unwrap();
        assert_eq!(next(&mut sent).await, cut());
    }

    #[tokio::test]
    async fn an_upload_is_cut_with_its_grant_while_nobody_reads_or_writes() {
        let Upload { requests, in_force, guest: _guest, mut sent, .. } = upload();
        let waiting = tokio::spawn(async move { next(&mut sent).await });
        tokio::task::yield_now().await;
        in_force.set(Arc::default());
        assert_eq!(waiting.await.unwrap(), cut());
        let mut requests = requests;
        assert_eq!(requests.take_refusals(), ["no grant for http://a.example: ask the operator"]);
    }

    #[tokio::test]
    async fn an_upload_holds_its_place_until_it_ends() {
        let Upload { requests: _requests, connections, guest, sent, .. } = upload();
        let others: Vec<_> = std::iter::from_fn(|| connections.open()).collect();
        assert_eq!(others.len() + 1, Limits::default().connections.get());
        drop(guest);
        drop(sent);
        assert!(connections.open().is_some());
    }
}
