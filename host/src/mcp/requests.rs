//! All requests that are answered, in both eras; an answer of more than a line is in a module for its kind.
#![expect(deprecated, reason = "logging is deprecated since 2026-07-28, and clients of both eras have it")]

mod calls;
mod completions;
mod prompts;
mod resources;
mod skills;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams, CompleteResult, CustomRequest,
    CustomResult, DiscoverResult, ErrorCode, ErrorData, GetPromptRequestParams, GetPromptResponse,
    GetSkillRequestParams, GetSkillResult, GetTaskParams, GetTaskResult, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListSkillsResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceDirectoryRequestParams, ReadResourceDirectoryResult, ReadResourceRequestParams, ReadResourceResponse,
    ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
    UpdateTaskParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use serde::de::DeserializeOwned;

use super::handler::{Handler, is_modern, principal, unless_cancelled};
use super::listing::shows;
use super::lists::List;
use super::preferences::Wish;
use super::{echo, listing, request_channel};

/// The methods of this server that have parameters. rmcp takes a request with wrong parameters for one of an unknown
/// method.
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

impl Handler {
    fn list<T: DeserializeOwned>(
        &self,
        list: List,
        request: Option<PaginatedRequestParams>,
        context: &RequestContext<RoleServer>,
    ) -> Result<T, ErrorData> {
        let cursor = request.and_then(|request| request.cursor);
        self.lists.result(list, cursor.as_deref(), is_modern(context), &self.catalog(), principal(context)?)
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
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.list(List::Tools, request, &context)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let own = self.discovery.tools().find(|tool| tool.name == name);
        own.or_else(|| self.catalog().tool(name).map(|tool| listing::tool(tool)))
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
        let mut result = GetTaskResult::new(self.tasks.get(&request.task_id, principal(&context)?).await?);
        result.meta = self.meta(&context);
        Ok(result)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.update(&request.task_id, principal(&context)?, request.input_responses).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel(&request.task_id, principal(&context)?).await
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        self.list(List::Prompts, request, &context)
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
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        self.list(List::Resources, request, &context)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        self.list(List::Templates, request, &context)
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
        self.wish(&Wish::Level(request_channel::level(request.level)), &context).await
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
        self.wish(&Wish::Subscribe(request.uri), &context).await
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.wish(&Wish::Unsubscribe(request.uri), &context).await
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        // Their number and length are checked before: see `listen`.
        let resources = requested.resource_subscriptions.iter().flatten().cloned();
        let lists = SubscriptionFilter::builder().tools_list_changed().prompts_list_changed().resources_list_changed();
        Some(lists.resource_subscriptions(resources).build())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let principal = principal(context.request_context())?;
        let place = self.listeners.enter(principal);
        let place = place.map_err(|no_place| ErrorData::invalid_params(no_place.to_string(), None))?;
        let mut listener = self.listeners.listen(context.accepted().clone(), principal, place);
        loop {
            let changes = tokio::select! {
                () = context.cancelled() => return Ok(()),
                changes = listener.next() => changes,
            };
            // A subscription that ends with a result was meant to end.
            let Some(changes) = changes else { return Ok(()) };
            for change in changes {
                if context.sink().send(change).await.is_err() {
                    return Ok(());
                }
            }
        }
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
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, echo::name(&method), None))
    }
}
