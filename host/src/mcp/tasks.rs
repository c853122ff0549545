//! The tasks extension (`io.modelcontextprotocol/tasks`, SEP-2663): a call that goes on while its client asks for its
//! state from time to time.
//!
//! A task belongs to one person through one client; for all others it does not exist. Tasks live in memory: a restart
//! ends them. Of several servers each knows the tasks of all ([`elsewhere`]). What they hold is charged to their person's account: the arguments until the call has ended, then the
//! result until it is forgotten. A result that finds no room is replaced by the reason.

mod elsewhere;
mod kept;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, CreateTaskResult, DetailedTask, InputRequests, InputResponses};
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use serde_json::{Map, Value};

use self::kept::{Progress, Shown, Start, Word};
use super::call_result::{self, TextResult, call_result};
use super::round_trips::{self, AskOutcome, Channel, Outcome};
use super::shelf::{Shelf, ShelfError};
use super::{echo, input};
use crate::budget::{Budgets, Held, Part};
use crate::json_weight;
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

/// Time for which a task may go on, and for which its end can be seen afterwards.
const TTL: Duration = Duration::from_millis(TTL_MS);

/// Memory of a task beside its arguments and its result.
const TASK_BYTES: usize = 4 * 1024;

/// Time between two looks for tasks that are to be forgotten.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// All tasks.
#[derive(Clone)]
pub(super) struct Tasks {
    manager: TaskManager,
    budgets: Budgets,
    owners: Owners,
    /// What several servers share.
    shelf: Option<Shelf>,
}

/// The owner of each task.
#[derive(Clone, Default)]
struct Owners(Arc<Mutex<HashMap<String, Owner>>>);

struct Owner {
    /// See [`Principal::session`] and [`Principal::person`].
    session: [u8; 32],
    person: [u8; 32],
    /// The time at which it is forgotten at last.
    until: Instant,
    /// Signals another state of it, where several servers share it and have a row of it.
    shared: Option<Arc<Progress>>,
    /// The memory of the task.
    _held: Arc<Held>,
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

impl Owners {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Owner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_old(&self) {
        let now = Instant::now();
        self.lock().retain(|_, owner| now < owner.until);
    }
}

impl Tasks {
    pub(super) fn new(budgets: Budgets, shelf: Option<Shelf>) -> Self {
        Self { manager: TaskManager::default(), budgets, owners: Owners::default(), shelf }
    }

    /// Forgets tasks in time, also while nobody asks for any.
    pub(super) async fn forget_old(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // The manager looks for old ones whenever it is used.
            self.manager.running_task_count();
            self.owners.forget_old();
        }
    }

    /// Begins a task.
    ///
    /// # Errors
    /// The person has too many, or no room for its arguments.
    pub(super) async fn begin(&self, call: BackgroundCall) -> Result<CreateTaskResult, ErrorData> {
        match &self.shelf {
            Some(shelf) => self.begin_shared(shelf, call).await,
            None => self.spawn(call, None),
        }
    }

    /// The same, for one that goes on once `start` lets it.
    fn spawn(&self, call: BackgroundCall, start: Option<Start>) -> Result<CreateTaskResult, ErrorData> {
        let person = call.principal.person();
        let refuse = |why: String| Err(ErrorData::internal_error(why, None));
        self.owners.forget_old();
        let mut owners = self.owners.lock();
        if owners.values().filter(|other| other.person == person).count() >= MAX_PER_PERSON {
            return refuse(format!("there are {MAX_PER_PERSON} tasks already: wait until some are forgotten"));
        }
        let arguments = json_weight::of_object(&call.arguments);
        let held = match self.budgets.account(person).try_hold(Part::Kept, TASK_BYTES + arguments) {
            Ok(held) => Arc::new(held),
            Err(overdrawn) => return refuse(format!("there is no room for another task: {overdrawn}")),
        };
        let session = call.principal.session();
        let options = TaskOptions::new().with_ttl_ms(TTL_MS).with_poll_interval_ms(POLL_MS);
        let (of_result, all) = (Arc::clone(&held), self.owners.clone());
        let progress = start.as_ref().map(|start| Arc::clone(&start.progress));
        let task = self.manager.spawn(options, |context| {
            let id = context.task_id().to_owned();
            Box::pin(async move {
                let mut shown = None;
                if let Some(Start { may_go_on, progress }) = start {
                    may_go_on.await.map_err(|_| TaskExit::Cancelled)?;
                    shown = Some(progress.until_the_end());
                }
                let ended = call.run(context, shown.as_ref()).await;
                if let Some(owner) = all.lock().get_mut(&id) {
                    owner.until = Instant::now() + TTL;
                }
                // The call and its arguments are gone.
                of_result.shrink(arguments);
                ended.map(|result| kept(result, &of_result))
            })
        });
        let owner = Owner { session, person, until: Instant::now() + 2 * TTL, shared: progress, _held: held };
        owners.insert(task.task_id.clone(), owner);
        Ok(CreateTaskResult::new(task))
    }

    /// The state of a task.
    ///
    /// # Errors
    /// -32602 for one that is unknown, or another session's.
    pub(super) async fn get(&self, id: &str, principal: &Principal) -> Result<DetailedTask, ErrorData> {
        if self.is_here(id, principal) {
            return self.manager.get_task(id);
        }
        self.get_elsewhere(id, principal).await?.ok_or_else(|| unknown(id))
    }

