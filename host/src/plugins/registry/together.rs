//! Deciding together with the other servers of a store: what they have approved or taken back is judged here at once, and
//! what this server decides is on their record before it comes into force.
//!
//! Names are another matter, see [`super::owners`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Registry;
use super::entry::Entry;
use super::pending_approvals::Verdict;
use super::pending_records::{About, Recorded};
use super::sharing::{Row, SharedRecords};
use crate::config::trust::Approve;
use crate::plugins::approval::face::Face;
use crate::plugins::approval::store::Approval;
use crate::plugins::approval::trust::{Distrust, Signed};
use crate::plugins::plugin::{Plugin, Sha256};

/// An approval that nobody has to give: it takes the place of the one by which it was found, or of none.
struct Rule {
    plugin: Arc<Plugin>,
    why: &'static str,
    basis: Option<Sha256>,
}

/// What is other than it was.
#[derive(Default)]
struct News {
    /// Plugins with another approval.
    judged: BTreeSet<String>,
    /// Names belong to other files than before.
    are_owners_others: bool,
}

impl Registry {
    /// Takes over what is known now, and judges anew what that is about.
    pub(super) fn take_news(&mut self) {
        let news = self.take_known();
        self.judge(&news);
    }

    fn take_known(&mut self) -> News {
        let Some(news) = &mut self.sharing.news else { return News::default() };
        let known = Arc::clone(&news.borrow_and_update());
        let judged = self.approving.store.take(&known.records);
        let are_owners_others = *self.ledger.owners() != known.owners;
        self.ledger.take(&known.owners, &known.versions);
        News { judged, are_owners_others }
    }

    fn judge(&mut self, News { judged, are_owners_others }: &News) {
        let is_judged = |(_, entry): &(&String, &Entry)| judged.contains(&entry.plugin_name());
        let files: Vec<String> = self.entries.iter().filter(is_judged).map(|(file, _)| file.clone()).collect();
        for file in files {
            self.judge_again(&file);
        }
        if *are_owners_others {
            self.give_way_to_owners();
            self.claims_became_free();
        }
    }

    /// The store can be reached again, or others have changed something: what could not be recorded is tried again.
    pub(super) fn record_again(&mut self) {
        for about in std::mem::take(&mut self.sharing.again) {
            match about {
                About::Next { file, plugin, elapsed } if self.is_wanted(&file, &plugin) => {
                    self.accept(&file, plugin, elapsed);
                }
                About::InForce { file, plugin, why } => self.record(&file, &plugin, why),
                About::Next { .. } | About::Names | About::Lacks | About::Memory(_) => {}
            }
        }
        self.remember();
        if self.is_settled {
            self.remember_what_is_asked();
        }
    }

    fn is_wanted(&self, file: &str, plugin: &Plugin) -> bool {
        self.entries.get(file).is_some_and(|entry| !entry.is_disabled() && entry.is_of_file(plugin))
    }

    /// Puts in force what is approved now, and takes out of force what is not any more.
    pub(super) fn judge_again(&mut self, file: &str) {
        let Some(entry) = self.entries.get(file) else { return };
        let name = entry.plugin_name();
        if entry.policy.approve == Approve::Off || entry.is_disabled() || self.sharing.recording.contains(&name) {
            return;
        }
        let waits = |plugin: &Plugin| matches!(self.verdict(entry, plugin), Verdict::Wait(_));
        let approved = entry.waiting.as_ref().filter(|waiting| !waits(&waiting.plugin));
        if let Some(plugin) = approved.map(|waiting| Arc::clone(&waiting.plugin)) {
            tracing::info!(plugin = name, "plugin `{name}` is approved for all servers of the shared store");
            if let Some(entry) = self.entries.get_mut(file) {
                entry.stop_waiting(&plugin);
            }
            self.accept(file, plugin, Duration::ZERO);
            self.relist(file, Default::default());
            self.publish_soon();
        }
        let Some(entry) = self.entries.get(file) else { return };
        let waits = |plugin: &Plugin| matches!(self.verdict(entry, plugin), Verdict::Wait(_));
        match entry.offer().map(|offer| waits(&offer.plugin)) {
            Some(false) => {}
            Some(true) => {
                tracing::warn!(
                    plugin = name,
                    "plugin `{name}`: something else of it was approved by way of another server; what was served is taken out of force"
                );
                if let Some(entry) = self.entries.get_mut(file) {
                    entry.look_anew();
                }
                self.sharing.look_now = true;
                self.claims_became_free();
            }
            None => {
                if let Some(entry) = self.entries.get_mut(file) {
                    entry.tried = None;
                }
                self.serve_kept(file);
                self.publish_soon();
            }
        }
    }

