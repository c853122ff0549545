//! One load: reading one state of one file, and making a plugin of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entry::LoadId;
use crate::config::ByteSize;
use crate::config::trust::Trust;
use crate::plugins::approval::store::{Approval, signature_of};
use crate::plugins::approval::trust::{self, Highest, Signed};
use crate::plugins::loading::compile::Allowance;
use crate::plugins::loading::error::LoadError;
use crate::plugins::loading::lists;
use crate::plugins::loading::lists::kept::KeptLists;
use crate::plugins::loading::loader::Loader;
use crate::plugins::plugin::{Digest, Plugin, Sha256};
use crate::plugins::registry::directory::{self, PluginFile, ReadError, Stamp};
use crate::plugins::sandbox::runtime::Runtime;
use crate::plugins::served::{Served, Terms};
use crate::plugins::sources::SourceState;
use crate::sanitize;

/// The outcome of a load.
pub(super) struct LoadOutcome {
    pub(super) id: LoadId,
    pub(super) file: String,
    /// The state of the file that was read; none if another look at the same may end otherwise.
    pub(super) stamp: Option<Stamp>,
    pub(super) digest: Option<Digest>,
    pub(super) outcome: Result<Option<Loaded>, String>,
    /// The outcome is that `trust` does not let these bytes in.
    pub(super) is_untrusted: bool,
    /// The file may still be growing: see `SETTLE` in [`super`].
    pub(super) is_unsettled: bool,
    pub(super) elapsed: Duration,
}

/// A plugin that was loaded.
pub(super) struct Loaded {
    pub(super) plugin: Plugin,
    /// The same with the lists that were approved, if it gives others now.
    pub(super) stand_in: Option<Plugin>,
}

/// What is known of the files of one plugin, when one of them is loaded.
#[derive(Clone, Default)]
pub(super) struct Standing {
    /// Nobody has to look at it first.
    pub(super) is_free: bool,
    /// What was approved.
    pub(super) approval: Option<Arc<Approval>>,
    /// The digest of a version that counts as approved.
    pub(super) served_last: Option<String>,
    /// The rule for its bytes, and the highest version that was served under a signature.
    pub(super) trust: Option<(Trust, Highest)>,
    /// These are approved bytes of the state directory, which must have this digest.
    pub(super) kept: Option<Sha256>,
    /// These are bytes from elsewhere than the plugins directory, and this is known of them.
    pub(super) source: Option<SourceState>,
}

impl Standing {
    /// True if somebody has said that these bytes may run with what is granted.
    fn knows(&self, plugin: &Plugin) -> bool {
        self.is_free
            || self.approval.as_ref().is_some_and(|approval| approval.sha256 == plugin.sha256)
            || self.served_last.as_ref().is_some_and(|digest| *digest == plugin.digest.to_string())
    }

    /// Checks bytes before anything else is done with them.
    fn check(&self, name: &str, path: &Path, bytes: &[u8]) -> Result<Option<Signed>, String> {
        if self.kept.is_some_and(|kept| kept != Sha256::of(bytes)) {
            return Err("the approved file that the state directory keeps is damaged".to_owned());
        }
        let cosign = match &self.source {
            Some(SourceState::File { sha256, cosign, .. }) => {
                if *sha256 != Sha256::of(bytes).to_string() {
                    return Err("the file that was pulled is damaged: `tinymcp update` pulls it again, as a running server does".to_owned());
                }
                cosign.clone()
            }
            _ => Err("only what comes from a registry has a signature of cosign".to_owned()),
        };
        let Some((trust, highest)) = &self.trust else { return Ok(None) };
        if let Some(signer) = &trust.cosign {
            // That the bytes are those of the signature was found out with their digest.
            match cosign {
                Ok(signed) if signed == *signer => {}
                // `trust` is another one since, and a look at the signatures is under way.
                Ok(_) => return Err("it is signed with cosign by another than `trust` names".to_owned()),
                Err(why) => return Err(format!("`trust` demands a signature of cosign: {why}")),
            }
        }
        let signature = || {
            let file = signature_of(path);
            let limit = ByteSize::from_bytes(trust::MAX_SIGNATURE_BYTES);
            let read = directory::read(&file, limit).map_err(|error| match error {
                ReadError::Io(error) => error.to_string(),
                ReadError::TooLarge { .. } => "larger than any signature".to_owned(),
                error => error.to_string(),
            });
            let text = read.and_then(|(bytes, _)| String::from_utf8(bytes).map_err(|_| "not a text".to_owned()));
            (file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(), text)
        };
        trust::check(trust, name, bytes, highest, signature).map_err(|distrust| distrust.to_string())
    }
}

/// Reading and loading one state of one file.
pub(super) struct LoadJob {
    pub(super) id: LoadId,
    pub(super) found: PluginFile,
    pub(super) name: String,
    /// The terms for the plugin.
    pub(super) terms: Arc<Terms>,
    /// The digest of this file's last load: the same bytes need no second look.
    pub(super) known: Option<Digest>,
    pub(super) standing: Standing,
    pub(super) is_settled: bool,
}

