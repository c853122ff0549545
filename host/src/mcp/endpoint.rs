//! `/mcp`: lenient with what clients send, strict with what they get.
//!
//! rmcp serves every request; this module reads the body once, decides which of rmcp's two services gets it, and
//! makes JSON of every answer that is one message.

pub(super) mod unreadable;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::unreadable::{Spoilt, Unreadable};
use super::discovery::Discovery;
use super::exchange::Exchange;
use super::in_flight::Signals;
use super::listeners::Listeners;
use super::message::{self, Message, Wanted};
use super::plain_call::{Direct, Era};
use super::requests::Handler;
use super::rpc_error::{self, Code};
use super::session::{SessionKey, Sessions};
use super::tasks::Tasks;
use crate::plugins::Plugins;
use crate::principal::{Access, Principal};
use crate::state::StateDir;

const SESSION_ID: &str = "mcp-session-id";
const PROTOCOL_VERSION: &str = "mcp-protocol-version";

/// The first protocol version without handshake and sessions. Versions are dates: they order as text.
const MODERN: &str = "2026-07-28";

/// Time for a client to send its request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Seconds after which a client may ask again for plugins that are not there yet.
const RETRY_AFTER_S: u64 = 2;

/// What `Accept` must hold for rmcp, whatever the client wrote.
const ACCEPT_BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

type RmcpResponse = Response<BoxBody<Bytes, Infallible>>;

/// The MCP endpoint of a running server.
pub struct Endpoint {
    max_body_bytes: usize,
    plugins: Plugins,
    sessions: Arc<Sessions>,
    /// Plain calls of typed tools, of both eras.
    direct: Direct,
    discovery: Discovery,
    /// Modern requests, and legacy ones with a session or beginning one.
    stateful: StreamableHttpService<Handler, Sessions>,
    /// Modern requests of clients that would rather have streams.
    streaming: StreamableHttpService<Handler, Sessions>,
    /// Legacy requests without a session.
    stateless: StreamableHttpService<Handler, NeverSessionManager>,
}

/// What an endpoint is made of.
pub struct Parameters<'a> {
    /// The tools.
    pub plugins: Plugins,
    /// Changes with the rules of who may do what.
    pub rules: watch::Receiver<()>,
    /// Holds the key of session ids.
    pub state: &'a StateDir,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Whether there are `find_tools` and `call_tool`.
    pub discovery_tools: bool,
    /// Sessions of one person that are kept in memory.
    pub sessions_per_person: usize,
    /// Where tasks run.
    pub tracker: &'a TaskTracker,
    /// Streams that only wait for changes end when this is cancelled.
    pub draining: CancellationToken,
    /// Everything ends when this is cancelled.
    pub closed: CancellationToken,
}

/// The scopes with which a call could be made: those that the tool needs, and those that the token has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopesNeeded(pub BTreeSet<String>);

/// Why a request does not get to rmcp.
enum Refused {
    /// This is the answer.
    With(Box<Response>),
    /// Somebody who knows of logins has to answer.
    ForScopes(ScopesNeeded),
}

impl Refused {
    fn with(response: Response) -> Self {
        Self::With(Box::new(response))
    }
}

