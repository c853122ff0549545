//! Claims: the names and URIs that one plugin alone can have.

use std::sync::Arc;

use super::offer::{Foreign, Names};
use crate::plugins::plugin::Plugin;

const PROMPT: &str = "prompt";
const RESOURCE: &str = "resource";

/// A plugin that waits for names.
pub(super) struct RefusedPlugin {
    pub(super) plugin: Arc<Plugin>,
    /// Its claims; none if its names are unusable.
    pub(super) claims: Vec<String>,
}

/// A plugin's claims: its own name, the names of its tools and prompts, and its resources' URIs.
///
/// A tool's name has neither slash nor space, so that no claim of one kind is like one of another.
/// Resources and templates that are another's are not among them.
pub(super) fn claims(name: &str, plugin: &Plugin, names: &Names, foreign: &Foreign) -> Vec<String> {
    let tools = names.tools.iter().map(|tool| tool.name.clone());
    let prompts = names.prompts.iter().map(|prompt| format!("{PROMPT} {}", prompt.name));
    let own = plugin.resources.iter().enumerate().filter(|(index, _)| !foreign.resources.contains_key(index));
    let resources = own.map(|(_, resource)| resource_claim(&resource.resource.uri));
    let own = plugin.templates.iter().enumerate().filter(|(index, _)| !foreign.templates.contains_key(index));
    let templates = own.map(|(_, template)| resource_claim(&template.template.uri_template));
    std::iter::once(format!("{name}/")).chain(tools).chain(prompts).chain(resources).chain(templates).collect()
}

/// The claim of a resource, or of a template.
pub(super) fn resource_claim(uri: &str) -> String {
    format!("{RESOURCE} {uri}")
}

/// The same where that one is not here, but on the record of all servers.
pub(super) fn taken_elsewhere(claim: &str, holder: &str) -> String {
    let taken = taken(claim, holder);
    format!(
        "{taken}; `{holder}` is not served here: bring it here too, or take it away from all servers of the shared store, which frees its names within a minute"
    )
}

/// The problem of a file one of whose claims another one holds.
pub(super) fn taken(claim: &str, holder: &str) -> String {
    if let Some(plugin) = claim.strip_suffix('/').filter(|name| !name.contains(' ')) {
        return format!("plugin name `{plugin}` belongs to `{holder}`: rename one of the files");
    }
    match claim.split_once(' ') {
        Some((RESOURCE, uri)) => {
            format!("resource `{uri}` belongs to `{holder}`: give one of the plugins other URIs, or switch it off")
        }
        Some((_, prompt)) => {
            format!("prompt name `{prompt}` belongs to `{holder}`: rename the file, or give the plugin a `prefix`")
        }
        None => format!(
            "tool name `{claim}` belongs to `{holder}`: rename the file, or give the plugin a `prefix`, or the tool another `name`"
        ),
    }
}
