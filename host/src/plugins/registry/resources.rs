//! Resources and templates that fit another plugin's template: they are that plugin's, and are left out of the lists of
//! others.
//!
//! A template claims all of its URIs, and no name for each of them can be written down. So each part is held against the
//! templates of all other plugins before each catalog. One that was served before the template came stays where it is:
//! a newcomer takes nothing away.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Registry;
use super::claims::resource_claim;
use super::offer::Foreign;
use crate::plugins::plugin::{Plugin, Template};
use crate::sanitize::escape;

/// A plugin in force.
struct InForce {
    file: String,
    plugin: Arc<Plugin>,
    /// Templates of it that are another's.
    foreign: BTreeMap<usize, String>,
}

impl InForce {
    /// The templates that are its own.
    fn templates(&self) -> impl Iterator<Item = &Template> {
        let templates = self.plugin.templates.iter().enumerate();
        templates.filter(|(index, _)| !self.foreign.contains_key(index)).map(|(_, template)| template)
    }
}

impl Registry {
    /// Finds the resources and templates of all plugins in force that are another's.
    pub(super) fn find_foreign_parts(&mut self) {
        let offered = self.entries.iter().filter_map(|(file, entry)| {
            let plugin = Arc::clone(&entry.offer()?.plugin);
            Some(InForce { file: file.clone(), plugin, foreign: BTreeMap::new() })
        });
        let mut all: Vec<InForce> = offered.collect();
        for index in 0..all.len() {
            all[index].foreign = self.foreign_templates(&all[index], &all);
        }
        let resources: Vec<BTreeMap<usize, String>> = all.iter().map(|one| self.foreign_resources(one, &all)).collect();
        for (one, resources) in all.into_iter().zip(resources) {
            if let Some(entry) = self.entries.get_mut(&one.file) {
                entry.leave_out(Foreign { resources, templates: one.foreign });
            }
        }
    }

    /// The templates of a plugin that a URI of another's template could fit: whoever had theirs first keeps it, and of
    /// two that come together the one whose file is first by name.
    fn foreign_templates(&self, one: &InForce, all: &[InForce]) -> BTreeMap<usize, String> {
        let new = one.plugin.templates.iter().enumerate().filter(|(_, template)| !self.is_known(&one.file, template));
        let foreign = new.filter_map(|(index, template)| {
            let owners = all.iter().filter(|other| other.file != one.file);
            let (owner, theirs) = owners.flat_map(|other| other.templates().map(move |theirs| (other, theirs))).find(
                |(other, theirs)| {
                    (other.file < one.file || self.is_known(&other.file, theirs))
                        && template.uris.may_meet(&theirs.uris)
                },
            )?;
            Some((index, left_out("template", &template.template.uri_template, owner, theirs)))
        });
        foreign.collect()
    }

    /// True if a template was served by this file before.
    fn is_known(&self, file: &str, template: &Template) -> bool {
        self.ledger.owner(&resource_claim(&template.template.uri_template)) == Some(file)
    }

    /// The resources of a plugin that fit a template of another.
    fn foreign_resources(&self, one: &InForce, all: &[InForce]) -> BTreeMap<usize, String> {
        let owner = |uri: &str| {
            all.iter().filter(|other| other.file != one.file).find_map(|other| {
                let template = other.templates().find(|template| template.fits(uri))?;
                Some((other, template))
            })
        };
        let foreign = one.plugin.resources.iter().enumerate().filter_map(|(index, resource)| {
            let uri = &resource.resource.uri;
            let (other, template) = owner(uri)?;
            // It was here first.
            if self.ledger.owner(&resource_claim(uri)) == Some(&one.file) {
                return None;
            }
            Some((index, left_out("resource", uri, other, template)))
        });
        foreign.collect()
    }
}

fn left_out(part: &str, uri: &str, owner: &InForce, template: &Template) -> String {
    format!(
        "left out: {part} `{}` belongs to `{}`, whose template `{}` it fits",
        escape(uri),
        owner.file,
        escape(&template.template.uri_template)
    )
}