    /// What has to be on the servers' record before a plugin comes into force. Returns true if it has to wait, or is refused:
    /// then it comes again, or not.
    pub(super) fn is_to_be_recorded(
        &mut self,
        file: &str,
        plugin: &Arc<Plugin>,
        why: Option<&'static str>,
        elapsed: Duration,
    ) -> bool {
        let Some(records) = self.sharing.records.clone().filter(|_| self.approving.store.may_write()) else {
            return false;
        };
        let signed = match self.is_signed_version_new(plugin) {
            Ok(signed) => signed,
            Err(problem) => {
                if let Some(entry) = self.entries.get_mut(file) {
                    entry.fail(problem);
                }
                return true;
            }
        };
        let rule = why.map(|why| self.rule(plugin, why));
        if signed.is_none() && rule.is_none() {
            return false;
        }
        let about = About::Next { file: file.to_owned(), plugin: Arc::clone(plugin), elapsed };
        let name = plugin.name.to_string();
        self.sharing.under_way.spawn(async move {
            let write = async {
                if let Some(signed) = signed {
                    serve_signed(&records, &name, &signed).await?;
                }
                if let Some(rule) = rule {
                    approve_by_rule(&records, &rule).await?;
                }
                Ok(())
            };
            Recorded { about, outcome: write.await }
        });
        true
    }

    fn rule(&self, plugin: &Arc<Plugin>, why: &'static str) -> Rule {
        let basis = self.approving.store.of(&plugin.name).ok().flatten().map(|approval| approval.sha256);
        Rule { plugin: Arc::clone(plugin), why, basis }
    }

    /// The signed version of a plugin, if it is not on record yet.
    fn is_signed_version_new(&self, plugin: &Plugin) -> Result<Option<Signed>, String> {
        let Some(signed) = &plugin.signed else { return Ok(None) };
        let highest = self.approving.store.highest(&plugin.name)?.filter(|highest| highest.key == signed.key);
        match highest {
            Some(highest) if highest.version > signed.version => {
                Err(Distrust::Rollback { found: signed.version, highest: highest.version }.to_string())
            }
            Some(highest) if highest.version == signed.version => match highest.sha256 == signed.sha256 {
                true => Ok(None),
                false => Err(Distrust::SameVersion(signed.version).to_string()),
            },
            _ => Ok(Some(signed.clone())),
        }
    }

    /// Records for all servers that a plugin in force counts as approved, unless something else is on their record.
    pub(super) fn record_in_force(&mut self, file: &str, plugin: &Arc<Plugin>, why: &'static str) {
        let Some(records) = self.sharing.records.clone().filter(|_| self.approving.store.may_write()) else { return };
        self.sharing.recording.remove(&*plugin.name);
        if self.approving.store.of(&plugin.name) != Ok(None) {
            return self.judge_again(file);
        }
        let rule = self.rule(plugin, why);
        let about = About::InForce { file: file.to_owned(), plugin: Arc::clone(plugin), why };
        self.sharing.recording.insert(plugin.name.to_string());
        self.sharing
            .under_way
            .spawn(async move { Recorded { about, outcome: approve_by_rule(&records, &rule).await } });
    }

