//! `/mcp`: lenient with what clients send, strict with what they get.
//!
//! rmcp serves every request; this module reads the body once, decides which of rmcp's services gets it, and
//! makes JSON of every answer that is one message.

mod body;
mod unreadable;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::Full;
use rmcp::model::{InitializeRequestParams, RequestId};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::unreadable::{InvalidValue, Unreadable};
use super::answer::{self, Code};
use super::discovery::Discovery;
use super::elsewhere::{self, Parts};
use super::exchange::{Exchange, Handshake};
use super::handler::Handler;
use super::headers;
use super::holdings::Holdings;
use super::in_flight::InFlight;
use super::introduction::Introductions;
use super::listen::Listening;
use super::listener_places::ListenerPlace;
use super::listeners::Listeners;
use super::lists::Lists;
use super::message::{Era, MAX_HANDSHAKE_BYTES, Message, Target, handshake};
use super::plain_call::PlainCalls;
use super::session::{OpenedSession, Sessions};
use super::shelf::Shelf;
use super::tasks::Tasks;
use super::timed::Timed;
use crate::budget::Budgets;
use crate::config::About;
use crate::json_weight;
use crate::plugins::Plugins;
use crate::plugins::catalog::Catalog;
use crate::plugins::types::codec;
use crate::principal::{Access, Principal};
use crate::request_memory::RequestMemory;
use crate::state::StateDir;
use crate::store::Store;

/// Seconds after which a client may ask again while the plugins are not loaded yet.
const RETRY_AFTER_S: u64 = 2;

/// Trees of values that rmcp makes of a body, of which two are there at once.
const RMCP_TREES: usize = 2;

/// The `Accept` that rmcp requires, put in the place of the client's.
const ACCEPT_BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// The MCP endpoint of a running server.
pub struct Endpoint {
    max_body_bytes: usize,
    budgets: Budgets,
    plugins: Plugins,
    sessions: Arc<Sessions>,
    tasks: Tasks,
    /// Plain calls of typed tools, of both eras.
    plain_calls: PlainCalls,
    lists: Arc<Lists>,
    listeners: Arc<Listeners>,
    listening: Listening,
    discovery: Discovery,
    /// Modern requests, and legacy ones that have a session or begin one.
    stateful: StreamableHttpService<Handler, Sessions>,
    /// Modern requests of clients that name streams before JSON. rmcp sets this for a whole service, and a check of the
    /// official conformance suite (SEP-1699, several streams at once) needs streams.
    streaming: StreamableHttpService<Handler, Sessions>,
    /// Legacy requests without a session.
    stateless: StreamableHttpService<Handler, NeverSessionManager>,
    /// What answers all of them.
    handler: Handler,
}

/// The parts of an endpoint.
pub struct Parameters<'a> {
    /// The tools.
    pub plugins: Plugins,
    /// Changes with the rules of authorization.
    pub rules: watch::Receiver<()>,
    /// Holds the key of session ids.
    pub state: &'a StateDir,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Adds `find_tools` and `call_tool`.
    pub discovery_tools: bool,
    /// Sessions of one person that are kept in memory.
    pub sessions_per_person: usize,
    /// Connections that may be open at once.
    pub connections: usize,
    /// What the server says of itself.
    pub about: watch::Receiver<Arc<About>>,
    /// Items of a list in one answer.
    pub list_page: usize,
    /// What several servers share, for one of them.
    pub shared: Option<Store>,
    /// Runs the tasks.
    pub tracker: &'a TaskTracker,
    /// Streams that only wait for changes end when this is cancelled.
    pub draining: CancellationToken,
    /// Everything ends when this is cancelled.
    pub closed: CancellationToken,
}

/// The scopes with which a call could be made: those that the tool needs, and those that the token has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopesNeeded(pub BTreeSet<String>);

/// The end of a request that does not get to rmcp.
enum Rejection {
    /// The answer.
    Answer(Box<Response>),
    /// The scopes for a challenge, which the caller of this module writes.
    Scopes(ScopesNeeded),
}

