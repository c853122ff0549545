//! The child: limits itself, reads one component, writes its code, and ends.
//!
//! It also ends as soon as nobody holds the other end of its standard input: its parent has been killed, or does not
//! want the code any more.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wasmtime::OutOfMemory;

use super::frame::{AnswerHead, JOB_HEAD_BYTES, JobHead, PayloadKind, greeting};
use super::outcome::MOMENT;
use super::{extent, features, frame};
use crate::config::ByteSize;
use crate::plugins::sandbox::engine::{code_version, compiling_engine, nice};

/// The argument with which this program is the child. It is not for people, and no command of theirs has this name.
pub const COMMAND: &str = "compile-component";

/// The niceness of a compilation that takes longer than a moment: the system prefers everything else (`nice`).
const NICENESS: i32 = 10;

/// Address space beside the memory that is allowed, for each thread: the allocator reserves it and does not use it.
const RESERVED_BYTES: u64 = 128 * 1024 * 1024;

/// Descriptors that it may have open: its pipes, and a file of `/proc` at a time.
const MAX_DESCRIPTORS: u64 = 16;

/// Set once by a program whose first act is [`run_if_told`]: then it can be started as its own child.
static ANSWERS: OnceLock<()> = OnceLock::new();

/// Runs as the child, if the process was started as one. To be called by `main`, before anything else.
pub fn run_if_told() -> Option<ExitCode> {
    if std::env::args_os().nth(1).as_deref() != Some(OsStr::new(COMMAND)) {
        let _ = ANSWERS.set(());
        return None;
    }
    Some(match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    })
}

/// This program, as it can be started again: the very file that runs, even if another one has taken its name.
pub(super) fn program() -> Option<PathBuf> {
    ANSWERS.get()?;
    let running = PathBuf::from("/proc/self/exe");
    if fs::symlink_metadata(&running).is_ok() { Some(running) } else { std::env::current_exe().ok() }
}

fn run() -> anyhow::Result<()> {
    close_inherited();
    give_up_rights();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
    let engine = compiling_engine().map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let mut out = io::stdout().lock();
    out.write_all(&greeting(&code_version(&engine)))?;
    out.flush()?;

    let mut head = [0; JOB_HEAD_BYTES];
    if io::stdin().lock().read_exact(&mut head).is_err() {
        // The parent ended before it had anything to compile.
        return Ok(());
    }
    let job = JobHead::parse(&head);
    limit(&job, threads as u64)?;
    if job.is_long {
        lower_priority();
    }
    let mut bytes = Vec::new();
    io::stdin().lock().take(job.bytes).read_to_end(&mut bytes)?;
    anyhow::ensure!(bytes.len() as u64 == job.bytes, "the component was cut short");
    thread::Builder::new().name("parent".to_owned()).spawn(end_with_parent)?;
    thread::Builder::new().name("priority".to_owned()).spawn(|| {
        thread::sleep(MOMENT);
        lower_priority();
    })?;
    let (kind, payload) = compile(&pool, &engine, &bytes);
    let head = AnswerHead {
        kind,
        cpu_ms: cpu_time("self").map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        memory_bytes: peak_memory().map_or(0, ByteSize::bytes),
        payload_bytes: payload.len() as u64,
    };
    out.write_all(&head.bytes())?;
    out.write_all(&payload)?;
    out.flush()?;
    Ok(())
}

fn compile(pool: &ThreadPool, engine: &wasmtime::Engine, bytes: &[u8]) -> (frame::PayloadKind, Vec<u8>) {
    if let Some(excess) = extent::excess(bytes) {
        return (PayloadKind::Unsupported, excess.into_bytes());
    }
    match pool.install(|| engine.precompile_component(bytes)) {
        Ok(code) => (PayloadKind::Code, code),
        Err(error) if error.is::<OutOfMemory>() => (PayloadKind::Memory, Vec::new()),
        Err(error) => match features::missing(bytes, &error) {
            Some(missing) => (PayloadKind::Unsupported, missing.into_bytes()),
            None => (PayloadKind::Invalid, format!("{error:#}").into_bytes()),
        },
    }
}

