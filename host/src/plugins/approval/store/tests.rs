use super::*;
use crate::state::Secrets;

fn state(dir: &Path) -> StateDir {
    StateDir::open(dir, &Secrets::default()).unwrap()
}

fn sha(text: &str) -> Sha256 {
    Sha256::of(text.as_bytes())
}

fn approve(store: &mut Store, plugin: &str, text: &str) {
    store.keeper().unwrap().keep(&sha(text), text.as_bytes(), None).unwrap();
    store.approve(plugin, sha(text), Face::default(), "a test").unwrap();
}

#[test]
fn what_was_approved_is_there_after_a_restart_and_what_is_not_named_goes() {
    let scratch = tempfile::tempdir().unwrap();
    let state = state(scratch.path());
    let mut store = Store::open(Some(&state));
    for text in ["a", "b", "c", "d", "e", "f"] {
        approve(&mut store, "one", text);
    }
    approve(&mut store, "other", "a");
    store.sweep();
    drop(store);
    let store = Store::open(Some(&state));
    let approval = store.of("one").unwrap().unwrap();
    assert_eq!((approval.sha256, approval.before.as_slice()), (sha("f"), &[sha("e"), sha("d"), sha("c")][..]));
    for (text, is_kept) in [("a", true), ("b", false), ("c", true), ("f", true)] {
        assert_eq!(store.bytes_of(&sha(text)).is_some(), is_kept, "{text}");
    }
    assert_eq!(store.of("third"), Ok(None));
}

#[test]
fn a_damaged_record_is_no_approval_and_not_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let state = state(scratch.path());
    let mut store = Store::open(Some(&state));
    approve(&mut store, "one", "a");
    approve(&mut store, "two", "b");
    drop(store);
    let file = |name: &str| scratch.path().join(format!("approved/{name}.json"));
    // The record of one plugin is none of another.
    fs::copy(file("one"), file("two")).unwrap();
    let mut store = Store::open(Some(&state));
    assert!(store.of("one").is_ok() && store.of("two").unwrap_err().contains("two.json"));
    store.sweep();
    assert!(store.bytes_of(&sha("b")).is_some(), "nothing goes while nobody knows what is named");
    approve(&mut store, "two", "b");
    assert_eq!(store.of("two").unwrap().unwrap().sha256, sha("b"));
    drop(store);
    fs::remove_dir_all(scratch.path().join(FOLDER)).unwrap();
    fs::write(scratch.path().join(FOLDER), "").unwrap();
    let store = Store::open(Some(&state));
    assert!(store.of("one").is_err() && store.highest("one").is_err() && !store.is_first_asked("one"));
}

#[test]
fn one_process_at_a_time_changes_approvals() {
    let scratch = tempfile::tempdir().unwrap();
    let state = state(scratch.path());
    let mut first = Store::open(Some(&state));
    approve(&mut first, "one", "a");
    let mut second = Store::open(Some(&state));
    assert!(second.approve("one", sha("b"), Face::default(), "").unwrap_err().contains("another process"));
    assert!(second.keeper().is_none() && second.of("one").unwrap().unwrap().sha256 == sha("a"));
    let look = StateDir::open_existing(scratch.path(), &Secrets::default()).unwrap();
    let mut look = Store::open(look.as_ref());
    look.approve("two", sha("b"), Face::default(), "").unwrap();
    assert!(!scratch.path().join("approved/two.json").exists(), "who looks writes nothing");
}

#[test]
fn approval_is_first_asked_for_once() {
    let scratch = tempfile::tempdir().unwrap();
    let state = state(scratch.path());
    let mut store = Store::open(Some(&state));
    assert!(store.is_first_asked("one"));
    store.ask_of(Store::places(["one".to_owned()].into_iter(), false));
    drop(store);
    let mut store = Store::open(Some(&state));
    assert!(!store.is_first_asked("one") && store.is_first_asked("two"));
    store.ask_of(Store::places(std::iter::empty(), true));
    assert!(!store.is_first_asked("two"));
    drop(store);
    fs::write(scratch.path().join("approved/turned-on.json"), "{}").unwrap();
    assert!(!Store::open(Some(&state)).is_first_asked("two"));
}

#[test]
fn the_highest_version_that_was_served_is_known_or_nothing_is() {
    let scratch = tempfile::tempdir().unwrap();
    let state = state(scratch.path());
    let mut store = Store::open(Some(&state));
    let signed = Signed { key: "k".to_owned(), version: 3, sha256: sha("a"), text: String::new() };
    store.serve_signed("one", &signed).unwrap();
    drop(store);
    let store = Store::open(Some(&state));
    assert_eq!(store.highest("one"), Ok(Some(signed)));
    assert_eq!(store.highest("two"), Ok(None));
    fs::write(scratch.path().join("approved/signed-versions.json"), "{}").unwrap();
    assert!(Store::open(Some(&state)).highest("two").is_err());
}
