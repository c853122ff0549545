//! What each request is answered, in both eras.
//!
//! This file is the list of requests; what takes more than a line is in a module for its kind.
#![expect(deprecated, reason = "logging is deprecated since 2026-07-28, and clients of both eras have it")]

mod calls;
mod completions;
mod prompts;
mod resources;
mod skills;

use std::sync::Arc;

use http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams, CompleteResult, CustomRequest,
    CustomResult, DiscoverResult, ErrorCode, ErrorData, GetPromptRequestParams, GetPromptResponse,
    GetSkillRequestParams, GetSkillResult, GetTaskParams, GetTaskResult, Implementation, InitializeResult,
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListSkillsResult, ListToolsResult, MetaObject,
    PaginatedRequestParams, ProtocolVersion, ReadResourceDirectoryRequestParams, ReadResourceDirectoryResult,
    ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use serde_json::json;

use super::discovery::Discovery;
use super::listeners::Listeners;
use super::request_state::RequestStates;
use super::rounds::{self, Exchange};
use super::session_state::SessionState;
use super::signals::Signals;
use super::tasks::Tasks;
use super::tools;
use crate::plugins::Plugins;
use crate::plugins::catalog::Catalog;
use crate::plugins::plugin::MAX_URI_BYTES;
use crate::plugins::served::Served;
use crate::principal::{Access, Principal};
use crate::state::StateDir;

/// What requests can ask of this server, as far as they carry parameters. rmcp takes one whose parameters do not fit for
/// one of an unknown method.
const METHODS: [&str; 15] = [
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/directory/read",
    "completion/complete",
    "skills/list",
    "skills/get",
    "subscriptions/listen",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
];

/// The same, of clients of the older protocol alone.
const LEGACY_METHODS: [&str; 4] = ["initialize", "resources/subscribe", "resources/unsubscribe", "logging/setLevel"];

/// Resources that one modern client may subscribe to.
const MAX_SUBSCRIPTIONS: usize = 1000;

const INSTRUCTIONS: &str = "The tools of this server are plugins that can be added, replaced and removed while it runs: \
    when a tool is missing or behaves differently than described, list the tools again.";

/// Answers requests from the catalog. Cheap to clone: rmcp takes one for every request and session.
#[derive(Clone)]
pub(super) struct Handler {
    plugins: Plugins,
    listeners: Arc<Listeners>,
    info: Arc<ServerConfig>,
    states: Arc<RequestStates>,
    tasks: Tasks,
    discovery: Discovery,
    detached: Signals,
    /// What the client of this session has said. Who has no session has said nothing.
    session: Arc<SessionState>,
}

impl Handler {
    pub(super) fn new(
        plugins: Plugins,
        listeners: Arc<Listeners>,
        state: &StateDir,
        tasks: Tasks,
        discovery: Discovery,
        detached: Signals,
    ) -> Self {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            // All of these are there whatever the plugins give: they come and go, and clients ask once.
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
            info: Arc::new(info),
            states: Arc::new(RequestStates::new(state)),
            tasks,
            discovery,
            detached,
            session: Arc::default(),
        }
    }

    /// The same for a session of its own.
    pub(super) fn for_session(&self) -> Self {
        Self { session: Arc::default(), ..self.clone() }
    }

    pub(super) fn server(&self) -> &Implementation {
        &self.info.server_info
    }

    /// `_meta` of a result: who answered (2026-07-28, basic: every result names its server). Older clients know it
    /// from the handshake.
    fn meta(&self, context: &RequestContext<RoleServer>) -> Option<MetaObject> {
        is_modern(context).then(|| {
            let mut meta = MetaObject::default();
            meta.insert("io.modelcontextprotocol/serverInfo".to_owned(), json!(self.info.server_info));
            meta
        })
    }
}

fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// Who sent the request, as the HTTP side found out. Without that, nobody: an endpoint that was mounted without
/// the layer that finds out must not serve.
fn principal(context: &RequestContext<RoleServer>) -> Result<&Arc<Principal>, ErrorData> {
    let parts = context.extensions.get::<Parts>();
    parts
        .and_then(|parts| parts.extensions.get::<Arc<Principal>>())
        .ok_or_else(|| ErrorData::internal_error("the request has no principal", None))
}

/// The session that a request belongs to, if it has one.
pub(super) fn session_of(context: &RequestContext<RoleServer>) -> Option<&str> {
    let parts = context.extensions.get::<Parts>()?;
    parts.headers.get("mcp-session-id")?.to_str().ok()
}

/// Whether somebody gets to see what a plugin gives: what they could use by granting more is shown, and using it tells
/// the client to ask for more.
fn shows(served: &Served, principal: &Principal) -> bool {
    principal.access(served.scopes()) != Access::Never
}

impl Handler {
    fn catalog(&self) -> Arc<Catalog> {
        self.plugins.catalog()
    }

