//! Operations on the entries of one space, each in a transaction of its own.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{Connection, TransactionBehavior};

use super::fault::Fault;
use super::limits::{ENTRY_BYTES, MAX_BATCH_BYTES, PAGE};
use super::open::Database;
use super::request::{Answer, Delta, Expected, KvError, Operation, Outcome, Owner, Request, Space, Value};
use super::rows::{self, Entry, Millis};
use super::seal::{Place, Sealer};
use super::spaces::{self, OpenSpace};
use crate::clock;

impl Database {
    /// Does what is asked for: everything or nothing.
    pub(super) fn run(&mut self, request: Request) -> Result<Answer, Fault> {
        let Self { connection, sealer, .. } = self;
        let transaction = connection.transaction_with_behavior(match &request {
            Request::Use { operation, .. } if operation.written().next().is_none() => TransactionBehavior::Deferred,
            _ => TransactionBehavior::Immediate,
        })?;
        let answer = match request {
            Request::Use { space, quota_bytes, operation } => {
                let work = Work { connection: &transaction, sealer, space: &space, quota_bytes, now: now() };
                Answer::Outcome(work.run(operation)?)
            }
            Request::Owners { plugin } => Answer::Owners(spaces::owners(&transaction, sealer, &plugin)?),
            Request::Spaces { after } => {
                let (spaces, next) = spaces::all(&transaction, sealer, after)?;
                Answer::Spaces(spaces, next)
            }
            Request::Forget { person } => {
                Answer::Changed(spaces::forget(&transaction, sealer, &Owner::Person(person))?)
            }
            Request::Move { from, to } => Answer::Changed(spaces::hand_over(&transaction, sealer, &from, &to)?),
            Request::Clear { space } => Answer::Changed(spaces::clear(&transaction, sealer, &space)?),
        };
        transaction.commit()?;
        Ok(answer)
    }

    /// Removes some of what has expired. Returns whether there is more.
    pub(super) fn sweep(&mut self) -> rusqlite::Result<bool> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let has_more = rows::sweep(&transaction, now())?;
        transaction.commit()?;
        Ok(has_more)
    }
}

/// The time of day by which lives end.
fn now() -> Millis {
    Millis::try_from(clock::now_ms()).unwrap_or(Millis::MAX)
}

/// One operation.
struct Work<'a> {
    connection: &'a Connection,
    sealer: &'a Sealer,
    space: &'a Space,
    quota_bytes: u64,
    now: Millis,
}

