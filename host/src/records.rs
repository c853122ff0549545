//! RecordVault: what is sealed where it outlives the process, each with the format in which it was written.
//!
//! The first byte of a record says its format. A server alone has the first one, as the vault seals ([`crate::vault`]). In
//! a store of several servers a record is written in the format that they have agreed on, and read in any up to this
//! version's latest (`crate::redis::format`, which says what takes a later one). This is the one place that knows how a
//! format looks: behind the byte of a later one stands what the vault seals, with the format in its context, so that none
//! passes for another.

use crate::redis::{Agreed, FIRST, Redis};
use crate::vault::{SEALED_OVERHEAD, Vault};

/// The most bytes by which a record is longer than what is in it.
pub(crate) const OVERHEAD_MAX: usize = 1 + SEALED_OVERHEAD;

/// Seals and opens records of one purpose.
#[derive(Clone)]
pub(crate) struct RecordVault {
    vault: Vault,
    /// None for a server alone.
    format: Option<Agreed>,
}

/// The reason that a record is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It says that it has a format that this version does not know. It is left as it is.
    Later,
    /// It was sealed under a key that is not in the ring.
    UnknownKey,
    /// It is not what was written, or stands elsewhere.
    Damaged,
}

impl Unread {
    /// In words, behind what it is about.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Later => LATER,
            Self::UnknownKey => "was written under another key",
            Self::Damaged => "is damaged",
        }
    }
}

/// The words for a record, or for what is in one, that this version cannot read.
pub(crate) const LATER: &str = "was written by a later version";

impl RecordVault {
    /// Those of one server, in its own files.
    pub(crate) fn of_one(vault: Vault) -> Self {
        Self { vault, format: None }
    }

    /// Those of a store that several servers share.
    pub(crate) fn shared(vault: Vault, redis: &Redis) -> Self {
        Self { vault, format: Some(redis.format().clone()) }
    }

    /// Seals a value, bound to its context: it opens nowhere else.
    pub(crate) fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        match self.format.as_ref().map_or(FIRST, Agreed::written) {
            FIRST => self.vault.seal(context, plain),
            later => [&[later], self.vault.seal(&[&[later], context].concat(), plain).as_slice()].concat(),
        }
    }

    /// Opens a record that was sealed in the same context, in any format that is known here.
    ///
    /// # Errors
    /// [`Unread`].
    pub(crate) fn open(&self, context: &[u8], record: &[u8]) -> Result<Vec<u8>, Unread> {
        let (format, sealed) = self.split(record);
        let opened = match format {
            Some(later) if self.format.as_ref().is_some_and(|format| later > format.latest()) => {
                return Err(Unread::Later);
            }
            Some(later) => self.vault.open(&[&[later], context].concat(), sealed),
            None => self.vault.open(context, sealed),
        };
        opened.ok_or(if self.vault.has_key_of(sealed) { Unread::Damaged } else { Unread::UnknownKey })
    }

    /// True for a record under the current root key.
    pub(crate) fn has_current_key_of(&self, record: &[u8]) -> bool {
        self.vault.has_current_key_of(self.split(record).1)
    }

    /// The bytes of what is in a record.
    pub(crate) fn plain_bytes(&self, record: &[u8]) -> usize {
        self.split(record).1.len().saturating_sub(SEALED_OVERHEAD)
    }

    /// The later format of a record, if it has one, and what the vault has sealed of it.
    fn split<'r>(&self, record: &'r [u8]) -> (Option<u8>, &'r [u8]) {
        match record.split_first() {
            Some((format, sealed)) if self.format.is_some() && *format > FIRST => (Some(*format), sealed),
            _ => (None, record),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::testing::{TestRedis, open_up_to};

    const CONTEXT: &[u8] = b"row 1";

    fn of_one(byte: u8) -> RecordVault {
        RecordVault::of_one(Vault::for_tests(byte))
    }

    #[tokio::test]
    async fn a_record_has_the_agreed_format_and_all_up_to_the_latest_are_read() {
        let redis = TestRedis::start();
        let address = redis.address();
        let (old, new) = (open_up_to(1, &address).await, open_up_to(2, &address).await);
        let of = |redis: &Redis| RecordVault::shared(Vault::for_tests(1), redis);
        let (by_old, by_new) = (of(&old), of(&new));
        // Until a later one is agreed on, and for a server alone, it is what the vault seals: nothing on a disk is another.
        let first = by_new.seal(CONTEXT, b"secret");
        assert_eq!((first[0], by_new.plain_bytes(&first)), (1, 6));
        for reader in [&by_old, &by_new, &of_one(1)] {
            assert_eq!(reader.open(CONTEXT, &first).as_deref(), Ok(&b"secret"[..]));
        }
        assert_eq!(Vault::for_tests(1).open(CONTEXT, &first).as_deref(), Some(&b"secret"[..]));
        new.raise_format(2).await.unwrap();
        let second = by_new.seal(CONTEXT, b"secret");
        assert_eq!((second[0], by_new.plain_bytes(&second)), (2, 6));
        assert!(second.len() <= b"secret".len() + OVERHEAD_MAX && by_new.has_current_key_of(&second));
        for record in [&first, &second] {
            assert_eq!(by_new.open(CONTEXT, record).as_deref(), Ok(&b"secret"[..]));
        }
        assert_eq!(by_old.open(CONTEXT, &second), Err(Unread::Later));
        // The earlier server has not looked yet, and writes what all read.
        assert_eq!(by_new.open(CONTEXT, &by_old.seal(CONTEXT, b"late")).as_deref(), Ok(&b"late"[..]));
    }

    #[tokio::test]
    async fn no_record_passes_for_one_of_another_format_place_or_key() {
        let redis = TestRedis::start();
        let new = open_up_to(3, &redis.address()).await;
        let records = RecordVault::shared(Vault::for_tests(1), &new);
        let first = records.seal(CONTEXT, b"secret");
        new.raise_format(2).await.unwrap();
        let second = records.seal(CONTEXT, b"secret");
        for at in 0..second.len() {
            let mut changed = second.clone();
            changed[at] ^= 1;
            assert!(records.open(CONTEXT, &changed).is_err(), "byte {at}");
            assert!(records.open(CONTEXT, &second[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(records.open(CONTEXT, &second[1..]), Err(Unread::Damaged));
        assert_eq!(records.open(CONTEXT, &[&[2], &first[..]].concat()), Err(Unread::Damaged));
        assert_eq!(records.open(b"row 2", &second), Err(Unread::Damaged));
        assert_eq!(RecordVault::shared(Vault::for_tests(2), &new).open(CONTEXT, &second), Err(Unread::UnknownKey));
        assert_eq!(of_one(1).open(CONTEXT, &second), Err(Unread::UnknownKey));
    }
}
