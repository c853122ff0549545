//! A look at the write-ahead log before SQLite reads it.
//!
//! SQLite takes a log up to the first frame whose checksum is wrong, and drops the rest without a word: after a crash the
//! last transaction may be there in part, and nobody was told that it was done. But a transaction begins only when the
//! one before is on the disk, so at most one is in part. A bad frame with two commits behind it is damage, and what it
//! hides was acknowledged.
//!
//! The layout is that of <https://www.sqlite.org/fileformat2.html#walformat>.

use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// The first bytes of a log, but for the last bit, which says in which order checksums read their words.
const MAGIC: u32 = 0x377f_0682;

/// Pages that SQLite knows.
const PAGE_BYTES: std::ops::RangeInclusive<u32> = 512..=65536;

/// Commits behind a bad frame that show that it was once good. One may be that of the bad frame's own transaction.
const COMMITS_OF_DAMAGE: usize = 2;

/// What is wrong with a log, if anything is.
///
/// # Errors
/// What the system says when it cannot be read.
pub(super) fn find_damage(path: &Path) -> io::Result<Option<String>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let frames = file.metadata()?.len().saturating_sub(HEADER_BYTES as u64);
    let mut file = BufReader::new(file);
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut file, &mut header)? || frames == 0 {
        return Ok(None);
    }
    let Some(log) = Log::read(&header) else {
        return Ok(Some("the header of its write-ahead log is not what was written".to_owned()));
    };
    log.find_damage(&mut file)
}

/// What a log's header says.
struct Log {
    page_bytes: usize,
    salt: [u8; 8],
    checksum: Checksum,
}

impl Log {
    fn read(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (content, expected) = header.split_at(HEADER_BYTES - 8);
        let page_bytes = word(&header[8..12]);
        if word(&header[..4]) & !1 != MAGIC || !PAGE_BYTES.contains(&page_bytes) {
            return None;
        }
        let mut checksum = Checksum { is_big_endian: header[3] & 1 == 1, sums: [0, 0] };
        checksum.add(content);
        let salt = header[16..24].try_into().expect("a slice of its length");
        (checksum.bytes() == expected).then_some(Self { page_bytes: page_bytes as usize, salt, checksum })
    }

    fn find_damage(mut self, file: &mut impl Read) -> io::Result<Option<String>> {
        let mut frame = vec![0; FRAME_HEADER_BYTES + self.page_bytes];
        let mut bad = None;
        let mut commits = 0;
        let mut number = 0_usize;
        while fill(file, &mut frame)? {
            number += 1;
            // Frames of an earlier use of the file, which have been written back, have another salt.
            let is_of_this_log = frame[8..16] == self.salt;
            if bad.is_none() {
                self.checksum.add(&frame[..8]);
                self.checksum.add(&frame[FRAME_HEADER_BYTES..]);
                if !is_of_this_log || self.checksum.bytes() != frame[16..24] {
                    bad = Some(number);
                }
            }
            // Only the frame that ends a transaction has the size of the file.
            if bad.is_some() && is_of_this_log && word(&frame[4..8]) != 0 {
                commits += 1;
            }
        }
        let damage = bad.filter(|_| commits >= COMMITS_OF_DAMAGE);
        Ok(damage.map(|number| format!("frame {number} of its write-ahead log is not what was written")))
    }
}

/// The running checksum of a log.
struct Checksum {
    is_big_endian: bool,
    sums: [u32; 2],
}

impl Checksum {
    /// Adds a multiple of eight bytes.
    fn add(&mut self, bytes: &[u8]) {
        let [mut first, mut second] = self.sums;
        for pair in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *pair;
            let words = [[a, b, c, d], [e, f, g, h]];
            let [left, right] = words.map(match self.is_big_endian {
                true => u32::from_be_bytes,
                false => u32::from_le_bytes,
            });
            first = first.wrapping_add(left).wrapping_add(second);
            second = second.wrapping_add(right).wrapping_add(first);
        }
        self.sums = [first, second];
    }

    fn bytes(&self) -> [u8; 8] {
        let [[a, b, c, d], [e, f, g, h]] = self.sums.map(u32::to_be_bytes);
        [a, b, c, d, e, f, g, h]
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// Fills the buffer; false if the file ends before that.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