    fn exchange<'a>(&'a self, context: &'a RequestContext<RoleServer>, principal: &'a Arc<Principal>) -> Exchange<'a> {
        let is_modern = is_modern(context);
        Exchange {
            context,
            principal,
            session: &self.session,
            states: &self.states,
            detached: &self.detached,
            is_modern,
        }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        (*self.info).clone()
    }

    async fn discover(&self, _context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        Ok(DiscoverResult::from_server_info(self.supported_protocol_versions().into_owned(), self.get_info()))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let principal = principal(&context)?;
        let catalog = self.catalog();
        let visible = catalog.tools().iter().filter(|tool| shows(&tool.served, principal));
        let tools = visible.map(|tool| tools::tool(tool)).chain(self.discovery.tools());
        let mut result = ListToolsResult::with_all_items(tools.collect());
        result.meta = self.meta(&context);
        Ok(result)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let own = self.discovery.tools().find(|tool| tool.name == name);
        own.or_else(|| self.catalog().tool(name).map(|tool| tools::tool(tool)))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let called = calls::call(self, request, &context);
        unless_cancelled(&context, called).await
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let mut result = GetTaskResult::new(self.tasks.get(&request.task_id, principal(&context)?)?);
        result.meta = self.meta(&context);
        Ok(result)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.update(&request.task_id, principal(&context)?, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel(&request.task_id, principal(&context)?)
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let mut result = ListPromptsResult::with_all_items(prompts::list(self, principal(&context)?)?);
        result.meta = self.meta(&context);
        Ok(result)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        unless_cancelled(&context, prompts::get(self, request, &context)).await
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut result = ListResourcesResult::with_all_items(resources::list(self, principal(&context)?)?);
        result.meta = self.meta(&context);
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let templates = resources::list_templates(self, principal(&context)?)?;
        let mut result = ListResourceTemplatesResult::with_all_items(templates);
        result.meta = self.meta(&context);
        Ok(result)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        unless_cancelled(&context, resources::read(self, request, &context)).await
    }

    async fn read_resource_directory(
        &self,
        request: ReadResourceDirectoryRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceDirectoryResult, ErrorData> {
        let mut result = resources::read_directory(self, &request.uri, principal(&context)?)?;
        result.meta = self.meta(&context);
        Ok(result)
    }

    async fn list_skills(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListSkillsResult, ErrorData> {
        let listed = skills::list(self, principal(&context)?);
        let mut result = ListSkillsResult::with_all_items(unless_cancelled(&context, listed).await?);
        result.meta = self.meta(&context);
        Ok(result)
    }

    async fn get_skill(
        &self,
        request: GetSkillRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetSkillResult, ErrorData> {
        let got = skills::get(self, &request.uri, principal(&context)?);
        let mut result = GetSkillResult::new(unless_cancelled(&context, got).await?);
        result.meta = self.meta(&context);
        Ok(result)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let mut result = unless_cancelled(&context, completions::complete(self, request, &context)).await?;
        result.meta = self.meta(&context);
        Ok(result)
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if is_modern(&context) {
            return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "logging/setLevel", None));
        }
        self.session.set_least_level(rounds::level(request.level));
        Ok(())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let principal = principal(&context)?;
        if !self.catalog().owner_of(&request.uri).is_some_and(|served| shows(served, principal)) {
            return Err(resources::not_found(&request.uri));
        }
        if self.session.subscribe(&request.uri) {
            return Ok(());
        }
        Err(ErrorData::invalid_params("this session has too many subscriptions; end some", None))
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.session.unsubscribe(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let resources = requested.resource_subscriptions.iter().flatten().filter(|uri| uri.len() <= MAX_URI_BYTES);
        let resources = resources.take(MAX_SUBSCRIPTIONS).cloned();
        let lists = SubscriptionFilter::builder().tools_list_changed().prompts_list_changed().resources_list_changed();
        Some(lists.resource_subscriptions(resources).build())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let principal = Arc::clone(principal(context.request_context())?);
        self.listeners.listen(&context, &principal).await;
        Ok(())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = request.method;
        let is_legacy = LEGACY_METHODS.contains(&method.as_str()) && !is_modern(&context);
        if is_legacy || METHODS.contains(&method.as_str()) {
            return Err(ErrorData::invalid_params(format!("the parameters do not fit `{method}`"), None));
        }
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None))
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let parts = context.extensions.get::<Parts>();
        let id = parts.and_then(|parts| parts.headers.get("mcp-session-id")).and_then(|id| id.to_str().ok());
        let principal = parts.and_then(|parts| parts.extensions.get::<Arc<Principal>>());
        if let (Some(id), Some(principal)) = (id, principal) {
            self.listeners.add(id, context.peer.clone(), Arc::clone(&self.session), Arc::clone(principal));
        }
    }
}

/// Stops work whose client has cancelled it or gone away; what that is answered reaches nobody.
async fn unless_cancelled<T>(
    context: &RequestContext<RoleServer>,
    work: impl Future<Output = Result<T, ErrorData>>,
) -> Result<T, ErrorData> {
    tokio::select! {
        done = work => done,
        () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
    }
}
