//! What the configuration says of a plugin, as its calls need it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::keys::ToolSettings;
use crate::grants::Grants;
use crate::grants::in_force::InForce;
use crate::plugins::rates::Rates;
use crate::plugins::sandbox::gate::Gate;
use crate::plugins::served::{Shaping, Terms};

/// The configuration of a plugin.
pub(super) fn terms(
    config: &Config,
    plugin: &str,
    grants: Arc<Grants>,
    grants_now: Arc<InForce>,
    gate: Arc<Gate>,
    rates: Rates,
    stop: CancellationToken,
) -> Terms {
    let table = config.plugin(plugin);
    let settings = table.settings.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned()));
    Terms {
        scopes: table.scopes.clone().into(),
        shaping: table.tool.iter().filter_map(|(name, tool)| Some((name.to_string(), shaping(tool)?))).collect(),
        limits: config.limits(plugin),
        settings: Arc::new(settings.collect()),
        grants,
        grants_now,
        shows_local_pages: config.server.base_url.is_loopback(),
        gate,
        rates,
        stop,
    }
}

/// The operator's words on a tool, if there are any beside its name.
fn shaping(tool: &ToolSettings) -> Option<Arc<Shaping>> {
    let said = |text: &Option<String>| text.as_ref().filter(|text| !text.trim().is_empty()).cloned();
    let (title, description, scopes) = (said(&tool.title), said(&tool.description), tool.scopes.clone());
    let is_said = title.is_some() || description.is_some() || !scopes.is_empty();
    is_said.then(|| Arc::new(Shaping { title, description, scopes }))
}

/// The rates of a plugin and of its tools, which count on from `before`.
pub(super) fn rates(config: &Config, plugin: &str, before: &Rates) -> Rates {
    let tools = &config.plugin(plugin).tool;
    let of_tools = tools.iter().filter_map(|(name, tool)| Some((name.to_string(), tool.rate.get()?)));
    before.replaced(config.limits(plugin).rate.get(), of_tools)
}
