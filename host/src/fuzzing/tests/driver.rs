//! Runs a target on stable Rust: first its corpus, then files of it changed by chance, and texts of their words. The tests of
//! two crates have it, each by its path.
//!
//! A run takes a second, or `TINYMCP_FUZZ_SECONDS`. What it tries follows from its seed, `TINYMCP_FUZZ_SEED` or 0, which it
//! prints. The smallest input that breaks a promise is written to `fuzz/artifacts`. Time of the processor and memory
//! have bounds that grow with the input's size.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sha2::{Digest, Sha256};

/// Bytes of an input, at most.
const MAX_BYTES: usize = 64 << 10;

/// Processor time of one input, and more for each byte of it: several times what the slowest takes unoptimised.
const MAX_TIME: Duration = Duration::from_millis(500);
const MAX_TIME_BYTE: Duration = Duration::from_micros(50);

/// Memory of one input, and more for each byte of it.
const MAX_KIB: usize = 32 << 10;
const MAX_KIB_BYTE: usize = 2;

/// Time to make a failing input smaller.
const MINIMISING: Duration = Duration::from_secs(10);

/// Words for every target: ends of ranges, signs that have a meaning somewhere, characters that hide.
const WORDS: [&str; 34] = [
    "0",
    "-1",
    "255",
    "256",
    "9007199254740993",
    "18446744073709551616",
    "-9223372036854775809",
    "1e400",
    "0.1",
    "-0.0",
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "[[",
    "{\"a\":",
    "\\ud800",
    "\\u0000",
    "\0",
    "\r\n",
    "\u{202e}",
    "\u{feff}",
    "\u{e0041}",
    "\u{85}",
    "é",
    "%00",
    "%2e",
    "%",
    "+",
    "..",
    "//",
    "@",
    "#",
];

pub(crate) fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The files of a corpus, in the order of their names.
pub(crate) fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(fuzz().join("corpus").join(name)).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[expect(clippy::disallowed_methods, reason = "it is the tests' own, and no setting")]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// A function that takes any bytes, and panics where a promise is broken; and the name of its corpus.
#[derive(Clone, Copy)]
pub(crate) struct Driven {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&[u8]),
}

/// Runs a target.
pub(crate) fn drive(target: Driven) {
    let name = target.name;
    let corpus = corpus(name);
    let mut slowest = (Duration::ZERO, 0);
    for (path, bytes) in &corpus {
        if let Err(fault) = examine(target, bytes, &mut slowest) {
            panic!("{}: {fault}", path.display());
        }
    }
    let seed = variable("TINYMCP_FUZZ_SEED").unwrap_or_default();
    let until = Instant::now() + Duration::from_secs(variable("TINYMCP_FUZZ_SECONDS").unwrap_or(1));
    let inputs = inputs(corpus.into_iter().map(|(_, bytes)| bytes).collect());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, Sha256::digest(seed.to_le_bytes()).as_slice());
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut count = 0;
    while Instant::now() < until {
        let bytes = inputs.new_tree(&mut runner).unwrap().current();
        count += 1;
        if let Err(fault) = examine(target, &bytes, &mut slowest) {
            report(target, &bytes, &format!("{fault} (seed {seed}, input {count})"));
        }
    }
    let (time, size) = slowest;
    eprintln!("{name}: {count} inputs of seed {seed}; the slowest took {time:?} for {size} bytes");
}

/// Runs a target, within its bounds.
fn examine(target: Driven, bytes: &[u8], slowest: &mut (Duration, usize)) -> Result<(), String> {
    let memory = peak_kib();
    let began = processor_time();
    let ran = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    let time = processor_time().saturating_sub(began);
    ran.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })?;
    if time > slowest.0 {
        *slowest = (time, bytes.len());
    }
    let size = u32::try_from(bytes.len()).unwrap();
    if time > MAX_TIME + MAX_TIME_BYTE * size {
        return Err(format!("{time:?} of a processor for {size} bytes"));
    }
    let grown = peak_kib().saturating_sub(memory);
    if grown > MAX_KIB + MAX_KIB_BYTE * bytes.len() {
        return Err(format!("{grown} KiB of memory for {size} bytes"));
    }
    Ok(())
}

/// The processor time of this thread; none where the system does not tell.
fn processor_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

/// The largest memory of this process so far; 0 where the system does not tell, and where others run in it.
fn peak_kib() -> usize {
    if variable_is_set("NEXTEST") {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        return line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    }
    0
}

