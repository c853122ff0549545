//! What each request is answered, in both eras.

use std::sync::Arc;

use http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, DiscoverResult, ErrorCode, ErrorData,
    GetPromptRequestParams, GetPromptResponse, Implementation, InitializeResult, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, MetaObject, PaginatedRequestParams,
    ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig,
    SubscriptionFilter, Tool,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use serde_json::json;

use super::listeners::Listeners;
use super::tools;
use crate::plugins::Plugins;
use crate::principal::{Access, Principal};

/// What requests can ask of this server, as far as they carry parameters. rmcp takes one whose parameters do not fit for
/// one of an unknown method.
const METHODS: [&str; 8] = [
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "subscriptions/listen",
];

const INSTRUCTIONS: &str = "The tools of this server are plugins that can be added, replaced and removed while it runs: \
    when a tool is missing or behaves differently than described, list the tools again.";

/// Answers requests from the catalog. Cheap to clone: rmcp takes one for every request and session.
#[derive(Clone)]
pub(super) struct Handler {
    plugins: Plugins,
    listeners: Arc<Listeners>,
    info: Arc<ServerConfig>,
}

impl Handler {
    pub(super) fn new(plugins: Plugins, listeners: Arc<Listeners>) -> Self {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            // Advertised although no plugin gives any yet: clients ask for them anyway, and get empty lists.
            .enable_prompts()
            .enable_resources()
            .build();
        let implementation = Implementation::new("tinymcp", env!("CARGO_PKG_VERSION")).with_title("TinyMCP");
        let info = InitializeResult::new(capabilities).with_server_info(implementation).with_instructions(INSTRUCTIONS);
        Self { plugins, listeners, info: Arc::new(info) }
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
        let catalog = self.plugins.catalog();
        // What the person could call by granting more is shown: calling it tells the client to ask for more.
        let visible = catalog.tools().iter().filter(|tool| principal.access(&tool.scopes) != Access::Never);
        let mut result = ListToolsResult::with_all_items(visible.map(|tool| tools::tool(tool)).collect());
        result.meta = self.meta(&context);
        Ok(result)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.plugins.catalog().tool(name).map(|tool| tools::tool(tool))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let principal = principal(&context)?;
        let catalog = self.plugins.catalog();
        let Some(tool) = catalog.tool(&request.name).filter(|tool| principal.holds(&tool.scopes)) else {
            return Err(ErrorData::invalid_params(format!("unknown tool `{}`", request.name), None));
        };
        let arguments = request.arguments.unwrap_or_default();
        let outcome = tokio::select! {
            outcome = self.plugins.call(tool, &arguments, principal) => outcome,
            // The client cancelled or went away; what it is answered reaches nobody.
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
        };
        let mut result = tools::call_result(outcome);
        result.meta = self.meta(&context);
        Ok(result.into())
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult { meta: self.meta(&context), ..ListPromptsResult::default() })
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        Err(ErrorData::invalid_params(format!("unknown prompt `{}`", request.name), None))
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult { meta: self.meta(&context), ..ListResourcesResult::default() })
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult { meta: self.meta(&context), ..ListResourceTemplatesResult::default() })
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let message = format!("resource `{}` not found", request.uri);
        Err(ErrorData::resource_not_found(message, Some(json!({ "uri": request.uri }))))
    }

    fn accepted_subscription_filter(&self, _requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(SubscriptionFilter::builder().tools_list_changed().build())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        self.listeners.listen(&context).await;
        Ok(())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = request.method;
        let is_handshake = method == "initialize" && !is_modern(&context);
        if is_handshake || METHODS.contains(&method.as_str()) {
            return Err(ErrorData::invalid_params(format!("the parameters do not fit `{method}`"), None));
        }
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None))
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let parts = context.extensions.get::<Parts>();
        let id = parts.and_then(|parts| parts.headers.get("mcp-session-id")).and_then(|id| id.to_str().ok());
        if let Some(id) = id {
            self.listeners.add(id, context.peer.clone());
        }
    }
}