impl From<Box<Response>> for Rejection {
    fn from(response: Box<Response>) -> Self {
        Self::Answer(response)
    }
}

impl Endpoint {
    /// Starts an endpoint.
    pub fn start(parameters: Parameters<'_>) -> Self {
        let Parameters {
            plugins,
            rules,
            state,
            max_body_bytes,
            discovery_tools,
            sessions_per_person,
            connections,
            about,
            list_page,
            shared,
            tracker,
            draining,
            closed,
        } = parameters;
        let shelf = shared.map(|store| Shelf::new(store, state, max_body_bytes));
        let listeners = Listeners::start(&plugins, rules, connections, tracker, draining.clone());
        let budgets = Budgets::new(max_body_bytes);
        let tasks = Tasks::new(budgets.clone(), shelf.clone());
        let (ending, held) = (tasks.clone(), tasks.clone());
        let end = closed.clone();
        tracker.spawn(async move {
            end.run_until_cancelled(ending.forget_old()).await;
            ending.close().await;
        });
        let discovery = Discovery::from(discovery_tools);
        let (detachable, in_flight) = (InFlight::default(), InFlight::default());
        let introductions = Arc::new(Introductions::new(about));
        let handler = Handler::new(
            plugins.clone(),
            Arc::clone(&introductions),
            Arc::clone(&listeners),
            state,
            tasks,
            (discovery, list_page),
            detachable.clone(),
        )
        .sharing(shelf.clone());
        let lists = Arc::clone(&handler.lists);
        let plain_calls = PlainCalls::new(plugins.clone(), Arc::clone(&introductions), in_flight.clone());
        let listening = Listening::new(Arc::clone(&listeners), budgets.clone(), introductions);
        let in_flight = (in_flight, detachable);
        let sessions = Sessions::start(
            state,
            sessions_per_person,
            in_flight,
            Arc::clone(&listeners),
            shelf.clone(),
            tracker,
            draining,
        );
        if let Some(shelf) = &shelf {
            let (sessions, tasks, plugins) = (Arc::clone(&sessions), held.clone(), plugins.clone());
            elsewhere::start(shelf, Parts { sessions, tasks, plugins }, tracker);
        }
        let config = || {
            // Host and Origin are checked for all routes in one place, see `http::guard`.
            let mut config = StreamableHttpServerConfig::default()
                .disable_allowed_hosts()
                .disable_allowed_origins()
                .with_json_response(true)
                // Sessions begin their streams by themselves, each as its version has it.
                .with_sse_retry(None)
                .with_max_request_body_bytes(max_body_bytes)
                .with_cancellation_token(closed.clone());
            config.session_store = Some(Arc::new(OpenedSession));
            config
        };
        let answering = handler.clone();
        let service = move || Ok(answering.for_session());
        let stateful = StreamableHttpService::new(service.clone(), Arc::clone(&sessions), config());
        let streaming =
            StreamableHttpService::new(service.clone(), Arc::clone(&sessions), config().with_json_response(false));
        let stateless = StreamableHttpService::new(
            service,
            Arc::new(NeverSessionManager::default()),
            config().with_legacy_session_mode(false),
        );
        Self {
            max_body_bytes,
            budgets,
            plugins,
            sessions,
            tasks: held,
            plain_calls,
            lists,
            listeners,
            listening,
            discovery,
            stateful,
            streaming,
            stateless,
            handler,
        }
    }

    /// What it holds of people.
    pub fn holdings(&self) -> Holdings {
        Holdings::new(Arc::clone(&self.sessions), self.tasks.clone())
    }

    /// What answers requests, for a client whose messages come another way than by HTTP.
    pub(super) fn handler(&self) -> &Handler {
        &self.handler
    }

    /// The largest message.
    pub(super) fn max_message_bytes(&self) -> usize {
        self.max_body_bytes
    }

    /// The memory of one request of this person.
    pub(super) fn memory(&self, principal: &Principal) -> RequestMemory {
        RequestMemory::new(&self.budgets, principal.person())
    }

