//! The memory that one person's requests hold beside the limits of their calls: an account for each person.
//!
//! An account has three parts. [`Part::Kept`] is for things that outlive a request: sessions, listeners, tasks, the
//! backlogs of streams. [`Part::Bodies`] is for requests as they arrive, [`Part::Values`] for all that is made of them and
//! of results. The parts keep waiting free of deadlocks: a request first waits for its body, then for its values, and
//! whoever has its values waits for nothing more ([`Held::grow`] refuses at once). So nobody waits while they hold
//! something that the others ahead of them need. Others are not touched: every person has an account of their own.
//!
//! Callers of a server without logins are one person.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex as TurnLock, Notify, OwnedSemaphorePermit, Semaphore};

/// The name of a person, see [`crate::principal::Principal::person`].
type Person = [u8; 32];

/// Each part in request bodies of the largest size, [`Part::Kept`] first.
const BODIES: [usize; 3] = [8, 8, 48];

/// Bytes of an account at least, for servers with small bodies: results have a limit of their own.
const LEAST_BYTES: usize = 256 << 20;

/// Bytes for which one permit of a semaphore stands.
const UNIT_BYTES: usize = 1024;

/// Time for which a request waits for others of its person.
const PATIENCE: Duration = Duration::from_secs(60);

/// A part of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Things that outlive a request.
    Kept,
    /// Bodies of requests.
    Bodies,
    /// Values that are made of bodies and of results.
    Values,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "tasks and listeners",
            Self::Bodies => "requests that are being sent",
            Self::Values => "requests and their answers",
        })
    }
}

/// The accounts of all people. Clones are handles to the same.
#[derive(Clone)]
pub struct Budgets(Arc<Accounts>);

struct Accounts {
    part_bytes: [usize; 3],
    /// An account is there for as long as somebody holds it, or anything of it.
    people: Mutex<HashMap<Person, Weak<Account>>>,
}

/// The account of one person.
pub struct Account {
    person: Person,
    accounts: Weak<Accounts>,
    part_bytes: [usize; 3],
    parts: [Arc<Semaphore>; 3],
    /// The queue before each part. Those who wait in a semaphore get whatever is free, bit by bit, and nobody could grow
    /// meanwhile.
    turns: [TurnLock<()>; 3],
    freed: [Notify; 3],
}

/// Bytes of an account, given back when this is dropped.
pub struct Held {
    account: Arc<Account>,
    part: Part,
    state: Mutex<HeldState>,
}

struct HeldState {
    bytes: usize,
    permit: OwnedSemaphorePermit,
}

/// The refusal of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overdrawn {
    /// There is none in this part at the moment, which has so many bytes.
    #[error(
        "your {} hold all the memory that one person may use for them ({} MiB): try again when some have ended", .0, mib(.1)
    )]
    Now(Part, usize),
    /// There will never be so much.
    #[error("this takes more memory than one person may use at once ({} MiB): send less in one request", mib(.0))]
    Ever(usize),
}

fn mib(bytes: &usize) -> usize {
    bytes >> 20
}

impl Budgets {
    /// Accounts for a server that takes bodies of at most so many bytes.
    pub fn new(max_body_bytes: usize) -> Self {
        let sum: usize = BODIES.iter().sum();
        let body_bytes = max_body_bytes.max(LEAST_BYTES / sum);
        let part_bytes = BODIES.map(|bodies| bodies.saturating_mul(body_bytes).min(Semaphore::MAX_PERMITS));
        Self(Arc::new(Accounts { part_bytes, people: Mutex::default() }))
    }

    /// The account of a person.
    pub fn account(&self, person: Person) -> Arc<Account> {
        let mut people = self.0.people();
        if let Some(account) = people.get(&person).and_then(Weak::upgrade) {
            return account;
        }
        let part_bytes = self.0.part_bytes;
        let account = Arc::new(Account {
            person,
            accounts: Arc::downgrade(&self.0),
            part_bytes,
            parts: part_bytes.map(|bytes| Arc::new(Semaphore::new(bytes / UNIT_BYTES))),
            turns: Default::default(),
            freed: Default::default(),
        });
        people.insert(person, Arc::downgrade(&account));
        account
    }
}

