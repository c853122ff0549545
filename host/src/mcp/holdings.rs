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

    /// The tasks of a person ([`crate::principal::Principal::person`]), on all servers.
    ///
    /// # Errors
    /// In words: those of other servers cannot be read.
    pub async fn tasks_of(&self, person: &[u8; 32]) -> Result<Vec<ListedTask>, String> {
        let tasks = self.tasks.of_person(person).await.map_err(|error| error.to_string())?;
        Ok(tasks.into_iter().map(listed).collect())
    }

    /// Ends a person's sessions of the older era, through one client ([`crate::principal::Principal::session`]) or all, on
    /// all servers.
    ///
    /// # Errors
    /// In words: the other servers could not be told.
    pub async fn end_sessions(&self, person: &[u8; 32], session: Option<&[u8; 32]>) -> Result<(), String> {
        self.sessions.end_of(person, session).await.map_err(|error| error.to_string())
    }

    /// Stops and forgets all tasks of a person, on all servers. Returns their number.
    ///
    /// # Errors
    /// In words: the other servers could not be told.
    pub async fn forget_tasks(&self, person: &[u8; 32]) -> Result<usize, String> {
        self.tasks.forget_person(person).await.map_err(|error| error.to_string())
    }
}

fn listed(task: DetailedTask) -> ListedTask {
    let status = serde_json::to_value(task.status()).ok();
    let status = status.as_ref().and_then(|status| status.as_str()).unwrap_or_default().to_owned();
    ListedTask { id: task.task.task_id, status }
}
