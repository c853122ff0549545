//! Does what a sandbox must stand: spins, eats, traps, floods, looks around.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, process, thread};

wit_bindgen::generate!({ world: "hostile", path: "wit" });

/// The WIT text, from which the host reads descriptions: toolchains drop them from the binary.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "tinymcp-wit")]
static WIT: [u8; include_bytes!("../wit/world.wit").len()] = *include_bytes!("../wit/world.wit");

const MIB: usize = 1024 * 1024;

/// The byte that `dirty` writes into memory; anything but 0 is a leftover.
const MARK: u8 = 0xa5;

/// Pages by which `dirty` grows memory: enough to leave the part of a slot that stays resident between instances.
const GROWN_PAGES: usize = 32;

const PAGE_BYTES: usize = 64 * 1024;

/// Calls of `dirty` that this instance has had.
static CALLS: AtomicU32 = AtomicU32::new(0);

struct Hostile;

impl Guest for Hostile {
    fn spin() {
        loop {
            black_box(());
        }
    }

    fn spin_for(ms: u32) -> u64 {
        let end = Instant::now() + Duration::from_millis(ms.into());
        let mut rounds = 0;
        while Instant::now() < end {
            rounds += 1;
        }
        rounds
    }

    fn sleep_ms(ms: u32) -> u64 {
        let start = Instant::now();
        thread::sleep(Duration::from_millis(ms.into()));
        milliseconds(start.elapsed())
    }

    fn eat_memory() {
        let mut held = Vec::new();
        loop {
            held.push(black_box(vec![MARK; MIB]));
        }
    }

    fn measure_memory() -> u32 {
        let mut held = Vec::new();
        loop {
            let mut block = Vec::<u8>::new();
            if block.try_reserve_exact(MIB).is_err() {
                return u32::try_from(held.len()).expect("a 32-bit memory has at most 4,096 MiB");
            }
            held.push(black_box(block));
        }
    }

    fn recurse() -> u64 {
        descend(black_box(1))
    }

    fn trap() {
        core::arch::wasm32::unreachable()
    }

    fn panic() {
        panic!("this guest panics on purpose");
    }

    fn exit_zero() {
        process::exit(0)
    }

    fn huge_string(bytes: u32) -> String {
        "x".repeat(bytes as usize)
    }

    fn huge_list(length: u32) -> Vec<u32> {
        (0..length).collect()
    }

    fn nan() -> f64 {
        f64::NAN
    }

    fn infinity() -> Vec<f32> {
        vec![0.0, f32::INFINITY]
    }

    fn print(bytes: u32) -> Result<u32, String> {
        let mut line = "x".repeat(bytes as usize);
        line.push('\n');
        io::stdout().write_all(line.as_bytes()).map_err(text)?;
        io::stdout().flush().map_err(text)?;
        Ok(bytes)
    }

    fn print_lines(count: u32) -> Result<u32, String> {
        for number in 0..count {
            writeln!(io::stderr(), "line {number}").map_err(text)?;
        }
        Ok(count)
    }

    fn read_env() -> Vec<(String, String)> {
        env::vars().collect()
    }

    fn read_args() -> Vec<String> {
        env::args().collect()
    }

    fn read_stdin() -> Result<String, String> {
        let mut read = String::new();
        io::stdin().read_to_string(&mut read).map_err(text)?;
        Ok(read)
    }

    fn read_file(path: String) -> Result<String, String> {
        fs::read_to_string(path).map_err(text)
    }

    fn write_file(path: String, text: String) -> Result<(), String> {
        fs::write(path, text).map_err(self::text)
    }

    fn list_dir(path: String) -> Result<Vec<String>, String> {
        fs::read_dir(path)
            .map_err(text)?
            .map(|entry| Ok(entry.map_err(text)?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn connect(host: String, port: u16) -> Result<String, String> {
        let stream = TcpStream::connect((host, port)).map_err(text)?;
        Ok(stream.peer_addr().map_err(text)?.to_string())
    }

    fn now() -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, milliseconds)
    }

    fn random() -> u64 {
        wasip2::random::random::get_random_u64()
    }

    fn dirty() -> Leftovers {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed);
        Leftovers { calls, bytes: mark_grown_memory() }
    }
}

/// Grows memory, counts the bytes in it that are not 0, and marks them all.
///
/// Memory is grown by hand because an allocator would hand out what it has cleared itself.
fn mark_grown_memory() -> u32 {
    let page = core::arch::wasm32::memory_grow::<0>(GROWN_PAGES);
    assert_ne!(page, usize::MAX, "the host refuses to grow memory by {GROWN_PAGES} pages");
    let start = (page * PAGE_BYTES) as *mut u8;
    // SAFETY: the pages have just been added to this memory, and nothing else knows of them.
    let grown = unsafe { std::slice::from_raw_parts_mut(start, GROWN_PAGES * PAGE_BYTES) };
    let found = grown.iter().filter(|byte| **byte != 0).count();
    grown.fill(MARK);
    u32::try_from(found).unwrap_or(u32::MAX)
}

/// Recurses without end: the sum of two calls cannot be turned into a loop.
fn descend(depth: u64) -> u64 {
    if depth == 0 {
        return 1;
    }
    descend(depth + 1).rotate_left(1) ^ descend(depth + 2)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn text(error: io::Error) -> String {
    error.to_string()
}

export!(Hostile);