impl Accounts {
    fn people(&self) -> MutexGuard<'_, HashMap<Person, Weak<Account>>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Waits for memory, behind those of the same person who wait already. Not for callers who hold some of this part.
    ///
    /// # Errors
    /// More than the part ever has, or none within a minute.
    pub async fn hold(self: &Arc<Self>, part: Part, bytes: usize) -> Result<Held, Overdrawn> {
        let units = self.units(part, bytes)?;
        let waited = async {
            let _turn = self.turns[part as usize].lock().await;
            loop {
                if let Ok(permit) = Arc::clone(self.semaphore(part)).try_acquire_many_owned(units) {
                    return permit;
                }
                self.freed[part as usize].notified().await;
            }
        };
        let permit = tokio::time::timeout(PATIENCE, waited).await;
        permit.map(|permit| self.held(part, bytes, permit)).map_err(|_elapsed| self.full(part))
    }

    /// Takes memory that is free now.
    ///
    /// # Errors
    /// There is not so much.
    pub fn try_hold(self: &Arc<Self>, part: Part, bytes: usize) -> Result<Held, Overdrawn> {
        let units = self.units(part, bytes)?;
        let permit = Arc::clone(self.semaphore(part)).try_acquire_many_owned(units);
        permit.map(|permit| self.held(part, bytes, permit)).map_err(|_| self.full(part))
    }

    fn held(self: &Arc<Self>, part: Part, bytes: usize, permit: OwnedSemaphorePermit) -> Held {
        Held { account: Arc::clone(self), part, state: Mutex::new(HeldState { bytes, permit }) }
    }

    fn semaphore(&self, part: Part) -> &Arc<Semaphore> {
        &self.parts[part as usize]
    }

    fn units(&self, part: Part, bytes: usize) -> Result<u32, Overdrawn> {
        let fits = bytes <= self.part_bytes[part as usize];
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).ok().filter(|_| fits);
        units.ok_or(Overdrawn::Ever(self.part_bytes[part as usize]))
    }

    fn full(&self, part: Part) -> Overdrawn {
        Overdrawn::Now(part, self.part_bytes[part as usize])
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some(accounts) = self.accounts.upgrade() else { return };
        let mut people = accounts.people();
        // Another one may have taken its place in the moment before.
        if people.get(&self.person).is_some_and(|account| account.strong_count() == 0) {
            people.remove(&self.person);
        }
    }
}

impl Held {
    /// The bytes that it stands for.
    pub fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// Takes more, without waiting: those who wait might wait for this.
    ///
    /// # Errors
    /// There is not so much.
    pub fn grow(&self, bytes: usize) -> Result<(), Overdrawn> {
        let mut state = self.state();
        let all = state.bytes.saturating_add(bytes);
        let more = self.account.units(self.part, all)? as usize - state.permit.num_permits();
        // What fits into the same units takes no further ones.
        let more =
            self.account.semaphore(self.part).clone().try_acquire_many_owned(u32::try_from(more).unwrap_or(u32::MAX));
        state.permit.merge(more.map_err(|_| self.account.full(self.part))?);
        state.bytes = all;
        Ok(())
    }

