//! A message as it travels: sealed under the root key, with its sender, its number and its time.
//!
//! Whoever reaches the store sees that servers tell each other something, and can neither read, make nor change it. One that
//! is sent again is dropped: of each sender every number is taken once, and of a sender that is not known only what was
//! just told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::message::Message;
use super::peers::{SENDER_BYTES, Sender};
use crate::state::StateDir;
use crate::vault::Vault;

const PURPOSE: &str = "tinymcp 2026 between servers of one store";

/// The layout of a message. Another one is for a later format of the store (`crate::redis`, `format`): servers that do not
/// know it would hear nothing.
const FORMAT: u8 = 1;

/// Milliseconds for which a message may be under way, by the store's clock.
const UNDER_WAY_MAX_MS: i64 = 10_000;

/// Milliseconds for which a sender is remembered: longer than any of its messages may be under way.
const SENDER_KEPT_MS: i64 = 60_000;

/// Numbers below the highest of a sender that may still come: two of its tasks may tell at once.
const WINDOW: u64 = 64;

const HEAD_BYTES: usize = 1 + SENDER_BYTES + 8 + 8;

/// What makes messages and reads those of others.
pub(super) struct Envelopes {
    vault: Vault,
    own: Sender,
    next: AtomicU64,
    senders: Mutex<HashMap<Sender, Numbers>>,
}

/// The numbers of a sender that have come.
struct Numbers {
    highest: u64,
    /// A bit for each of the numbers below.
    seen: u64,
    last_ms: i64,
}

/// A message that was taken.
pub(super) struct Taken {
    pub(super) sender: Sender,
    pub(super) message: Message,
}

/// The reason that one is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// It was not made by a server with this root key, or was changed.
    Forged,
    /// It has come before, or too late.
    Replayed,
    /// It is of a later version.
    Unknown,
    /// The same, and says that something has changed.
    UnknownHint,
}

impl Dropped {
    /// The reason for a message that is none this version knows.
    fn not_known(plain: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct AnyHint {
            #[serde(rename = "hint")]
            _hint: IgnoredAny,
        }
        if serde_json::from_slice::<AnyHint>(plain).is_ok() { Self::UnknownHint } else { Self::Unknown }
    }
}

impl Envelopes {
    pub(super) fn of(state: &StateDir) -> Self {
        Self::new(Vault::of(state, PURPOSE))
    }

    fn new(vault: Vault) -> Self {
        Self { vault, own: rand::random(), next: AtomicU64::new(1), senders: Mutex::default() }
    }

    /// The id of this process.
    pub(super) fn own(&self) -> Sender {
        self.own
    }

    pub(super) fn seal(&self, message: &Message, time_ms: i64) -> Vec<u8> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let head = [&[FORMAT], self.own.as_slice(), &number.to_be_bytes(), &time_ms.to_be_bytes()].concat();
        let plain = serde_json::to_vec(message).expect("a message is JSON");
        let sealed = self.vault.seal(&head, &plain);
        [head, sealed].concat()
    }

    pub(super) fn open(&self, bytes: &[u8], now_ms: i64) -> Result<Taken, Dropped> {
        let (head, sealed) = bytes.split_at_checked(HEAD_BYTES).ok_or(Dropped::Forged)?;
        let plain = self.vault.open(head, sealed).ok_or(Dropped::Forged)?;
        let (sender, number, time_ms) = read(head).ok_or(Dropped::Unknown)?;
        if (now_ms - time_ms).abs() > UNDER_WAY_MAX_MS || !self.is_new(sender, number, now_ms) {
            return Err(Dropped::Replayed);
        }
        let message = serde_json::from_slice(&plain).map_err(|_| Dropped::not_known(&plain))?;
        Ok(Taken { sender, message })
    }

    fn is_new(&self, sender: Sender, number: u64, now_ms: i64) -> bool {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.retain(|_, numbers| now_ms - numbers.last_ms <= SENDER_KEPT_MS);
        let numbers = senders.entry(sender).or_insert(Numbers { highest: 0, seen: 0, last_ms: now_ms });
        numbers.last_ms = now_ms;
        if number > numbers.highest {
            let by = number - numbers.highest;
            // The one that was the highest is seen.
            numbers.seen = numbers.seen.checked_shl(u32::try_from(by).unwrap_or(u32::MAX)).unwrap_or(0);
            if by <= WINDOW && numbers.highest > 0 {
                numbers.seen |= 1 << (by - 1);
            }
            numbers.highest = number;
            return true;
        }
        let below = numbers.highest - number;
        if below == 0 || below > WINDOW {
            return false;
        }
        let bit = 1 << (below - 1);
        let is_new = numbers.seen & bit == 0;
        numbers.seen |= bit;
        is_new
    }
}

