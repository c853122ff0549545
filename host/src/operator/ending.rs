//! The end of sessions, and everything of a person.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use super::request::{Answer, PersonId, Which};
use super::{Operator, Serving};
use crate::auth::desk::ListedSession;
use crate::kv::{self, Person};
use crate::principal::Principal;
use crate::store::Key;

/// Sessions that are ended at a time: as many share one transaction of the store.
const AT_A_TIME: usize = 64;

/// Time for calls to end whose session has ended, so that nothing of theirs is kept after it was deleted.
const CALLS_END_WITHIN: Duration = Duration::from_millis(250);

impl Which {
    fn has(&self, key: &Key, session: &ListedSession) -> bool {
        match self {
            Self::Session(id) => Key::from_hex(id).as_ref() == Some(key),
            Self::Person(person) => person.has(session),
            Self::Clients(ids) => ids.contains(&session.client_id),
            Self::Through(person, ids) => person.has(session) && ids.contains(&session.client_id),
            Self::All => true,
        }
    }
}

impl Operator {
    /// Ends sessions. Returns their number.
    pub(super) async fn end(&self, which: &Which) -> Result<u64, String> {
        if let Which::Session(id) = which {
            let key = Key::from_hex(id).ok_or("a session's id has 64 hexadecimal digits")?;
            let Some(desk) = &self.desk else { return Ok(0) };
            let is_ended = desk.end(key).await.map_err(|error| error.to_string())?;
            tell(u64::from(is_ended));
            return Ok(u64::from(is_ended));
        }
        if *which == Which::All {
            // First, and before any row is gone: this one line on the disk ends every session there is, also those that
            // nobody here knows of.
            self.change(|off| off.all_ended += 1).await?;
        }
        let ended = self.end_rows(which).await;
        // Whatever became of the rows.
        let mut forgotten = Ok(());
        if let Some(serving) = &self.serving {
            let none = BTreeSet::new();
            forgotten = forget_sessions(serving, which, ended.as_ref().map(|it| &it.through).unwrap_or(&none)).await;
        }
        let sessions = ended?.sessions;
        forgotten?;
        tell(sessions);
        Ok(sessions)
    }

    async fn end_rows(&self, which: &Which) -> Result<Ended, String> {
        let mut ended = Ended::default();
        let Some(desk) = &self.desk else { return Ok(ended) };
        let in_words = |error: crate::store::StoreError| error.to_string();
        let mut after = None;
        loop {
            let (sessions, next) = match which {
                Which::All => desk.page_of_every_age(after).await.map_err(in_words)?,
                _ => desk.page(after).await.map_err(in_words)?,
            };
            let meant: Vec<(Key, ListedSession)> =
                sessions.into_iter().filter(|(key, session)| which.has(key, session)).collect();
            ended.through.extend(meant.iter().map(|(_, session)| {
                let person = PersonId { issuer: session.issuer.clone(), subject: session.subject.clone() };
                (person, session.client_id.clone())
            }));
            let ending = meant.into_iter().map(|(key, _)| desk.end(key));
            let done: Vec<bool> =
                stream::iter(ending).buffer_unordered(AT_A_TIME).try_collect().await.map_err(in_words)?;
            ended.sessions += done.into_iter().filter(|is_ended| *is_ended).count() as u64;
            after = next;
            if after.is_none() {
                return Ok(ended);
            }
        }
    }

    /// Deletes everything of a person. A block stays, since it is no data of theirs but the operator's decision.
    pub(super) async fn forget(&self, person: &PersonId) -> Result<Answer, String> {
        let sessions = self.end(&Which::Person(person.clone())).await?;
        let mut tasks = 0;
        if let Some(serving) = &self.serving {
            serving.plugins.forget(&person.key());
            tasks = serving.holdings.forget_tasks(&person.key()).await?;
        }
        let mut entries = 0;
        if let Some(kv) = self.kv.as_ref().filter(|kv| kv.has_any()) {
            tokio::time::sleep(CALLS_END_WITHIN).await;
            let request = kv::Request::Forget { person: Person::of(&person.issuer, &person.subject) };
            match kv.ask(request).await.map_err(|error| error.to_string())? {
                kv::Answer::Changed(count) => entries = count,
                _ => return Err("the state of plugins gave another answer".to_owned()),
            }
        }
        let label = crate::person_label::label(&person.key());
        tracing::warn!(person = label, sessions, entries, tasks, "a person was deleted by whoever runs this server");
        Ok(Answer::Forgotten { sessions, entries, tasks: tasks as u64 })
    }
}

/// Sessions that have ended, and whose they were through which clients.
#[derive(Default)]
struct Ended {
    sessions: u64,
    through: BTreeSet<(PersonId, String)>,
}

/// Lets go of sessions of the older era, which no token opens any more.
async fn forget_sessions(
    serving: &Serving,
    which: &Which,
    through: &BTreeSet<(PersonId, String)>,
) -> Result<(), String> {
    let holdings = &serving.holdings;
    if let Which::Person(person) = which {
        return holdings.end_sessions(&person.key(), None).await;
    }
    let session = |person: &PersonId, client: &str| Principal::session_of(&person.issuer, &person.subject, client);
    let meant: Vec<_> = through.iter().map(|(person, client)| (person.key(), session(person, client))).collect();
    let ending = meant.into_iter().map(|(person, session)| {
        let holdings = holdings.clone();
        async move { holdings.end_sessions(&person, Some(&session)).await }
    });
    let ended: Vec<Result<(), String>> = stream::iter(ending).buffer_unordered(AT_A_TIME).collect().await;
    ended.into_iter().collect()
}

fn tell(sessions: u64) {
    if sessions > 0 {
        tracing::warn!(sessions, "sessions were ended by whoever runs this server");
    }
}
