//! The parent's side of a child: starting it, handing it a component, and telling how it ended.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use super::child::{COMMAND, cpu_time};
use super::frame::{ANSWER_HEAD_BYTES, AnswerHead, CompileJob, GREETING_BYTES, PayloadKind, greeting};
use super::outcome::{Allowance, CompileError, MachineCode};
use crate::config::ByteSize;
use crate::sanitize;

/// Time until a child must have greeted; a machine may be busy.
const START_WITHIN: Duration = Duration::from_secs(20);

/// Bytes of a child's last words that are kept.
const MAX_WORDS: u64 = 4096;

/// Words of the allocator before it ends a process, and of the system's when it could not start a thread.
const NO_MEMORY: [&str; 2] = ["memory allocation of", "Cannot allocate memory"];

/// A child that has greeted, and waits. It ends when this is dropped.
pub(super) struct Child {
    process: tokio::process::Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

impl Child {
    /// Starts a child, and waits for its greeting. `code_version` is the code that it must make.
    pub(super) async fn start(program: &Path, code_version: &str) -> io::Result<Self> {
        let mut process = Command::new(program)
            .arg0(env!("CARGO_PKG_NAME"))
            .arg(COMMAND)
            .env_clear()
            // mimalloc would take a gigabyte of data at its start, and the limit of memory is beside what is taken then.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .current_dir("/")
            // Ctrl-C in a terminal is for the parent, which decides what becomes of its children.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(stdin), Some(mut stdout), Some(mut stderr)) = pipes else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut greeted = [0; GREETING_BYTES];
        let greeting_read = stdout.read_exact(&mut greeted);
        if tokio::time::timeout(START_WITHIN, greeting_read).await?.is_err() {
            // It has ended.
            let words = last_words(&mut stderr).await;
            return Err(io::Error::other(first_line(&words)));
        }
        if greeted[..] != greeting(code_version) {
            return Err(io::Error::other("the program that was started makes other code"));
        }
        Ok(Self { process, stdin, stdout, stderr })
    }

    /// True if it still waits: somebody may have ended it.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Its id, for as long as it has not been waited for.
    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Compiles. The child is gone afterwards. An error at a limit names no culprit yet.
    pub(super) async fn compile(mut self, job: CompileJob<'_>) -> Result<MachineCode, CompileError> {
        let most = job.allowance.memory.bytes();
        let feed = async {
            // An error means that the child has ended; how, is said below. The pipe stays open: its end would mean that
            // nobody wants the code any more.
            if self.stdin.write_all(&job.head()).await.is_ok() {
                let _ = self.stdin.write_all(job.bytes).await;
            }
        };
        let ((), answer, words) = tokio::join!(feed, answer(&mut self.stdout, most), last_words(&mut self.stderr));
        // Before it is waited for: afterwards the system has forgotten it.
        let used = self.process.id().and_then(|id| cpu_time(&id.to_string()));
        drop(self.stdin);
        let status = self.process.wait().await.map_err(|error| CompileError::Crashed(error.to_string()))?;
        match answer {
            Ok((head, payload)) if status.success() => outcome(head, payload, job.allowance),
            _ => Err(failure(status, used, job.allowance, &words)),
        }
    }
}

/// Waits until a child has used so much processor time. Where the system does not tell, so much time passes.
pub(super) async fn has_used(id: Option<u32>, most: Duration, look_every: Duration) {
    let started = Instant::now();
    loop {
        tokio::time::sleep(look_every).await;
        let used = id.and_then(|id| cpu_time(&id.to_string())).unwrap_or_else(|| started.elapsed());
        if used >= most {
            return;
        }
    }
}

async fn answer(stdout: &mut ChildStdout, most: u64) -> io::Result<(AnswerHead, Vec<u8>)> {
    let mut head = [0; ANSWER_HEAD_BYTES];
    stdout.read_exact(&mut head).await?;
    let head = AnswerHead::parse(&head)?;
    // What the child has made was in its memory.
    let fits = usize::try_from(head.payload_bytes).ok().filter(|_| head.payload_bytes <= most);
    let mut payload = Vec::new();
    payload.try_reserve_exact(fits.ok_or(io::ErrorKind::InvalidData)?).map_err(io::Error::other)?;
    stdout.take(head.payload_bytes).read_to_end(&mut payload).await?;
    let is_whole = payload.len() as u64 == head.payload_bytes && stdout.read(&mut [0]).await? == 0;
    if is_whole { Ok((head, payload)) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn outcome(head: AnswerHead, payload: Vec<u8>, allowance: Allowance) -> Result<MachineCode, CompileError> {
    match head.kind {
        PayloadKind::Code => Ok(MachineCode {
            code: payload,
            cpu: Some(Duration::from_millis(head.cpu_ms)),
            memory: Some(head.memory_bytes).filter(|bytes| *bytes > 0).map(ByteSize::from_bytes),
        }),
        // It quotes names of the component.
        PayloadKind::Invalid => Err(CompileError::Invalid(sanitize::escape(&String::from_utf8_lossy(&payload)))),
        PayloadKind::Unsupported => {
            Err(CompileError::Unsupported(sanitize::escape(&String::from_utf8_lossy(&payload))))
        }
        PayloadKind::Memory => Err(CompileError::Memory { limit: allowance.memory, culprit: String::new() }),
    }
}

/// The first words that a child prints: the reason why it fails. The rest is read, so that it need not wait.
async fn last_words(stderr: &mut (impl AsyncRead + Unpin)) -> String {
    let mut words = Vec::new();
    let _ = (&mut *stderr).take(MAX_WORDS).read_to_end(&mut words).await;
    let _ = tokio::io::copy(stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&words).into_owned()
}

/// Tells a limit that was reached, and a fault of the compiler's, from a signal that somebody sent.
fn failure(status: ExitStatus, used: Option<Duration>, allowance: Allowance, words: &str) -> CompileError {
    const SIGILL: i32 = 4;
    const SIGABRT: i32 = 6;
    const SIGBUS: i32 = 7;
    const SIGFPE: i32 = 8;
    const SIGSEGV: i32 = 11;
    let sigxcpu = rustix::process::Signal::XCPU.as_raw();
    let is_out_of_time = used.is_none_or(|used| used + Duration::from_millis(500) >= allowance.cpu.duration());
    let has_no_memory = NO_MEMORY.iter().any(|phrase| words.contains(phrase));
    let first_words = || first_line(words);
    match status.signal() {
        Some(signal) if signal == sigxcpu && is_out_of_time => {
            CompileError::Processor { limit: allowance.cpu, culprit: String::new() }
        }
        Some(SIGABRT) | None if has_no_memory => {
            CompileError::Memory { limit: allowance.memory, culprit: String::new() }
        }
        Some(SIGABRT) if !words.is_empty() => CompileError::Crashed(first_words()),
        Some(signal @ (SIGILL | SIGBUS | SIGFPE | SIGSEGV)) => {
            CompileError::Crashed(format!("signal {signal}, {}", first_words()))
        }
        Some(signal) => CompileError::Killed(format!("signal {signal}")),
        None => CompileError::Crashed(first_words()),
    }
}

/// The start of a child's last words, before the reason.
fn first_line(words: &str) -> String {
    sanitize::clean(words.lines().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason"))
}
