//! What is asked for and what is answered, as data: guests' operations, and the operator's.
//!
//! It is in JSON on the control socket, values in base64. Nothing here prints a value.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits::{MAX_BATCH_BYTES, MAX_ENTRIES, MAX_NAME_BYTES, MAX_VALUE_BYTES};

/// Something to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// An operation on the entries of one space.
    Use {
        /// The space.
        space: Space,
        /// Bytes that it may hold.
        quota_bytes: u64,
        /// The operation.
        operation: Operation,
    },
    /// Everybody who has state of a plugin.
    Owners {
        /// The plugin.
        plugin: String,
    },
    /// A page of all spaces, of every plugin.
    Spaces {
        /// The place at which the page before ended.
        after: Option<i64>,
    },
    /// Removes everything of a person, of every plugin.
    Forget {
        /// The person.
        person: Person,
    },
    /// Hands the state of a plugin to one that has none, for all owners.
    Move {
        /// The plugin.
        from: String,
        /// The other.
        to: String,
    },
    /// Removes all entries of a space.
    Clear {
        /// The space.
        space: Space,
    },
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To an operation.
    Outcome(Outcome),
    /// Those who have state.
    Owners(Vec<OwnerState>),
    /// A page of spaces, and the cursor of the next one.
    Spaces(Vec<SpaceState>, Option<i64>),
    /// The number of spaces that were moved, or of entries that were removed.
    Changed(u64),
}

/// A place for entries.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Space {
    /// The plugin: its file's name in snake case.
    pub plugin: String,
    /// The owner.
    pub owner: Owner,
}

/// The owner of a space.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The plugin itself.
    Plugin,
    /// A person who calls it.
    Person(Person),
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Person {
    /// The name for a person in keys of state (`Principal::person`).
    pub id: [u8; 32],
    /// The provider's issuer URL.
    pub issuer: String,
    /// The provider's name for the person.
    pub subject: String,
}

impl Person {
    /// A person, by the provider's names.
    pub fn of(issuer: &str, subject: &str) -> Self {
        let id = crate::principal::Principal::person_of(issuer, subject);
        Self { id, issuer: issuer.to_owned(), subject: subject.to_owned() }
    }

    /// The name of the person in the log.
    pub fn label(&self) -> String {
        crate::person_label::label(&self.id)
    }
}

/// A space, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceState {
    /// The space.
    pub space: Space,
    /// Entries.
    pub entries: u64,
    /// Bytes that count against the quota.
    pub bytes: u64,
}

/// The state of one owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerState {
    /// The owner.
    pub owner: Owner,
    /// Entries.
    pub entries: u64,
    /// Bytes that count against the quota.
    pub bytes: u64,
}

/// A value, of any bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(pub Vec<u8>);

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(D::Error::custom)
    }
}

/// Something to do with the entries of one space. Each is done as a whole or not at all, and none sees another's half.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Reads entries.
    Get {
        /// Their names.
        names: Vec<String>,
    },
    /// Tells which of these entries there are.
    Exist {
        /// Their names.
        names: Vec<String>,
    },
    /// Writes entries, over others of their names.
    Set {
        /// Names and values.
        entries: Vec<(String, Value)>,
        /// Their life; none for ever.
        ttl: Option<Duration>,
    },
    /// Removes entries.
    Delete {
        /// Their names.
        names: Vec<String>,
    },
    /// Changes an entry that is as expected.
    Swap {
        /// Its name.
        name: String,
        /// The entry before.
        expected: Expected,
        /// The value after; none removes it.
        value: Option<Value>,
        /// Its life.
        ttl: Option<Duration>,
    },
    /// Adds to an entry that is a number in decimal digits; one that is missing is zero. Its life stays.
    Increment {
        /// Its name.
        name: String,
        /// The number to add.
        delta: Delta,
    },
    /// Lists names in their order, a page at a time.
    Names {
        /// The beginning of the names.
        prefix: String,
        /// The place at which the page before ended.
        cursor: Option<String>,
    },
    /// Lists names in the order in which they were made, a page at a time.
    NamesInTurn {
        /// The place at which the page before ended.
        cursor: Option<u64>,
    },
}

/// The state of an entry before a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// It has this value, or is missing.
    Value(Option<Value>),
    /// It was last written with this revision, or is missing.
    Revision(Option<u64>),
}

/// A number to add, with the range of the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delta {
    /// The sum is a `u64`.
    Unsigned(u64),
    /// The sum is an `i64`.
    Signed(i64),
}

