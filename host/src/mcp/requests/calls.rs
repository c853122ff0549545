//! `tools/call`.

use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, ErrorData, MetaObject,
    ProtocolVersion,
};
use rmcp::service::RequestContext;

use crate::json_weight;
use crate::mcp::call_result::{self, TextResult};
use crate::mcp::handler::{Handler, principal};
use crate::mcp::request_channel::{RequestChannel, Retry};
use crate::mcp::request_state::Purpose;
use crate::mcp::room::memory;
use crate::mcp::round_trips::{self, Channel, Outcome};
use crate::mcp::tasks::BackgroundCall;
use crate::mcp::{echo, input};
use crate::plugins::catalog::Tool;
use crate::plugins::error::CallError;
use crate::plugins::wit::input::Capabilities;
use crate::plugins::wit::tools::Tasks as Support;

pub(super) async fn call(
    handler: &Handler,
    request: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let principal = principal(context)?;
    let catalog = handler.catalog();
    let CallToolRequestParams { mut name, arguments, input_responses, request_state, .. } = request;
    let mut arguments = arguments.unwrap_or_default();
    if let Some(memory) = memory(context) {
        // rmcp is done with the message, of which nothing else is left.
        let answers = input_responses.iter().flatten().map(|(key, answer)| key.len() + json_weight::of_value(answer));
        memory.lower(json_weight::of_object(&arguments) + answers.sum::<usize>());
    }
    if let Some(answer) = handler.discovery.answer(&name, &arguments, &catalog, principal) {
        return Ok(with_meta(answer, handler.meta(context)).into());
    }
    if let Some((called, with)) = handler.discovery.unwrap(&name, &mut arguments) {
        (name, arguments) = (called.into(), with);
    }
    let Some(tool) = catalog.tool(&name).filter(|tool| principal.holds(tool.served.scopes())) else {
        return Err(ErrorData::invalid_params(format!("unknown tool `{}`", echo::name(&name)), None));
    };
    let purpose = Purpose::new(principal, "tools/call", &tool.name, &arguments);
    let mut channel = handler.channel(context, principal, purpose);
    if let Some(refused) = require_capabilities(&channel, tool)? {
        return Ok(with_meta(refused, handler.meta(context)).into());
    }
    let retry = Retry { responses: input_responses, state: request_state };
    if !channel.is_modern && tool.listed().is_some_and(|listed| listed.tasks == Support::Required) {
        let refused = failure("this tool works in the background, which the client does not know".to_owned());
        return Ok(with_meta(refused, handler.meta(context)).into());
    }
    let is_task = channel.is_modern && is_task(context, tool, &retry)?;
    let conversation = channel.open(retry)?;
    if is_task {
        let call = BackgroundCall {
            plugins: handler.plugins.clone(),
            tool: Arc::clone(tool),
            arguments,
            principal: Arc::clone(principal),
            askable: channel.askable(),
            conversation,
        };
        let mut created = handler.tasks.begin(call).await?;
        created.meta = handler.meta(context);
        return Ok(created.into());
    }
    let round = |conversation| call_result::round(&handler.plugins, tool, &arguments, conversation);
    let rounds = round_trips::run(&mut channel, conversation, round);
    let ended = tokio::select! {
        ended = rounds => ended?,
        // Also where its client is being asked, and nothing of the plugin runs.
        () = tool.served.switched_off() => Outcome::CannotAsk(CallError::SwitchedOff.to_string()),
    };
    let result = match ended {
        Outcome::Done(result) => for_version(result, context.protocol_version().as_ref()),
        Outcome::InputRequired(mut required) => {
            required.meta = handler.meta(context);
            return Ok(required.into());
        }
        Outcome::CannotAsk(why) => failure(why),
    };
    Ok(with_meta(result, handler.meta(context)).into())
}

/// Requires the capabilities that a tool needs of the client, before anything runs. A legacy client gets a result,
/// since it does not know this error.
fn require_capabilities(channel: &RequestChannel<'_>, tool: &Tool) -> Result<Option<CallToolResult>, ErrorData> {
    let Some(listed) = tool.listed() else { return Ok(None) };
    let lacking = input::lacking(listed.needs, channel.askable());
    if lacking == Capabilities::empty() {
        return Ok(None);
    }
    if channel.is_modern {
        return Err(ErrorData::missing_required_client_capability(input::declared(lacking)));
    }
    Ok(Some(failure(format!("this tool needs {}, which the client does not offer", input::named(lacking)))))
}

fn is_task(context: &RequestContext<RoleServer>, tool: &Tool, retry: &Retry) -> Result<bool, ErrorData> {
    let Some(listed) = tool.listed() else { return Ok(false) };
    let knows_tasks = context.client_capabilities().is_some_and(|client| client.supports_tasks());
    match listed.tasks {
        Support::Never => Ok(false),
        Support::Possible => Ok(knows_tasks),
        Support::AfterInput => Ok(knows_tasks && retry.has_answers()),
        Support::Required if knows_tasks => Ok(true),
        Support::Required => {
            let needed = ClientCapabilities::builder().enable_tasks().build();
            Err(ErrorData::missing_required_client_capability(needed))
        }
    }
}

/// Clients of 2025-03-26 know no links to resources, and refuse a result with something unknown in it.
fn for_version(mut result: CallToolResult, version: Option<&ProtocolVersion>) -> CallToolResult {
    if version.is_some_and(|version| version.as_str() < ProtocolVersion::V_2025_06_18.as_str()) {
        for block in &mut result.content {
            if let ContentBlock::ResourceLink(link) = block {
                *block = ContentBlock::text(format!("{}: {}", link.name, link.uri));
            }
        }
    }
    result
}

fn failure(text: String) -> CallToolResult {
    TextResult::failure(text).into()
}

/// Adds the name of the server to the plugin's `_meta`.
fn with_meta(mut result: CallToolResult, server: Option<MetaObject>) -> CallToolResult {
    match (&mut result.meta, server) {
        (Some(meta), Some(server)) => meta.extend(server),
        (meta @ None, server) => *meta = server,
        (Some(_), None) => {}
    }
    result
}
