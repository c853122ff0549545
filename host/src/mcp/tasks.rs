//! The tasks extension (`io.modelcontextprotocol/tasks`, SEP-2663): a call that goes on while its client asks for its
//! state from time to time.
//!
//! A task belongs to one person through one client; for all others it does not exist. Tasks live in memory: a restart
//! ends them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::join_all;
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, CreateTaskResult, DetailedTask, InputRequests, InputResponses};
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use serde_json::{Map, Value};

use super::call_result::{self, call_result};
use super::input;
use super::round_trips::{self, AskOutcome, Channel, Outcome};
use crate::plugins::Plugins;
use crate::plugins::catalog::Tool;
use crate::plugins::conversation::{Conversation, PluginMessage};
use crate::plugins::error::CallError;
use crate::plugins::wit::input::Capabilities;
use crate::plugins::wit::log::Level;
use crate::principal::Principal;

/// Time for which a task may go on, and for which its result is kept afterwards.
const TTL_MS: u64 = 300_000;

/// Time between two questions of a client for the state of its task.
const POLL_MS: u64 = 500;

/// The most tasks of one person that are kept, done or not, through all clients. Their calls count for
/// `limits.concurrency` as well.
const MAX_PER_PERSON: usize = 64;

/// All tasks.
#[derive(Clone, Default)]
pub(super) struct Tasks {
    manager: TaskManager,
    /// The owner of each task.
    owners: Arc<Mutex<HashMap<String, Owner>>>,
}

/// See [`Principal::session`] and [`Principal::person`].
struct Owner {
    session: [u8; 32],
    person: [u8; 32],
}

/// A call that becomes a task.
pub(super) struct BackgroundCall {
    pub(super) plugins: Plugins,
    pub(super) tool: Arc<Tool>,
    pub(super) arguments: Map<String, Value>,
    pub(super) principal: Arc<Principal>,
    pub(super) askable: Capabilities,
    /// The conversation, with the client's answers from before it became a task.
    pub(super) conversation: Conversation,
}

impl Tasks {
    /// Begins a task.
    ///
    /// # Errors
    /// The person has too many.
    pub(super) fn begin(&self, call: BackgroundCall) -> Result<CreateTaskResult, ErrorData> {
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

    /// The state of a task.
    ///
    /// # Errors
    /// -32602 for one that is unknown, or another session's.
    pub(super) fn get(&self, id: &str, principal: &Principal) -> Result<DetailedTask, ErrorData> {
        self.require_own(id, principal)?;
        self.manager.get_task(id)
    }

    /// Passes the answers to a task's questions.
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

    /// Ends all tasks.
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

impl BackgroundCall {
    async fn run(self, context: TaskContext) -> Result<CallToolResult, TaskExit> {
        let Self { plugins, tool, arguments, principal, askable, conversation } = self;
        let mut channel = TaskChannel { context: &context, askable };
        let round = |conversation| call_result::round(&plugins, &tool, &arguments, conversation);
        let ended = tokio::select! {
            ended = round_trips::run(&mut channel, conversation, round) => ended?,
            // Dropping the call stops its guest.
            () = context.cancelled() => return Err(TaskExit::Cancelled),
            () = principal.turned_away(tool.served.scopes()) => {
                return Ok(call_result(Err(CallError::TurnedAway), None)?);
            }
        };
        match ended {
            Outcome::Done(result) => Ok(result),
            Outcome::CannotAsk(why) => Err(ErrorData::internal_error(why, None).into()),
            Outcome::InputRequired(_) => Err(ErrorData::internal_error("a task asks in its state", None).into()),
        }
    }
}

/// The channel from a call to its client through the state of a task.
struct TaskChannel<'a> {
    context: &'a TaskContext,
    askable: Capabilities,
}

impl Channel for TaskChannel<'_> {
    type Error = TaskExit;

    fn askable(&self) -> Capabilities {
        self.askable
    }

    fn wants_progress(&self) -> bool {
        true
    }

    fn least_level(&self) -> Option<Level> {
        None
    }

    /// The client sees the last progress.
    async fn deliver(&mut self, message: PluginMessage) {
        if let PluginMessage::Progress { message: Some(text), .. } = message {
            self.context.set_status_message(text);
        }
    }

    fn refuse(&self, lacking: Capabilities) -> Result<String, TaskExit> {
        Err(ErrorData::missing_required_client_capability(input::declared(lacking)).into())
    }

    /// Shows questions until all of them are answered. A key is used once in a task's life, so later rounds add their
    /// number to it.
    async fn ask(&mut self, round: usize, questions: InputRequests, _state: &[u8]) -> Result<AskOutcome, TaskExit> {
        let context = self.context;
        let asked = questions.into_iter().map(|(key, question)| async move {
            let shown = if round == 0 { key.clone() } else { format!("{key}-{}", round + 1) };
            Ok((key, context.request_input(shown, question).await?))
        });
        join_all(asked).await.into_iter().collect::<Result<_, _>>().map(AskOutcome::Answered)
    }
}
