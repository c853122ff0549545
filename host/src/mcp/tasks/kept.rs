//! A task as the servers of one store keep it, and what its own server waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rmcp::model::{CallToolResult, DetailedTask, ErrorData, InputResponses, TaskPayload};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{Notify, oneshot};

use crate::replicas::Replicas;

/// The row of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptTask {
    /// Its owner ([`crate::principal::Principal::session`], in hexadecimal digits).
    pub(super) owner: String,
    /// The server that runs it, see [`Replicas::own_name`].
    pub(super) server: String,
    pub(super) task: DetailedTask,
}

/// What a client says of its task to a server that does not run it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    Answers(InputResponses),
    Cancel,
}

impl Word {
    /// True if a task is as it is after this was said.
    pub(super) fn is_heard(&self, task: &DetailedTask) -> bool {
        match (self, &task.payload) {
            (Self::Answers(answers), TaskPayload::InputRequired { input_requests }) => {
                !answers.keys().any(|key| input_requests.contains_key(key))
            }
            (Self::Cancel, _) => task.status().is_terminal(),
            (Self::Answers(_), _) => true,
        }
    }
}

/// A word as it lies in the store.
#[derive(Serialize, Deserialize)]
pub(super) struct Letter {
    /// Whose word it is; as in [`KeptTask`].
    pub(super) owner: String,
    pub(super) word: Word,
}

impl KeptTask {
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a task is JSON")
    }

    /// True for a task that goes on for as long as its server does.
    pub(super) fn is_under_way(&self) -> bool {
        !self.task.status().is_terminal()
    }

    /// The task as it is now: one whose server is gone has failed.
    pub(super) fn now(self, replicas: &Replicas) -> DetailedTask {
        if self.is_under_way() && replicas.is_gone(&self.server) {
            return failed(
                self.task,
                "the server that ran this task is gone, and its work is lost: call the tool again",
            );
        }
        self.task
    }
}

/// A task that has failed for a reason that is not its own.
pub(super) fn failed(task: DetailedTask, why: &str) -> DetailedTask {
    let error = ErrorData::internal_error(why.to_owned(), None);
    ended(task, TaskPayload::Failed { error: members(&error) })
}

/// A task that has completed with another result than its own.
pub(super) fn completed(task: DetailedTask, result: &CallToolResult) -> DetailedTask {
    ended(task, TaskPayload::Completed { result: members(result) })
}

fn ended(task: DetailedTask, payload: TaskPayload) -> DetailedTask {
    DetailedTask::new(task.task, payload)
}

fn members(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// The beginning of a task of which other servers have to know before it works.
pub(super) struct Start {
    pub(super) may_go_on: oneshot::Receiver<()>,
    pub(super) progress: Arc<Progress>,
}

/// Signals that a task has another state.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) news: Notify,
    is_known: AtomicBool,
    has_ended: AtomicBool,
}

impl Progress {
    /// Tells of every state, and of the end when it is dropped.
    pub(super) fn until_the_end(self: Arc<Self>) -> Shown {
        Shown(self)
    }

    /// Other servers know of the task: there is a row of it.
    pub(super) fn known(&self) {
        self.is_known.store(true, Ordering::Release);
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Acquire)
    }

    /// True once the work has ended; its result is about to be in the task.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}

/// The one who tells.
pub(super) struct Shown(Arc<Progress>);

impl Shown {
    pub(super) fn changed(&self) {
        self.0.news.notify_one();
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Release);
        self.0.news.notify_one();
    }
}
