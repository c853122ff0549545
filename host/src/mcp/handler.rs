//! The parts that answers are made of, and facts about the client from the context of a request.
#![expect(deprecated, reason = "logging is deprecated since 2026-07-28, and clients of both eras have it")]

use std::sync::Arc;

use http::request::Parts;
use rmcp::RoleServer;
use rmcp::model::{
    ErrorData, Implementation, InitializeResult, MetaObject, ProtocolVersion, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use serde_json::json;

use super::discovery::Discovery;
use super::exchange::Exchange;
use super::in_flight::InFlight;
use super::listeners::Listeners;
use super::lists::Lists;
use super::preferences::Preferences;
use super::request_channel::RequestChannel;
use super::request_state::{Purpose, RequestStates};
use super::tasks::Tasks;
use crate::plugins::Plugins;
use crate::plugins::catalog::Catalog;
use crate::principal::Principal;
use crate::state::StateDir;

const INSTRUCTIONS: &str = "The tools of this server are plugins that can be added, replaced and removed while it runs: \
    when a tool is missing or behaves differently than described, list the tools again.";

/// Answers requests from the catalog. Cheap to clone: rmcp takes one for every request and session.
#[derive(Clone)]
pub(super) struct Handler {
    pub(super) plugins: Plugins,
    pub(super) listeners: Arc<Listeners>,
    pub(super) info: Arc<ServerConfig>,
    states: Arc<RequestStates>,
    pub(super) tasks: Tasks,
    pub(super) discovery: Discovery,
    pub(super) lists: Arc<Lists>,
    detachable: InFlight,
    /// Preferences of this session's client; without a session there are none.
    pub(super) preferences: Arc<Preferences>,
}

impl Handler {
    pub(super) fn new(
        plugins: Plugins,
        listeners: Arc<Listeners>,
        state: &StateDir,
        tasks: Tasks,
        (discovery, list_page): (Discovery, usize),
        detachable: InFlight,
    ) -> Self {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            // Declared whether plugins have any or not: plugins come and go, and clients ask once.
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_completions()
            .enable_logging()
            .enable_tasks()
            .enable_skills_with_directory_read()
            .build();
        let implementation = Implementation::new("tinymcp", env!("CARGO_PKG_VERSION")).with_title("TinyMCP");
        let info = InitializeResult::new(capabilities).with_server_info(implementation).with_instructions(INSTRUCTIONS);
        Self {
            plugins,
            listeners,
            lists: Arc::new(Lists::new(discovery, &info.server_info, list_page)),
            info: Arc::new(info),
            states: Arc::new(RequestStates::new(state)),
            tasks,
            discovery,
            detachable,
            preferences: Arc::default(),
        }
    }

    /// The same for the session of this task's exchange.
    pub(super) fn for_session(&self) -> Self {
        let preferences = Exchange::current().map(|exchange| exchange.preferences()).unwrap_or_default();
        Self { preferences, ..self.clone() }
    }

    pub(super) fn catalog(&self) -> Arc<Catalog> {
        self.plugins.catalog()
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

    pub(super) fn server(&self) -> &Implementation {
        &self.info.server_info
    }

    /// `_meta` of a result: the name of the server (2026-07-28, basic: every result names its server). Older clients
    /// know it from the handshake.
    pub(super) fn meta(&self, context: &RequestContext<RoleServer>) -> Option<MetaObject> {
        is_modern(context).then(|| {
            let mut meta = MetaObject::default();
            meta.insert("io.modelcontextprotocol/serverInfo".to_owned(), json!(self.info.server_info));
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