    /// Serves one request of a person.
    ///
    /// # Errors
    /// [`ScopesNeeded`] for a call that the person may make, but not with this token.
    pub async fn serve(&self, principal: &Arc<Principal>, request: Request<Body>) -> Result<Response, ScopesNeeded> {
        let metrics = &self.plugins.observers().metrics;
        let timed = Timed::begin(metrics);
        let served = match *request.method() {
            Method::POST => self.post(principal, request, timed.as_ref()).await,
            Method::GET => Box::pin(self.get(principal, request)).await,
            Method::DELETE => Box::pin(self.delete(principal, request)).await,
            _ => Err(Rejection::Answer(Box::new(method_not_allowed()))),
        };
        if let Some(timed) = &timed {
            timed.end(
                metrics,
                match &served {
                    Ok(response) => response.status(),
                    Err(Rejection::Answer(response)) => response.status(),
                    Err(Rejection::Scopes(_)) => StatusCode::FORBIDDEN,
                },
                served.is_err(),
            );
        }
        match served {
            Ok(response) => Ok(response),
            Err(Rejection::Answer(response)) => Ok(*response),
            Err(Rejection::Scopes(needed)) => Err(needed),
        }
    }

    async fn post(
        &self,
        principal: &Arc<Principal>,
        request: Request<Body>,
        timed: Option<&Timed>,
    ) -> Result<Response, Rejection> {
        headers::require_json_content(request.headers())?;
        headers::require_acceptable(request.headers())?;
        let (mut parts, body) = request.into_parts();
        let body = body::read(body, self.max_body_bytes, || self.budgets.account(principal.person())).await?;
        let Some(message) = Message::read(&parts.headers, &body) else {
            return Ok(self.refuse(principal, headers::are_modern(&parts.headers), &body));
        };
        if let Some(timed) = timed {
            timed.is(&message.method);
            if self.is_not_there(principal, &message) {
                timed.is_in_vain();
            }
        }
        if matches!(message.era, Era::Endless) {
            return Ok(endless(&message));
        }
        self.require_plugins(&message).await?;

        let handshake = match &message.era {
            Era::Session(id) => Handshake::Before(self.open_session(principal, id).await?),
            Era::Handshake(initialize) => Handshake::Now((**initialize).clone()),
            Era::Modern | Era::Sessionless | Era::Undeclared | Era::Endless => Handshake::None,
        };
        let memory = RequestMemory::new(&self.budgets, principal.person());
        let is_modern = message.era.is_modern();
        let prefers_streams = headers::prefers_streams(&parts.headers);
        if !prefers_streams
            && let Some(answer) = self.plain_calls.serve(&message, principal, &parts.headers, &memory).await
        {
            return Ok(answer);
        }
        if !prefers_streams
            && let Some(answer) = self.lists.serve(&message, &body, &self.catalog(principal), principal, &parts.headers)
        {
            return Ok(answer);
        }
        if let Some(answer) = self.listening.serve(&message, &body, principal, &parts.headers) {
            return Ok(answer);
        }
        self.require_scopes(principal, &message)?;
        // The service gets no more of a handshake than is kept of it.
        let body = match (&handshake, &message.id) {
            (Handshake::Now(initialize), Some(id)) if message.is_versioned => handshake::message(id, initialize),
            _ => body.clone(),
        };
        let is_sessionless = matches!(message.era, Era::Sessionless);
        let is_in_vain = self.is_in_vain(principal, &message);
        let body = if is_in_vain { without_arguments(&message, &body) } else { body };
        if let Err(refusal) = memory.wait_for(self.weight(principal, &message, &body)).await {
            return Ok(answer::overdrawn(refusal, message.id.map(RequestId::into_json_value).as_ref()));
        }
        drop(message);
        if matches!(handshake, Handshake::Now(_)) {
            // A client that begins anew is done with its old session.
            parts.headers.remove(headers::SESSION_ID);
        }
        parts.headers.insert(ACCEPT, ACCEPT_BOTH);
        parts.extensions.insert(Arc::clone(principal));
        parts.extensions.insert(memory.clone());
        let request = Request::from_parts(parts, Full::new(body.clone()));
        let exchange = Exchange::of_message(principal, handshake, prefers_streams);
        // In a box: a plain call does not need it, and carries what it could be about.
        let response = Box::pin(async {
            if is_sessionless {
                exchange.run(self.stateless.handle(request)).await
            } else if is_modern && prefers_streams {
                exchange.run(self.streaming.handle(request)).await
            } else {
                exchange.run(self.stateful.handle(request)).await
            }
        })
        .await;
        // rmcp's answer to a body that is no message of the protocol.
        if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            return Ok(self.refuse(principal, is_modern, &body));
        }
        Ok(Box::pin(exchange.finish(response)).await.map(|body| kept(body, &memory)))
    }

    /// Everything that this caller can see or use.
    pub(super) fn catalog(&self, principal: &Principal) -> Arc<Catalog> {
        self.plugins.catalog_of(principal.view())
    }

    /// The memory that a message takes: rmcp reads it once more by itself, and makes values of all of it. What the
    /// engine makes of them comes later, when it is late to refuse a call that will never fit.
    pub(super) fn weight(&self, principal: &Principal, message: &Message<'_>, body: &[u8]) -> usize {
        let tree = json_weight::tree(body);
        let of_engine =
            if self.makes_engine_values(principal, message) { tree.values * codec::LEAST_VALUE_BYTES } else { 0 };
        RMCP_TREES * tree.bytes + of_engine + body.len()
    }

    /// The answer to a body that is no message.
    pub(super) fn refuse(&self, principal: &Principal, is_modern: bool, body: &[u8]) -> Response {
        match InvalidValue::of(body) {
            Some(invalid) => invalid.answer(&self.plain_calls, principal, is_modern),
            None => Unreadable::of(body).refuse(),
        }
    }

    /// Refuses requests for lists while the first scan is in progress: clients keep the lists that they get.
    pub(super) async fn require_plugins(&self, message: &Message<'_>) -> Result<(), Box<Response>> {
        if self.plugins.is_ready() || !message.needs_plugins() || self.plugins.scanned().await {
            return Ok(());
        }
        let id = message.id.clone().map(RequestId::into_json_value);
        let text = "the plugins are not known yet: ask again in a moment";
        Err(Box::new(unavailable(text, id.as_ref())))
    }

    /// True for a call with large arguments of which the engine's values are made.
    fn makes_engine_values(&self, principal: &Principal, message: &Message<'_>) -> bool {
        let Some(Target::Tool(name)) = message.target().filter(|_| message.has_large_arguments()) else { return false };
        self.catalog(principal).tool(name).is_some_and(|tool| tool.listed().is_none())
    }

    /// True for a request for something that is not there for its caller.
    fn is_not_there(&self, principal: &Principal, message: &Message<'_>) -> bool {
        let catalog = self.catalog(principal);
        let served = match message.target() {
            Some(Target::Tool(name)) if self.discovery.has(name) => return false,
            Some(Target::Tool(name)) => catalog.tool(name).map(|tool| &tool.served),
            Some(Target::Prompt(name)) => catalog.prompt(name).map(|prompt| &prompt.served),
            Some(Target::Resource(uri)) => catalog.owner_of(uri),
            // Its parameters are not read here.
            None => return false,
        };
        // One that another token may have is refused as such.
        served.is_none_or(|served| principal.access(served.scopes()) == Access::Never)
    }

    /// True for a call of something that is not there for its caller, whose arguments nobody has to read.
    fn is_in_vain(&self, principal: &Principal, message: &Message<'_>) -> bool {
        let catalog = self.catalog(principal);
        let served = match message.target() {
            _ if !message.has_large_arguments() => return false,
            Some(Target::Tool(name)) if self.discovery.has(name) => return false,
            Some(Target::Tool(name)) => catalog.tool(name).map(|tool| &tool.served),
            Some(Target::Prompt(name)) => catalog.prompt(name).map(|prompt| &prompt.served),
            Some(Target::Resource(_)) | None => return false,
        };
        !served.is_some_and(|served| principal.holds(served.scopes()))
    }

    /// Refuses in HTTP a request that the person could make with another token, so that the client can ask for one.
    fn require_scopes(&self, principal: &Principal, message: &Message<'_>) -> Result<(), Rejection> {
        let catalog = self.catalog(principal);
        let served = message.target().and_then(|target| match target {
            Target::Tool(name) => {
                let inner = if self.discovery.calls(name) { message.inner_name() } else { None };
                catalog.tool(inner.as_deref().unwrap_or(name)).map(|tool| &tool.served)
            }
            Target::Prompt(name) => catalog.prompt(name).map(|prompt| &prompt.served),
            Target::Resource(uri) => catalog.owner_of(uri),
        });
        let needed = served.map(|served| served.scopes()).filter(|scopes| principal.access(scopes) == Access::Possible);
        match needed {
            None => Ok(()),
            Some(scopes) => {
                let needed = scopes.iter().map(|scope| scope.as_str()).chain(principal.scopes());
                Err(Rejection::Scopes(ScopesNeeded(needed.map(str::to_owned).collect())))
            }
        }
    }

    async fn get(&self, principal: &Arc<Principal>, request: Request<Body>) -> Result<Response, Rejection> {
        let (mut parts, _) = request.into_parts();
        parts.extensions.insert(Arc::clone(principal));
        let handshake = self.handshake(principal, &parts.headers).await?;
        if headers::accept_events(&parts.headers) {
            parts.headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        let place = self.enter(principal)?;
        let exchange = Exchange::without_message(principal, handshake);
        exchange.keep_place(place);
        let request = Request::from_parts(parts, Full::<Bytes>::default());
        let response = exchange.run(self.stateful.handle(request)).await;
        Ok(exchange.finish(response).await)
    }

    fn enter(&self, principal: &Principal) -> Result<ListenerPlace, Box<Response>> {
        self.listeners
            .enter(principal)
            .map_err(|no_place| Box::new(answer::error_response(StatusCode::TOO_MANY_REQUESTS, &no_place.to_string())))
    }

    async fn delete(&self, principal: &Arc<Principal>, request: Request<Body>) -> Result<Response, Rejection> {
        let (mut parts, _) = request.into_parts();
        parts.extensions.insert(Arc::clone(principal));
        let session = headers::session_id(&parts.headers).map(str::to_owned);
        let exchange = Exchange::without_message(principal, self.handshake(principal, &parts.headers).await?);
        let request = Request::from_parts(parts, Full::<Bytes>::default());
        let response = exchange.run(self.stateful.handle(request)).await;
        let mut answer = exchange.finish(response).await;
        if let Some(session) = session.filter(|_| answer.status().is_success()) {
            if let Err(error) = self.sessions.end(&principal.person(), &session).await {
                let text = format!("the session has ended on this server alone: {error}");
                return Ok(unavailable(&text, None));
            }
            // rmcp answers 202, which Python's client takes for a failure.
            *answer.status_mut() = StatusCode::NO_CONTENT;
        }
        Ok(answer)
    }

    /// The handshake of the session that a request without a message names.
    async fn handshake(&self, principal: &Principal, headers: &HeaderMap) -> Result<Handshake, Box<Response>> {
        match headers::session_id(headers) {
            Some(id) => Ok(Handshake::Before(self.open_session(principal, id).await?)),
            None => Ok(Handshake::None),
        }
    }

    /// Opens a session. One of another person is as unknown as one that never was.
    async fn open_session(&self, principal: &Principal, id: &str) -> Result<InitializeRequestParams, Box<Response>> {
        let message = "session not found: begin a new one with `initialize`";
        let opened = self.sessions.open(&principal.session(), &principal.person(), id).await;
        opened.ok_or_else(|| Box::new(answer::rpc_error(StatusCode::NOT_FOUND, Code::InvalidRequest, message, None)))
    }
}

