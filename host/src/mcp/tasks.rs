//! The tasks extension (`io.modelcontextprotocol/tasks`, SEP-2663): a call that goes on while its client asks for its
//! state from time to time.
//!
//! A task belongs to the session that began it, a person through one client; to all others it does not exist. Tasks live
//! in memory: a restart ends them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::join_all;
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, CreateTaskResult, DetailedTask, InputResponses};
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::input;
use super::rounds::{MAX_ROUNDS, answers_in};
use super::tools;
use crate::plugins::Plugins;
use crate::plugins::catalog::Tool;
use crate::plugins::conversation::{Conversation, Message, Outbox};
use crate::plugins::error::CallError;
use crate::plugins::types::codec::Reply;
use crate::plugins::wit::input::{Answer, Capabilities, Request};
use crate::principal::Principal;

/// How long a task may go on, and how long its result is kept afterwards.
const TTL_MS: u64 = 300_000;

/// How often a client should ask.
const POLL_MS: u64 = 500;

/// Tasks of one person that are kept, done or not, through whichever clients. The calls behind them count for
/// `limits.concurrency` as well.
const MAX_PER_PERSON: usize = 64;

/// All tasks.
#[derive(Clone, Default)]
pub(super) struct Tasks {
    manager: TaskManager,
    /// Whose each task is.
    owners: Arc<Mutex<HashMap<String, Owner>>>,
}

/// See [`Principal::session`] and [`Principal::person`].
struct Owner {
    session: [u8; 32],
    person: [u8; 32],
}

/// A call that becomes a task.
pub(super) struct Call {
    pub(super) plugins: Plugins,
    pub(super) tool: Arc<Tool>,
    pub(super) arguments: Map<String, Value>,
    pub(super) principal: Arc<Principal>,
    pub(super) askable: Capabilities,
    /// What the client answered before it became a task.
    pub(super) answers: Vec<(String, Answer)>,
    pub(super) state: Option<Vec<u8>>,
}

impl Tasks {
    /// Begins a task.
    ///
    /// # Errors
    /// The person has too many.
    pub(super) fn begin(&self, call: Call) -> Result<CreateTaskResult, ErrorData> {
        let owner = Owner { session: call.principal.session(), person: call.principal.person() };
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.retain(|id, _| self.manager.get_task(id).is_ok());
        if owners.values().filter(|other| other.person == owner.person).count() >= MAX_PER_PERSON {
            let message = format!("there are {MAX_PER_PERSON} tasks already: wait until some are forgotten");
            return Err(ErrorData::internal_error(message, None));
        }
        let options = TaskOptions::new().with_ttl_ms(TTL_MS).with_poll_interval_ms(POLL_MS);
        let task = self.manager.spawn(options, |context| Box::pin(call.run(context)));
        owners.insert(task.task_id.clone(), owner);
        Ok(CreateTaskResult::new(task))
    }

    /// What became of a task.
    ///
    /// # Errors
    /// -32602 for one that is unknown, or another session's.
    pub(super) fn get(&self, id: &str, principal: &Principal) -> Result<DetailedTask, ErrorData> {
        self.require_own(id, principal)?;
        self.manager.get_task(id)
    }

    /// Hands over what a task has asked for.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub(super) fn update(&self, id: &str, principal: &Principal, responses: InputResponses) -> Result<(), ErrorData> {
        self.require_own(id, principal)?;
        self.manager.update_task(id, responses)
    }

    /// Stops a task.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub(super) fn cancel(&self, id: &str, principal: &Principal) -> Result<(), ErrorData> {
        self.require_own(id, principal)?;
        self.manager.cancel_task(id)
    }

    /// Ends all.
    pub(super) fn close(&self) {
        self.manager.shutdown();
    }

    fn require_own(&self, id: &str, principal: &Principal) -> Result<(), ErrorData> {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.get(id).is_some_and(|owner| owner.session == principal.session()) {
            return Ok(());
        }
        Err(ErrorData::invalid_params(format!("unknown task: {id}"), None))
    }
}

impl Call {
    async fn run(mut self, context: TaskContext) -> Result<CallToolResult, TaskExit> {
        let mut conversation = Conversation::with(&self.principal);
        conversation.answers = std::mem::take(&mut self.answers);
        conversation.state = self.state.take();
        tokio::select! {
            done = self.rounds(&context, conversation) => done,
            // Dropping the call stops its guest.
            () = context.cancelled() => Err(TaskExit::Cancelled),
            () = self.principal.turned_away(self.tool.served.scopes()) => {
                Ok(tools::call_result(Err(CallError::TurnedAway))?)
            }
        }
    }

    async fn rounds(&self, context: &TaskContext, mut conversation: Conversation) -> Result<CallToolResult, TaskExit> {
        for round in 0..MAX_ROUNDS {
            conversation.askable = Some(self.askable);
            let request = match self.round(context, conversation).await {
                Ok(Reply::Asks(request)) => request,
                outcome => return Ok(tools::call_result(outcome)?),
            };
            let lacking = input::lacking(input::needed(&request), self.askable);
            if lacking != Capabilities::empty() {
                return Err(ErrorData::missing_required_client_capability(input::declared(lacking)).into());
            }
            conversation = Conversation::with(&self.principal);
            conversation.answers = answers_in(ask(context, &request, round).await?);
            conversation.state = Some(request.state);
        }
        let message = format!("the tool asked {MAX_ROUNDS} times, and had no result");
        Err(ErrorData::internal_error(message, None).into())
    }

    /// One round, of which the client sees the last progress in the task's state.
    async fn round(&self, context: &TaskContext, mut conversation: Conversation) -> Result<Reply, CallError> {
        let (messages, mut reported) = mpsc::channel(1);
        conversation.outbox = Some(Outbox { wants_progress: true, least_level: None, messages });
        let mut call = std::pin::pin!(self.plugins.call(&self.tool, &self.arguments, conversation));
        loop {
            tokio::select! {
                Some(message) = reported.recv() => {
                    if let Message::Progress { message: Some(text), .. } = message {
                        context.set_status_message(text);
                    }
                }
                outcome = &mut call => return outcome,
            }
        }
    }
}

/// Shows questions in the task's state until all of them are answered. A key is good once in a task's life, so that
/// questions of later rounds get others where they must.
async fn ask(context: &TaskContext, request: &Request, round: usize) -> Result<InputResponses, TaskExit> {
    let asked = input::requests(request)?.into_iter().map(|(key, request)| async move {
        let shown = if round == 0 { key.clone() } else { format!("{key}-{}", round + 1) };
        Ok((key, context.request_input(shown, request).await?))
    });
    join_all(asked).await.into_iter().collect()
}
