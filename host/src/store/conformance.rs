//! The rules for every backend. A backend's tests hand in a fresh store and run all of them.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use super::{Committed, Key, Primary, Revision, Row, Store, Table, Write};

const TASKS: usize = 100;

/// A revision that no row has.
const NONE: Revision = Revision { number: 0, primary: Primary::LASTING };

/// Runs every rule against one store, each with keys of its own.
pub(super) async fn check(store: &Store) {
    insert_writes_only_what_is_not_there(store).await;
    replace_writes_only_over_what_was_read(store).await;
    a_revision_never_comes_back(store).await;
    remove_is_content_with_nothing(store).await;
    a_conflict_writes_nothing(store).await;
    conditions_are_about_what_was_there_before(store).await;
    tables_are_apart(store).await;
    an_expired_row_is_a_miss(store).await;
    any_bytes_are_a_value(store).await;
    a_table_is_listed_page_by_page(store).await;
    one_of_many_inserts_wins(store).await;
    no_replacement_is_lost(store).await;
}

async fn insert_writes_only_what_is_not_there(store: &Store) {
    let key = Key::of(b"insert");
    assert_eq!(commit(store, [insert(key, "first")]).await, Committed::Done);
    assert_eq!(commit(store, [insert(key, "second")]).await, Committed::Conflict);
    assert_eq!(value(store, key).await.as_deref(), Some("first"));
}

async fn replace_writes_only_over_what_was_read(store: &Store) {
    let key = Key::of(b"replace");
    assert_eq!(commit(store, [replace(key, NONE, "too soon")]).await, Committed::Conflict);
    commit(store, [insert(key, "first")]).await;
    let read = row(store, key).await.unwrap();
    let other = Revision { number: read.revision.number.wrapping_add(1), ..read.revision };
    assert_eq!(commit(store, [replace(key, other, "wrong")]).await, Committed::Conflict);
    assert_eq!(commit(store, [replace(key, read.revision, "second")]).await, Committed::Done);
    assert_eq!(commit(store, [replace(key, read.revision, "late")]).await, Committed::Conflict);
    assert_eq!(value(store, key).await.as_deref(), Some("second"));
}

async fn a_revision_never_comes_back(store: &Store) {
    let key = Key::of(b"revision");
    commit(store, [insert(key, "first")]).await;
    let read = row(store, key).await.unwrap();
    commit(store, [remove(key)]).await;
    commit(store, [insert(key, "first")]).await;
    assert_eq!(commit(store, [replace(key, read.revision, "stale")]).await, Committed::Conflict);
}

async fn remove_is_content_with_nothing(store: &Store) {
    let key = Key::of(b"remove");
    assert_eq!(commit(store, [remove(key)]).await, Committed::Done);
    commit(store, [insert(key, "there")]).await;
    assert_eq!(commit(store, [remove(key)]).await, Committed::Done);
    assert_eq!(value(store, key).await, None);
    assert_eq!(commit(store, [insert(key, "again")]).await, Committed::Done);
}

async fn a_conflict_writes_nothing(store: &Store) {
    // What is written under conditions together has one place.
    let [before, taken, after] = [b"conflict 1", b"conflict 2", b"conflict 3"].map(|name| {
        let mut key = Key::of(name);
        key.0[0] = 7;
        key
    });
    commit(store, [insert(taken, "there"), insert(after, "there")]).await;
    let writes = [insert(before, "new"), remove(after), insert(taken, "new")];
    assert_eq!(commit(store, writes).await, Committed::Conflict);
    assert_eq!(value(store, before).await, None);
    assert_eq!(value(store, after).await.as_deref(), Some("there"));
    let revision = row(store, taken).await.unwrap().revision;
    let writes = [insert(before, "new"), remove(after), replace(taken, revision, "new")];
    assert_eq!(commit(store, writes).await, Committed::Done);
    assert_eq!(value(store, before).await.as_deref(), Some("new"));
    assert_eq!(value(store, after).await, None);
}

async fn conditions_are_about_what_was_there_before(store: &Store) {
    let key = Key::of(b"conditions");
    assert_eq!(commit(store, [insert(key, "first"), insert(key, "second")]).await, Committed::Done);
    assert_eq!(commit(store, [remove(key), insert(key, "third")]).await, Committed::Conflict);
    assert_eq!(value(store, key).await.as_deref(), Some("second"));
}

async fn tables_are_apart(store: &Store) {
    let key = Key::of(b"tables");
    commit(store, [insert(key, "session")]).await;
    for table in [Table::Transaction, Table::Once] {
        assert_eq!(store.get(table, &key).await, Ok(None));
        commit(store, [Write::Remove { table, key }]).await;
    }
    assert_eq!(value(store, key).await.as_deref(), Some("session"));
}

