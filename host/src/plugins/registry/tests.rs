//! The task in moments that no test from outside can choose.

use std::path::Path;

use super::*;
use crate::grants::PluginGrants;
use crate::plugins::approval::request;
use crate::plugins::sandbox::engine::Cleaning;
use crate::plugins::services::Services;

const FILE: &str = "greeter.wasm";

fn registry() -> Registry {
    let runtime = Arc::new(Runtime::new(1, 0, Cleaning::Whole, Services::default()).unwrap());
    let rules = Rules::of(&channel::Sender::default(), &channel::Sender::default());
    let (catalog, ready) = (channel::channel(Arc::default()).0, channel::channel(false).0);
    let known = (Ledger::default(), Store::open(None), request::channel().1);
    let mut registry = Registry::new(runtime, None, known, rules, catalog, ready).unwrap();
    registry.entries.insert(FILE.to_owned(), Entry::new(FILE, &Config::default(), &PluginGrants::default()));
    registry
}

/// A load that failed.
fn failed(id: LoadId) -> LoadOutcome {
    let outcome = Err("failed".to_owned());
    let (stamp, digest, elapsed) = (None, None, Duration::ZERO);
    LoadOutcome { id, file: FILE.to_owned(), stamp, digest, outcome, is_untrusted: false, is_unsettled: false, elapsed }
}

#[tokio::test]
async fn what_a_file_was_before_it_went_and_came_back_is_not_taken() {
    let mut registry = registry();
    let mut finish = |wanted, came| {
        let task = registry.loads.spawn(std::future::pending());
        let of = (Stamp::of_file(Path::new("/")).unwrap(), None);
        registry.entries.get_mut(FILE).unwrap().load = Option::map(wanted, |id| Load { id, of, task });
        registry.finish(failed(came));
        let entry = &registry.entries[FILE];
        (entry.load.as_ref().map(|load| load.id), entry.problem().map(str::to_owned))
    };
    assert_eq!(finish(Some(2), 1), (Some(2), None));
    // Switched off meanwhile.
    assert_eq!(finish(None, 1), (None, None));
    assert_eq!(finish(Some(2), 2), (None, Some("failed; it is tried again".to_owned())));
}

#[test]
fn a_name_whose_owner_is_gone_goes_to_the_first_file_in_order() {
    let mut registry = registry();
    let other = "other.wasm";
    registry.entries.insert(other.to_owned(), Entry::new(other, &Config::default(), &PluginGrants::default()));
    let mut owned_by = |owner: &str, files: &[&str]| {
        let holding = BTreeMap::from([(owner.to_owned(), vec!["greet".to_owned()])]);
        registry.ledger.update(&holding, &files.iter().map(|file| (*file).to_owned()).collect());
        [(FILE, other), (other, FILE)].map(|(file, rival)| registry.outranks(file, rival, "greet"))
    };
    assert_eq!(owned_by(other, &[FILE, other]), [false, true]);
    assert_eq!(owned_by("gone.wasm", &[FILE, other]), [true, false]);
}

#[tokio::test]
async fn the_first_scan_ends_without_what_is_still_loading() {
    let mut registry = registry();
    registry.loads.spawn(std::future::pending());
    let later = Instant::now() + Duration::from_secs(3600);
    for (by, is_ready) in [(None, false), (Some(later), false), (Some(Instant::now()), true)] {
        registry.ready_by = by;
        registry.settle_first_scan();
        assert_eq!(registry.publisher.is_ready(), is_ready, "{by:?}");
        // Whose names are whose waits for all.
        assert!(!registry.is_settled);
    }
    registry.loads.abort_all();
    while registry.loads.join_next().await.is_some() {}
    registry.settle_first_scan();
    assert!(registry.is_settled && registry.publisher.is_ready());
}
