//! `wasi:keyvalue`: the same state as `tinymcp:plugin/kv` has, in the one bucket that there is, `default`.
//!
//! The interface has no release. Toolchains emit two of its drafts, which differ in cursors, sums and swaps. A handle holds
//! nothing but what it was opened with: whose state it is, and whether that is granted, is decided at each use.

use std::future::Future;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType};

use super::guest::Guest;
use super::kv::{Refusal, unfit};
use crate::kv::{Delta, Expected, KvError, MAX_NAME_BYTES, Operation, Outcome, Value};

/// The drafts, with the prefixes of their interfaces.
const DRAFT: &str = "0.2.0-draft";
const DRAFT_2: &str = "0.2.0-draft2";

const INTERFACES: [&str; 3] = ["store", "atomics", "batch"];

/// The names of the bucket: most hosts call theirs so, and some samples open one without a name.
const BUCKETS: [&str; 2] = ["default", ""];

/// The drafts' `error`.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

/// `cas-error` of the second draft.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum CasError {
    #[component(name = "store-error")]
    Store(Error),
    #[component(name = "cas-failed")]
    Failed(Resource<Cas>),
}

/// `key-response` of the first draft.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Page {
    #[component(name = "keys")]
    keys: Vec<String>,
    #[component(name = "cursor")]
    cursor: Option<u64>,
}

/// `key-response` of the second draft.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Page2 {
    #[component(name = "keys")]
    keys: Vec<String>,
    #[component(name = "cursor")]
    cursor: Option<String>,
}

/// The resource `bucket`.
struct Bucket;

/// The resource `cas`: an entry as it was when this was made, or last looked at.
struct Cas {
    key: String,
    revision: Option<u64>,
}

type Store<'a> = StoreContextMut<'a, Guest>;

/// What a function of the interface gives, later.
type Later<'a, T> = Box<dyn Future<Output = wasmtime::Result<(T,)>> + Send + 'a>;

/// Tells whether an import is of one of the drafts.
pub(super) fn is_served(import: &str) -> bool {
    let interface = import.strip_prefix("wasi:keyvalue/").and_then(|rest| rest.split_once('@'));
    interface.is_some_and(|(name, version)| INTERFACES.contains(&name) && [DRAFT, DRAFT_2].contains(&version))
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for draft in [DRAFT, DRAFT_2] {
        let mut store = linker.instance(&format!("wasi:keyvalue/store@{draft}"))?;
        link_store(&mut store)?;
        if draft == DRAFT {
            store.func_wrap_async("[method]bucket.list-keys", list_keys)?;
        } else {
            store.func_wrap_async("[method]bucket.list-keys", list_keys_2)?;
        }
        let mut atomics = linker.instance(&format!("wasi:keyvalue/atomics@{draft}"))?;
        if draft == DRAFT {
            atomics.func_wrap_async("increment", increment)?;
        } else {
            link_swaps(&mut atomics)?;
        }
        let mut batch = linker.instance(&format!("wasi:keyvalue/batch@{draft}"))?;
        link_batch(&mut batch)?;
        if draft == DRAFT {
            batch.func_wrap_async("get-many", get_many)?;
        } else {
            batch.func_wrap_async("get-many", get_many_2)?;
        }
    }
    Ok(())
}

/// The same linker, with `get-many` of the second draft as it was before that draft's last change, which did not change
/// its version: for components that do not fit otherwise.
pub(super) fn before_last_change(linker: &Linker<Guest>) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = linker.clone();
    linker.allow_shadowing(true);
    linker.instance(&format!("wasi:keyvalue/batch@{DRAFT_2}"))?.func_wrap_async("get-many", get_many)?;
    Ok(linker)
}

/// Tells whether an import may be one that [`before_last_change`] has.
pub(super) fn has_changed(import: &str) -> bool {
    import.strip_prefix("wasi:keyvalue/batch@") == Some(DRAFT_2)
}