impl From<Box<Response>> for Refused {
    fn from(response: Box<Response>) -> Self {
        Self::With(response)
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
            tracker,
            draining,
            closed,
        } = parameters;
        let listeners = Listeners::start(&plugins, rules, tracker, draining.clone());
        let tasks = Tasks::default();
        let ending = tasks.clone();
        let end = closed.clone();
        tracker.spawn(async move {
            end.cancelled().await;
            ending.close();
        });
        let discovery = Discovery::from(discovery_tools);
        let detached = Signals::default();
        let handler = Handler::new(plugins.clone(), listeners, state, tasks, discovery, detached.clone());
        let direct = Direct::new(plugins.clone(), handler.server());
        let key = SessionKey::of(state);
        let sessions = Sessions::new(key.clone(), sessions_per_person, direct.under_way(), detached, draining);
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
            config.session_store = Some(Arc::new(key.clone()));
            config
        };
        let service = {
            let handler = handler.clone();
            move || Ok(handler.for_session())
        };
        let streaming =
            StreamableHttpService::new(service.clone(), Arc::clone(&sessions), config().with_json_response(false));
        let stateful = StreamableHttpService::new(service, Arc::clone(&sessions), config());
        let stateless = StreamableHttpService::new(
            move || Ok(handler.for_session()),
            Arc::new(NeverSessionManager::default()),
            config().with_legacy_session_mode(false),
        );
        Self { max_body_bytes, plugins, sessions, direct, discovery, stateful, streaming, stateless }
    }

    /// Serves one request, whose [`Principal`] is in its extensions.
    ///
    /// # Errors
    /// [`ScopesNeeded`] for a call that the person may make, but not with this token.
    pub async fn serve(&self, request: Request<Body>) -> Result<Response, ScopesNeeded> {
        let Some(principal) = request.extensions().get::<Arc<Principal>>().cloned() else {
            return Ok(rpc_error::response(
                StatusCode::INTERNAL_SERVER_ERROR,
                Code::InternalError,
                "the request has no principal",
                None,
            ));
        };
        let served = match *request.method() {
            Method::POST => self.post(&principal, request).await,
            Method::GET => self.get(&principal, request).await,
            Method::DELETE => self.delete(&principal, request).await,
            _ => Err(Refused::with(method_not_allowed())),
        };
        match served {
            Ok(response) => Ok(response),
            Err(Refused::With(response)) => Ok(*response),
            Err(Refused::ForScopes(needed)) => Err(needed),
        }
    }

    async fn post(&self, principal: &Arc<Principal>, request: Request<Body>) -> Result<Response, Refused> {
        let owner = principal.session();
        require_json_content(request.headers())?;
        require_acceptable(request.headers())?;
        let (mut parts, body) = request.into_parts();
        let prefers_streams = prefers_streams(&parts.headers);
        parts.headers.insert(ACCEPT, ACCEPT_BOTH);
        let body = self.read(body).await?;
        self.require_plugins(&body).await?;

        let is_modern =
            parts.headers.get(PROTOCOL_VERSION).is_some_and(|version| version.as_bytes() >= MODERN.as_bytes());
        if !prefers_streams && let Some(answer) = self.serve_directly(is_modern, principal, &parts, &body).await {
            return Ok(answer);
        }
        let mut initialize = None;
        let mut is_stateless = false;
        if !is_modern {
            let message = Message::peek(&body).map_err(|_| Refused::with(self.refuse(is_modern, &body)))?;
            if message.is_initialize() {
                // A client that begins anew is done with whatever session it had.
                parts.headers.remove(SESSION_ID);
                initialize = message.initialize();
            } else if let Some(session) = session_id(&parts.headers) {
                self.require_own_session(owner, session)?;
            } else {
                is_stateless = !message.is_modern();
            }
        }
        self.require_scopes(principal, &body)?;
        let exchange = match initialize {
            None if prefers_streams => Exchange::streaming(principal),
            initialize => Exchange::new(principal, initialize),
        };
        let request = Request::from_parts(parts, Full::new(body.clone()));
        let response = if is_stateless {
            self.stateless.handle(request).await
        } else if is_modern && prefers_streams {
            exchange.run(self.streaming.handle(request)).await
        } else {
            exchange.run(self.stateful.handle(request)).await
        };
        // rmcp's word for a body that is no message of the protocol.
        if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            return Ok(self.refuse(is_modern, &body));
        }
        Ok(finish(response, &exchange).await)
    }

    /// The answer to a body that is no message.
    fn refuse(&self, is_modern: bool, body: &[u8]) -> Response {
        match Spoilt::of(body) {
            Some(spoilt) => spoilt.answer(&self.direct, is_modern),
            None => Unreadable::of(body).refuse(),
        }
    }

    /// A client keeps the list that it is given, so nobody is given one while the first scan is under way.
    async fn require_plugins(&self, body: &[u8]) -> Result<(), Box<Response>> {
        if self.plugins.is_ready() || !message::needs_plugins(body) || self.plugins.scanned().await {
            return Ok(());
        }
        let id = serde_json::from_slice::<serde_json::Value>(body).ok().map(|message| message["id"].clone());
        let message = "the plugins are not known yet: ask again in a moment";
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let mut response = rpc_error::response(unavailable, Code::InternalError, message, id.as_ref());
        response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S.into());
        Err(Box::new(response))
    }

    /// The short way, for requests that are plain calls.
    async fn serve_directly(
        &self,
        is_modern: bool,
        principal: &Arc<Principal>,
        parts: &Parts,
        body: &[u8],
    ) -> Option<Response> {
        let owner = principal.session();
        let era = match session_id(&parts.headers) {
            _ if is_modern => Era::Modern,
            Some(session) if !self.sessions.admits(&owner, session) => return None,
            session => {
                if let Some(session) = session {
                    self.sessions.touch(&principal.person(), session);
                }
                Era::Legacy { session }
            }
        };
        self.direct.serve(era, principal, &parts.headers, body).await
    }

    /// What the person could use with another token is answered in HTTP, so that the client can ask for one.
    fn require_scopes(&self, principal: &Principal, body: &[u8]) -> Result<(), Refused> {
        let catalog = self.direct.catalog();
        let served = message::wanted(body).and_then(|wanted| match wanted {
            Wanted::Tool(name, inner) => {
                let name = inner.filter(|_| self.discovery.calls(&name)).unwrap_or(name);
                catalog.tool(&name).map(|tool| &tool.served)
            }
            Wanted::Prompt(name) => catalog.prompt(&name).map(|prompt| &prompt.served),
            Wanted::Resource(uri) => catalog.owner_of(&uri),
        });
        let needed = served.map(|served| served.scopes()).filter(|scopes| principal.access(scopes) == Access::Possible);
        match needed {
            None => Ok(()),
            Some(scopes) => {
                let needed = scopes.iter().map(|scope| scope.as_str()).chain(principal.scopes());
                Err(Refused::ForScopes(ScopesNeeded(needed.map(str::to_owned).collect())))
            }
        }
    }

    async fn get(&self, principal: &Arc<Principal>, request: Request<Body>) -> Result<Response, Refused> {
        let owner = principal.session();
        let (mut parts, _) = request.into_parts();
        if let Some(session) = session_id(&parts.headers) {
            self.require_own_session(owner, session)?;
        }
        let is_event = |it: String| it == "text/event-stream" || it == "*/*";
        if accepted(&parts.headers).is_none_or(|mut types| types.any(is_event)) {
            parts.headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        let exchange = Exchange::new(principal, None);
        let request = Request::from_parts(parts, Full::<Bytes>::default());
        let response = exchange.run(self.stateful.handle(request)).await;
        Ok(finish(response, &exchange).await)
    }

    async fn delete(&self, principal: &Arc<Principal>, request: Request<Body>) -> Result<Response, Refused> {
        let owner = principal.session();
        let (parts, _) = request.into_parts();
        let session = session_id(&parts.headers).map(str::to_owned);
        if let Some(session) = &session {
            self.require_own_session(owner, session)?;
        }
        let exchange = Exchange::new(principal, None);
        let request = Request::from_parts(parts, Full::<Bytes>::default());
        let response = exchange.run(self.stateful.handle(request)).await;
        let mut answer = finish(response, &exchange).await;
        if let Some(session) = session.filter(|_| answer.status().is_success()) {
            self.sessions.end(&session);
            // rmcp says 202, which Python's client takes for a failure.
            *answer.status_mut() = StatusCode::NO_CONTENT;
        }
        Ok(answer)
    }

    /// A session that is another person's is as unknown as one that never was.
    fn require_own_session(&self, owner: [u8; 32], session: &str) -> Result<(), Box<Response>> {
        if self.sessions.admits(&owner, session) {
            return Ok(());
        }
        let message = "session not found: begin a new one with `initialize`";
        Err(Box::new(rpc_error::response(StatusCode::NOT_FOUND, Code::InvalidRequest, message, None)))
    }

    async fn read(&self, body: Body) -> Result<Bytes, Box<Response>> {
        let too_large = || {
            let message = format!("the request is larger than {} bytes (`server.body`)", self.max_body_bytes);
            Box::new(rpc_error::error_response(StatusCode::PAYLOAD_TOO_LARGE, &message))
        };
        // A request that says so itself need not be waited for.
        if http_body::Body::size_hint(&body).lower() > self.max_body_bytes as u64 {
            return Err(too_large());
        }
        let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, self.max_body_bytes).collect()).await;
        match read {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => {
                Err(Box::new(rpc_error::error_response(StatusCode::BAD_REQUEST, "the request's body ended early")))
            }
            Err(_) => Err(Box::new(rpc_error::error_response(
                StatusCode::REQUEST_TIMEOUT,
                "the request's body did not arrive in time",
            ))),
        }
    }
}

