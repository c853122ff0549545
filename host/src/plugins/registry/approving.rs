//! Approval: which loaded plugins may come into force, and what is asked about those that may not.
//!
//! Invariant: `Registry::accept` puts nothing in force before [`Registry::verdict`] has said so, whichever way a plugin
//! came there. An approval is on the disk, with its bytes, before what it approves is published.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Registry;
use super::entry::{Entry, Load, Waiting, WaitingPart};
use super::job::{LoadJob, LoadOutcome, Standing};
use super::pending_approvals::{BytesKept, Reply, Verdict};
use super::sharing::SharedRecords;
use super::together;
use crate::config::trust::Approve;
use crate::plugins::approval::difference;
use crate::plugins::approval::face::Face;
use crate::plugins::approval::reference::Reference;
use crate::plugins::approval::request::{ApprovalAnswer, ApprovalRequest, Approved, Asked, Difference, WaitingPlugin};
use crate::plugins::approval::store::{Keeper, Store};
use crate::plugins::plugin::{Plugin, Sha256};
use crate::plugins::registry::directory::{self, PluginFile, Stamp};
use crate::plugins::served::Terms;

/// Bytes of the lines of one answer, so that it fits into a line of the control socket.
const ANSWER_BYTES: usize = 1024 * 1024;

impl Registry {
    /// What is known of a file that is about to be loaded.
    pub(super) fn standing(&self, entry: &Entry) -> Standing {
        let name = entry.plugin_name();
        let store = &self.approving.store;
        let trust = entry.policy.trust.clone().map(|trust| (trust, store.highest(&name)));
        if entry.policy.approve == Approve::Off {
            return Standing { is_free: true, trust, source: self.source_of(&name), ..Standing::default() };
        }
        let approval = store.of(&name).ok().flatten().cloned();
        let served_last = self.counts_as_approved(&name).map(str::to_owned);
        Standing { approval, served_last, trust, source: self.source_of(&name), ..Standing::default() }
    }

    /// The digest of the version of a plugin that counts as approved, since it was served last, before anybody asked for
    /// approvals.
    fn counts_as_approved(&self, plugin: &str) -> Option<&str> {
        let store = &self.approving.store;
        let is_first = !self.is_settled && store.is_first_asked(plugin) && store.of(plugin) == Ok(None);
        is_first.then(|| self.ledger.versions.last(plugin)).flatten()
    }

    /// Decides whether a loaded plugin may come into force.
    pub(super) fn verdict(&self, entry: &Entry, plugin: &Plugin) -> Verdict {
        if entry.policy.approve == Approve::Off {
            return Verdict::Serve;
        }
        let approval = match self.approving.store.of(&plugin.name) {
            Ok(Some(approval)) => approval,
            Ok(None) if self.counts_as_approved(&plugin.name) == Some(plugin.digest.to_string().as_str()) => {
                return Verdict::Record("it was served before approvals were asked for");
            }
            Ok(None) => return Verdict::Wait(WaitingPart::New),
            Err(_) => return Verdict::Wait(WaitingPart::Damaged),
        };
        let face = Face::of(plugin);
        match approval.sha256 == plugin.sha256 {
            true if approval.face.lists == face.lists => Verdict::Serve,
            true => Verdict::Wait(WaitingPart::Lists),
            false if entry.policy.approve == Approve::Interface && approval.face == face => {
                Verdict::Record("nothing but its code has changed")
            }
            false => Verdict::Wait(WaitingPart::File),
        }
    }

    /// Holds a plugin back, and has the approved version of it served instead, if there is one.
    pub(super) fn hold(&mut self, file: &str, plugin: Arc<Plugin>, part: WaitingPart) {
        let Some(entry) = self.entries.get_mut(file) else { return };
        let reference = reference_of(&plugin, entry.terms());
        entry.hold(Waiting { plugin, part, reference, since: SystemTime::now() });
        self.publish_soon();
    }