fn link_store(store: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    store.resource("bucket", ResourceType::host::<Bucket>(), |mut store, handle| {
        store.data_mut().resources.delete(Resource::<Bucket>::new_own(handle))?;
        Ok(())
    })?;
    store.func_wrap("open", |mut store: Store<'_>, (name,): (String,)| Ok((store.data_mut().open_bucket(&name)?,)))?;
    store.func_wrap_async(
        "[method]bucket.get",
        |store, (_, key): (Resource<Bucket>, String)| -> Later<'_, Result<Option<Vec<u8>>, Error>> {
            Box::new(async move {
                let mut store = store;
                let read = store.data_mut().read_state(key).await;
                Ok((read.map(|found| found.map(|(value, _)| value)).map_err(Error::from),))
            })
        },
    )?;
    store.func_wrap_async(
        "[method]bucket.set",
        |store, (_, key, value): (Resource<Bucket>, String, Vec<u8>)| -> Later<'_, Result<(), Error>> {
            Box::new(async move {
                let mut store = store;
                Ok((store.data_mut().write_state(key, value, None).await.map_err(Error::from),))
            })
        },
    )?;
    store.func_wrap_async(
        "[method]bucket.delete",
        |store, (_, key): (Resource<Bucket>, String)| -> Later<'_, Result<(), Error>> {
            Box::new(async move {
                let mut store = store;
                Ok((store.data_mut().delete_state(key).await.map(drop).map_err(Error::from),))
            })
        },
    )?;
    store.func_wrap_async(
        "[method]bucket.exists",
        |store, (_, key): (Resource<Bucket>, String)| -> Later<'_, Result<bool, Error>> {
            Box::new(async move {
                let mut store = store;
                let exist = store.data_mut().state(Operation::Exist { names: vec![key] }).await;
                let exists = |outcome| matches!(outcome, Outcome::Exist(exist) if exist == [true]);
                Ok((exist.map(exists).map_err(Error::from),))
            })
        },
    )
}

fn list_keys(mut store: Store<'_>, (_, cursor): (Resource<Bucket>, Option<u64>)) -> Later<'_, Result<Page, Error>> {
    Box::new(async move {
        let listed = store.data_mut().state(Operation::NamesInTurn { cursor }).await;
        Ok((match listed {
            Ok(Outcome::NamesInTurn(keys, cursor)) => Ok(Page { keys, cursor }),
            Ok(_) => Err(unfit().into()),
            Err(refusal) => Err(refusal.into()),
        },))
    })
}

fn list_keys_2(
    mut store: Store<'_>,
    (_, cursor): (Resource<Bucket>, Option<String>),
) -> Later<'_, Result<Page2, Error>> {
    Box::new(async move {
        let listed = store.data_mut().state(Operation::Names { prefix: String::new(), cursor }).await;
        Ok((match listed {
            Ok(Outcome::Names(keys, cursor)) => Ok(Page2 { keys, cursor }),
            Ok(_) => Err(unfit().into()),
            Err(refusal) => Err(refusal.into()),
        },))
    })
}

fn increment(mut store: Store<'_>, (_, key, delta): (Resource<Bucket>, String, u64)) -> Later<'_, Result<u64, Error>> {
    Box::new(async move {
        let sum = store.data_mut().state(Operation::Increment { name: key, delta: Delta::Unsigned(delta) }).await;
        Ok((match sum {
            Ok(Outcome::Unsigned(sum)) => Ok(sum),
            Ok(_) => Err(unfit().into()),
            Err(refusal) => Err(refusal.into()),
        },))
    })
}

type Pair = (String, Vec<u8>);

/// A key, and its value if there is one.
type Entry = (String, Option<Vec<u8>>);

fn get_many(
    mut store: Store<'_>,
    (_, keys): (Resource<Bucket>, Vec<String>),
) -> Later<'_, Result<Vec<Option<Pair>>, Error>> {
    Box::new(async move {
        let pairs = store.data_mut().read_many(keys).await;
        let pair = |(key, value): Entry| value.map(|value| (key, value));
        Ok((pairs.map(|pairs| pairs.into_iter().map(pair).collect()).map_err(Error::from),))
    })
}

fn get_many_2(
    mut store: Store<'_>,
    (_, keys): (Resource<Bucket>, Vec<String>),
) -> Later<'_, Result<Vec<Entry>, Error>> {
    Box::new(async move { Ok((store.data_mut().read_many(keys).await.map_err(Error::from),)) })
}

