//! Tasks of several servers of one store: each of them can say how one is that another one runs, and take answers and
//! cancellations for it.
//!
//! The server that runs a task keeps its state in a row, from before it works until its time is over. Whatever a client says
//! of it to another server is laid down for that one, which is told to look. A task whose server is gone has failed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use rmcp::ErrorData;
use rmcp::model::{CreateTaskResult, DetailedTask};
use tokio::sync::oneshot;

use super::kept::{KeptTask, Letter, Progress, Start, Word, completed, failed};
use super::{BackgroundCall, TTL, Tasks, unknown};
use crate::mcp::call_result::TextResult;
use crate::mcp::shelf::{Change, Kind, Person, Place, Shelf, ShelfError, in_time, person_hex};
use crate::principal::Principal;
use crate::replicas::ClientHint;

/// Time for which a word waits for the server of its task.
const WORD_KEPT: Duration = Duration::from_secs(60);

/// The shortest time between two states that are written.
const WRITE_EVERY: Duration = Duration::from_millis(200);

/// Time after which the state of a task is looked at without news: its time may be over.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Time between two tries while the store is away.
const AGAIN: Duration = Duration::from_secs(1);

/// Time for the tasks that are cut at the end of this server to be noted as such.
const CUT_WITHIN: Duration = Duration::from_secs(2);

/// Time for which a client that says something waits until its task's server has heard it, and between two looks.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
const HEARD_EVERY: Duration = Duration::from_millis(25);

/// The longest id that is looked up. Ours have 36 characters.
const MAX_ID_BYTES: usize = 64;

fn place<'a>(person: &'a Person, id: &'a str) -> Place<'a> {
    Place { person, kind: Kind::Task, name: id }
}

fn no_store(error: &ShelfError) -> ErrorData {
    ErrorData::internal_error(
        format!("the task is not one of this server, and others could not be asked: {error}"),
        None,
    )
}

impl Tasks {
    /// Begins a task of which the other servers know before it works.
    pub(super) async fn begin_shared(
        &self,
        shelf: &Shelf,
        call: BackgroundCall,
    ) -> Result<CreateTaskResult, ErrorData> {
        let (person, owner) = (call.principal.person(), person_hex(&call.principal.session()));
        let (go_on, may_go_on) = oneshot::channel();
        let progress: Arc<Progress> = Arc::default();
        let created = self.spawn(call, Some(Start { may_go_on, progress: Arc::clone(&progress) }))?;
        let id = created.task.task_id.clone();
        let (tasks, shelf) = (self.clone(), shelf.clone());
        // To its end, even if the client goes away meanwhile: else the row would say for long that it works.
        let begun = tokio::spawn(async move {
            let begun = tasks.note_new(&shelf, &person, &owner, &id).await;
            if begun.is_err() {
                tasks.forget_here(std::iter::once(&id));
                return begun;
            }
            progress.known();
            let _ = go_on.send(());
            tokio::spawn(async move { tasks.keep(&shelf, &person, &id, &progress).await });
            begun
        });
        let begun = begun.await.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        begun.map(|()| created)
    }

    async fn note_new(&self, shelf: &Shelf, person: &Person, owner: &str, id: &str) -> Result<(), ErrorData> {
        let kept =
            KeptTask { owner: owner.to_owned(), server: shelf.replicas().own_name(), task: self.manager.get_task(id)? };
        shelf.put(place(person, id), &kept.write(), 2 * TTL).await.map_err(|error| {
            let why = match error {
                ShelfError::Full => {
                    "there are 64 tasks already on all servers: wait until some are forgotten".to_owned()
                }
                ShelfError::Store(_) | ShelfError::Busy => format!("no task can begin: {error}"),
            };
            ErrorData::internal_error(why, None)
        })
    }

