//! `tools/call`.

use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, ErrorData, MetaObject,
    ProtocolVersion,
};
use rmcp::service::RequestContext;
use serde_json::{Map, Value};

use super::{Handler, principal};
use crate::mcp::input;
use crate::mcp::request_state::Purpose;
use crate::mcp::rounds::{CameBack, Ended, Exchange, Round};
use crate::mcp::{tasks, tools};
use crate::plugins::catalog::Tool;
use crate::plugins::types::codec::Reply;
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
    if let Some(answer) = handler.discovery.answer(&name, &arguments, &catalog, principal) {
        return Ok(with_meta(answer, handler.meta(context)).into());
    }
    if let Some((called, with)) = handler.discovery.unwrap(&name, &mut arguments) {
        (name, arguments) = (called.into(), with);
    }
    let Some(tool) = catalog.tool(&name).filter(|tool| principal.holds(tool.served.scopes())) else {
        return Err(ErrorData::invalid_params(format!("unknown tool `{name}`"), None));
    };
    let exchange = handler.exchange(context, principal);
    if let Some(refused) = require_capabilities(&exchange, tool)? {
        return Ok(with_meta(refused, handler.meta(context)).into());
    }
    let came_back = CameBack { responses: input_responses, state: request_state };
    let purpose = Purpose::new(principal, "tools/call", &tool.name, &arguments);
    if !exchange.is_modern && tool.listed().is_some_and(|listed| listed.tasks == Support::Required) {
        let refused = failure("this tool works in the background, which the client does not know".to_owned());
        return Ok(with_meta(refused, handler.meta(context)).into());
    }
    if exchange.is_modern && is_task(context, tool, &came_back)? {
        let (answers, state) = exchange.open(&purpose, came_back)?;
        let call = tasks::Call {
            plugins: handler.plugins.clone(),
            tool: Arc::clone(tool),
            arguments,
            principal: Arc::clone(principal),
            askable: exchange.askable(),
            answers,
            state,
        };
        let mut created = handler.tasks.begin(call)?;
        created.meta = handler.meta(context);
        return Ok(created.into());
    }
    let result = match rounds(handler, &exchange, tool, &arguments, (&purpose, came_back)).await? {
        Ended::Done(result) => for_version(result, context.protocol_version().as_ref()),
        Ended::InputRequired(mut required) => {
            required.meta = handler.meta(context);
            return Ok(required.into());
        }
        Ended::CannotAsk(why) => failure(why),
    };
    Ok(with_meta(result, handler.meta(context)).into())
}

async fn rounds(
    handler: &Handler,
    exchange: &Exchange<'_>,
    tool: &Arc<Tool>,
    arguments: &Map<String, Value>,
    (purpose, came_back): (&Purpose, CameBack),
) -> Result<Ended<CallToolResult>, ErrorData> {
    let round = |conversation| async {
        match handler.plugins.call(tool, arguments, conversation).await {
            Ok(Reply::Asks(request)) => Ok(Round::Asks(*request)),
            outcome => tools::call_result(outcome).map(Round::Done),
        }
    };
    exchange.run(purpose, came_back, round).await
}

/// What a tool says it needs is asked of the client before anything runs. A legacy client gets it as a result, since it
/// knows no such error.
fn require_capabilities(exchange: &Exchange<'_>, tool: &Tool) -> Result<Option<CallToolResult>, ErrorData> {
    let Some(listed) = tool.listed() else { return Ok(None) };
    let lacking = input::lacking(listed.needs, exchange.askable());
    if lacking == Capabilities::empty() {
        return Ok(None);
    }
    if exchange.is_modern {
        return Err(ErrorData::missing_required_client_capability(input::declared(lacking)));
    }
    Ok(Some(failure(format!("this tool needs {}, which the client does not offer", input::named(lacking)))))
}

fn is_task(context: &RequestContext<RoleServer>, tool: &Tool, came_back: &CameBack) -> Result<bool, ErrorData> {
    let Some(listed) = tool.listed() else { return Ok(false) };
    let knows_tasks = context.client_capabilities().is_some_and(|client| client.supports_tasks());
    match listed.tasks {
        Support::Never => Ok(false),
        Support::Possible => Ok(knows_tasks),
        Support::AfterInput => Ok(knows_tasks && came_back.has_answers()),
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
    CallToolResult::error(vec![ContentBlock::text(text)])
}

/// Puts who answered beside what the plugin says in `_meta`.
fn with_meta(mut result: CallToolResult, server: Option<MetaObject>) -> CallToolResult {
    match (&mut result.meta, server) {
        (Some(meta), Some(server)) => meta.extend(server),
        (meta @ None, server) => *meta = server,
        (Some(_), None) => {}
    }
    result
}