/// Closes descriptors that the parent inherited. Those that it opened itself are closed already.
fn close_inherited() {
    let listed = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let Ok(entries) = fs::read_dir(listed) else { return };
    let open: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The directory that was listed was open among them, and is closed by now.
    let is_open = |descriptor: &i32| fs::symlink_metadata(format!("{listed}/{descriptor}")).is_ok();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2).filter(is_open) {
        // SAFETY: this process has just been started and has opened nothing of its own: nothing in it knows of this
        // descriptor, which is open.
        #[expect(unsafe_code, reason = "no type owns what was inherited")]
        unsafe {
            rustix::io::close(descriptor);
        }
    }
}

/// Best effort, and before anything of a stranger is read: no file is written, no core is dumped, no program with other
/// rights is started, and the system takes this process before others if memory is short.
fn give_up_rights() {
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    for (resource, most) in [(Resource::Core, 0), (Resource::Fsize, 0), (Resource::Nofile, MAX_DESCRIPTORS)] {
        let _ = lower(resource, most, most);
    }
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_no_new_privs(true);
}

/// Limits processor time, in whole seconds, and memory, beside what the process has already. Where the limit of data is
/// not enforced, that of address space is.
fn limit(job: &JobHead, threads: u64) -> io::Result<()> {
    let used = cpu_time("self").unwrap_or_default();
    let seconds = (job.cpu + used).as_millis().div_ceil(1000);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX).max(1);
    // The soft limit ends the process with SIGXCPU, by which the parent knows it.
    lower(Resource::Cpu, seconds, seconds.saturating_add(5))?;
    let memory = job.memory.bytes();
    let has = |name| status(name).map_or(0, ByteSize::bytes);
    let data = has("VmData:").saturating_add(memory);
    let space = has("VmSize:").saturating_add(memory).saturating_add(RESERVED_BYTES.saturating_mul(threads));
    #[cfg(target_os = "linux")]
    lower(Resource::Data, data, data)?;
    #[cfg(not(target_os = "linux"))]
    let _ = data;
    lower(Resource::As, space, space)
}

/// Sets a limit, or leaves a lower one as it is.
fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let least = |limit: u64, before: Option<u64>| Some(before.map_or(limit, |before| before.min(limit)));
    let before = getrlimit(resource);
    let hard = least(hard, before.maximum);
    setrlimit(resource, Rlimit { current: least(soft, hard), maximum: hard })?;
    Ok(())
}

/// Waits until nobody can write to standard input any more.
fn end_with_parent() {
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    std::process::exit(1);
}

/// Makes way for everything else, with all threads.
fn lower_priority() {
    nice(NICENESS);
    #[cfg(target_os = "linux")]
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let id = task.file_name().to_str().and_then(|name| name.parse().ok()).and_then(rustix::process::Pid::from_raw);
        if id.is_some() {
            let _ = rustix::process::setpriority_process(id, NICENESS);
        }
    }
}

/// Processor time that a process has used until now, with the system's on its behalf; also of one that has ended and has
/// not been waited for.
pub(super) fn cpu_time(process: &str) -> Option<Duration> {
    /// In which Linux counts it for programs, on every kind of machine.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name is in parentheses and may hold anything; `utime` and `stime` are the 12th and 13th after it.
    let (_, rest) = stat.rsplit_once(") ")?;
    let ticks: Vec<u32> = rest.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    Some(TICK * ticks.iter().sum())
}

fn peak_memory() -> Option<ByteSize> {
    status("VmHWM:")
}

/// A size of `/proc/self/status`.
fn status(name: &str) -> Option<ByteSize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(ByteSize::from_bytes(kib * 1024))
}
