//! What the endpoint holds of people, for the operator: their sessions of the older era, and their tasks.

use std::sync::Arc;

use rmcp::model::DetailedTask;
use serde::{Deserialize, Serialize};

use super::session::Sessions;
use super::tasks::Tasks;

/// A handle to it.
#[derive(Clone)]
pub struct Holdings {
    sessions: Arc<Sessions>,
    tasks: Tasks,
}

/// A task, without what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedTask {
    /// Its id.
    pub id: String,
    /// `working`, `completed` and others, as the protocol names them.
    pub status: String,
}

impl Holdings {
    pub(super) fn new(sessions: Arc<Sessions>, tasks: Tasks) -> Self {
        Self { sessions, tasks }
    }

    /// The tasks of a person ([`crate::principal::Principal::person`]).
    pub fn tasks_of(&self, person: &[u8; 32]) -> Vec<ListedTask> {
        self.tasks.of_person(person).into_iter().map(listed).collect()
    }

    /// Ends a person's sessions of the older era, through one client ([`crate::principal::Principal::session`]) or all.
    pub fn end_sessions(&self, person: &[u8; 32], session: Option<&[u8; 32]>) {
        self.sessions.end_of(person, session);
    }

    /// Stops and forgets all tasks of a person. Returns their number.
    pub fn forget_tasks(&self, person: &[u8; 32]) -> usize {
        self.tasks.forget_person(person)
    }
}

fn listed(task: DetailedTask) -> ListedTask {
    let status = serde_json::to_value(task.status()).ok();
    let status = status.as_ref().and_then(|status| status.as_str()).unwrap_or_default().to_owned();
    ListedTask { id: task.task.task_id, status }
}