/// The session that a request names. One that is not text is none that was ever given out.
fn session_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(SESSION_ID).map(|id| id.to_str().unwrap_or_default())
}

/// Makes JSON of what rmcp answered, unless it is a stream.
async fn finish(response: RmcpResponse, exchange: &Exchange) -> Response {
    if let Some(reply) = exchange.take_reply() {
        let (mut parts, _) = response.into_parts();
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = serde_json::to_vec(&reply).expect("messages are JSON");
        return Response::from_parts(parts, Body::from(body));
    }
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"application/json"));
    if is_json || !(response.status().is_client_error() || response.status().is_server_error()) {
        return response.map(Body::new);
    }
    let (parts, body) = response.into_parts();
    let text = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let is_ours = parts.status.is_server_error();
    if is_ours {
        tracing::error!(status = parts.status.as_u16(), "a request failed: {text}");
    }
    let code = if is_ours { Code::InternalError } else { Code::InvalidRequest };
    let mut answer = rpc_error::response(parts.status, code, &text, None);
    for (name, value) in &parts.headers {
        answer.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    answer
}

fn method_not_allowed() -> Response {
    let mut response = rpc_error::error_response(StatusCode::METHOD_NOT_ALLOWED, "use POST, GET or DELETE");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
    response
}

fn require_json_content(headers: &HeaderMap) -> Result<(), Box<Response>> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let essence = content_type.and_then(|it| it.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let message = "send the message with `Content-Type: application/json`";
    Err(Box::new(rpc_error::error_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)))
}