fn read(head: &[u8]) -> Option<(Sender, u64, i64)> {
    let (&format, rest) = head.split_first()?;
    let (sender, rest) = rest.split_first_chunk::<SENDER_BYTES>()?;
    let (number, rest) = rest.split_first_chunk()?;
    let time_ms = i64::from_be_bytes(rest.try_into().ok()?);
    (format == FORMAT).then_some((*sender, u64::from_be_bytes(*number), time_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicas::peers::About;

    fn two() -> [Envelopes; 2] {
        [(); 2].map(|()| Envelopes::new(Vault::for_tests(1)))
    }

    fn open(envelopes: &Envelopes, bytes: &[u8], now_ms: i64) -> Result<Message, Dropped> {
        envelopes.open(bytes, now_ms).map(|taken| taken.message)
    }

    #[test]
    fn a_message_is_taken_once() {
        let [one, other] = two();
        let bytes = one.seal(&Message::Beat, 1000);
        let taken = other.open(&bytes, 1500).ok().unwrap();
        assert!(taken.message == Message::Beat && taken.sender == one.own());
        assert_eq!(open(&other, &bytes, 1500), Err(Dropped::Replayed));
    }

    #[test]
    fn one_that_is_changed_or_of_another_key_is_not() {
        let [one, other] = two();
        let bytes = one.seal(&Message::Beat, 1000);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(open(&other, &changed, 1000), Err(Dropped::Forged), "byte {at}");
        }
        for length in 0..bytes.len() {
            assert_eq!(open(&other, &bytes[..length], 1000), Err(Dropped::Forged), "{length} bytes");
        }
        let stranger = Envelopes::new(Vault::for_tests(2));
        assert_eq!(open(&stranger, &bytes, 1000), Err(Dropped::Forged));
        assert_eq!(open(&other, &bytes, 1000), Ok(Message::Beat));
    }

    /// A message with any content, as a server of another version may have it.
    fn sealed(envelopes: &Envelopes, plain: &serde_json::Value) -> Vec<u8> {
        let number = envelopes.next.fetch_add(1, Ordering::Relaxed);
        let head = [&[FORMAT], envelopes.own.as_slice(), &number.to_be_bytes(), &0_i64.to_be_bytes()].concat();
        [head.clone(), envelopes.vault.seal(&head, plain.to_string().as_bytes())].concat()
    }

    #[test]
    fn servers_of_other_versions_are_understood_and_a_hint_that_is_not_known_is_noticed() {
        let [one, other] = two();
        let here = |about: serde_json::Value| open(&other, &sealed(&one, &serde_json::json!({ "here": about })), 0);
        let named = |name: &str| About { name: name.to_owned(), ..About::default() };
        assert_eq!(here(serde_json::json!({ "name": "later", "mood": ["good"] })), Ok(Message::Here(named("later"))));
        let settings = serde_json::json!({ "digest": "d", "colour": "red" });
        let read = here(serde_json::json!({ "name": "a", "version": "9", "format": 7, "settings": settings }));
        let Ok(Message::Here(About { version, format, settings, .. })) = read else { panic!("{read:?}") };
        assert_eq!((version.as_str(), format, settings.digest.as_str()), ("9", 7, "d"));
        for (unknown, dropped) in [
            (serde_json::json!({ "hint": { "colours": ["red"] } }), Dropped::UnknownHint),
            (serde_json::json!({ "hint": "colours" }), Dropped::UnknownHint),
            (serde_json::json!({ "hint": { "client": { "moved": "elsewhere" } } }), Dropped::UnknownHint),
            (serde_json::json!({ "greeting": {} }), Dropped::Unknown),
            (serde_json::json!("greeting"), Dropped::Unknown),
        ] {
            assert_eq!(open(&other, &sealed(&one, &unknown), 0), Err(dropped), "{unknown}");
        }
    }

    #[test]
    fn an_old_one_is_not_even_of_a_sender_that_is_forgotten() {
        let [one, other] = two();
        let bytes = one.seal(&Message::Beat, 0);
        assert_eq!(open(&other, &bytes, 0), Ok(Message::Beat));
        for now_ms in [UNDER_WAY_MAX_MS + 1, SENDER_KEPT_MS * 2] {
            assert_eq!(open(&other, &bytes, now_ms), Err(Dropped::Replayed));
        }
    }

    #[test]
    fn numbers_may_come_in_another_order_and_each_once() {
        let [one, other] = two();
        let messages: Vec<Vec<u8>> = (0..200).map(|_| one.seal(&Message::Gone, 0)).collect();
        let order = [0, 3, 1, 2, 70, 69, 10, 199, 140, 198];
        for at in order {
            assert_eq!(open(&other, &messages[at], 0), Ok(Message::Gone), "{at}");
        }
        for at in order {
            assert_eq!(open(&other, &messages[at], 0), Err(Dropped::Replayed), "{at}");
        }
        // Too far below the highest to be known.
        assert_eq!(open(&other, &messages[100], 0), Err(Dropped::Replayed));
    }
}
