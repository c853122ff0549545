//! What is asked of the file: each request in a transaction of its own.

use rusqlite::{Connection, TransactionBehavior};

use super::fault::Fault;
use super::open::Database;
use super::operations::{self, Change, Changes, Decided, Look, Millis, Seen};
use super::pages;
use super::request::{Answer, Operation, Outcome, Owner, Request, Space};
use super::rows;
use super::seal::Sealer;
use super::spaces;
use crate::clock;

impl Database {
    /// Does what is asked for: everything or nothing.
    pub(super) fn run(&mut self, request: Request) -> Result<Answer, Fault> {
        self.expect_in_place()?;
        let Self { connection, sealer, .. } = self;
        let transaction = connection.transaction_with_behavior(match &request {
            Request::Use { operation, .. } if operation.written().next().is_none() => TransactionBehavior::Deferred,
            _ => TransactionBehavior::Immediate,
        })?;
        let answer = match request {
            Request::Use { space, quota_bytes, operation } => {
                Answer::Outcome(run(&transaction, sealer, &space, quota_bytes, &operation)?)
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

fn run(
    connection: &Connection,
    sealer: &Sealer,
    space: &Space,
    quota_bytes: u64,
    operation: &Operation,
) -> Result<Outcome, Fault> {
    let now = now();
    let (id, held) = spaces::find(connection, sealer, space)?.unzip();
    match Look::of(operation) {
        Look::Entries { names, part } => {
            let mut seen = Seen::new(now, held);
            for name in names {
                let entry = id.map(|id| rows::entry(connection, id, name.as_bytes(), part));
                seen.add(sealer, name, entry.transpose()?.flatten())?;
            }
            let expired = || match id {
                Some(id) => Ok(rows::expired(connection, id, now)?),
                None => Ok(Vec::new()),
            };
            let decided = operations::decide::<Fault>(sealer, space, quota_bytes, operation, seen, expired);
            let Decided { outcome, changes } = decided?;
            if let Some(changes) = changes {
                apply(connection, sealer, space, id, changes)?;
            }
            Ok(outcome)
        }
        Look::Names { prefix, cursor } => {
            let after = pages::begin(sealer, held.as_ref().map(|held| &held.sealed), prefix, cursor)?;
            let Some((id, held)) = id.zip(held) else { return Ok(Outcome::Names(Vec::new(), None)) };
            let names = rows::names(connection, id, after.as_deref(), prefix.as_bytes(), now, pages::READ)?;
            Ok(pages::of_names(sealer, &held.sealed, prefix, names)?)
        }
        Look::NamesInTurn { after } => {
            let Some(id) = id else { return Ok(Outcome::NamesInTurn(Vec::new(), None)) };
            Ok(pages::of_turns(rows::names_in_turn(connection, id, after, now, pages::READ)?)?)
        }
    }
}

fn apply(
    connection: &Connection,
    sealer: &Sealer,
    space: &Space,
    id: Option<i64>,
    Changes { space: held, entries }: Changes,
) -> Result<(), Fault> {
    let id = match id {
        Some(id) => id,
        None => spaces::make(connection, sealer, space, &held.sealed)?,
    };
    for change in &entries {
        match change {
            Change::Put { name, entry } => rows::put(connection, id, name, entry)?,
            Change::Remove { name } => rows::remove(connection, id, name)?,
        }
    }
    spaces::update(connection, id, &held)
}