/// The outcome of an [`Operation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Of `Get`, for each name: the value with its revision.
    Values(Vec<Option<(Value, u64)>>),
    /// Of `Exist`, for each name.
    Exist(Vec<bool>),
    /// It is written.
    Done,
    /// The number of entries that were there and are gone.
    Deleted(u64),
    /// The entry is not as expected: its value and revision.
    Other(Option<(Value, u64)>),
    /// The sum.
    Unsigned(u64),
    /// The sum.
    Signed(i64),
    /// A page of names, and the cursor of the next one.
    Names(Vec<String>, Option<String>),
    /// A page of names, and the cursor of the next one.
    NamesInTurn(Vec<String>, Option<u64>),
}

/// The reason that something is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvError {
    /// A name is too long.
    #[error("a key has at most {MAX_NAME_BYTES} bytes, and this one {0}")]
    LongName(usize),
    /// A value is too large.
    #[error("a value has at most {MAX_VALUE_BYTES} bytes, and this one {0}")]
    LargeValue(usize),
    /// One operation is about too much.
    #[error("one operation is about at most {MAX_ENTRIES} keys, and {MAX_BATCH_BYTES} bytes of values")]
    LargeBatch,
    /// There is no room.
    #[error("the quota of {quota_bytes} bytes is used up: {used_bytes} bytes are in use, keys included")]
    Quota {
        /// Bytes in use.
        used_bytes: u64,
        /// Bytes that may be.
        quota_bytes: u64,
    },
    /// Too much is written.
    #[error("too many writes: try again in {} s", retry_after.as_secs().max(1))]
    TooManyWrites {
        /// The time until there is room for another.
        retry_after: Duration,
    },
    /// The value is no number in decimal digits, or the sum has no room in its type.
    #[error("the value is no whole number of this range")]
    NoNumber,
    /// The cursor is of another list.
    #[error("the cursor is of no list of these keys")]
    Cursor,
    /// What is stored is not what was written.
    #[error("what is stored under this key is not what was written")]
    Damaged,
    /// The other plugin has state.
    #[error("plugin `{0}` has state already: delete that first")]
    Occupied(String),
    /// It cannot be used now.
    #[error("state is unavailable: {0}")]
    Unavailable(String),
}

impl KvError {
    /// The error of an answer to something else.
    pub(super) fn unfit() -> Self {
        Self::Unavailable("the answer is to something else".to_owned())
    }
}

impl Operation {
    /// Checks lengths and numbers, before anything waits.
    ///
    /// # Errors
    /// Something is too long, too large or too much.
    pub(super) fn check(&self) -> Result<(), KvError> {
        match self {
            Self::Get { names } | Self::Exist { names } | Self::Delete { names } => {
                require_batch(names.len(), 0)?;
                names.iter().try_for_each(|name| require_name(name))
            }
            Self::Set { entries, .. } => {
                require_batch(entries.len(), entries.iter().map(|(_, value)| value.0.len()).sum())?;
                entries.iter().try_for_each(|(name, value)| require_name(name).and_then(|()| require_value(value)))
            }
            Self::Swap { name, value, .. } => {
                require_name(name)?;
                value.as_ref().map_or(Ok(()), require_value)
            }
            Self::Increment { name, .. } => require_name(name),
            Self::Names { prefix, .. } => require_name(prefix),
            Self::NamesInTurn { .. } => Ok(()),
        }
    }

    /// The sizes of the entries that it may write, none for one that only reads.
    pub(super) fn written(&self) -> impl Iterator<Item = usize> {
        let (entries, deleted, swapped) = match self {
            Self::Set { entries, .. } => (entries.as_slice(), 0, None),
            Self::Delete { names } => (&[][..], names.len(), None),
            Self::Swap { value, .. } => (&[][..], 0, Some(value.as_ref().map_or(0, |value| value.0.len()))),
            Self::Increment { .. } => (&[][..], 0, Some(0)),
            Self::Get { .. } | Self::Exist { .. } | Self::Names { .. } | Self::NamesInTurn { .. } => (&[][..], 0, None),
        };
        let set = entries.iter().map(|(_, value)| value.0.len());
        set.chain(std::iter::repeat_n(0, deleted)).chain(swapped)
    }
}

fn require_batch(entries: usize, bytes: usize) -> Result<(), KvError> {
    if entries > MAX_ENTRIES || bytes > MAX_BATCH_BYTES { Err(KvError::LargeBatch) } else { Ok(()) }
}

fn require_name(name: &str) -> Result<(), KvError> {
    if name.len() > MAX_NAME_BYTES { Err(KvError::LongName(name.len())) } else { Ok(()) }
}

fn require_value(value: &Value) -> Result<(), KvError> {
    if value.0.len() > MAX_VALUE_BYTES { Err(KvError::LargeValue(value.0.len())) } else { Ok(()) }
}