async fn an_expired_row_is_a_miss(store: &Store) {
    let key = Key::of(b"expired");
    let past = SystemTime::now() - Duration::from_millis(1);
    let expired = || Write::Insert { table: Table::Session, key, value: b"old".to_vec(), expires: past };
    commit(store, [expired()]).await;
    assert_eq!(row(store, key).await, None);
    assert_eq!(commit(store, [replace(key, NONE, "new")]).await, Committed::Conflict);
    assert_eq!(commit(store, [insert(key, "new")]).await, Committed::Done);
    assert_eq!(value(store, key).await.as_deref(), Some("new"));
    let expires = row(store, key).await.unwrap().expires;
    assert!(expires > SystemTime::now() && expires <= soon());
}

async fn any_bytes_are_a_value(store: &Store) {
    for value in [Vec::new(), vec![0; 3], (0..=255).cycle().take(100_000).collect::<Vec<u8>>()] {
        let key = Key::of(&value);
        let write = Write::Insert { table: Table::Once, key, value: value.clone(), expires: soon() };
        commit(store, [write]).await;
        let row = store.get(Table::Once, &key).await.unwrap().unwrap();
        assert!(row.value == value);
    }
}

async fn a_table_is_listed_page_by_page(store: &Store) {
    // In a table that no other rule lists.
    let table = Table::Transaction;
    let keys: BTreeSet<[u8; 32]> = (0..7).map(|number: u8| Key::of(&[b'l', number]).0).collect();
    for key in &keys {
        let write = Write::Insert { table, key: Key(*key), value: key.to_vec(), expires: soon() };
        commit(store, [write]).await;
    }
    let past = SystemTime::now() - Duration::from_millis(1);
    commit(store, [Write::Insert { table, key: Key::of(b"expired, listed"), value: Vec::new(), expires: past }]).await;
    let (mut after, mut listed) = (None, Vec::new());
    loop {
        let page = store.list(table, after, 3).await.unwrap();
        assert!(page.iter().all(|(key, row)| row.value == key.0));
        listed.extend(page.iter().map(|(key, _)| key.0));
        match page.last() {
            Some((key, _)) if page.len() == 3 => after = Some(*key),
            _ => break,
        }
    }
    assert_eq!(listed, keys.into_iter().collect::<Vec<_>>());
}

async fn one_of_many_inserts_wins(store: &Store) {
    let key = Key::of(b"race of inserts");
    let attempt = move |store: Store, number: usize| async move {
        let name = number.to_string();
        (commit(&store, [insert(key, &name)]).await == Committed::Done).then_some(name)
    };
    let winners: Vec<_> = at_once(store, attempt).await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(value(store, key).await.as_ref(), winners.first());
}

async fn no_replacement_is_lost(store: &Store) {
    let key = Key::of(b"counter");
    commit(store, [insert(key, "0")]).await;
    let attempt = move |store: Store, _| async move {
        loop {
            let read = row(&store, key).await.unwrap();
            let count: usize = String::from_utf8(read.value).unwrap().parse().unwrap();
            let next = (count + 1).to_string();
            if commit(&store, [replace(key, read.revision, &next)]).await == Committed::Done {
                return;
            }
        }
    };
    at_once(store, attempt).await;
    assert_eq!(value(store, key).await, Some(TASKS.to_string()));
}

async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    store: &Store,
    attempt: impl Fn(Store, usize) -> F,
) -> Vec<T> {
    (0..TASKS).map(|number| attempt(store.clone(), number)).collect::<JoinSet<_>>().join_all().await
}

pub(super) fn soon() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

pub(super) async fn commit<const N: usize>(store: &Store, writes: [Write; N]) -> Committed {
    store.commit(writes.into()).await.unwrap()
}

pub(super) async fn row(store: &Store, key: Key) -> Option<Row> {
    store.get(Table::Session, &key).await.unwrap()
}

pub(super) async fn value(store: &Store, key: Key) -> Option<String> {
    row(store, key).await.map(|row| String::from_utf8(row.value).unwrap())
}

pub(super) fn insert(key: Key, value: &str) -> Write {
    Write::Insert { table: Table::Session, key, value: value.into(), expires: soon() }
}

pub(super) fn replace(key: Key, revision: Revision, value: &str) -> Write {
    Write::Replace { table: Table::Session, key, revision, value: value.into(), expires: soon() }
}

pub(super) fn remove(key: Key) -> Write {
    Write::Remove { table: Table::Session, key }
}
