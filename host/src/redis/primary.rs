//! The server that writes, as Redis names it.

use serde::{Deserialize, Serialize};

/// The beginning of a server's replication id. It changes when another server takes over, and when one starts anew: then
/// writes that were acknowledged may be lost. Zero stands for a store that loses none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Primary(u64);

impl Primary {
    /// The only one of a store that loses nothing that it has acknowledged.
    pub const LASTING: Self = Self(0);

    /// Its bytes, for scripts and MACs.
    pub fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Reads those bytes.
    pub fn of_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// As scripts have it: 16 hexadecimal digits.
    pub(crate) fn text(self) -> String {
        format!("{:016x}", self.0)
    }

    /// The beginning of a replication id: 40 hexadecimal digits.
    pub(super) fn of_replication_id(id: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(id.get(..16)?).ok()?;
        // A server that really had zeros would be one that loses nothing.
        u64::from_str_radix(digits, 16).ok().map(|number| Self(number.max(1)))
    }
}