#[expect(clippy::disallowed_methods, reason = "it is the test runner's, and no setting")]
fn variable_is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// Makes a failing input smaller, keeps it, and fails.
fn report(target: Driven, bytes: &[u8], fault: &str) -> ! {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let least = minimised(target, bytes);
    panic::set_hook(hook);
    let folder = fuzz().join("artifacts").join(target.name);
    let digest: [u8; 32] = Sha256::digest(&least).into();
    let file = folder.join(digest[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    fs::create_dir_all(folder).unwrap();
    fs::write(&file, &least).unwrap();
    let shown = least[..least.len().min(400)].escape_ascii();
    panic!("{}: {fault}\n{} bytes, of {}, in {}: {shown}", target.name, least.len(), bytes.len(), file.display());
}

/// The least input that was found to fail: pieces are left out, large ones first.
fn minimised(target: Driven, bytes: &[u8]) -> Vec<u8> {
    let until = Instant::now() + MINIMISING;
    let mut least = bytes.to_vec();
    let mut piece = least.len().div_ceil(2);
    while piece > 0 && Instant::now() < until {
        let mut at = 0;
        while at < least.len() && Instant::now() < until {
            let end = (at + piece).min(least.len());
            let shorter = [&least[..at], &least[end..]].concat();
            match examine(target, &shorter, &mut (Duration::ZERO, 0)) {
                Err(_) => least = shorter,
                Ok(()) => at = end,
            }
        }
        piece /= 2;
    }
    least
}

/// A change of an input.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Remove(Index, Index),
    Insert(Index, Index),
    Replace(Index, Index, Index),
    /// A piece comes again and again: what grows faster than the input shows.
    Repeat(Index, Index, u32),
    /// The rest is that of another file.
    Splice(Index, Index, Index),
    Swap(Index, Index),
}

fn changes() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        2 => (at(), at()).prop_map(|(at, length)| Change::Remove(at, length)),
        3 => (at(), at()).prop_map(|(at, word)| Change::Insert(at, word)),
        3 => (at(), at(), at()).prop_map(|(at, length, word)| Change::Replace(at, length, word)),
        1 => (at(), at(), 0..12_u32).prop_map(|(at, length, times)| Change::Repeat(at, length, 1 << times)),
        2 => (at(), at(), at()).prop_map(|(at, other, from)| Change::Splice(at, other, from)),
        1 => (at(), at()).prop_map(|(one, other)| Change::Swap(one, other)),
    ]
}

/// A place in an input, its end included.
fn place(index: Index, bytes: &[u8]) -> usize {
    index.index(bytes.len() + 1)
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, files: &[Vec<u8>], words: &[Vec<u8>]) {
        match self {
            Self::Set(at, byte) => {
                let at = place(*at, bytes);
                bytes.get_mut(at).into_iter().for_each(|place| *place = *byte);
            }
            Self::Flip(at, bit) => {
                let at = place(*at, bytes);
                bytes.get_mut(at).into_iter().for_each(|place| *place ^= 1 << bit);
            }
            Self::Remove(at, length) => {
                let at = place(*at, bytes);
                let rest = (bytes.len() - at).min(length.index(32));
                bytes.drain(at..at + rest);
            }
            Self::Insert(at, word) => {
                let at = place(*at, bytes);
                bytes.splice(at..at, word.get(words).iter().copied());
            }
            Self::Replace(at, length, word) => {
                let at = place(*at, bytes);
                let rest = (bytes.len() - at).min(length.index(16));
                bytes.splice(at..at + rest, word.get(words).iter().copied());
            }
            Self::Repeat(at, length, times) => {
                let at = place(*at, bytes);
                let end = at + (bytes.len() - at).min(1 + length.index(24));
                let room = MAX_BYTES.saturating_sub(bytes.len()) / (end - at).max(1);
                let piece = bytes[at..end].repeat(room.min(*times as usize));
                bytes.splice(at..at, piece);
            }
            Self::Splice(at, other, from) => {
                let other = other.get(files);
                bytes.truncate(place(*at, bytes));
                bytes.extend_from_slice(&other[place(*from, other)..]);
            }
            Self::Swap(one, other) => {
                if !bytes.is_empty() {
                    let (one, other) = (one.index(bytes.len()), other.index(bytes.len()));
                    bytes.swap(one, other);
                }
            }
        }
        bytes.truncate(MAX_BYTES);
    }
}

/// Files of a corpus with changes, texts of their words, and noise.
fn inputs(files: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let words = words(&files);
    let of_words = {
        let words = words.clone();
        vec(any::<Index>(), 0..40)
            .prop_map(move |picks| picks.iter().flat_map(|pick| pick.get(&words).iter().copied()).collect::<Vec<u8>>())
    };
    let changed = (any::<Index>(), vec(changes(), 1..8)).prop_map(move |(file, changes)| {
        let mut bytes = file.get(&files).clone();
        changes.iter().for_each(|change| change.apply(&mut bytes, &files, &words));
        bytes
    });
    prop_oneof![12 => changed, 2 => of_words, 1 => vec(any::<u8>(), 0..64)]
}

/// The words and signs of all files, and those that every target gets.
fn words(files: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut words: BTreeSet<&[u8]> = WORDS.iter().map(|word| word.as_bytes()).collect();
    for file in files {
        let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        words.extend(
            file.chunk_by(|one, other| is_inside(*one) && is_inside(*other)).map(|word| &word[..word.len().min(64)]),
        );
    }
    words.into_iter().map(<[u8]>::to_vec).collect()
}