    /// Records what comes into force without anybody who has looked at it, and keeps its bytes.
    pub(super) fn record(&mut self, file: &str, plugin: &Arc<Plugin>, why: &'static str) {
        if self.sharing.records.is_some() {
            return self.record_in_force(file, plugin, why);
        }
        let name = &plugin.name;
        if let Err(error) = self.approving.store.approve(name, plugin.sha256, Face::of(plugin), why) {
            tracing::error!(plugin = &**name, "plugin `{name}` counts as approved until the next start only: {error}");
            return;
        }
        tracing::info!(plugin = &**name, digest = %plugin.digest, "plugin `{name}` counts as approved: {why}");
        self.keep_bytes(file, plugin, None, None);
    }

    /// Keeps the bytes of a plugin that was approved by way of another server, if they are not kept here yet.
    pub(super) fn keep_bytes_of(&mut self, file: &str, plugin: &Plugin) {
        let asks = self.entries.get(file).is_some_and(|entry| entry.policy.approve != Approve::Off);
        if asks && self.sharing.records.is_some() && self.approving.store.bytes_of(&plugin.sha256).is_none() {
            self.keep_bytes(file, plugin, None, None);
        }
    }

    /// Reads the file of a plugin once more and keeps its bytes, if they are still those that were loaded.
    fn keep_bytes(
        &mut self,
        file: &str,
        plugin: &Plugin,
        reference: Option<Reference>,
        asked: Option<(String, Reply)>,
    ) {
        let Some(keeper) = self.approving.store.keeper() else {
            // Nothing is kept anywhere.
            let kept = BytesKept { file: file.to_owned(), reference, outcome: Ok(()), asked };
            self.approving.keeping.spawn(std::future::ready(kept));
            return;
        };
        let (file, path) = (file.to_owned(), self.path_of(file));
        let (sha256, limit) = (plugin.sha256, *self.config().limits(&plugin.name).file);
        let signature = plugin.signed.as_ref().map(|signed| signed.text.clone());
        self.approving.keeping.spawn(async move {
            let keep = move || keep(&keeper, &path, limit, sha256, signature.as_deref());
            let kept = tokio::task::spawn_blocking(keep).await;
            let outcome = kept.unwrap_or_else(|error| Err(error.to_string()));
            BytesKept { file, reference, outcome, asked }
        });
    }

    /// Goes on with an approval whose bytes are kept.
    pub(super) fn bytes_kept(&mut self, kept: BytesKept) {
        let BytesKept { file, reference, outcome, asked } = kept;
        let Some((by, reply)) = asked else {
            if let Err(error) = outcome {
                tracing::warn!(
                    file,
                    "the approved bytes of `{file}` are not kept, and serve no longer than the file itself: {error}"
                );
            }
            self.sweep_bytes();
            return;
        };
        let answer = match (outcome, reference) {
            (Ok(()), Some(reference)) if self.sharing.records.is_some() => self.approved_by_all(&file, &reference, &by),
            (Ok(()), Some(reference)) => self.approve(&file, &reference, &by),
            (Err(error), _) => Err(format!("not approved: {error}")),
            (Ok(()), None) => Err("not approved".to_owned()),
        };
        self.sweep_bytes();
        let _ = reply.send(answer);
    }

    fn sweep_bytes(&self) {
        if self.approving.keeping.is_empty() {
            self.approving.store.sweep();
        }
    }

    /// Puts what waits in force, if it is still exactly this.
    fn approve(&mut self, file: &str, reference: &Reference, by: &str) -> Result<ApprovalAnswer, String> {
        let (_, waiting) = self.waiting(reference)?;
        let plugin = Arc::clone(&waiting.plugin);
        self.approving
            .store
            .approve(&plugin.name, plugin.sha256, Face::of(&plugin), by)
            .map_err(|error| format!("not approved: {error}"))?;
        if let Some(entry) = self.entries.get_mut(file) {
            entry.stop_waiting(&plugin);
        }
        tracing::info!(plugin = &*plugin.name, %reference, by, "plugin `{}` approved by {by}", plugin.name);
        self.accept(file, Arc::clone(&plugin), Duration::ZERO);
        let is_served = |entry: &Entry| entry.offer().is_some_and(|offer| Arc::ptr_eq(&offer.plugin, &plugin));
        let entry = self.entries.get(file);
        let problem = entry.filter(|entry| !is_served(entry)).and_then(Entry::problem).map(str::to_owned);
        if problem.is_none() {
            // It was asked for its lists without anything that it is granted.
            self.relist(file, Default::default());
        }
        if self.publisher.is_ready() {
            self.publish();
        }
        Ok(ApprovalAnswer::Approved(Approved { reference: reference.to_string(), problem }))
    }