impl Work<'_> {
    fn run(&self, operation: Operation) -> Result<Outcome, Fault> {
        match operation {
            Operation::Get { names } => self.get(&names),
            Operation::Exist { names } => {
                let space = self.find()?;
                let exists = |name: &String| match &space {
                    Some(space) => rows::exists(self.connection, space.id, name.as_bytes(), self.now),
                    None => Ok(false),
                };
                Ok(Outcome::Exist(names.iter().map(exists).collect::<rusqlite::Result<_>>()?))
            }
            Operation::Set { entries, ttl } => {
                let expires_ms = self.end_of(ttl);
                let mut space = self.find_or_make()?;
                for (name, value) in &entries {
                    self.put(&mut space, name.as_bytes(), &value.0, expires_ms)?;
                }
                spaces::update(self.connection, &space)?;
                Ok(Outcome::Done)
            }
            Operation::Delete { names } => {
                let Some(mut space) = self.find()? else { return Ok(Outcome::Deleted(0)) };
                let mut deleted = 0;
                for name in &names {
                    deleted += u64::from(self.delete(&mut space, name.as_bytes())?);
                }
                spaces::update(self.connection, &space)?;
                Ok(Outcome::Deleted(deleted))
            }
            Operation::Swap { name, expected, value, ttl } => {
                let mut space = self.find_or_make()?;
                let current = self.read(&space, name.as_bytes())?;
                let is_expected = match &expected {
                    Expected::Value(expected) => current.as_ref().map(|(value, _)| value) == expected.as_ref(),
                    Expected::Revision(expected) => current.as_ref().map(|(_, revision)| *revision) == *expected,
                };
                if !is_expected {
                    return Ok(Outcome::Other(current));
                }
                match value {
                    Some(value) => self.put(&mut space, name.as_bytes(), &value.0, self.end_of(ttl))?,
                    None => drop(self.delete(&mut space, name.as_bytes())?),
                }
                spaces::update(self.connection, &space)?;
                Ok(Outcome::Done)
            }
            Operation::Increment { name, delta } => self.increment(name.as_bytes(), delta),
            Operation::Names { prefix, cursor } => self.names(&prefix, cursor),
            Operation::NamesInTurn { cursor } => {
                let Some(space) = self.find()? else { return Ok(Outcome::NamesInTurn(Vec::new(), None)) };
                let after = cursor.unwrap_or_default();
                let mut found = rows::names_in_turn(self.connection, space.id, after, self.now, PAGE + 1)?;
                let has_more = found.len() > PAGE;
                found.truncate(PAGE);
                let cursor = found.last().map(|(_, turn)| *turn).filter(|_| has_more);
                let names = found.into_iter().map(|(name, _)| text(name)).collect::<Result<_, _>>()?;
                Ok(Outcome::NamesInTurn(names, cursor))
            }
        }
    }

    fn find(&self) -> Result<Option<OpenSpace>, Fault> {
        spaces::find(self.connection, self.sealer, self.space)
    }

    fn find_or_make(&self) -> Result<OpenSpace, Fault> {
        spaces::find_or_make(self.connection, self.sealer, self.space)
    }

    fn end_of(&self, ttl: Option<std::time::Duration>) -> Option<Millis> {
        let ttl = Millis::try_from(ttl?.as_millis()).unwrap_or(Millis::MAX);
        Some(self.now.saturating_add(ttl))
    }

    fn get(&self, names: &[String]) -> Result<Outcome, Fault> {
        let Some(space) = self.find()? else { return Ok(Outcome::Values(vec![None; names.len()])) };
        let (mut values, mut bytes) = (Vec::with_capacity(names.len()), 0);
        for name in names {
            let value = self.read(&space, name.as_bytes())?;
            bytes += value.as_ref().map_or(0, |(value, _)| value.0.len());
            if bytes > MAX_BATCH_BYTES {
                return Err(KvError::LargeBatch.into());
            }
            values.push(value);
        }
        Ok(Outcome::Values(values))
    }

    fn read(&self, space: &OpenSpace, name: &[u8]) -> Result<Option<(Value, u64)>, Fault> {
        let Some(Entry { sealed, revision, expires_ms }) = rows::get(self.connection, space.id, name, self.now)? else {
            return Ok(None);
        };
        let place = Place { name, revision, expires_ms };
        let value = self.sealer.open_value(&space.sealed, &place, &sealed).ok_or(KvError::Damaged)?;
        Ok(Some((Value(value), revision)))
    }

    /// Writes an entry, if there is room.
    fn put(&self, space: &mut OpenSpace, name: &[u8], value: &[u8], expires_ms: Option<Millis>) -> Result<(), Fault> {
        let bytes = (name.len() + value.len()) as u64 + ENTRY_BYTES;
        let mut before = rows::bytes(self.connection, space.id, name)?;
        let after = |space: &OpenSpace, before: Option<u64>| {
            space.bytes.saturating_sub(before.unwrap_or_default()).saturating_add(bytes)
        };
        if after(space, before) > self.quota_bytes {
            space.bytes = space.bytes.saturating_sub(rows::remove_expired(self.connection, space.id, self.now)?);
            before = rows::bytes(self.connection, space.id, name)?;
        }
        let is_growth = before.is_none_or(|before| bytes > before);
        if is_growth && after(space, before) > self.quota_bytes {
            return Err(KvError::Quota { used_bytes: space.bytes, quota_bytes: self.quota_bytes }.into());
        }
        space.bytes = after(space, before);
        space.turn += 1;
        // Random: it tells an entry from any other that was ever under this name.
        let revision = rand::random();
        let sealed = self.sealer.seal_value(&space.sealed, &Place { name, revision, expires_ms }, value);
        rows::put(self.connection, space.id, name, space.turn, bytes, &Entry { sealed, revision, expires_ms })?;
        Ok(())
    }

    /// Removes an entry. Returns whether it was there, and alive.
    fn delete(&self, space: &mut OpenSpace, name: &[u8]) -> Result<bool, Fault> {
        let was_there = rows::exists(self.connection, space.id, name, self.now)?;
        if let Some(bytes) = rows::bytes(self.connection, space.id, name)? {
            rows::remove(self.connection, space.id, name)?;
            space.bytes = space.bytes.saturating_sub(bytes);
        }
        Ok(was_there)
    }

    fn increment(&self, name: &[u8], delta: Delta) -> Result<Outcome, Fault> {
        let mut space = self.find_or_make()?;
        let current = self.read(&space, name)?;
        let expires_ms =
            rows::get(self.connection, space.id, name, self.now)?.and_then(|Entry { expires_ms, .. }| expires_ms);
        let digits = match &current {
            Some((value, _)) => std::str::from_utf8(&value.0).map_err(|_| KvError::NoNumber)?,
            None => "0",
        };
        let outcome = match delta {
            Delta::Unsigned(delta) => {
                let sum = digits.parse::<u64>().ok().and_then(|number| number.checked_add(delta));
                Outcome::Unsigned(sum.ok_or(KvError::NoNumber)?)
            }
            Delta::Signed(delta) => {
                let sum = digits.parse::<i64>().ok().and_then(|number| number.checked_add(delta));
                Outcome::Signed(sum.ok_or(KvError::NoNumber)?)
            }
        };
        let sum = match &outcome {
            Outcome::Unsigned(sum) => sum.to_string(),
            Outcome::Signed(sum) => sum.to_string(),
            _ => return Err(KvError::NoNumber.into()),
        };
        self.put(&mut space, name, sum.as_bytes(), expires_ms)?;
        spaces::update(self.connection, &space)?;
        Ok(outcome)
    }

    fn names(&self, prefix: &str, cursor: Option<String>) -> Result<Outcome, Fault> {
        let Some(space) = self.find()? else {
            return if cursor.is_none() { Ok(Outcome::Names(Vec::new(), None)) } else { Err(KvError::Cursor.into()) };
        };
        let opened = |cursor: String| {
            let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            self.sealer.open_cursor(&space.sealed, prefix, &sealed)
        };
        let after = cursor.map(|cursor| opened(cursor).ok_or(KvError::Cursor)).transpose()?;
        let mut names =
            rows::names(self.connection, space.id, after.as_deref(), prefix.as_bytes(), self.now, PAGE + 1)?;
        let has_more = names.len() > PAGE;
        names.truncate(PAGE);
        let cursor = names
            .last()
            .filter(|_| has_more)
            .map(|last| URL_SAFE_NO_PAD.encode(self.sealer.seal_cursor(&space.sealed, prefix, last)));
        Ok(Outcome::Names(names.into_iter().map(text).collect::<Result<_, _>>()?, cursor))
    }
}

/// Names are written as texts.
fn text(name: Vec<u8>) -> Result<String, KvError> {
    String::from_utf8(name).map_err(|_| KvError::Damaged)
}
