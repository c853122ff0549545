use super::testing::{Shelves, shelves};
use super::*;

const ALICE: Person = [1; 32];

fn place<'a>(kind: Kind, name: &'a str) -> Place<'a> {
    Place { person: &ALICE, kind, name }
}

async fn put(shelf: &Shelf, kind: Kind, name: &str, value: &[u8]) -> Result<(), ShelfError> {
    shelf.change(place(kind, name), |_| Ok(Change::Put(value.to_vec(), in_time(Duration::from_secs(60))))).await
}

#[tokio::test]
async fn a_thing_is_taken_once_and_changes_at_once_all_count() {
    let Shelves { shelf, .. } = &shelves().await;
    put(shelf, Kind::Letter, "a", b"hello").await.unwrap();
    let (one, other) = tokio::join!(shelf.take(place(Kind::Letter, "a")), shelf.take(place(Kind::Letter, "a")));
    let taken: Vec<_> = [one.unwrap(), other.unwrap()].into_iter().flatten().collect();
    assert_eq!(taken, [b"hello".to_vec()]);
    assert_eq!(shelf.get(place(Kind::Letter, "a")).await.unwrap(), None);

    let add = |byte: u8| async move {
        let added = shelf.change(place(Kind::Session, "s"), |found| {
            let mut value = found.unwrap_or_default().to_vec();
            value.push(byte);
            Ok::<_, ShelfError>(Change::Put(value, in_time(Duration::from_secs(60))))
        });
        added.await.unwrap();
    };
    futures::future::join_all((0..6).map(add)).await;
    let mut all = shelf.get(place(Kind::Session, "s")).await.unwrap().unwrap();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn there_are_64_tasks_of_a_person_and_forgetting_removes_all() {
    let Shelves { shelf, .. } = &shelves().await;
    for number in 0..64 {
        put(shelf, Kind::Task, &number.to_string(), b"x").await.unwrap();
    }
    assert_eq!(put(shelf, Kind::Task, "more", b"x").await, Err(ShelfError::Full));
    assert_eq!(shelf.get(place(Kind::Task, "more")).await.unwrap(), None);
    let ended = Ended { owner: None, by_s: 7, until_ms: clock::now_ms() + 60_000 };
    shelf.end_sessions(&ALICE, ended).await.unwrap();
    assert_eq!(shelf.forget(&ALICE).await.unwrap().len(), 64);
    assert_eq!(shelf.get(place(Kind::Task, "1")).await.unwrap(), None);
    let ledger = shelf.ledger(&ALICE).await.unwrap();
    assert!(ledger.names(Kind::Task).next().is_none() && ledger.has_ended("any", 7));
    put(shelf, Kind::Task, "more", b"x").await.unwrap();
}

#[tokio::test]
async fn a_new_root_key_takes_nothing_away() {
    let Shelves { shelf, state, .. } = &shelves().await;
    put(shelf, Kind::Task, "a", b"before").await.unwrap();
    state.rotate().unwrap();
    assert_eq!(shelf.get(place(Kind::Task, "a")).await.unwrap(), Some(b"before".to_vec()));
    put(shelf, Kind::Task, "a", b"after").await.unwrap();
    put(shelf, Kind::Task, "b", b"after").await.unwrap();
    assert_eq!(shelf.get(place(Kind::Task, "a")).await.unwrap(), Some(b"after".to_vec()));
    assert_eq!(shelf.ledger(&ALICE).await.unwrap().names(Kind::Task).count(), 2);
}