    /// Answers for what is on the record of all servers, and in force by it.
    fn approved_by_all(&mut self, file: &str, reference: &Reference, by: &str) -> Result<ApprovalAnswer, String> {
        let plugin = &reference.plugin;
        tracing::info!(plugin, %reference, by, "plugin `{plugin}` approved by {by} for all servers of the shared store");
        self.take_news();
        if self.publisher.is_ready() {
            self.publish();
        }
        let entry = self.entries.get(file).filter(|entry| entry.waiting.is_none());
        let Some(entry) = entry else {
            return Err(format!(
                "plugin `{plugin}` has changed since that was shown, which is approved: look at what waits now with `tinymcp approve {plugin}`"
            ));
        };
        let sha256 = self.approving.store.of(plugin).ok().flatten().map(|approval| approval.sha256);
        let is_served = entry.offer().is_some_and(|offer| Some(offer.plugin.sha256) == sha256);
        let problem = entry.problem().filter(|_| !is_served).map(str::to_owned);
        Ok(ApprovalAnswer::Approved(Approved { reference: reference.to_string(), problem }))
    }

    /// What waits under exactly this reference.
    fn waiting(&self, reference: &Reference) -> Result<(&str, &Waiting), String> {
        let plugin = &reference.plugin;
        let (file, entry) = self.entry_of(plugin)?;
        match &entry.waiting {
            Some(waiting) if waiting.reference == *reference => Ok((file, waiting)),
            Some(_) => Err(format!(
                "plugin `{plugin}` has changed since that was shown: look at what waits now with `tinymcp approve {plugin}`"
            )),
            None => Err(none_waits(plugin, entry)),
        }
    }

    fn entry_of(&self, plugin: &str) -> Result<(&str, &Entry), String> {
        let called = |entry: &Entry| entry.name.as_deref() == Ok(plugin);
        // Of two files with one name, the one of which something waits.
        let mut files = self.entries.iter().filter(|(_, entry)| called(entry));
        let first = files.next();
        let found =
            files.find(|(_, entry)| entry.waiting.is_some() && first.is_some_and(|(_, first)| first.waiting.is_none()));
        let found = found.or(first).map(|(file, entry)| (file.as_str(), entry));
        found.ok_or_else(|| format!("no plugin `{}` in the plugins directory", crate::sanitize::escape(plugin)))
    }

    /// Answers what is asked, at once or when bytes are kept.
    pub(super) fn asked(&mut self, asked: Asked) {
        let Asked { request, reply } = asked;
        let answer = match request {
            ApprovalRequest::List => Ok(ApprovalAnswer::Waiting(self.all_waiting())),
            ApprovalRequest::Show { plugin, from } => self.show(&plugin, from).map(ApprovalAnswer::Difference),
            ApprovalRequest::Approve { reference, by } => match self.begin_approval(&reference, by, reply) {
                Some((reply, error)) => return drop(reply.send(Err(error))),
                None => return,
            },
        };
        let _ = reply.send(answer);
    }