/// The body of a message with no arguments in it.
fn without_arguments(message: &Message<'_>, body: &Bytes) -> Bytes {
    match message.arguments_in(body) {
        Some(place) => [&body[..place.start], b"{}", &body[place.end..]].concat().into(),
        None => body.clone(),
    }
}

/// A body whose bytes keep the memory of their request.
struct KeptBody {
    body: Body,
    memory: RequestMemory,
}

impl http_body::Body for KeptBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map_ok(|frame| frame.map_data(|bytes| self.memory.keep_with(bytes)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that holds the memory of its request until it is sent.
fn kept(body: Body, memory: &RequestMemory) -> Body {
    if !memory.is_held() {
        return body;
    }
    // Of an answer whose size is known nothing else is left; in a stream anything may come.
    if let Some(bytes) = body.size_hint().exact() {
        memory.lower(usize::try_from(bytes).unwrap_or(usize::MAX));
        if !memory.is_held() {
            return body;
        }
    }
    let memory = memory.clone();
    Body::new(KeptBody { body, memory })
}

/// The answer to a handshake that is too large for one.
pub(super) fn endless(message: &Message<'_>) -> Response {
    let id = message.id.clone().map(RequestId::into_json_value);
    let text = format!(
        "the handshake is larger than {MAX_HANDSHAKE_BYTES} bytes: send less about the client and its capabilities"
    );
    answer::rpc_error(StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidRequest, &text, id.as_ref())
}

/// The refusal of what can be had in a moment.
fn unavailable(text: &str, id: Option<&Value>) -> Response {
    let mut response = answer::rpc_error(StatusCode::SERVICE_UNAVAILABLE, Code::InternalError, text, id);
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S.into());
    response
}

fn method_not_allowed() -> Response {
    let mut response = answer::error_response(StatusCode::METHOD_NOT_ALLOWED, "use POST, GET or DELETE");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
    response
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use http_body_util::BodyExt;
    use serde_json::json;
    use tokio::sync::watch;

    use super::*;
    use crate::config::Config;
    use crate::plugins::rules::Rules;
    use crate::plugins::services::Services;
    use crate::state::Secrets;

    #[tokio::test]
    async fn who_needs_plugins_is_told_to_come_back_if_there_was_no_scan() {
        let scratch = tempfile::tempdir().unwrap();
        let state = StateDir::open(&scratch.path().join("state"), &Secrets::default()).unwrap();
        let mut config = Config::default();
        config.plugins.dir = scratch.path().join("missing");
        config.plugins.wait = "10ms".parse().unwrap();
        let (config, grants) = (watch::Sender::new(Arc::new(config)), watch::Sender::default());
        let rules = Rules::of(&config, &grants);
        let stop = CancellationToken::new();
        let _stopped = stop.clone().drop_guard();
        let tracker = TaskTracker::new();
        let plugins = Plugins::start(rules, Services::default(), Some(&state), &tracker, stop.clone()).unwrap();
        let endpoint = Endpoint::start(Parameters {
            plugins,
            rules: watch::channel(()).1,
            state: &state,
            max_body_bytes: 1 << 20,
            discovery_tools: false,
            sessions_per_person: 1,
            connections: 1,
            about: watch::Sender::default().subscribe(),
            list_page: 1,
            shared: None,
            tracker: &tracker,
            draining: stop.clone(),
            closed: stop.clone(),
        });
        for (method, status) in [("ping", 200), ("tools/list", 503), ("tools/call", 503), ("resources/read", 503)] {
            let message =
                json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": { "name": "x", "uri": "x:y" } });
            let mut request = Request::post("http://localhost/mcp").body(Body::from(message.to_string())).unwrap();
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let response = endpoint.serve(&Arc::new(Principal::anonymous()), request).await.unwrap();
            assert_eq!(response.status(), status, "{method}");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503, "{method}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(answer["id"], 7, "{method}: {answer}");
        }
    }
}
