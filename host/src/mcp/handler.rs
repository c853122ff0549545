//! The parts that answers are made of, and facts about the client from the context of a request.

use std::sync::Arc;

use http::request::Parts;
use rmcp::RoleServer;
use rmcp::model::{ErrorData, MetaObject, ProtocolVersion, ServerConfig};
use rmcp::service::RequestContext;
use serde_json::json;

use super::discovery::Discovery;
use super::exchange::Exchange;
use super::headers;
use super::in_flight::InFlight;
use super::introduction::Introductions;
use super::listeners::Listeners;
use super::lists::Lists;
use super::preferences::{Preferences, Wish};
use super::request_channel::RequestChannel;
use super::request_state::{Purpose, RequestStates};
use super::shelf::Shelf;
use super::tasks::Tasks;
use super::wishes;
use crate::plugins::Plugins;
use crate::plugins::catalog::Catalog;
use crate::principal::Principal;
use crate::state::StateDir;
use crate::view::View;

/// Answers requests from the catalog. Cheap to clone: rmcp takes one for every request and session.
#[derive(Clone)]
pub(super) struct Handler {
    pub(super) plugins: Plugins,
    pub(super) listeners: Arc<Listeners>,
    introductions: Arc<Introductions>,
    /// The view of the client.
    view: View,
    /// What the client is told of the server.
    pub(super) info: Arc<ServerConfig>,
    states: Arc<RequestStates>,
    pub(super) tasks: Tasks,
    pub(super) discovery: Discovery,
    pub(super) lists: Arc<Lists>,
    detachable: InFlight,
    /// What several servers share.
    shelf: Option<Shelf>,
    /// Preferences of this session's client; without a session there are none.
    pub(super) preferences: Arc<Preferences>,
}

impl Handler {
    pub(super) fn new(
        plugins: Plugins,
        introductions: Arc<Introductions>,
        listeners: Arc<Listeners>,
        state: &StateDir,
        tasks: Tasks,
        (discovery, list_page): (Discovery, usize),
        detachable: InFlight,
    ) -> Self {
        Self {
            plugins,
            listeners,
            lists: Arc::new(Lists::new(discovery, Arc::clone(&introductions), list_page)),
            view: View::default(),
            info: Arc::clone(&introductions.of(&View::default()).info),
            introductions,
            states: Arc::new(RequestStates::new(state)),
            tasks,
            discovery,
            detachable,
            shelf: None,
            preferences: Arc::default(),
        }
    }

    /// The same of one of several servers.
    pub(super) fn sharing(self, shelf: Option<Shelf>) -> Self {
        Self { shelf, ..self }
    }

    /// The same for the session of this task's exchange, which is one at a view for as long as it lasts.
    pub(super) fn for_session(&self) -> Self {
        let Some(exchange) = Exchange::current() else { return Self { preferences: Arc::default(), ..self.clone() } };
        let view = exchange.principal().view().clone();
        let info = Arc::clone(self.introductions.of(&view).for_version(exchange.version()));
        Self { preferences: exchange.preferences(), view, info, ..self.clone() }
    }

    /// Everything that the client can see or use.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        self.plugins.catalog_of(&self.view)
    }

    /// The channel to the client of a request for this purpose.
    pub(super) fn channel<'a>(
        &'a self,
        context: &'a RequestContext<RoleServer>,
        principal: &'a Arc<Principal>,
        purpose: Purpose,
    ) -> RequestChannel<'a> {
        let of_request = (context, is_modern(context));
        RequestChannel::new(of_request, principal, &self.preferences, (&self.states, purpose), &self.detachable)
    }

    /// Changes the preferences of this session's client, on all servers of it.
    ///
    /// # Errors
    /// There is no room for another subscription, or it could not be noted for the other servers.
    pub(super) async fn wish(&self, wish: &Wish, context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
        let session = context.extensions.get::<Parts>().and_then(|parts| headers::session_id(&parts.headers));
        if let (Some(shelf), Some(session)) = (&self.shelf, session) {
            let person = principal(context)?.person();
            return Ok(wishes::change(shelf, &person, session, &self.preferences, wish).await?);
        }
        self.preferences.change(wish).map_err(|too_many| ErrorData::invalid_params(too_many.to_string(), None))
    }

    /// `_meta` of a result: the name of the server (2026-07-28, basic: every result names its server). Older clients
    /// know it from the handshake.
    pub(super) fn meta(&self, context: &RequestContext<RoleServer>) -> Option<MetaObject> {
        is_modern(context).then(|| {
            let mut meta = MetaObject::default();
            let introduction = self.introductions.of(&self.view);
            meta.insert("io.modelcontextprotocol/serverInfo".to_owned(), json!(introduction.server));
            meta
        })
    }
}

pub(super) fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// The sender of the request, as authenticated by the HTTP side. An endpoint that was mounted without authentication
/// must not serve, so a request without a sender is an error.
pub(super) fn principal(context: &RequestContext<RoleServer>) -> Result<&Arc<Principal>, ErrorData> {
    let parts = context.extensions.get::<Parts>();
    parts
        .and_then(|parts| parts.extensions.get::<Arc<Principal>>())
        .ok_or_else(|| ErrorData::internal_error("the request has no principal", None))
}

/// Stops work whose client has cancelled it or gone away; the answer to that reaches nobody.
pub(super) async fn unless_cancelled<T>(
    context: &RequestContext<RoleServer>,
    work: impl Future<Output = Result<T, ErrorData>>,
) -> Result<T, ErrorData> {
    tokio::select! {
        done = work => done,
        () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
    }
}
