//! Scripts: what is done in one step, in Redis's Lua.
//!
//! Each begins with the same head. It makes the whole script one that may write, so that a server which only follows
//! another refuses it; and it answers `LOST` if the store's mark is not there.

use super::fault::Fault;
use super::primary::Primary;

/// The head of every script. Its first key is that of the mark, its first argument the mark itself. `primary` is the
/// beginning of the server's replication id.
///
/// What only reads, or removes, is done even if Redis's memory is full: `allow-oom`.
const HEAD: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'LOST', ''} end
local primary = string.sub(string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)'), 1, 16)
";

/// A script.
pub(crate) struct Script(::redis::Script);

impl Script {
    /// A script that needs memory: it is refused where `maxmemory` is reached.
    pub(crate) fn writing(body: &str) -> Self {
        Self(::redis::Script::new(&format!("#!lua\n{HEAD}{body}")))
    }

    /// One that is done even then, since it only reads and removes.
    pub(crate) fn reading(body: &str) -> Self {
        Self(::redis::Script::new(&format!("#!lua flags=allow-oom\n{HEAD}{body}")))
    }

    pub(super) fn inner(&self) -> &::redis::Script {
        &self.0
    }
}

/// The keys and arguments of a script, beside those of its head. All keys have one place.
#[derive(Clone, Default)]
pub(crate) struct Step {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) arguments: Vec<Vec<u8>>,
}

impl Step {
    /// Adds a key.
    pub(crate) fn key(mut self, key: Vec<u8>) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds an argument.
    pub(crate) fn argument(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds a number as an argument.
    pub(crate) fn number(self, number: impl std::fmt::Display) -> Self {
        self.argument(number.to_string())
    }
}

/// The answer of a script: the server that has done it, and what it says.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The server.
    pub(crate) primary: Primary,
    /// What the script returns behind it.
    pub(crate) values: Vec<Vec<u8>>,
}

impl Reply {
    /// True for `done`, false for `conflict`: what a script says that changes something under conditions.
    ///
    /// # Errors
    /// [`Fault::Unexpected`] for anything else.
    pub(crate) fn is_done(&self) -> Result<bool, Fault> {
        match self.values.first().map(Vec::as_slice) {
            Some(b"done") => Ok(true),
            Some(b"conflict") => Ok(false),
            _ => Err(Fault::Unexpected("neither done nor conflict")),
        }
    }

    /// Reads an answer: `{primary, value…}`, or `{'LOST', ''}`.
    pub(super) fn read(values: Vec<Vec<u8>>) -> Result<Self, Fault> {
        let mut values = values.into_iter();
        let first = values.next().unwrap_or_default();
        if first == b"LOST" {
            return Err(Fault::Lost);
        }
        let primary = Primary::of_replication_id(&first).ok_or(Fault::Unexpected("no replication id"))?;
        Ok(Self { primary, values: values.collect() })
    }
}
