//! Promises that hold of several rooms.

use crate::sanitize::misleads;

/// Holds a text for people, models or logs to what all of them are promised.
///
/// # Panics
/// When it has a character that hides, moves or ends a line, or more bytes than this.
pub(crate) fn assert_shown(text: &str, max_bytes: usize) {
    let odd = text.chars().find(|char| char.is_control() || misleads(*char));
    assert_eq!(odd, None, "in {text:?}");
    assert!(text.len() <= max_bytes, "{} of {max_bytes} bytes: {text:?}", text.len());
}