impl LoadJob {
    /// Reads and loads, on the loader's threads.
    pub(super) async fn run(self, runtime: Arc<Runtime>, loader: Arc<Loader>) -> LoadOutcome {
        let started = Instant::now();
        let Self { id, found, name, terms, known, standing, is_settled } = self;
        let limit = *terms.limits.file;
        let path = found.path.clone();
        let room = loader.room_for(&name, found.stamp.size()).await;
        let (reading, of, checked) = (path.clone(), name.clone(), standing.clone());
        let read = loader
            .threads()
            .run(0, move || {
                let (bytes, stamp) = directory::read(&reading, limit)?;
                let checked = checked.check(&of, &reading, &bytes);
                Ok((Digest::of(&bytes), checked, bytes, stamp))
            })
            .await;
        let mut loaded = LoadOutcome {
            id,
            file: found.file,
            stamp: Some(found.stamp),
            digest: None,
            outcome: Ok(None),
            is_untrusted: false,
            is_unsettled: !is_settled,
            elapsed: Duration::ZERO,
        };
        let (digest, checked, bytes, stamp) = match read {
            Some(Ok(read)) => read,
            Some(Err(error)) => {
                let error: ReadError = error;
                // What changes under our eyes is not done; looking again is free of charge.
                loaded.is_unsettled |= matches!(error, ReadError::Changed);
                loaded.outcome = Err(error.to_string());
                return loaded;
            }
            None => {
                loaded.outcome = Err("the host failed while it read the file".to_owned());
                return loaded;
            }
        };
        loaded.stamp = Some(stamp);
        let signed = match checked {
            Ok(signed) => signed,
            Err(distrust) => {
                loaded.is_untrusted = true;
                // Without a digest: the same bytes are looked at again when a signature has come.
                loaded.outcome = Err(distrust);
                return loaded;
            }
        };
        loaded.digest = Some(digest);
        if known == Some(digest) {
            return loaded;
        }
        let is_own = directory::is_own(&path, &stamp);
        let made = loader.load(&name, bytes, Allowance::of(&terms.limits)).await;
        drop(room);
        loaded.outcome = match made {
            Ok(plugin) => list(&runtime, Plugin { signed, ..plugin }, terms, &standing).await.map(Some),
            Err(error) => {
                if error.is_passing() {
                    (loaded.stamp, loaded.digest) = (None, None);
                }
                Err(in_words(&error, is_own))
            }
        };
        loaded.elapsed = started.elapsed();
        loaded
    }
}

/// Asks a loaded plugin for its lists. Code that nobody has looked at runs without anything that is granted, and if it
/// gives no lists then, it has none for the time being.
async fn list(runtime: &Runtime, plugin: Plugin, terms: Arc<Terms>, standing: &Standing) -> Result<Loaded, String> {
    if !standing.knows(&plugin) {
        let plugin = Arc::new(plugin);
        let plugin = match with_lists(runtime, Arc::clone(&plugin), terms.without_grants()).await {
            Ok(plugin) => plugin,
            Err(problem) => {
                let mut plugin = Plugin::clone(&plugin);
                plugin.list_warnings = vec![format!(
                    "{problem}: it was asked without anything that is granted, and is asked again once its file is approved; what it lists then waits for an approval of its own"
                )];
                plugin
            }
        };
        return Ok(Loaded { plugin, stand_in: None });
    }
    let plugin = with_lists(runtime, Arc::new(plugin), terms).await?;
    let approved = standing.approval.as_ref().filter(|approval| approval.sha256 == plugin.sha256);
    let other = approved.map(|approval| &approval.face.lists).filter(|lists| **lists != KeptLists::of(&plugin));
    let stand_in = match other {
        Some(lists) => {
            let made = lists::restore(runtime, Arc::new(plugin.clone()), lists.clone()).await;
            Some(made.map_err(|error| format!("its approved lists cannot be made: {error}"))?)
        }
        None => None,
    };
    Ok(Loaded { plugin, stand_in })
}

/// The problem of a file that gives no plugin. Of a link's target nothing is shown, not even its start: it may be a key.
pub(super) fn in_words(error: &LoadError, is_own: bool) -> String {
    match error {
        LoadError::NotWasm(..) if !is_own => "a link to what is not a WebAssembly file".to_owned(),
        // It quotes names of the component.
        error => sanitize::escape(&error.to_string()),
    }
}

/// The plugin with the lists that it gives now.
///
/// # Errors
/// Why it gives none.
pub(super) async fn with_lists(runtime: &Runtime, plugin: Arc<Plugin>, terms: Arc<Terms>) -> Result<Plugin, String> {
    // Those of the file may be under what an older version of it declares.
    let terms = terms.of_needs(&plugin.needs);
    let served = Served::new(plugin, terms);
    let read = lists::read(runtime, &served).await;
    read.map_err(|error| {
        let cause = error.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
        format!("it gives no lists of its tools, prompts or resources: {error}{cause}")
    })
}
