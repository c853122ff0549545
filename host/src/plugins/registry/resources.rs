//! Resources that fit another plugin's template: they are that plugin's, and are left out of the lists of others.
//!
//! A template claims all of its URIs, and no name for each of them can be written down. So a resource is held against
//! the templates of all other plugins before each catalog. One that was served before the template came stays where it
//! is: a newcomer takes nothing away.

use std::sync::Arc;

use super::Registry;
use super::claims::resource_claim;
use super::offer::ForeignResources;
use crate::plugins::plugin::Plugin;
use crate::sanitize::escape;

impl Registry {
    /// Finds the resources of all plugins in force that are another's.
    pub(super) fn find_foreign_resources(&mut self) {
        let offered = self.entries.iter().filter_map(|(file, entry)| {
            let offer = entry.offer()?;
            Some((file.clone(), Arc::clone(&offer.plugin)))
        });
        let plugins: Vec<(String, Arc<Plugin>)> = offered.collect();
        let owners: Vec<&(String, Arc<Plugin>)> =
            plugins.iter().filter(|(_, plugin)| !plugin.templates.is_empty()).collect();
        let all: Vec<ForeignResources> =
            plugins.iter().map(|(file, plugin)| self.foreign_resources(file, plugin, &owners)).collect();
        for ((file, _), foreign) in plugins.iter().zip(all) {
            if let Some(entry) = self.entries.get_mut(file) {
                entry.leave_out(foreign);
            }
        }
    }

    /// The resources of a plugin that fit a template of one of these.
    fn foreign_resources(&self, file: &str, plugin: &Plugin, owners: &[&(String, Arc<Plugin>)]) -> ForeignResources {
        let owner = |uri: &str| {
            owners.iter().filter(|(other, _)| *other != file).find_map(|(other, plugin)| {
                let template = plugin.templates.iter().find(|template| template.fits(uri))?;
                Some((other, &template.template.uri_template))
            })
        };
        let foreign = plugin.resources.iter().enumerate().filter_map(|(index, resource)| {
            let uri = &resource.resource.uri;
            let (other, template) = owner(uri)?;
            // It was here first.
            if self.ledger.owner(&resource_claim(uri)) == Some(file) {
                return None;
            }
            let warning = format!(
                "left out: resource `{}` belongs to `{other}`, whose template `{}` it fits",
                escape(uri),
                escape(template)
            );
            Some((index, warning))
        });
        foreign.collect()
    }
}