    /// Passes the answers to a task's questions.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub(super) async fn update(
        &self,
        id: &str,
        principal: &Principal,
        responses: InputResponses,
    ) -> Result<(), ErrorData> {
        if self.is_here(id, principal) {
            return self.manager.update_task(id, responses);
        }
        self.say_elsewhere(id, principal, Word::Answers(responses)).await
    }

    /// Stops a task.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub(super) async fn cancel(&self, id: &str, principal: &Principal) -> Result<(), ErrorData> {
        if self.is_here(id, principal) {
            return self.manager.cancel_task(id);
        }
        self.say_elsewhere(id, principal, Word::Cancel).await
    }

    /// Ends all tasks.
    pub(super) async fn close(&self) {
        let cut = self.under_way();
        self.manager.shutdown();
        self.cut_elsewhere(cut).await;
    }

    /// The tasks of a person, through all clients and on all servers.
    ///
    /// # Errors
    /// Those of other servers cannot be read.
    pub(super) async fn of_person(&self, person: &[u8; 32]) -> Result<Vec<DetailedTask>, ShelfError> {
        let mut tasks: Vec<DetailedTask> =
            self.ids_of(person).iter().filter_map(|id| self.manager.get_task(id).ok()).collect();
        tasks.extend(self.of_person_elsewhere(person).await?);
        Ok(tasks)
    }

    /// Stops and forgets all tasks of a person, on all servers. Returns their number.
    ///
    /// # Errors
    /// Those of other servers cannot be reached; those here are forgotten.
    pub(super) async fn forget_person(&self, person: &[u8; 32]) -> Result<usize, ShelfError> {
        let mut all: HashSet<String> = self.ids_of(person).into_iter().collect();
        self.forget_here(all.iter());
        all.extend(self.forget_elsewhere(person).await?);
        Ok(all.len())
    }

    fn ids_of(&self, person: &[u8; 32]) -> Vec<String> {
        let owners = self.owners.lock();
        owners.iter().filter(|(_, owner)| owner.person == *person).map(|(id, _)| id.clone()).collect()
    }

    fn forget_here<'a>(&self, ids: impl Iterator<Item = &'a String>) {
        for id in ids {
            self.owners.lock().remove(id);
            // One that has ended is there until its time is over, and nobody's.
            let _ = self.manager.cancel_task(id);
        }
    }

    fn is_here(&self, id: &str, principal: &Principal) -> bool {
        self.owners.lock().get(id).is_some_and(|owner| owner.session == principal.session())
    }
}

fn unknown(id: &str) -> ErrorData {
    ErrorData::invalid_params(format!("unknown task: {}", echo::name(id)), None)
}

/// The result if there is room to keep it, else the reason.
fn kept(result: CallToolResult, held: &Held) -> CallToolResult {
    let text = serde_json::to_vec(&result).unwrap_or_default();
    match held.grow(json_weight::of_text(&text)) {
        Ok(()) => result,
        Err(overdrawn) => {
            let why = format!("the task is done, but there is no room to keep its result beside others: {overdrawn}");
            TextResult::failure(why).into()
        }
    }
}

impl BackgroundCall {
    async fn run(self, context: TaskContext, shown: Option<&Shown>) -> Result<CallToolResult, TaskExit> {
        let Self { plugins, tool, arguments, principal, askable, conversation } = self;
        let mut channel = TaskChannel { context: &context, askable, shown };
        let round = |conversation| call_result::round(&plugins, &tool, &arguments, conversation);
        let ended = tokio::select! {
            ended = round_trips::run(&mut channel, conversation, round) => ended?,
            // Dropping the call stops its guest.
            () = context.cancelled() => return Err(TaskExit::Cancelled),
            () = principal.turned_away(tool.served.scopes()) => {
                return Ok(call_result(Err(CallError::TurnedAway), None)?);
            }
            () = tool.served.switched_off() => return Ok(call_result(Err(CallError::SwitchedOff), None)?),
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
    /// Tells of another state, where several servers share it.
    shown: Option<&'a Shown>,
}

impl TaskChannel<'_> {
    fn changed(&self) {
        if let Some(shown) = self.shown {
            shown.changed();
        }
    }
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
            self.changed();
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
        // The questions are there once they were asked, which is when all of them are waited for.
        let (answered, ()) = tokio::join!(join_all(asked), async { self.changed() });
        self.changed();
        answered.into_iter().collect::<Result<_, _>>().map(AskOutcome::Answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_without_room_is_replaced_by_the_reason() {
        let account = Budgets::new(0).account([1; 32]);
        let held = account.try_hold(Part::Kept, TASK_BYTES).unwrap();
        let large = || CallToolResult::from(TextResult::failure("x".repeat(20 << 20)));
        assert_eq!(kept(large(), &held), large());
        let refused = kept(large(), &account.try_hold(Part::Kept, TASK_BYTES).unwrap());
        let text = serde_json::to_string(&refused).unwrap();
        assert!(text.contains("no room to keep its result"), "{}", text.len());
        drop(held);
        assert_eq!(kept(large(), &account.try_hold(Part::Kept, TASK_BYTES).unwrap()), large());
    }
}