    /// Begins with the bytes; an error goes back with the reply.
    fn begin_approval(&mut self, reference: &str, by: String, reply: Reply) -> Option<(Reply, String)> {
        let found = reference.parse::<Reference>().map_err(|error| error.to_string()).and_then(|reference| {
            let (file, waiting) = self.waiting(&reference)?;
            Ok((file.to_owned(), Arc::clone(&waiting.plugin), waiting.part, reference))
        });
        let (file, plugin, part, reference) = match found {
            Ok(found) => found,
            Err(error) => match reference.parse().ok().and_then(|reference| self.already_approved(&reference)) {
                // Somebody has sent the same twice.
                Some(approved) => {
                    let _ = reply.send(Ok(ApprovalAnswer::Approved(approved)));
                    return None;
                }
                None => return Some((reply, error)),
            },
        };
        if let Some(records) = self.sharing.records.clone() {
            self.approve_for_all(records, (&file, plugin, part), reference, (by, reply));
            return None;
        }
        if part == WaitingPart::Lists {
            // Its bytes were approved before, and the file may be another one by now.
            let answer = self.approve(&file, &reference, &by);
            let _ = reply.send(answer);
            return None;
        }
        if let Err(error) = self.approving.store.lock() {
            return Some((reply, format!("not approved: {error}")));
        }
        self.keep_bytes(&file, &plugin, Some(reference), Some((by, reply)));
        None
    }

    /// Keeps the bytes here, and records the approval for all servers.
    fn approve_for_all(
        &mut self,
        records: SharedRecords,
        (file, plugin, part): (&str, Arc<Plugin>, WaitingPart),
        reference: Reference,
        (by, reply): (String, Reply),
    ) {
        let keeper = self.approving.store.keeper().filter(|_| part != WaitingPart::Lists);
        let (file, path) = (file.to_owned(), self.path_of(file));
        let limit = *self.config().limits(&plugin.name).file;
        self.approving.keeping.spawn(async move {
            let approve = async {
                if let Some(keeper) = keeper {
                    let signature = plugin.signed.as_ref().map(|signed| signed.text.clone());
                    let sha256 = plugin.sha256;
                    let keep = move || keep(&keeper, &path, limit, sha256, signature.as_deref());
                    let kept = tokio::task::spawn_blocking(keep).await;
                    kept.unwrap_or_else(|error| Err(error.to_string()))?;
                }
                together::approve(&records, &plugin, &by).await
            };
            let outcome = approve.await;
            BytesKept { file, reference: Some(reference), outcome, asked: Some((by, reply)) }
        });
    }

    /// The answer for what was approved last, while nothing else waits.
    fn already_approved(&self, reference: &Reference) -> Option<Approved> {
        let (_, entry) = self.entry_of(&reference.plugin).ok()?;
        let approval = self.approving.store.of(&reference.plugin).ok()??;
        let plugin = entry.offer().map(|offer| &offer.plugin).filter(|plugin| plugin.sha256 == approval.sha256)?;
        let is_this = approval.face == Face::of(plugin) && reference_of(plugin, entry.terms()) == *reference;
        let problem = entry.problem().map(str::to_owned);
        (is_this && entry.waiting.is_none()).then(|| Approved { reference: reference.to_string(), problem })
    }

    fn all_waiting(&self) -> Vec<WaitingPlugin> {
        let mut all: Vec<WaitingPlugin> =
            self.entries.iter().filter_map(|(file, entry)| waiting_plugin(file, entry)).collect();
        all.sort_by(|a, b| a.plugin.cmp(&b.plugin));
        all
    }

    fn show(&self, plugin: &str, from: usize) -> Result<Difference, String> {
        let plugin = crate::config::names::snake(plugin.strip_suffix(".wasm").unwrap_or(plugin));
        let (file, entry) = self.entry_of(&plugin)?;
        let waiting = waiting_plugin(file, entry).ok_or_else(|| none_waits(&plugin, entry))?;
        let all = self.lines(file, entry);
        let mut bytes = 0;
        let fits = |line: &&String| {
            bytes += line.len();
            bytes < ANSWER_BYTES
        };
        let lines: Vec<String> = all.iter().skip(from).take_while(fits).cloned().collect();
        let end = from.saturating_add(lines.len());
        Ok(Difference { waiting, lines, next: (end < all.len()).then_some(end) })
    }

