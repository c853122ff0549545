//! The id of a message that is too large to be kept: without it, nobody would ever answer its sender.

use rmcp::model::RequestId;

/// The longest id that is read, as JSON.
const MAX_ID_BYTES: usize = 256;

/// The longest name of a member that is looked at: those that matter are shorter.
const MAX_NAME_BYTES: usize = 8;

/// Follows JSON as it comes, and keeps the member `id` of the outermost object.
#[derive(Default)]
pub(super) struct Outline {
    depth: usize,
    is_in_text: bool,
    is_escaped: bool,
    /// The text that was read last on the first level: the name of a member before its colon.
    name: Vec<u8>,
    /// The value of `id`, as far as it was read.
    id: Option<Vec<u8>>,
    is_in_id: bool,
}

impl Outline {
    /// Goes on with these bytes.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.step(*byte));
    }

    fn step(&mut self, byte: u8) {
        if self.is_in_id && self.ends_id(byte) {
            self.is_in_id = false;
        }
        if self.is_in_id
            && let Some(id) = self.id.as_mut().filter(|id| id.len() < MAX_ID_BYTES)
        {
            id.push(byte);
        }
        if self.is_in_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.is_in_text = false,
                _ if self.depth == 1 && self.name.len() < MAX_NAME_BYTES => self.name.push(byte),
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => {
                self.is_in_text = true;
                self.name.clear();
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 && self.name == b"id" && self.id.is_none() => {
                (self.id, self.is_in_id) = (Some(Vec::new()), true);
            }
            _ => {}
        }
    }

    fn ends_id(&self, byte: u8) -> bool {
        !self.is_in_text && self.depth == 1 && matches!(byte, b',' | b'}')
    }

    /// The id; none if the message has none, or none that a request can have.
    pub(super) fn id(&self) -> Option<RequestId> {
        self.id.as_ref().and_then(|id| serde_json::from_slice(id).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_id_is_found_wherever_it_stands() {
        for (text, id) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, Some(RequestId::Number(1))),
            (r#"{"params":{"id":2,"x":["}",{"id":"no"}]},"id" : "a\",b" }"#, Some(RequestId::String("a\",b".into()))),
            (r#"{"x":"id","id":7}"#, Some(RequestId::Number(7))),
            (r#"{"id":{"id":1}}"#, None),
            (r#"{"id":null}"#, None),
            (r#"[{"id":1}]"#, None),
            (r#"{"params":{"id":1}"#, None),
        ] {
            let mut outline = Outline::default();
            // In any parts.
            text.as_bytes().chunks(3).for_each(|part| outline.see(part));
            assert_eq!(outline.id(), id, "{text}");
        }
    }
}
