//! Copies files of the host, and puts known races back, each into a copy of its own: schedules that do not find them find
//! no others.

use std::path::Path;
use std::{env, fs};

/// The files, below `host/src`.
const FILES: [(&str, &str); 5] = [
    ("gate", "plugins/sandbox/gate.rs"),
    ("pool", "plugins/sandbox/warm/pool.rs"),
    ("turns", "auth/sessions/turns.rs"),
    ("publisher", "plugins/registry/publisher.rs"),
    ("changes", "mcp/listeners/changes.rs"),
];

/// The file, the copy's name, what the file has, and what the copy has in that place.
const RACES: [(&str, &str, &str, &str); 6] = [
    // A place is looked for and taken in two steps.
    (
        "gate",
        "gate_in_two_steps",
        "if state.take(person, self.concurrency) {",
        "let is_free = state.running < self.concurrency; drop(state); state = self.state(); \
         if (is_free && state.take(person, 1000)) || state.take(person, self.concurrency) {",
    ),
    // A caller who goes away does not give its place back.
    (
        "gate",
        "gate_that_loses_places",
        "drop(waiter.call.send(self.permit(next)));",
        "if let Err(permit) = waiter.call.send(self.permit(next)) { std::mem::forget(permit); }",
    ),
    // It is not looked whether others wait for the turn.
    ("turns", "turns_that_end_for_all", "if Arc::strong_count(&turn) <= 2 {", "if Arc::strong_count(&turn) > 0 {"),
    // A thing is found and taken in two steps.
    (
        "pool",
        "pool_in_two_steps",
        "let found = kept.remove(index);",
        "drop(kept); let mut kept = self.kept(); let found = kept.remove(index);",
    ),
    // The first scan ends before its catalog is there.
    (
        "publisher",
        "publisher_that_settles_first",
        "self.current.send_modify(|current| *current = Arc::new(next(current)));",
        "self.settle(); self.current.send_modify(|current| *current = Arc::new(next(current)));",
    ),
    // A change between two looks counts as seen.
    (
        "changes",
        "changes_that_forget",
        "let before = self.seen;",
        "let before = self.catalogs.borrow_and_update().revisions();",
    ),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR").expect("cargo names it");
    let write = |name: &str, text: String| {
        fs::write(Path::new(&out).join(name).with_extension("rs"), text).expect("the directory is there");
    };
    for (name, file) in FILES {
        let text = copy(file);
        for (_, race, before, after) in RACES.iter().filter(|(of, ..)| *of == name) {
            let count = text.matches(before).count();
            assert_eq!(count, 1, "{file} has changed: put the race of `{race}` back in another way");
            write(race, text.replace(before, after));
        }
        write(name, text);
    }
}

/// A file without its tests. Comments on a module cannot be included, and its rooms are not here.
fn copy(file: &str) -> String {
    let path = Path::new("../../host/src").join(file);
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let text = text.replace("pub(super)", "pub(crate)").replace("pub(in crate::plugins)", "pub(crate)");
    let text = text.replace("pub(in crate::auth)", "pub(crate)");
    text.lines().filter(|line| !line.starts_with("//!")).map(|line| format!("{line}\n")).collect()
}