    /// Gives some back.
    pub fn shrink(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes);
        let surplus = state.permit.num_permits() - state.bytes.div_ceil(UNIT_BYTES);
        self.give_back(&mut state, surplus);
    }

    fn give_back(&self, state: &mut HeldState, units: usize) {
        drop(state.permit.split(units));
        self.account.freed[self.part as usize].notify_one();
    }

    /// Bytes that hold this for as long as anybody has a part of them, be it the connection that still sends them.
    pub fn owned_by(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        struct Charged<B> {
            bytes: B,
            _held: Held,
        }

        impl<B: AsRef<[u8]>> AsRef<[u8]> for Charged<B> {
            fn as_ref(&self) -> &[u8] {
                self.bytes.as_ref()
            }
        }

        Bytes::from_owner(Charged { bytes, _held: self })
    }

    fn state(&self) -> MutexGuard<'_, HeldState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.state();
        let units = state.permit.num_permits();
        self.give_back(&mut state, units);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("part", &self.part).field("bytes", &self.bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    fn budgets() -> Budgets {
        Budgets::new(4 * MIB)
    }

    #[test]
    fn an_account_has_256_mib_and_more_for_larger_bodies() {
        assert_eq!(budgets().account([1; 32]).part_bytes, [32 * MIB, 32 * MIB, 192 * MIB]);
        let all = |budgets: Budgets| budgets.account([1; 32]).part_bytes.iter().sum::<usize>();
        assert_eq!((all(Budgets::new(1)), all(Budgets::new(8 * MIB))), (256 * MIB, 512 * MIB));
    }

    #[tokio::test]
    async fn who_is_over_it_waits_and_others_are_not_touched() {
        let budgets = budgets();
        let (one, other) = (budgets.account([1; 32]), budgets.account([2; 32]));
        let first = one.try_hold(Part::Bodies, 30 * MIB).unwrap();
        assert_eq!(one.try_hold(Part::Bodies, 3 * MIB).unwrap_err(), Overdrawn::Now(Part::Bodies, 32 * MIB));
        let again = budgets.account([1; 32]);
        let mut waiting = Box::pin(again.hold(Part::Bodies, 3 * MIB));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(one.try_hold(Part::Values, 192 * MIB).is_ok());
        assert!(other.try_hold(Part::Bodies, 32 * MIB).is_ok());
        drop(first);
        assert!(waiting.now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn who_holds_some_may_grow_beside_others_who_wait() {
        let account = budgets().account([1; 32]);
        let held = account.try_hold(Part::Values, 120 * MIB).unwrap();
        let mut waiting = Box::pin(account.hold(Part::Values, 120 * MIB));
        assert!(waiting.as_mut().now_or_never().is_none());
        held.grow(10 * MIB).unwrap();
        let mut next = Box::pin(account.hold(Part::Values, MIB));
        assert!(next.as_mut().now_or_never().is_none());
        drop(held);
        assert!(waiting.as_mut().now_or_never().unwrap().is_ok() && next.now_or_never().unwrap().is_ok());
    }

    #[test]
    fn more_than_there_ever_is_is_refused_at_once() {
        let account = budgets().account([1; 32]);
        let refused = account.hold(Part::Values, 193 * MIB).now_or_never().unwrap();
        assert_eq!(refused.unwrap_err(), Overdrawn::Ever(192 * MIB));
        assert!(account.try_hold(Part::Values, usize::MAX).is_err());
        assert!(account.try_hold(Part::Values, MIB).unwrap().grow(usize::MAX).is_err());
    }

    #[test]
    fn the_refusal_names_the_part_that_is_full() {
        let account = budgets().account([1; 32]);
        let _kept = account.try_hold(Part::Kept, 32 * MIB).unwrap();
        assert_eq!(
            account.try_hold(Part::Kept, MIB).unwrap_err().to_string(),
            "your tasks and listeners hold all the memory that one person may use for them (32 MiB): try again when \
             some have ended"
        );
        let values = account.try_hold(Part::Values, 192 * MIB).unwrap();
        assert!(values.grow(MIB).is_err());
        let refusal = account.try_hold(Part::Values, MIB).unwrap_err().to_string();
        assert!(
            refusal.starts_with("your requests and their answers hold all") && refusal.contains("(192 MiB)"),
            "{refusal}"
        );
    }

    #[test]
    fn it_grows_and_shrinks_and_leaves_nothing_behind() {
        let budgets = budgets();
        let account = budgets.account([1; 32]);
        let free = || account.parts[Part::Kept as usize].available_permits() * UNIT_BYTES;
        let held = account.try_hold(Part::Kept, 10).unwrap();
        held.grow(10).unwrap();
        assert_eq!((held.bytes(), free()), (20, 32 * MIB - UNIT_BYTES));
        held.grow(5 * MIB).unwrap();
        assert!(held.grow(27 * MIB).is_err());
        held.shrink(5 * MIB);
        assert_eq!((held.bytes(), free()), (20, 32 * MIB - UNIT_BYTES));
        let bytes = held.owned_by(vec![1, 2, 3]);
        let part = bytes.slice(1..2);
        drop(bytes);
        assert!(free() < 32 * MIB);
        drop(part);
        assert_eq!(free(), 32 * MIB);
        drop(account);
        assert!(budgets.0.people().is_empty());
    }
}