/// A client that takes JSON, or events, or says nothing, can be answered; which of the two it gets depends on the answer.
fn require_acceptable(headers: &HeaderMap) -> Result<(), Box<Response>> {
    const TAKEN: [&str; 4] = ["application/json", "text/event-stream", "application/*", "*/*"];
    let is_acceptable = accepted(headers).is_none_or(|mut types| types.any(|it| TAKEN.contains(&it.as_str())));
    if is_acceptable {
        return Ok(());
    }
    let message = "answers are `application/json` or `text/event-stream`: accept one of them";
    Err(Box::new(rpc_error::error_response(StatusCode::NOT_ACCEPTABLE, message)))
}

/// Whether the client names streams before JSON. Most name JSON first, and get it wherever one message is the answer.
fn prefers_streams(headers: &HeaderMap) -> bool {
    let mut types = accepted(headers).into_iter().flatten();
    types.find(|it| it == "text/event-stream" || it == "application/json").is_some_and(|it| it == "text/event-stream")
}

/// The media types in `Accept`, in lower case and without parameters; `None` without the header.
fn accepted(headers: &HeaderMap) -> Option<impl Iterator<Item = String>> {
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    values.peek()?;
    let types = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    Some(types.map(|it| it.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::watch;

    use super::*;
    use crate::config::Config;
    use crate::state::Secrets;

    #[tokio::test]
    async fn who_needs_plugins_is_told_to_come_back_if_there_was_no_scan() {
        let scratch = tempfile::tempdir().unwrap();
        let state = StateDir::open(&scratch.path().join("state"), &Secrets::default()).unwrap();
        let mut config = Config::default();
        config.plugins.dir = scratch.path().join("missing");
        config.plugins.wait = "10ms".parse().unwrap();
        let (_sender, config) = watch::channel(Arc::new(config));
        let stop = CancellationToken::new();
        let _stopped = stop.clone().drop_guard();
        let tracker = TaskTracker::new();
        let plugins = Plugins::start(config, Some(&state), &tracker, stop.clone()).unwrap();
        let endpoint = Endpoint::start(Parameters {
            plugins,
            rules: watch::channel(()).1,
            state: &state,
            max_body_bytes: 1 << 20,
            discovery_tools: false,
            sessions_per_person: 1,
            tracker: &tracker,
            draining: stop.clone(),
            closed: stop.clone(),
        });
        for (method, status) in [("ping", 200), ("tools/list", 503), ("tools/call", 503), ("resources/read", 503)] {
            let message =
                json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": { "name": "x", "uri": "x:y" } });
            let mut request = Request::post("http://localhost/mcp").body(Body::from(message.to_string())).unwrap();
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.extensions_mut().insert(Arc::new(Principal::anonymous()));
            let response = endpoint.serve(request).await.unwrap();
            assert_eq!(response.status(), status, "{method}");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503, "{method}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(answer["id"], 7, "{method}: {answer}");
        }
    }
}