    /// Everything about what waits of a file.
    fn lines(&self, file: &str, entry: &Entry) -> Vec<String> {
        let Some(waiting) = &entry.waiting else { return Vec::new() };
        let plugin = &waiting.plugin;
        let approval = self.approving.store.of(&plugin.name);
        let file = crate::sanitize::escape(file);
        let mut lines = vec![format!("plugin `{}` ({file}): {}", plugin.name, waiting.part.in_words())];
        lines.push(format!("  file: sha256 {}", plugin.sha256));
        lines.extend(plugin.signed.as_ref().map(|signed| format!("  signed as version {}", signed.version)));
        match &approval {
            Ok(Some(approval)) => {
                let at = SystemTime::UNIX_EPOCH + Duration::from_secs(approval.at);
                let (date, by) = (httpdate::fmt_http_date(at), crate::sanitize::escape(&approval.by));
                lines.push(format!("  approved before: sha256 {}, {date} ({by})", approval.sha256));
            }
            Ok(None) => {}
            Err(damage) => lines.push(format!("  {}: {damage}", waiting.part.in_words())),
        }
        let before = approval.ok().flatten().map(|approval| &approval.face);
        let changes = difference::in_words(before, &Face::of(plugin));
        if changes.is_empty() {
            lines.push("nothing that it shows or needs has changed, but its code".to_owned());
        }
        lines.extend(changes);
        lines.extend(grants_of(plugin, entry.terms()));
        lines.extend(plugin.warnings().map(|warning| format!("warning: {}", crate::sanitize::escape(warning))));
        lines
    }

    /// Loads the approved bytes of a plugin whose file gives nothing that may be served.
    pub(super) fn serve_kept(&mut self, file: &str) {
        let Some(entry) = self.entries.get(file) else { return };
        let Ok(name) = entry.name.clone() else { return };
        if entry.policy.approve == Approve::Off
            || entry.is_disabled()
            || entry.offer().is_some()
            || entry.kept.is_some()
        {
            return;
        }
        let Ok(Some(approval)) = self.approving.store.of(&name) else { return };
        let sha256 = approval.sha256;
        let is_refused = entry.refused().is_some_and(|refused| refused.plugin.sha256 == sha256);
        if is_refused || entry.tried == Some(sha256) {
            return;
        }
        let found = self.approving.store.bytes_of(&sha256).and_then(|path| Some((Stamp::of_file(&path)?, path)));
        // It may be an older one than what is at the source now.
        let standing = Standing { kept: Some(sha256), source: None, ..self.standing(entry) };
        let terms = Arc::clone(entry.terms());
        let Some(entry) = self.entries.get_mut(file) else { return };
        entry.tried = Some(sha256);
        let Some((stamp, path)) = found else {
            tracing::warn!(
                plugin = name,
                "plugin `{name}`: the approved file is not among those that the state directory keeps, so nothing of it is served until what waits is approved"
            );
            return;
        };
        self.last_load += 1;
        let job = LoadJob {
            id: self.last_load,
            found: PluginFile { file: file.to_owned(), path, stamp, signature: None },
            name,
            terms,
            known: None,
            standing,
            is_settled: true,
        };
        let task = self.loads.spawn(job.run(Arc::clone(&self.runtime), Arc::clone(&self.loader)));
        entry.kept = Some(Load { id: self.last_load, of: (stamp, None), task });
    }

    /// Takes the outcome of such a load.
    pub(super) fn finish_kept(&mut self, loaded: LoadOutcome) {
        let Some(entry) = self.entries.get_mut(&loaded.file) else { return };
        entry.kept = None;
        if entry.offer().is_some() {
            return;
        }
        match loaded.outcome {
            Ok(Some(made)) => self.accept_loaded(&loaded.file, made, loaded.elapsed),
            Ok(None) => {}
            Err(problem) => {
                let name = entry.plugin_name();
                tracing::error!(plugin = name, "plugin `{name}`: its approved version cannot be served: {problem}");
            }
        }
        self.publish_soon();
    }