    /// Goes on with what is on record now, or not.
    pub(super) fn recorded(&mut self, recorded: Recorded) {
        let Recorded { about, outcome } = recorded;
        if let About::InForce { plugin, .. } = &about
            && outcome.is_ok()
        {
            self.sharing.recording.remove(&*plugin.name);
        }
        let news = self.take_known();
        let is_done = outcome.is_ok();
        match (about, outcome) {
            // It comes into force first: nothing that was kept has to stand in for it.
            (About::Next { file, plugin, elapsed }, Ok(())) => {
                if self.is_wanted(&file, &plugin) {
                    self.accept(&file, plugin, elapsed);
                    self.publish_soon();
                }
            }
            (About::Next { file, plugin, elapsed }, Err(error)) => {
                if let Some(entry) = self.entries.get_mut(&file).filter(|entry| entry.is_of_file(&plugin)) {
                    entry.fail(format!("it is not on the servers' record, and is tried again: {error}"));
                    self.sharing.again.push(About::Next { file, plugin, elapsed });
                    self.publish_soon();
                }
            }
            (About::InForce { file, plugin, .. }, Ok(())) => {
                self.keep_bytes_of(&file, &plugin);
                self.judge_again(&file);
            }
            (About::InForce { file, plugin, why }, Err(error)) => {
                let name = &plugin.name;
                tracing::error!(
                    plugin = &**name,
                    "it is not on record yet that plugin `{name}` counts as approved: {error}"
                );
                self.sharing.again.push(About::InForce { file, plugin, why });
            }
            (About::Names, outcome) => {
                self.sharing.are_names_under_way = false;
                match outcome {
                    Ok(()) => self.remember_together(),
                    Err(error) => tracing::warn!("tool names are not recorded for all servers: {error}"),
                }
            }
            (About::Lacks, _) | (About::Memory(_), Ok(())) => {}
            (About::Memory(what), Err(error)) => tracing::warn!("{what} not recorded for all servers: {error}"),
        }
        self.judge(&news);
        // What fails is tried again when there is news.
        if is_done && self.is_settled && self.sharing.under_way.is_empty() {
            self.remember_what_is_asked();
        }
    }

    /// Records whose approval is asked for. Returns false for a server alone.
    pub(super) fn ask_together(&mut self, asked: &BTreeSet<String>) -> bool {
        let Some(records) = self.sharing.records.clone() else { return false };
        // What counts as approved, since it was served before, is recorded first; a command asks for nothing.
        if self.sharing.under_way.is_empty() && !self.looks_once() && !self.approving.store.asks_of(asked) {
            let asked = asked.clone();
            self.sharing.under_way.spawn(async move {
                let outcome = records.change(&Row::TurnedOn, |_| Some(asked.clone())).await;
                Recorded { about: About::Memory("that plugins have to be approved is"), outcome }
            });
        }
        true
    }

    /// Writes down for all servers which versions are served, and who holds which claims.
    pub(super) fn remember_together(&mut self) {
        let Some(records) = self.sharing.records.clone() else { return };
        if !self.is_settled || self.looks_once() {
            return;
        }
        for (plugin, version) in self.ledger.versions.changed() {
            let records = records.clone();
            self.sharing.under_way.spawn(async move {
                let outcome = records.change(&Row::Version(plugin), |_| Some(version.clone())).await;
                Recorded { about: About::Memory("a version of a plugin is"), outcome }
            });
        }
        self.remember_owners(&records);
    }
}

/// Records a signed version, if no higher one is there.
async fn serve_signed(records: &SharedRecords, plugin: &str, signed: &Signed) -> Result<(), String> {
    let change = |now: Result<Option<Signed>, String>| match now {
        Ok(Some(now)) if now.key == signed.key && now.version >= signed.version => None,
        Ok(_) => Some(signed.clone()),
        Err(_) => None,
    };
    records.change(&Row::Signed(plugin.to_owned()), change).await
}

async fn approve_by_rule(records: &SharedRecords, rule: &Rule) -> Result<(), String> {
    let Rule { plugin, why, basis } = rule;
    let change = |now: Result<Option<Approval>, String>| {
        let now = now.ok()?;
        let is_as_found = now.as_ref().map(|now| now.sha256) == *basis;
        is_as_found.then(|| Approval::after(now.as_ref(), plugin.sha256, Face::of(plugin), why))
    };
    records.change(&Row::Approval(plugin.name.to_string()), change).await
}

/// Records an approval that somebody gives.
///
/// # Errors
/// It is not on record, or nobody knows; in words, for the operator.
pub(super) async fn approve(records: &SharedRecords, plugin: &Plugin, by: &str) -> Result<(), String> {
    let change = |now: Result<Option<Approval>, String>| {
        let now = now.ok().flatten();
        Some(Approval::after(now.as_ref(), plugin.sha256, Face::of(plugin), by))
    };
    records.change(&Row::Approval(plugin.name.to_string()), change).await
}