/// `atomics` of the second draft.
fn link_swaps(atomics: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    atomics.resource("cas", ResourceType::host::<Cas>(), |mut store, handle| {
        store.data_mut().resources.delete(Resource::<Cas>::new_own(handle))?;
        Ok(())
    })?;
    atomics.func_wrap_async(
        "increment",
        |store, (_, key, delta): (Resource<Bucket>, String, i64)| -> Later<'_, Result<i64, Error>> {
            Box::new(async move {
                let mut store = store;
                let operation = Operation::Increment { name: key, delta: Delta::Signed(delta) };
                Ok((match store.data_mut().state(operation).await {
                    Ok(Outcome::Signed(sum)) => Ok(sum),
                    Ok(_) => Err(unfit().into()),
                    Err(refusal) => Err(refusal.into()),
                },))
            })
        },
    )?;
    atomics.func_wrap_async(
        "[static]cas.new",
        |store, (_, key): (Resource<Bucket>, String)| -> Later<'_, Result<Resource<Cas>, Error>> {
            Box::new(async move {
                let mut store = store;
                let guest = store.data_mut();
                if key.len() > MAX_NAME_BYTES {
                    return Ok((Err(Refusal::Failed(KvError::LongName(key.len())).into()),));
                }
                let revision = match guest.read_state(key.clone()).await {
                    Ok(found) => found.map(|(_, revision)| revision),
                    Err(refusal) => return Ok((Err(refusal.into()),)),
                };
                Ok((Ok(guest.resources.push(Cas { key, revision })?),))
            })
        },
    )?;
    atomics.func_wrap_async(
        "[method]cas.current",
        |store, (cas,): (Resource<Cas>,)| -> Later<'_, Result<Option<Vec<u8>>, Error>> {
            Box::new(async move {
                let mut store = store;
                let guest = store.data_mut();
                let key = guest.resources.get(&cas)?.key.clone();
                let (value, revision) = match guest.read_state(key).await {
                    Ok(found) => found.unzip(),
                    Err(refusal) => return Ok((Err(refusal.into()),)),
                };
                // What was read is what may be swapped.
                guest.resources.get_mut(&cas)?.revision = revision;
                Ok((Ok(value),))
            })
        },
    )?;
    atomics.func_wrap_async(
        "swap",
        |store, (cas, value): (Resource<Cas>, Vec<u8>)| -> Later<'_, Result<(), CasError>> {
            Box::new(async move {
                let mut store = store;
                let guest = store.data_mut();
                let Cas { key, revision } = guest.resources.delete(cas)?;
                let operation = Operation::Swap {
                    name: key.clone(),
                    expected: Expected::Revision(revision),
                    value: Some(Value(value)),
                    ttl: None,
                };
                Ok((match guest.state(operation).await {
                    Ok(Outcome::Other(current)) => {
                        let revision = current.map(|(_, revision)| revision);
                        Err(CasError::Failed(guest.resources.push(Cas { key, revision })?))
                    }
                    Ok(_) => Ok(()),
                    Err(refusal) => Err(CasError::Store(refusal.into())),
                },))
            })
        },
    )
}

fn link_batch(batch: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    batch.func_wrap_async(
        "set-many",
        |store, (_, entries): (Resource<Bucket>, Vec<(String, Vec<u8>)>)| -> Later<'_, Result<(), Error>> {
            Box::new(async move {
                let mut store = store;
                let entries = entries.into_iter().map(|(key, value)| (key, Value(value))).collect();
                let set = store.data_mut().state(Operation::Set { entries, ttl: None }).await;
                Ok((set.map(drop).map_err(Error::from),))
            })
        },
    )?;
    batch.func_wrap_async(
        "delete-many",
        |store, (_, names): (Resource<Bucket>, Vec<String>)| -> Later<'_, Result<(), Error>> {
            Box::new(async move {
                let mut store = store;
                let deleted = store.data_mut().state(Operation::Delete { names }).await;
                Ok((deleted.map(drop).map_err(Error::from),))
            })
        },
    )
}

impl Guest {
    fn open_bucket(&mut self, name: &str) -> wasmtime::Result<Result<Resource<Bucket>, Error>> {
        if !BUCKETS.contains(&name) {
            return Ok(Err(Error::NoSuchStore));
        }
        if self.kv_grant().is_none() {
            return Ok(Err(Error::AccessDenied));
        }
        Ok(Ok(self.resources.push(Bucket)?))
    }

    /// Reads values, with their keys.
    async fn read_many(&mut self, names: Vec<String>) -> Result<Vec<Entry>, Refusal> {
        match self.state(Operation::Get { names: names.clone() }).await? {
            Outcome::Values(values) => {
                let values = values.into_iter().map(|found| found.map(|(Value(value), _)| value));
                Ok(names.into_iter().zip(values).collect())
            }
            _ => Err(unfit()),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied => Self::AccessDenied,
            Refusal::NoPerson => {
                Self::Other("each person has state of their own, and this call is nobody's".to_owned())
            }
            Refusal::Failed(error) => Self::Other(error.to_string()),
        }
    }
}
