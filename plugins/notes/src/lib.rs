//! The tools `notes_add`, `notes_list`, `notes_get` and `notes_remove`: state that outlives the call.
//!
//! They need `kv = { quota = "1MiB", per = "person" }` in `[plugin.notes]`. With `per = "plugin"` all people have the same
//! notes.

use tinymcp::plugin::kv;

wit_bindgen::generate!({ world: "notes", path: "wit", generate_all });

/// Carries the WIT text into the component, so that its comments become the tools' descriptions.
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "tinymcp-wit")]
#[used]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

/// The key of the last id. It is none of a note.
const LAST: &str = "last";

/// The beginning of the keys of notes.
const NOTES: &str = "note/";

const MAX_BYTES: usize = 10_000;

struct Notes;

impl Guest for Notes {
    fn add(text: String) -> Result<u64, String> {
        if text.trim().is_empty() {
            return Err("the note is empty: say what to keep".to_owned());
        }
        if text.len() > MAX_BYTES {
            return Err(format!("the note has {} bytes: keep one of {MAX_BYTES} at most", text.len()));
        }
        // Two calls at once get two ids.
        let id = kv::increment(LAST, 1).map_err(said)?.unsigned_abs();
        kv::set(&key(id), text.as_bytes(), None).map_err(said)?;
        Ok(id)
    }

    fn list() -> Result<Vec<Note>, String> {
        let (mut notes, mut cursor) = (Vec::new(), None);
        loop {
            let page = kv::list_keys(NOTES, cursor.as_deref()).map_err(said)?;
            for key in &page.keys {
                let id = key.strip_prefix(NOTES).and_then(|id| id.parse().ok());
                // What another call has removed meanwhile is no note any more.
                if let (Some(id), Some(text)) = (id, kv::get(key).map_err(said)?) {
                    notes.push(Note { id, text: String::from_utf8_lossy(&text).into_owned() });
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(notes);
            }
        }
    }

    fn get(id: u64) -> Result<String, String> {
        let text = kv::get(&key(id)).map_err(said)?.ok_or_else(|| missing(id))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn remove(id: u64) -> Result<(), String> {
        if kv::delete(&key(id)).map_err(said)? { Ok(()) } else { Err(missing(id)) }
    }
}

/// Keys are listed in their order, and that of the notes is theirs.
fn key(id: u64) -> String {
    format!("{NOTES}{id:020}")
}

fn missing(id: u64) -> String {
    format!("there is no note {id}: list the notes to see which there are")
}

fn said(error: kv::Error) -> String {
    match error {
        kv::Error::AccessDenied => "notes cannot be kept here: ask the operator for a grant of kv".to_owned(),
        kv::Error::NoPerson => "notes belong to a person, and nobody has logged in".to_owned(),
        kv::Error::QuotaExceeded(usage) => {
            format!("there is no room for more: the notes take {} of {} bytes; remove some", usage.used, usage.quota)
        }
        kv::Error::TooManyWrites(wait) => format!("too much is written at once: try again in {wait} ms"),
        kv::Error::Unavailable(why) => format!("notes cannot be reached now: {why}"),
        other => format!("the notes are not as they should be: {other}"),
    }
}

export!(Notes);
