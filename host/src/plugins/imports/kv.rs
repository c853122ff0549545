//! State that outlives calls: `tinymcp:plugin/kv`, and what `wasi:keyvalue` has in common with it.
//!
//! Each operation is decided by itself: a grant that is withdrawn ends state in the middle of a call.

use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};

use super::guest::Guest;
use crate::grants::needs::Need;
use crate::grants::{KvGrant, KvOwner, snippet};
use crate::kv::{Delta, Expected, KvError, Operation, Outcome, Owner, Person, Space, Value};
use crate::log_limiter::LogLimiter;
use crate::plugins::wit::kv::{self, Error, Page, Swap, Usage};

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    kv::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

/// The reason that an operation of a guest is not done.
pub(super) enum Refusal {
    /// It is not granted.
    Denied,
    /// State is each person's own, and this is nobody's call.
    NoPerson,
    /// It was granted, and has failed.
    Failed(KvError),
}

impl Guest {
    /// Does something with the plugin's state, or that of the person who calls.
    pub(super) async fn state(&mut self, operation: Operation) -> Result<Outcome, Refusal> {
        let Some(grant) = self.kv_grant() else { return Err(Refusal::Denied) };
        let owner = match (grant.per, &self.conversation.caller) {
            (KvOwner::Plugin, _) => Owner::Plugin,
            (KvOwner::Person, Some(caller)) => Owner::Person(Person {
                id: caller.person(),
                issuer: caller.issuer.clone(),
                subject: caller.subject.clone(),
            }),
            (KvOwner::Person, None) => return Err(Refusal::NoPerson),
        };
        let Some(kv) = &self.services.kv else {
            return Err(Refusal::Failed(KvError::Unavailable("this host keeps no state".to_owned())));
        };
        let space = Space { plugin: self.plugin.to_string(), owner };
        kv.run(space, grant.quota_bytes, operation).await.map_err(Refusal::Failed)
    }

    /// What is granted of state. The caller and the operator hear if nothing is.
    pub(super) fn kv_grant(&mut self) -> Option<KvGrant> {
        static REFUSED: LogLimiter = LogLimiter::new("plugins that want to keep state without a grant");
        let grant = self.grants.kv();
        self.decided("kv", None, grant.is_some());
        if grant.is_none() {
            self.refused("kv");
            let plugin = &*self.plugin;
            REFUSED.log_of(plugin, || {
                let to_grant = snippet::of_needs(plugin, [&Need::Kv]).toml;
                tracing::warn!(plugin, to_grant, "plugin `{plugin}` wants to keep state, and has no grant: `kv = {{}}` in `[plugin.{plugin}]` would be one");
            });
        }
        grant
    }

    /// Reads one value, with its revision.
    pub(super) async fn read_state(&mut self, key: String) -> Result<Option<(Vec<u8>, u64)>, Refusal> {
        match self.state(Operation::Get { names: vec![key] }).await? {
            Outcome::Values(mut values) => Ok(values.pop().flatten().map(|(Value(value), revision)| (value, revision))),
            _ => Err(unfit()),
        }
    }

    /// Writes one value.
    pub(super) async fn write_state(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<(), Refusal> {
        self.state(Operation::Set { entries: vec![(key, Value(value))], ttl }).await.map(drop)
    }

    /// Removes one value, and tells if it was there.
    pub(super) async fn delete_state(&mut self, key: String) -> Result<bool, Refusal> {
        Ok(matches!(self.state(Operation::Delete { names: vec![key] }).await?, Outcome::Deleted(1..)))
    }
}

/// The error of an answer to something else.
pub(super) fn unfit() -> Refusal {
    Refusal::Failed(KvError::Unavailable("the answer is to something else".to_owned()))
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let error = match refusal {
            Refusal::Denied => return Self::AccessDenied,
            Refusal::NoPerson => return Self::NoPerson,
            Refusal::Failed(error) => error,
        };
        match error {
            KvError::LongName(_) | KvError::LargeValue(_) | KvError::LargeBatch => Self::TooLarge(error.to_string()),
            KvError::Quota { used_bytes, quota_bytes } => {
                Self::QuotaExceeded(Usage { used: used_bytes, quota: quota_bytes })
            }
            KvError::TooManyWrites { retry_after } => {
                Self::TooManyWrites(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX))
            }
            KvError::NoNumber => Self::NotANumber,
            KvError::Cursor => Self::InvalidCursor,
            KvError::Damaged | KvError::Occupied(_) | KvError::Unavailable(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl kv::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let read = self.read_state(key).await;
        Ok(read.map(|found| found.map(|(value, _)| value)).map_err(Error::from))
    }

    async fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.write_state(key, value, ttl_ms.map(Duration::from_millis)).await.map_err(Error::from))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<bool, Error>> {
        Ok(self.delete_state(key).await.map_err(Error::from))
    }

    async fn list_keys(&mut self, prefix: String, cursor: Option<String>) -> wasmtime::Result<Result<Page, Error>> {
        Ok(match self.state(Operation::Names { prefix, cursor }).await {
            Ok(Outcome::Names(keys, next)) => Ok(Page { keys, next }),
            Ok(_) => Err(unfit().into()),
            Err(refusal) => Err(refusal.into()),
        })
    }

    async fn compare_and_swap(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<Swap, Error>> {
        let operation = Operation::Swap {
            name: key,
            expected: Expected::Value(expected.map(Value)),
            value: value.map(Value),
            ttl: ttl_ms.map(Duration::from_millis),
        };
        Ok(match self.state(operation).await {
            Ok(Outcome::Other(current)) => Ok(Swap::Other(current.map(|(Value(value), _)| value))),
            Ok(_) => Ok(Swap::Done),
            Err(refusal) => Err(refusal.into()),
        })
    }

    async fn increment(&mut self, key: String, delta: i64) -> wasmtime::Result<Result<i64, Error>> {
        Ok(match self.state(Operation::Increment { name: key, delta: Delta::Signed(delta) }).await {
            Ok(Outcome::Signed(sum)) => Ok(sum),
            Ok(_) => Err(unfit().into()),
            Err(refusal) => Err(refusal.into()),
        })
    }
}
