//! What operators see of each file of the plugins directory: its state, what it may touch, and what it was refused.

use crate::grants::needs::Need;
use crate::plugins::catalog::{Catalog, PluginStatus};
use crate::plugins::refusals::{self, Refusal};
use crate::sanitize;

/// One file.
pub(super) struct FileView {
    pub(super) file: String,
    pub(super) state: State,
    pub(super) problem: Option<String>,
    /// What waits for approval: the reference that the command takes.
    pub(super) waiting: Option<Waiting>,
    /// Of the version that is served.
    pub(super) serving: Option<ServingView>,
    pub(super) refusals: Vec<RefusalView>,
}

/// A version that waits for approval.
pub(super) struct Waiting {
    pub(super) plugin: String,
    pub(super) reference: String,
}

/// The state of a file in a word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Served,
    /// The version before goes on.
    Older,
    /// Nobody has approved it yet.
    Waiting,
    Disabled,
    NotLoaded,
}

/// The version of a plugin that is served.
pub(super) struct ServingView {
    pub(super) digest: String,
    /// An HTTP date.
    pub(super) since: String,
    pub(super) granted: Vec<String>,
    /// `None` if it declares nothing at all.
    pub(super) needs: Option<Vec<String>>,
    pub(super) widened: Option<String>,
    pub(super) warnings: Vec<String>,
}

/// Something that it was refused.
pub(super) struct RefusalView {
    pub(super) what: String,
    pub(super) reason: String,
    pub(super) to_grant: Option<String>,
    pub(super) at: String,
    pub(super) times: u64,
}

/// Every file, by the names of their plugins.
pub(super) fn files(catalog: &Catalog) -> Vec<FileView> {
    catalog.plugins().iter().map(file).collect()
}

fn file(plugin: &PluginStatus) -> FileView {
    let state = match (&plugin.serving, plugin.disabled, &plugin.problem) {
        (_, true, _) => State::Disabled,
        _ if plugin.waiting.is_some() => State::Waiting,
        (Some(_), false, None) => State::Served,
        (Some(_), false, Some(_)) => State::Older,
        (None, false, _) => State::NotLoaded,
    };
    let serving = plugin.serving.as_ref().map(|serving| ServingView {
        digest: serving.digest.to_string(),
        since: httpdate::fmt_http_date(serving.since),
        granted: lines(&serving.granted),
        needs: serving
            .needs
            .are_declared()
            .then(|| serving.needs.iter().map(|need: &Need| sanitize::escape(&need.to_string())).collect()),
        widened: serving.widened.as_deref().map(sanitize::escape),
        warnings: lines(&serving.warnings),
    });
    FileView {
        file: sanitize::escape(&plugin.file),
        state,
        problem: plugin.problem.as_deref().map(sanitize::escape_lines),
        serving,
        waiting: plugin.waiting.as_deref().map(|reference| Waiting {
            plugin: sanitize::escape(&plugin.name),
            reference: sanitize::escape(reference),
        }),
        refusals: refusals::of(&plugin.name).into_iter().map(refusal).collect(),
    }
}

fn lines(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| sanitize::escape(text)).collect()
}

fn refusal(refusal: Refusal) -> RefusalView {
    let Refusal { what, reason, to_grant, at, times } = refusal;
    RefusalView { what, reason, to_grant, at: httpdate::fmt_http_date(at), times }
}

impl FileView {
    /// True if something of it waits for approval.
    pub(super) fn waits(&self) -> bool {
        self.waiting.is_some()
    }
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Older => "the version before goes on",
            Self::Waiting => "waits for approval",
            Self::Disabled => "switched off",
            Self::NotLoaded => "not loaded",
        }
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Served => "calm",
            Self::Older | Self::Waiting | Self::NotLoaded => "grave",
            Self::Disabled => "plain",
        }
    }
}
