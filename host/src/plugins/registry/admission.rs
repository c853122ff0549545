//! The admission of plugins by their names: a loaded one comes into force, or waits for names that belong to others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Registry;
use super::claims::{RefusedPlugin, claims, taken};
use super::entry::Entry;
use super::job::Loaded;
use super::offer::{Names, Offer};
use super::pending_approvals::Verdict;
use crate::config::trust::Approve;
use crate::plugins::names;
use crate::plugins::plugin::Plugin;

impl Registry {
    /// Puts a plugin in force that has just been loaded: with the lists that were approved, where it gives others.
    pub(super) fn accept_loaded(&mut self, file: &str, made: Loaded, elapsed: Duration) {
        let Loaded { plugin, stand_in } = made;
        if let Some(stand_in) = stand_in {
            self.accept(file, Arc::new(stand_in), elapsed);
        }
        self.accept(file, Arc::new(plugin), elapsed);
    }

    /// Puts a loaded plugin in force, unless an operator has to look at it first, or its names are not its own.
    pub(super) fn accept(&mut self, file: &str, plugin: Arc<Plugin>, elapsed: Duration) {
        let config = self.config();
        let Some(entry) = self.entries.get(file) else { return };
        let why = match self.verdict(entry, &plugin) {
            Verdict::Serve => None,
            Verdict::Record(why) => Some(why),
            Verdict::Wait(part) => return self.hold(file, plugin, part),
        };
        let name = entry.plugin_name();
        let names = match Names::of(&plugin, &name, &config) {
            Ok(names) => names,
            Err(error) => return self.refuse(file, plugin, Vec::new(), error.to_string()),
        };
        let claims = claims(&name, &plugin, &names, &entry.foreign_parts_of(&plugin));
        let own = |name: &&str| [names::FIND_TOOLS, names::CALL_TOOL].contains(name);
        if let Some(own) =
            names.tools.iter().map(|tool| tool.name.as_str()).find(own).filter(|_| config.server.discovery_tools)
        {
            return self.refuse(file, plugin, Vec::new(), taken(own, "server.discovery_tools"));
        }
        if let Some((claim, owner)) = self.owned_by_another(file, &claims) {
            let problem = self.taken_on_record(&claim, &owner);
            return self.refuse(file, plugin, claims, problem);
        }
        let rivals = self.rivals(file, &claims);
        if let Some((rival, claim)) = rivals.iter().find(|(rival, claim)| !self.outranks(file, rival, claim)) {
            let problem = taken(claim, rival);
            return self.refuse(file, plugin, claims, problem);
        }
        if self.is_to_be_recorded(file, &plugin, why, elapsed) {
            return;
        }
        for (rival, claim) in rivals {
            if let Some(entry) = self.entries.get_mut(&rival) {
                entry.give_way(taken(&claim, file));
            }
        }
        if let Some(signed) = plugin.signed.as_ref().filter(|_| self.sharing.records.is_none())
            && let Err(problem) = self.approving.store.serve_signed(&plugin.name, signed)
        {
            // An older file must not come back after the next start.
            let problem = format!("its version is not on record: {problem}");
            return self.entries.get_mut(file).map_or((), |entry| entry.fail(problem));
        }
        if let Some(why) = why {
            self.record(file, &plugin, why);
        }
        self.keep_bytes_of(file, &plugin);
        self.claims_became_free();
        let Some(entry) = self.entries.get_mut(file) else { return };
        if entry.policy.approve == Approve::Off {
            self.approving.store.forget(&plugin.name);
        }
        entry.stop_waiting(&plugin);
        tracing::info!(
            plugin = name,
            digest = %plugin.digest,
            tools = names.tools.len(),
            prompts = names.prompts.len(),
            resources = plugin.resources.len() + plugin.templates.len(),
            elapsed_ms = elapsed.as_millis(),
            "loaded plugin `{name}`{}",
            names.summary(),
        );
        for warning in plugin.warnings().chain(&names.warnings) {
            tracing::warn!(plugin = name, "plugin `{name}`: {warning}");
        }
        let foreign = entry.foreign_parts_of(&plugin);
        let change = self.ledger.versions.serve(&plugin);
        let widened = self.ledger.versions.widened(&plugin.name).map(str::to_owned);
        entry.serve(Offer { plugin, names, since: SystemTime::now(), foreign, widened });
        if !entry.terms().grants.are_none() {
            entry.tell_grants();
        }
        if let Some(change) = change {
            entry.tell_change(&change);
        }
    }

    fn refuse(&mut self, file: &str, plugin: Arc<Plugin>, claims: Vec<String>, problem: String) {
        if let Some(entry) = self.entries.get_mut(file) {
            entry.refuse(RefusedPlugin { plugin, claims }, problem);
        }
    }

    /// Claims among these that other files hold: files that serve them, and files that served them last, are there, and
    /// may do so again.
    fn rivals(&self, file: &str, claims: &[String]) -> Vec<(String, String)> {
        let others = self.entries.iter().filter(|(other, entry)| *other != file && !entry.is_disabled());
        let clashes = |(other, entry): (&String, &Entry)| {
            let serves = entry.claims().map(BTreeSet::from_iter);
            let is_held = |claim: &&String| match &serves {
                Some(serves) => serves.contains(*claim),
                None => self.ledger.owner(claim) == Some(other) && entry.may_want(claim),
            };
            claims.iter().filter(is_held).map(|claim| (other.clone(), claim.clone())).collect::<Vec<_>>()
        };
        others.flat_map(clashes).collect()
    }

    /// True if `file` may take a claim from `rival`: in the first scan, if it was its own before, or, with nothing
    /// remembered, by the order of the files' names. Which of them was loaded first never matters. What is on the record of
    /// several servers counts at any time.
    pub(super) fn outranks(&self, file: &str, rival: &str, claim: &str) -> bool {
        let is_there = |owner: &&str| self.entries.get(*owner).is_some_and(|entry| !entry.is_disabled());
        match self.ledger.owner(claim).filter(is_there) {
            Some(owner) if self.sharing.records.is_some() => owner == file,
            _ if self.is_settled => false,
            Some(owner) => owner == file,
            None => file < rival,
        }
    }

    /// Tries plugins that were refused for their names again before the next catalog.
    pub(super) fn claims_became_free(&mut self) {
        self.retry_refused = true;
        self.publish_soon();
    }

    pub(super) fn try_refused_again(&mut self) {
        self.remember();
        let waiting = |(file, entry): (&String, &Entry)| {
            let refused = entry.refused()?;
            Some((file.clone(), Arc::clone(&refused.plugin)))
        };
        let refused: Vec<(String, Arc<Plugin>)> = self.entries.iter().filter_map(waiting).collect();
        for (file, plugin) in refused {
            self.accept(&file, plugin, Duration::ZERO);
        }
    }

    /// Writes down who holds which claims; not before all files had their say.
    pub(super) fn remember(&mut self) {
        if !self.is_settled {
            return;
        }
        if self.sharing.records.is_some() {
            return self.remember_together();
        }
        self.ledger.versions.write();
        let enabled = || self.entries.iter().filter(|(_, entry)| !entry.is_disabled());
        let holding = enabled().filter_map(|(file, entry)| Some((file.clone(), entry.claims()?))).collect();
        let existing = enabled().map(|(file, _)| file.clone()).collect();
        self.ledger.update(&holding, &existing);
    }
}
