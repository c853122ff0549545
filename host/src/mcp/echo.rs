//! A client's own words in an answer that refuses them: enough of them to know them by.

use crate::plugins::plugin::MAX_URI_BYTES;
use crate::sanitize::cut;

/// The most bytes of a name: more than any that could have been meant.
const MAX_NAME_BYTES: usize = 256;

/// A name, a method or a path into JSON.
pub(super) fn name(text: &str) -> String {
    cut(text, MAX_NAME_BYTES)
}

/// A URI: whole, unless it is longer than those of resources are.
pub(super) fn uri(text: &str) -> String {
    cut(text, MAX_URI_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_have_meant_is_cut() {
        assert_eq!((name("add"), uri("x:1")), ("add".to_owned(), "x:1".to_owned()));
        let long = "ä".repeat(1 << 20);
        assert!((name(&long).len(), uri(&long).len()) <= (MAX_NAME_BYTES, MAX_URI_BYTES));
        assert!(name(&long).starts_with('ä') && name(&long).ends_with('…'));
    }
}
