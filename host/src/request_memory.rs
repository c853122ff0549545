//! The memory of one request, as its person's account counts it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::budget::{Budgets, Held, Overdrawn, Part};

/// What a request may hold without an account: most requests hold less, and looking an account up takes time.
const SMALL_BYTES: usize = 4096;

/// The values of one request, from its arguments to the last byte of its answer. Clones are handles to the same.
#[derive(Clone)]
pub struct RequestMemory(Arc<Shared>);

struct Shared {
    budgets: Budgets,
    /// See [`crate::principal::Principal::person`].
    person: [u8; 32],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes that are not held, few as they are.
    small: usize,
    /// Bytes that are held for what is to come.
    spare: usize,
    held: Option<Held>,
}

impl RequestMemory {
    /// The memory of a request of this person, who holds nothing by it yet.
    pub fn new(budgets: &Budgets, person: [u8; 32]) -> Self {
        Self(Arc::new(Shared { budgets: budgets.clone(), person, state: Mutex::default() }))
    }

    /// Waits for memory, the first of this request: one that holds some would keep others waiting.
    ///
    /// # Errors
    /// More than there ever is, or none in time.
    pub async fn wait_for(&self, bytes: usize) -> Result<(), Overdrawn> {
        if bytes <= SMALL_BYTES {
            self.state().small = bytes;
            return Ok(());
        }
        let held = self.0.budgets.account(self.0.person).hold(Part::Values, bytes).await?;
        self.state().held = Some(held);
        Ok(())
    }

    /// Keeps so many bytes of those that were waited for: they are charged later.
    pub fn spare(&self, bytes: usize) {
        self.state().spare = bytes;
    }

    /// Takes more, without waiting.
    ///
    /// # Errors
    /// There is not so much now.
    pub fn charge(&self, bytes: usize) -> Result<(), Overdrawn> {
        let mut state = self.state();
        let spare = state.spare.min(bytes);
        state.spare -= spare;
        let bytes = bytes - spare;
        if let Some(held) = &state.held {
            return held.grow(bytes);
        }
        let all = state.small.saturating_add(bytes);
        if all > SMALL_BYTES {
            state.held = Some(self.0.budgets.account(self.0.person).try_hold(Part::Values, all)?);
        }
        state.small = all;
        Ok(())
    }

    /// Gives all back.
    pub fn release(&self) {
        *self.state() = State::default();
    }

    /// Holds so many bytes and no others from now on.
    ///
    /// # Errors
    /// There is not so much now.
    pub fn set(&self, bytes: usize) -> Result<(), Overdrawn> {
        self.lower(bytes);
        let before = {
            let state = self.state();
            state.held.as_ref().map_or(state.small, Held::bytes)
        };
        self.charge(bytes.saturating_sub(before))
    }

    /// Gives back what is held beyond so many bytes.
    pub fn lower(&self, bytes: usize) {
        let mut state = self.state();
        state.spare = 0;
        if bytes <= SMALL_BYTES {
            state.small = state.held.take().map_or(state.small, |held| held.bytes()).min(bytes);
        }
        match &state.held {
            Some(held) => held.shrink(held.bytes().saturating_sub(bytes)),
            None => state.small = state.small.min(bytes),
        }
    }

    /// True if it counts against its person's account.
    pub fn is_held(&self) -> bool {
        self.state().held.is_some()
    }

    /// Bytes of an answer that keep this memory for as long as anybody has a part of them.
    pub fn keep_with<B: AsRef<[u8]> + Into<Bytes> + Send + 'static>(&self, bytes: B) -> Bytes {
        struct Charged<B> {
            bytes: B,
            _memory: RequestMemory,
        }

        impl<B: AsRef<[u8]>> AsRef<[u8]> for Charged<B> {
            fn as_ref(&self) -> &[u8] {
                self.bytes.as_ref()
            }
        }

        if self.is_held() { Bytes::from_owner(Charged { bytes, _memory: self.clone() }) } else { bytes.into() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn little_is_free_and_much_is_held_to_the_last_byte_of_the_answer() {
        let budgets = Budgets::new(4 * MIB);
        let memory = RequestMemory::new(&budgets, [1; 32]);
        memory.wait_for(1000).now_or_never().unwrap().unwrap();
        memory.charge(3000).unwrap();
        assert!(!memory.is_held());
        memory.charge(191 * MIB).unwrap();
        assert!(memory.is_held() && memory.charge(MIB).is_err());
        let other = RequestMemory::new(&budgets, [1; 32]);
        assert!(other.charge(2 * MIB).is_err());
        memory.set(100_000).unwrap();
        assert!(other.charge(191 * MIB).is_ok());
        let answer = memory.keep_with(vec![0; 100_000]);
        drop(memory);
        other.release();
        assert!(other.charge(192 * MIB).is_err());
        drop(answer);
        assert!(other.charge(192 * MIB).is_ok());
    }

    #[tokio::test]
    async fn bytes_that_were_waited_for_are_charged_once() {
        let memory = RequestMemory::new(&Budgets::new(4 * MIB), [1; 32]);
        memory.wait_for(150 * MIB).await.unwrap();
        memory.spare(100 * MIB);
        memory.charge(110 * MIB).unwrap();
        assert!(memory.charge(40 * MIB).is_err());
    }

    #[test]
    fn who_waits_for_more_than_there_is_is_told_at_once() {
        let memory = RequestMemory::new(&Budgets::new(4 * MIB), [1; 32]);
        assert_eq!(memory.wait_for(200 * MIB).now_or_never().unwrap(), Err(Overdrawn::Ever(192 * MIB)));
    }
}
