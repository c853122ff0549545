//! `completion/complete`.

use rmcp::RoleServer;
use rmcp::model::{CompleteRequestParams, CompleteResult, CompletionInfo, ErrorData, Reference};
use rmcp::service::RequestContext;

use crate::mcp::echo;
use crate::mcp::handler::{Handler, principal};
use crate::plugins::conversation::Conversation;
use crate::plugins::sandbox::requests::CompletionRequest;
use crate::plugins::wit::completions::Target;

pub(super) async fn complete(
    handler: &Handler,
    request: CompleteRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CompleteResult, ErrorData> {
    let principal = principal(context)?;
    let catalog = handler.catalog();
    let unknown =
        |what: &str, name: &str| ErrorData::invalid_params(format!("unknown {what} `{}`", echo::name(name)), None);
    let (served, target) = match &request.r#ref {
        Reference::Prompt(reference) => {
            let prompt = catalog.prompt(&reference.name).filter(|prompt| principal.holds(prompt.served.scopes()));
            let prompt = prompt.ok_or_else(|| unknown("prompt", &reference.name))?;
            (&prompt.served, Target::Prompt(prompt.prompt().prompt.name.clone()))
        }
        Reference::Resource(reference) => {
            let template = catalog.template(&reference.uri).map(|template| &template.served);
            let served = template.or_else(|| catalog.owner_of(&reference.uri));
            let served = served.filter(|served| principal.holds(served.scopes()));
            let served = served.ok_or_else(|| unknown("resource template", &reference.uri))?;
            (served, Target::Template(reference.uri.clone()))
        }
        _ => return Err(ErrorData::invalid_params("`ref` is neither a prompt nor a resource template", None)),
    };
    let others = request.context.and_then(|context| context.arguments).unwrap_or_default();
    let wanted = CompletionRequest {
        target,
        argument: request.argument.name,
        typed: request.argument.value,
        others: others.into_iter().collect(),
    };
    let suggestions = handler.plugins.complete(served, wanted, Conversation::with(principal)).await;
    let suggestions = suggestions.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    let completion = CompletionInfo::with_pagination(suggestions.values, suggestions.total, suggestions.has_more);
    Ok(CompleteResult::new(completion.map_err(|problem| ErrorData::internal_error(problem, None))?))
}
