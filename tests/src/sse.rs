//! Event streams (WHATWG HTML §9.2), as far as clients of MCP read them: the data of events.

/// Reads a stream in pieces of any size.
#[derive(Debug, Default)]
pub struct EventReader {
    /// The line that has not ended.
    line: Vec<u8>,
    /// A line feed after a carriage return ends nothing.
    after_return: bool,
    is_begun: bool,
    /// The lines of data of the event that has not ended.
    data: Vec<String>,
}

impl EventReader {
    /// Takes the next bytes; returns the data of the events that end in them. Events without data are passed over.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                other => self.line.push(*other),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let line = if is_first { line.strip_prefix('\u{feff}').unwrap_or(&line) } else { &line };
        if line.is_empty() {
            let data = std::mem::take(&mut self.data).join("\n");
            return (!data.is_empty()).then_some(data);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            self.data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
        }
        None
    }
}

/// Holds the reader to its promises, for any text: it is the same in pieces of any size, and what is written as an event
/// is read.
///
/// # Panics
/// When it breaks one.
pub fn check(bytes: &[u8]) {
    let whole = EventReader::default().take(bytes);
    let size = bytes.first().map_or(1, |byte| usize::from(*byte % 7) + 1);
    let mut reader = EventReader::default();
    let pieces: Vec<String> = bytes.chunks(size).flat_map(|piece| reader.take(piece)).collect();
    assert_eq!(pieces, whole, "in pieces of {size}");
    assert!(whole.iter().map(String::len).sum::<usize>() <= 3 * bytes.len());
    assert!(whole.iter().all(|data| !data.is_empty() && !data.contains('\r')));

    let text = String::from_utf8_lossy(bytes).replace('\r', " ");
    let written: String = text.split('\n').map(|line| format!("data: {line}\r\n")).collect();
    let read = EventReader::default().take(format!(": ping\n\nid: 1\n{written}\n").as_bytes());
    assert_eq!(read.concat(), text, "{written:?}");
}

#[cfg(test)]
#[path = "../../host/src/fuzzing/tests/driver.rs"]
mod driver;

#[cfg(test)]
mod tests {
    use super::driver::{Driven, drive};
    use super::*;

    #[test]
    fn event_stream() {
        drive(Driven { name: "event_stream", run: check });
    }

    #[test]
    fn events_are_their_data() {
        let read = |text: &str| EventReader::default().take(text.as_bytes());
        assert_eq!(read("id: 0\nretry: 3000\ndata: \n\ndata: {\"id\":1}\nid: 1\n\n"), ["{\"id\":1}"]);
        assert_eq!(read("data:a\rdata:  b\r\n\r\n: c\n\ndata\ndata: d\n\ndata: e\n"), ["a\n b", "\nd"]);
        assert_eq!(read("\u{feff}data: x\n\n"), ["x"]);
    }
}