    /// Keeps the row of a task as the task is, until it has ended.
    async fn keep(&self, shelf: &Shelf, person: &Person, id: &str, progress: &Progress) {
        let mut written = None;
        loop {
            // What is signalled from here on is looked at again.
            let mut state = self.manager.get_task(id);
            while progress.has_ended() && state.as_ref().is_ok_and(|task| !task.status().is_terminal()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                state = self.manager.get_task(id);
            }
            // It was forgotten, or this server ends.
            let Ok(task) = state else { return };
            let is_over = task.status().is_terminal();
            if written.as_ref() != Some(&task) {
                match self.write(shelf, person, id, task.clone()).await {
                    Ok(true) => written = Some(task),
                    Ok(false) => {
                        self.forget_here(std::iter::once(&id.to_owned()));
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the state of a task could not be kept yet");
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                }
            }
            if is_over {
                return;
            }
            tokio::time::sleep(WRITE_EVERY).await;
            let _ = tokio::time::timeout(LOOK_EVERY, progress.news.notified()).await;
        }
    }

    /// Writes the state of a task; false if others know that it is over, or forgotten.
    async fn write(&self, shelf: &Shelf, person: &Person, id: &str, task: DetailedTask) -> Result<bool, ShelfError> {
        let until: SystemTime = in_time(if task.status().is_terminal() { TTL } else { 2 * TTL });
        match self.replace(shelf, person, id, &task, until).await {
            Err(ShelfError::Full) => {
                let why = "the task is done, but there is no room to keep its result beside others".to_owned();
                let without = completed(task, &TextResult::failure(why).into());
                self.replace(shelf, person, id, &without, until).await
            }
            written => written,
        }
    }

    async fn replace(
        &self,
        shelf: &Shelf,
        person: &Person,
        id: &str,
        task: &DetailedTask,
        until: SystemTime,
    ) -> Result<bool, ShelfError> {
        let mut is_ours = false;
        shelf
            .change(place(person, id), |found| {
                let kept = found.and_then(KeptTask::read).filter(KeptTask::is_under_way);
                is_ours = kept.is_some();
                Ok::<_, ShelfError>(match kept {
                    Some(kept) => Change::Put(KeptTask { task: task.clone(), ..kept }.write(), until),
                    None => Change::Keep,
                })
            })
            .await?;
        Ok(is_ours)
    }

    /// The row of a task of this owner.
    async fn find(&self, shelf: &Shelf, id: &str, principal: &Principal) -> Result<Option<KeptTask>, ErrorData> {
        if id.len() > MAX_ID_BYTES {
            return Ok(None);
        }
        let row = shelf.get(place(&principal.person(), id)).await.map_err(|error| no_store(&error))?;
        let own = row.as_deref().and_then(KeptTask::read);
        Ok(own.filter(|kept| kept.owner == person_hex(&principal.session())))
    }

    /// The state of a task that another server runs, or has run.
    pub(super) async fn get_elsewhere(
        &self,
        id: &str,
        principal: &Principal,
    ) -> Result<Option<DetailedTask>, ErrorData> {
        let Some(shelf) = &self.shelf else { return Ok(None) };
        let Some(kept) = self.find(shelf, id, principal).await? else { return Ok(None) };
        let was_under_way = kept.is_under_way();
        let now = kept.now(shelf.replicas());
        if was_under_way && now.status().is_terminal() {
            // For good: what was said to have failed does not work again.
            let person = principal.person();
            self.replace(shelf, &person, id, &now, in_time(TTL)).await.map_err(|error| no_store(&error))?;
        }
        Ok(Some(now))
    }

    /// Lays down what a client says of a task for the server that runs it.
    pub(super) async fn say_elsewhere(&self, id: &str, principal: &Principal, word: Word) -> Result<(), ErrorData> {
        let Some(shelf) = &self.shelf else { return Err(unknown(id)) };
        let Some(kept) = self.find(shelf, id, principal).await? else { return Err(unknown(id)) };
        if kept.now(shelf.replicas()).status().is_terminal() {
            // As of one that is over here: nothing is to be done.
            return Ok(());
        }
        let (person, owner) = (principal.person(), person_hex(&principal.session()));
        let letter = serde_json::to_vec(&Letter { owner, word: word.clone() }).expect("a word is JSON");
        let name = format!("{id}.{:016x}", rand::random::<u64>());
        let laid = async {
            shelf.put(Place { person: &person, kind: Kind::Letter, name: &name }, &letter, WORD_KEPT).await?;
            let hint = ClientHint::Task { person: person_hex(&person), task: id.to_owned(), letter: name.clone() };
            shelf.tell(hint).await
        };
        laid.await.map_err(|error| no_store(&error))?;
        // A client that looks next sees what it has said, if its task's server is quick.
        let heard = async {
            while self
                .find(shelf, id, principal)
                .await
                .is_ok_and(|kept| kept.is_some_and(|kept| !word.is_heard(&kept.task)))
            {
                tokio::time::sleep(HEARD_EVERY).await;
            }
        };
        drop(tokio::time::timeout(HEARD_WITHIN, heard).await);
        Ok(())
    }

    /// Something that a client says of a task lies in the store.
    pub(in crate::mcp) async fn said_elsewhere(&self, person: &Person, id: &str, name: &str) {
        let Some(shelf) = &self.shelf else { return };
        let owner = self.owners.lock().get(id).filter(|own| own.person == *person).map(|own| person_hex(&own.session));
        let Some(owner) = owner.filter(|_| name.starts_with(id)) else { return };
        let taken = shelf.take(Place { person, kind: Kind::Letter, name }).await;
        let letter = match taken {
            Ok(value) => value.and_then(|value| serde_json::from_slice::<Letter>(&value).ok()),
            Err(error) => {
                tracing::debug!(%error, "what was said of a task elsewhere could not be read");
                None
            }
        };
        let Some(letter) = letter.filter(|letter| letter.owner == owner) else { return };
        // Of a task that is over nothing is left to do.
        let _ = match letter.word {
            Word::Answers(responses) => self.manager.update_task(id, responses),
            Word::Cancel => self.manager.cancel_task(id),
        };
        let progress = self.owners.lock().get(id).and_then(|own| own.shared.clone());
        if let Some(progress) = progress {
            progress.news.notify_one();
        }
    }

    /// Tasks of a person were forgotten, on whichever server.
    pub(in crate::mcp) async fn forgotten_elsewhere(&self, person: &Person) {
        let Some(shelf) = &self.shelf else { return };
        // Of each that is known, done or not, there is a row, unless it was removed.
        let known: Vec<String> = self.known().into_iter().filter(|(of, _)| of == person).map(|it| it.1).collect();
        for id in known {
            if let Ok(None) = shelf.get(place(person, &id)).await {
                self.forget_here(std::iter::once(&id));
            }
        }
    }

    /// This server may have missed what others have told.
    pub(in crate::mcp) async fn missed_something(&self) {
        let Some(shelf) = &self.shelf else { return };
        let people: HashSet<Person> = self.known().into_iter().map(|(person, _)| person).collect();
        for person in people {
            self.forgotten_elsewhere(&person).await;
        }
        for (person, id) in self.under_way() {
            let Ok(ledger) = shelf.ledger(&person).await else { continue };
            let beginning = format!("{id}.");
            let letters: Vec<String> =
                ledger.names(Kind::Letter).filter(|name| name.starts_with(&beginning)).map(str::to_owned).collect();
            for letter in letters {
                self.said_elsewhere(&person, &id, &letter).await;
            }
        }
    }

    /// The tasks of this server that others know of, with their people.
    fn known(&self) -> Vec<(Person, String)> {
        let owners = self.owners.lock();
        let known = owners.iter().filter(|(_, own)| own.shared.as_ref().is_some_and(|progress| progress.is_known()));
        let all: Vec<_> = known.map(|(id, own)| (own.person, id.clone())).collect();
        drop(owners);
        all
    }

    /// Those of them that work.
    pub(super) fn under_way(&self) -> Vec<(Person, String)> {
        let works = |id: &str| self.manager.get_task(id).is_ok_and(|task| !task.status().is_terminal());
        self.known().into_iter().filter(|(_, id)| works(id)).collect()
    }

    /// Notes that tasks were cut with this server.
    pub(super) async fn cut_elsewhere(&self, cut: Vec<(Person, String)>) {
        let Some(shelf) = &self.shelf else { return };
        let why = "the server that ran this task was stopped, and its work is lost: call the tool again";
        let notes = cut.iter().map(|(person, id)| {
            shelf.change(place(person, id), move |found| {
                let kept = found.and_then(KeptTask::read).filter(KeptTask::is_under_way);
                Ok::<_, ShelfError>(match kept {
                    Some(kept) => {
                        let task = failed(kept.task.clone(), why);
                        Change::Put(KeptTask { task, ..kept }.write(), in_time(TTL))
                    }
                    None => Change::Keep,
                })
            })
        });
        // Others find out by themselves, later.
        drop(tokio::time::timeout(CUT_WITHIN, join_all(notes)).await);
    }

    /// The tasks of a person that other servers run, or have run.
    pub(super) async fn of_person_elsewhere(&self, person: &Person) -> Result<Vec<DetailedTask>, ShelfError> {
        let Some(shelf) = &self.shelf else { return Ok(Vec::new()) };
        let ledger = shelf.ledger(person).await?;
        let here = self.ids_of(person);
        let others = ledger.names(Kind::Task).filter(|id| !here.iter().any(|own| own == id));
        let rows = join_all(others.map(|id| shelf.get(place(person, id)))).await;
        let rows: Vec<Option<Vec<u8>>> = rows.into_iter().collect::<Result<_, _>>()?;
        let kept = rows.into_iter().flatten().filter_map(|row| KeptTask::read(&row));
        Ok(kept.map(|kept| kept.now(shelf.replicas())).collect())
    }

    /// Forgets what the servers keep of a person. Returns the tasks that were there.
    pub(super) async fn forget_elsewhere(&self, person: &Person) -> Result<Vec<String>, ShelfError> {
        let Some(shelf) = &self.shelf else { return Ok(Vec::new()) };
        let tasks = shelf.forget(person).await?;
        shelf.tell(ClientHint::Person(person_hex(person))).await?;
        Ok(tasks)
    }
}
