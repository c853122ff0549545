//! Texts of strangers, cleaned, escaped and cut.

use serde_json::Value;

use super::promises::assert_shown;
use crate::sanitize::{clean, cut, escape, escape_json, escape_lines, escaped, is_blank, misleads};

/// Any text.
pub(super) fn text(bytes: &[u8]) {
    let raw = String::from_utf8_lossy(bytes);
    let cleaned = clean(&raw);
    assert_shown(&cleaned.replace('\n', " "), raw.len());
    assert_eq!(clean(&cleaned), cleaned, "cleaning twice changes nothing");
    assert_eq!(is_blank(&cleaned), is_blank(&raw));

    let line = escape(&raw);
    assert_shown(&line, raw.len() * "\\u{10ffff}".len());
    assert_eq!(escape(&line), line, "escaping twice changes nothing");
    assert_eq!(escaped(raw.clone().into_owned()), line);
    assert_shown(&escape_lines(&raw).replace(['\n', '\t'], " "), raw.len() * "\\u{10ffff}".len());

    let json = Value::from(&*raw).to_string();
    let escaped = escape_json(&json);
    assert!(!escaped.contains(misleads), "{escaped:?}");
    assert_eq!(serde_json::from_str::<Value>(&escaped).expect("it is JSON"), Value::from(&*raw));

    let max = usize::from(bytes.first().copied().unwrap_or_default());
    let short = cut(&raw, max);
    assert!(short.len() <= max.max("…".len()), "{short:?} has more than {max} bytes");
    let kept = if short.len() < raw.len() || *short != *raw { short.trim_end_matches('…') } else { &short };
    assert!(raw.starts_with(kept), "{short:?} is no beginning of {raw:?}");
}
