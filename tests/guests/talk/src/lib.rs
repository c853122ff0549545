//! Prints what it is told.

wit_bindgen::generate!({ world: "talk", path: "wit" });

struct Talk;

impl Guest for Talk {
    fn say(text: String) {
        print!("{text}");
    }

    fn complain(text: String) {
        eprint!("{text}");
    }
}

export!(Talk);
