//! `resources/read` and `resources/directory/read`.

use std::collections::BTreeMap;

use rmcp::RoleServer;
use rmcp::model::{
    ErrorData, ReadResourceDirectoryResult, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    Resource,
};
use rmcp::service::RequestContext;
use serde_json::{Map, json};

use crate::mcp::handler::{Handler, principal};
use crate::mcp::listing::shows;
use crate::mcp::request_channel::Retry;
use crate::mcp::request_state::Purpose;
use crate::mcp::room::require_room;
use crate::mcp::round_trips::{self, Round};
use crate::mcp::{content, echo, listing};
use crate::plugins::types::codec::of_contents;
use crate::principal::Principal;

/// Media type of a path to other resources (SEP-2640).
const DIRECTORY: &str = "inode/directory";

fn list(handler: &Handler, principal: &Principal) -> Result<Vec<Resource>, ErrorData> {
    let catalog = handler.catalog();
    let visible = catalog.resources().iter().filter(|resource| shows(&resource.served, principal));
    visible.map(|resource| listing::resource(resource)).collect()
}

pub(super) async fn read(
    handler: &Handler,
    request: ReadResourceRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<ReadResourceResponse, ErrorData> {
    let principal = principal(context)?;
    let catalog = handler.catalog();
    let ReadResourceRequestParams { uri, input_responses, request_state, .. } = request;
    let Some(served) = catalog.owner_of(&uri).filter(|served| principal.holds(served.scopes())) else {
        return Err(not_found(&uri));
    };
    let purpose = Purpose::new(principal, "resources/read", &uri, &Map::new());
    let mut channel = handler.channel(context, principal, purpose);
    let round = |conversation| async {
        match handler.plugins.read_resource(served, &uri, conversation).await {
            Ok(Ok(contents)) if contents.is_empty() => Err(not_found(&uri)),
            Ok(Ok(contents)) => {
                require_room(context, content::COPIES * contents.iter().map(of_contents).sum::<usize>())?;
                let contents = content::read("resource", contents.iter().map(content::contents).collect())?;
                Ok(Round::Done(ReadResourceResult::new(contents)))
            }
            Ok(Err(stop)) => Round::of_stop(stop),
            Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
        }
    };
    let conversation = channel.open(Retry { responses: input_responses, state: request_state })?;
    let ended = round_trips::run(&mut channel, conversation, round).await?;
    ended.into_response(handler.meta(context), |result, meta| result.meta = meta)
}

/// Reads the directory of a path: resources directly beneath it, and paths to further ones.
pub(super) fn read_directory(
    handler: &Handler,
    uri: &str,
    principal: &Principal,
) -> Result<ReadResourceDirectoryResult, ErrorData> {
    let directory = format!("{}/", uri.trim_end_matches('/'));
    let mut beneath = BTreeMap::new();
    for resource in list(handler, principal)? {
        let Some(rest) = resource.uri.strip_prefix(&directory).filter(|rest| !rest.is_empty()) else { continue };
        match rest.split_once('/') {
            None => {
                beneath.insert(resource.uri.clone(), resource);
            }
            Some((name, _)) => {
                let uri = format!("{directory}{name}");
                let json = json!({ "uri": uri, "name": name, "mimeType": DIRECTORY });
                beneath.insert(uri, content::read("resource", json)?);
            }
        }
    }
    if beneath.is_empty() {
        let uri = echo::uri(uri);
        return Err(ErrorData::invalid_params(format!("there is no directory `{uri}`"), Some(json!({ "uri": uri }))));
    }
    Ok(ReadResourceDirectoryResult::with_all_items(beneath.into_values().collect()))
}

pub(super) fn not_found(uri: &str) -> ErrorData {
    let uri = echo::uri(uri);
    ErrorData::resource_not_found(format!("resource `{uri}` not found"), Some(json!({ "uri": uri })))
}
