//! `/mcp`: lenient with what clients send, strict with what they get.
//!
//! rmcp serves every request; this module reads the body once, decides which of rmcp's services gets it, and
//! makes JSON of every answer that is one message.

mod body;
mod kept;
mod sessions;
mod targets;
mod unreadable;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT, ALLOW, RETRY_AFTER};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use rmcp::model::RequestId;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::kept::kept;
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
use super::listeners::Listeners;
use super::lists::Lists;
use super::message::{Era, MAX_HANDSHAKE_BYTES, Message, handshake};
use super::plain_call::PlainCalls;
use super::session::{OpenedSession, Sessions};
use super::shelf::Shelf;
use super::tasks::Tasks;
use super::timed::Timed;
use crate::budget::Budgets;
use crate::config::About;
use crate::plugins::Plugins;
use crate::principal::Principal;
use crate::request_memory::RequestMemory;
use crate::state::StateDir;
use crate::store::Store;

/// Seconds after which a client may ask again while the plugins are not loaded yet.
const RETRY_AFTER_S: u64 = 2;

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
        let body = if is_in_vain { message.without_arguments(&body) } else { body };
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
