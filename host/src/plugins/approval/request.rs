//! How commands and pages ask about what waits for approval: one request at a time to the one task that owns the plugins.

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the registry; further askers wait for room.
const PENDING: usize = 16;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalRequest {
    /// Everything that waits.
    List,
    /// What is different in one plugin, from a line on: all of it may be more than one answer can hold.
    Show {
        /// Its name, in snake case or kebab case.
        plugin: String,
        /// The first line.
        from: usize,
    },
    /// The approval of exactly this.
    Approve {
        /// `NAME@sha256:…`, as it was shown.
        reference: String,
        /// Who approves, for the record.
        by: String,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalAnswer {
    /// To [`ApprovalRequest::List`], ordered by name.
    Waiting(Vec<WaitingPlugin>),
    /// To [`ApprovalRequest::Show`].
    Difference(Difference),
    /// To [`ApprovalRequest::Approve`].
    Approved(Approved),
}

/// A plugin of which something waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingPlugin {
    /// Its name.
    pub plugin: String,
    /// Its file's name in the plugins directory.
    pub file: String,
    /// What waits, in a few words: a new plugin, another file, other lists.
    pub what: String,
    /// The name by which exactly this is approved.
    pub reference: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// True if an approved version is served meanwhile.
    pub is_serving: bool,
    /// The time at which it was found, in seconds since 1970.
    pub since: u64,
}

/// What is different, or some of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What waits.
    pub waiting: WaitingPlugin,
    /// Lines for people, in which all that is not to be seen is written out.
    pub lines: Vec<String>,
    /// The line that follows; none after the last.
    pub next: Option<usize>,
}

/// An approval that is on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// What was approved.
    pub reference: String,
    /// The reason for which it is not served even so, such as a name that belongs to another plugin.
    pub problem: Option<String>,
}

/// The reason why there is no whole difference.
#[derive(Debug)]
pub enum DifferenceError<E> {
    /// The asker's.
    Asking(E),
    /// It changed between two answers.
    Changed,
    /// The answer is to another question.
    Unexpected,
}

/// Asks for a whole difference, which may come in several answers.
///
/// # Errors
/// [`DifferenceError`].
pub async fn difference<E, Answered>(
    plugin: &str,
    ask: impl Fn(ApprovalRequest) -> Answered,
) -> Result<(WaitingPlugin, Vec<String>), DifferenceError<E>>
where
    Answered: Future<Output = Result<ApprovalAnswer, E>>,
{
    let (mut lines, mut from, mut first) = (Vec::new(), 0, None);
    loop {
        let request = ApprovalRequest::Show { plugin: plugin.to_owned(), from };
        let answer = ask(request).await.map_err(DifferenceError::Asking)?;
        let ApprovalAnswer::Difference(part) = answer else { return Err(DifferenceError::Unexpected) };
        let Difference { waiting, lines: more, next } = part;
        let reference = first.get_or_insert_with(|| waiting.reference.clone());
        if *reference != waiting.reference {
            return Err(DifferenceError::Changed);
        }
        lines.extend(more);
        match next {
            Some(next) if next > from => from = next,
            _ => return Ok((waiting, lines)),
        }
    }
}

/// The sign of a line of a difference, if it has one: `+`, `-`, `~`.
pub fn sign(line: &str) -> Option<char> {
    let sign = line.trim_start().chars().next().filter(|_| line.starts_with(['+', '-', '~', ' ']));
    sign.filter(|sign| matches!(sign, '+' | '-' | '~'))
}

/// A question with the way back.
pub(in crate::plugins) struct Asked {
    pub(in crate::plugins) request: ApprovalRequest,
    pub(in crate::plugins) reply: oneshot::Sender<Result<ApprovalAnswer, String>>,
}

/// The way to the registry. Clones lead to the same.
#[derive(Clone)]
pub struct Approvals(mpsc::Sender<Asked>);

/// The registry's end.
pub(in crate::plugins) type Requests = mpsc::Receiver<Asked>;

/// A new way, and its end.
pub(in crate::plugins) fn channel() -> (Approvals, Requests) {
    let (sender, requests) = mpsc::channel(PENDING);
    (Approvals(sender), requests)
}

impl Approvals {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Why there is none, in words for the operator.
    pub async fn ask(&self, request: ApprovalRequest) -> Result<ApprovalAnswer, String> {
        let (reply, answer) = oneshot::channel();
        let ended = || "the server is stopping".to_owned();
        self.0.send(Asked { request, reply }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}
