//! `prompts/get`.

use rmcp::RoleServer;
use rmcp::model::{ErrorData, GetPromptRequestParams, GetPromptResponse, GetPromptResult};
use rmcp::service::RequestContext;
use serde_json::{Map, Value, json};

use crate::mcp::handler::{Handler, principal};
use crate::mcp::request_channel::Retry;
use crate::mcp::request_state::Purpose;
use crate::mcp::room::require_room;
use crate::mcp::round_trips::{self, Round};
use crate::mcp::{content, echo};
use crate::plugins::catalog;
use crate::plugins::types::codec::of_block;
use crate::plugins::wit::prompts::Conversation;

pub(super) async fn get(
    handler: &Handler,
    request: GetPromptRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<GetPromptResponse, ErrorData> {
    let principal = principal(context)?;
    let catalog = handler.catalog();
    let GetPromptRequestParams { name, arguments, input_responses, request_state, .. } = request;
    let Some(prompt) = catalog.prompt(&name).filter(|prompt| principal.holds(prompt.served.scopes())) else {
        return Err(ErrorData::invalid_params(format!("unknown prompt `{}`", echo::name(&name)), None));
    };
    let arguments = arguments.unwrap_or_default();
    let filled_in = filled_in(prompt, &arguments)?;
    let purpose = Purpose::new(principal, "prompts/get", &name, &arguments);
    let mut channel = handler.channel(context, principal, purpose);
    let round = |conversation| async {
        match handler.plugins.get_prompt(prompt, filled_in.clone(), conversation).await {
            Ok(Ok(conversation)) => {
                let size: usize = conversation.messages.iter().map(|message| of_block(&message.content)).sum();
                require_room(context, content::COPIES * size)?;
                Ok(Round::Done(result(&conversation)?))
            }
            Ok(Err(stop)) => Round::of_stop(stop),
            Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
        }
    };
    let conversation = channel.open(Retry { responses: input_responses, state: request_state })?;
    let ended = round_trips::run(&mut channel, conversation, round).await?;
    ended.into_response(handler.meta(context), |result, meta| result.meta = meta)
}

/// The arguments as the plugin gets them.
fn filled_in(prompt: &catalog::Prompt, arguments: &Map<String, Value>) -> Result<Vec<(String, String)>, ErrorData> {
    let known = &prompt.prompt().prompt.arguments;
    let invalid = |message: String| Err(ErrorData::invalid_params(message, None));
    for argument in known.iter().filter(|argument| argument.required) {
        if !arguments.contains_key(&argument.name) {
            return invalid(format!("argument `{}` of prompt `{}` is missing", argument.name, prompt.name));
        }
    }
    let mut filled_in = Vec::with_capacity(arguments.len());
    for (name, value) in arguments {
        let Some(text) = value.as_str() else {
            return invalid(format!("argument `{}` of prompt `{}` is not a string", echo::name(name), prompt.name));
        };
        if !known.iter().any(|argument| argument.name == *name) {
            return invalid(format!("prompt `{}` has no argument `{}`", prompt.name, echo::name(name)));
        }
        filled_in.push((name.clone(), text.to_owned()));
    }
    Ok(filled_in)
}

fn result(conversation: &Conversation) -> Result<GetPromptResult, ErrorData> {
    let messages = conversation
        .messages
        .iter()
        .map(|message| json!({ "role": content::role(message.role), "content": content::block(&message.content) }));
    let mut result = GetPromptResult::new(content::read("prompt", messages.collect())?);
    result.description.clone_from(&conversation.description);
    Ok(result)
}