    /// Applies a change of what has to be approved. What is served when approval is turned on counts as approved; what
    /// waits goes live when it is turned off.
    pub(super) fn apply_policies(&mut self, before: &[(String, Approve)]) {
        for (file, before) in before {
            let Some(entry) = self.entries.get(file) else { continue };
            let (now, plugin) = (entry.policy.approve, entry.offer().map(|offer| Arc::clone(&offer.plugin)));
            if let Some(plugin) = plugin.filter(|_| *before == Approve::Off && now != Approve::Off) {
                self.record(file, &plugin, "it was served when approval was turned on");
            }
            if *before != now {
                let waiting = self.entries.get_mut(file).and_then(|entry| entry.waiting.take());
                if let Some(waiting) = waiting {
                    self.accept(file, waiting.plugin, Duration::ZERO);
                    self.relist(file, Default::default());
                }
            }
        }
        self.remember_what_is_asked();
    }

    /// Writes down whose approval is asked for.
    pub(super) fn remember_what_is_asked(&mut self) {
        let config = self.config();
        let asks = |approve: Approve| approve != Approve::Off;
        let named = config.plugin.iter().filter(|(_, plugin)| plugin.approve.is_some_and(asks));
        let named: Vec<String> = named.map(|(name, _)| name.to_string()).collect();
        let asked = Store::places(named.into_iter(), asks(config.plugins.approve));
        if !self.ask_together(&asked) {
            self.approving.store.ask_of(asked);
        }
    }
}

fn none_waits(plugin: &str, entry: &Entry) -> String {
    match entry.load {
        Some(_) => format!("the file of plugin `{plugin}` is still being loaded: ask again in a moment"),
        None => format!("nothing of plugin `{plugin}` waits for approval"),
    }
}

/// What is shown of what a plugin would be given, and is approved with it.
fn grants_of(plugin: &Plugin, terms: &Arc<Terms>) -> [String; 2] {
    let grants = &terms.of_needs(&plugin.needs).grants;
    let either = |words: Vec<String>| if words.is_empty() { "nothing".to_owned() } else { words.join("; ") };
    [
        format!("it would inherit: {}", either(grants.entrusted())),
        format!("it would be granted: {}", either(grants.in_words())),
    ]
}

/// A plugin as it is shown for approval under these terms.
pub(super) fn reference_of(plugin: &Plugin, terms: &Arc<Terms>) -> Reference {
    Reference::of(&plugin.name, plugin.sha256, &Face::of(plugin), &grants_of(plugin, terms))
}

/// Names what waits of a file anew, when its terms may be others.
pub(super) fn refer_anew(entry: &mut Entry) {
    let terms = Arc::clone(entry.terms());
    if let Some(waiting) = &mut entry.waiting {
        waiting.reference = reference_of(&waiting.plugin, &terms);
    }
}

fn waiting_plugin(file: &str, entry: &Entry) -> Option<WaitingPlugin> {
    let waiting = entry.waiting.as_ref()?;
    let since = waiting.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Some(WaitingPlugin {
        plugin: waiting.plugin.name.to_string(),
        file: file.to_owned(),
        what: waiting.part.in_words().to_owned(),
        reference: waiting.reference.to_string(),
        sha256: waiting.plugin.sha256.to_string(),
        is_serving: entry.offer().is_some(),
        since: since.as_secs(),
    })
}

/// Reads a file and keeps its bytes, if they are these.
fn keep(
    keeper: &Keeper,
    path: &std::path::Path,
    limit: crate::config::ByteSize,
    sha256: Sha256,
    signature: Option<&str>,
) -> Result<(), String> {
    let read = directory::read(path, limit);
    let changed = |error: String| format!("the file has changed since it was loaded ({error}): look at what waits now");
    let (bytes, _) = read.map_err(|error| changed(error.to_string()))?;
    if Sha256::of(&bytes) != sha256 {
        return Err(changed("its digest is another one".to_owned()));
    }
    keeper.keep(&sha256, &bytes, signature).map_err(|error| format!("its bytes cannot be kept: {error}"))
}
