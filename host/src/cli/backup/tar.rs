//! Archives in the format `ustar` (POSIX.1-1988), as every `tar` reads it: files and directories for their owner only.

use std::io::{self, Read, Write};

const BLOCK: usize = 512;

/// Bytes of a name that the format has room for.
const NAME_BYTES: usize = 100;

/// The same of the directories in front of it.
const PREFIX_BYTES: usize = 155;

/// The largest file: eleven octal digits.
const MAX_BYTES: u64 = 0o777_7777_7777;

/// An archive that is written.
pub(super) struct Archive<W> {
    into: W,
    /// The time of everything in it, in seconds since 1970.
    at_s: u64,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(into: W, at_s: u64) -> Self {
        Self { into, at_s }
    }

    /// Adds a directory.
    pub(super) fn directory(&mut self, name: &str) -> io::Result<()> {
        let header = self.header(&format!("{name}/"), 0o700, 0, b'5')?;
        self.into.write_all(&header)
    }

    /// Adds a file.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.stream(name, bytes.len() as u64, bytes)
    }

    /// Adds a file of so many bytes, which are read meanwhile.
    pub(super) fn stream(&mut self, name: &str, bytes: u64, from: impl Read) -> io::Result<()> {
        let header = self.header(name, 0o600, bytes, b'0')?;
        self.into.write_all(&header)?;
        let copied = io::copy(&mut from.take(bytes), &mut self.into)?;
        if copied != bytes {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("`{name}` has become shorter")));
        }
        let over = usize::try_from(bytes % BLOCK as u64).unwrap_or_default();
        self.into.write_all(&[0; BLOCK][..(BLOCK - over) % BLOCK])
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.into.write_all(&[0; 2 * BLOCK])?;
        self.into.flush()?;
        Ok(self.into)
    }

    fn header(&self, name: &str, mode: u32, bytes: u64, kind: u8) -> io::Result<[u8; BLOCK]> {
        let too_long = || io::Error::other(format!("`{name}` is too long, or has a name that is"));
        let (prefix, name) = split(name).ok_or_else(too_long)?;
        if bytes > MAX_BYTES {
            return Err(too_long());
        }
        let mut header = [0; BLOCK];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}\0").as_bytes());
        // Whoever restores it owns it.
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{bytes:011o}\0").as_bytes());
        put(136, format!("{:011o}\0", self.at_s.min(MAX_BYTES)).as_bytes());
        // The sum counts its own place as spaces.
        put(148, b"        ");
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        put(345, prefix.as_bytes());
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        Ok(header)
    }
}

/// The directories of a name that is too long for its own field, and the rest; none if it is too long for both.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= NAME_BYTES {
        return Some(("", name));
    }
    let slashes = name.match_indices('/').map(|(at, _)| (&name[..at], &name[at + 1..]));
    let mut fitting = slashes
        .filter(|(prefix, rest)| (1..=PREFIX_BYTES).contains(&prefix.len()) && (1..=NAME_BYTES).contains(&rest.len()));
    fitting.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_goes_into_two_fields() {
        let (prefix, rest) = ("d".repeat(90), "f".repeat(90));
        assert_eq!(split(&format!("{prefix}/{rest}")), Some((&*prefix, &*rest)));
        assert_eq!(split("store/store.db"), Some(("", "store/store.db")));
        assert_eq!(split(&"x".repeat(101)), None);
    }

    #[test]
    fn an_archive_has_whole_blocks_and_a_sum_for_each_header() {
        let mut archive = Archive::new(Vec::new(), 1_700_000_000);
        archive.directory("store").unwrap();
        archive.file("store/a", b"hello").unwrap();
        archive.file("empty", b"").unwrap();
        archive.file("block", &[7; BLOCK]).unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len(), BLOCK * (1 + 2 + 1 + 2 + 2));
        let text = |at: usize, length: usize| std::str::from_utf8(&bytes[at..at + length]).unwrap();
        assert_eq!((text(0, 6), bytes[156]), ("store/", b'5'));
        assert_eq!((text(BLOCK, 7), text(BLOCK + 124, 11), bytes[BLOCK + 156]), ("store/a", "00000000005", b'0'));
        for at in [0, BLOCK, 3 * BLOCK, 4 * BLOCK] {
            let mut header = bytes[at..at + BLOCK].to_vec();
            let said = u32::from_str_radix(text(at + 148, 6), 8).unwrap();
            header[148..156].fill(b' ');
            assert_eq!(header.iter().map(|byte| u32::from(*byte)).sum::<u32>(), said);
        }
        assert!(bytes[bytes.len() - 2 * BLOCK..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_the_format_has_no_room_for_is_refused() {
        let mut archive = Archive::new(Vec::new(), 0);
        archive.file(&"x".repeat(101), b"").unwrap_err();
        archive.stream("short", 10, &b"x"[..]).unwrap_err();
    }
}
