//! Imports an interface that no host has.

use example::unknown::thing;

wit_bindgen::generate!({ world: "unknown-import", path: "wit" });

struct UnknownImport;

impl Guest for UnknownImport {
    fn answer(question: String) -> String {
        thing::ask(&question)
    }
}

export!(UnknownImport);
