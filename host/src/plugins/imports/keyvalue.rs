//! `wasi:keyvalue`: the same state as `tinymcp:plugin/kv` has, in the one bucket that there is, `default`.
//!
//! The interface has no release. Toolchains emit two of its drafts, which differ in cursors, sums and swaps. A handle holds
//! nothing but what it was opened with: whose state it is, and whether that is granted, is decided at each use.

use std::future::Future;

use wasmtime::StoreContextMut;
use wasmtime::component::{
    ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, Type, Val, types,
};

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
        link_batch(&mut linker.instance(&format!("wasi:keyvalue/batch@{draft}"))?)?;
    }
    Ok(())
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
    batch.func_new_async("get-many", |store, function, parameters, results| {
        Box::new(async move {
            let mut store = store;
            let keys = parameters.get(1).map(texts).unwrap_or_default();
            let got = store.data_mut().get_many(keys).await.map(|pairs| listed(&function, pairs));
            if let Some(result) = results.first_mut() {
                *result = Val::Result(match got {
                    Ok(list) => Ok(Some(Box::new(list))),
                    Err(refusal) => Err(Some(Box::new(Error::from(refusal).into()))),
                });
            }
            Ok(())
        })
    })?;
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
        if !self.may_keep_state() {
            return Ok(Err(Error::AccessDenied));
        }
        Ok(Ok(self.resources.push(Bucket)?))
    }

    /// Reads values, with their keys.
    async fn get_many(&mut self, names: Vec<String>) -> Result<Vec<(String, Option<Vec<u8>>)>, Refusal> {
        match self.state(Operation::Get { names: names.clone() }).await? {
            Outcome::Values(values) => {
                let values = values.into_iter().map(|found| found.map(|(Value(value), _)| value));
                Ok(names.into_iter().zip(values).collect())
            }
            _ => Err(unfit()),
        }
    }
}

/// The texts of a list.
fn texts(value: &Val) -> Vec<String> {
    let Val::List(items) = value else { return Vec::new() };
    let text = |item: &Val| match item {
        Val::String(text) => Some(text.clone()),
        _ => None,
    };
    items.iter().filter_map(text).collect()
}

/// The list of `get-many` in the form that the component wants: a list of optional pairs, or, in the second draft since
/// its latest change, a list of pairs with an optional value. Both go under one version.
fn listed(function: &types::ComponentFunc, pairs: Vec<(String, Option<Vec<u8>>)>) -> Val {
    let item = match function.results().next() {
        Some(Type::Result(result)) => match result.ok() {
            Some(Type::List(list)) => Some(list.ty()),
            _ => None,
        },
        _ => None,
    };
    let are_pairs = matches!(item, Some(Type::Tuple(_)));
    let bytes = |bytes: Vec<u8>| Val::List(bytes.into_iter().map(Val::U8).collect());
    let some = |value: Val| Some(Box::new(value));
    let pair = |(key, value): (String, Option<Vec<u8>>)| match (are_pairs, value) {
        (true, value) => Val::Tuple(vec![Val::String(key), Val::Option(value.map(bytes).and_then(some))]),
        (false, Some(value)) => Val::Option(some(Val::Tuple(vec![Val::String(key), bytes(value)]))),
        (false, None) => Val::Option(None),
    };
    Val::List(pairs.into_iter().map(pair).collect())
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

impl From<Error> for Val {
    fn from(error: Error) -> Self {
        match error {
            Error::NoSuchStore => Self::Variant("no-such-store".to_owned(), None),
            Error::AccessDenied => Self::Variant("access-denied".to_owned(), None),
            Error::Other(text) => Self::Variant("other".to_owned(), Some(Box::new(Self::String(text)))),
        }
    }
}
