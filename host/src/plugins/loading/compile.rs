//! Compiling, in a process of its own: from a component's bytes to machine code.
//!
//! No bound of Cranelift's time and memory follows from the size of a file: 129 KB of WebAssembly can take a quarter of
//! a minute and most of a gigabyte. So a child of this very program compiles ([`child`]), under limits of processor time
//! and memory that the system enforces, and at a low priority once it takes longer than a moment. It is handed the file
//! and nothing else: no environment, no key, no directory, no descriptor but its three pipes. One waits ready, so that a
//! file that is dropped in need not wait for a program to start; each compiles one file and ends.
//!
//! The child guards time and memory, and not its output. Its output is machine code that runs in the server's
//! process, and is trusted as Cranelift's output always was: a component that takes over the child takes over the
//! server. The MAC over the code is made here, by the parent ([`super::cache`]).
//!
//! A program that does not answer [`child::COMMAND`], such as a benchmark with this library in it, and a system where a
//! program cannot find itself, compile in their own process, without these limits.

pub mod child;
mod costly;
mod extent;
mod features;
mod frame;
mod functions;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod outcome;
mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::frame::CompileJob;
use self::outcome::MOMENT;
pub(in crate::plugins) use self::outcome::MachineCode;
pub use self::outcome::{Allowance, CompileError};
use self::process::Child;
use super::queue::{FileTurn, Queue};
use super::threads::LARGE_BYTES;
use crate::config::Limits;
use crate::descriptors;
use crate::plugins::plugin::Digest;
use crate::plugins::sandbox::engine::Engine;

/// Compiling that takes longer is announced before it is done. Waiting for a turn does not count.
const ANNOUNCED_AFTER: Duration = Duration::from_secs(1);

/// Between two looks at the processor time that a child has used.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Files that are compiled at once: those that may be done in a moment, and those that take long, of which so many may be
/// large ones. Together they bound what compiling can take of the machine's memory.
const QUICK_TURNS: usize = 3;
const LONG_TURNS: usize = 3;
const LARGE_TURNS: usize = 2;

/// Between two tries of a file whose compiler was ended from outside; each is twice as far from the last.
const FIRST_RETRY: Duration = Duration::from_secs(30);
const LAST_RETRY: Duration = Duration::from_secs(3600);

/// Files of which it is remembered that their compiler was ended, before those whose time has come are forgotten.
const MAX_KILLED: usize = 1000;

/// The parent of the processes that compile.
pub(in crate::plugins) struct Compiler {
    /// None where everything is compiled in this process.
    program: Option<PathBuf>,
    quick: Arc<Queue>,
    long: Arc<Queue>,
    large: Arc<Queue>,
    ready: Mutex<Option<Child>>,
    killed: Mutex<BTreeMap<Digest, KillRecord>>,
}

/// A file whose compiler was ended from outside.
struct KillRecord {
    error: CompileError,
    pause: Duration,
    again_at: Instant,
}

impl Allowance {
    /// The limits of the configuration.
    pub fn of(limits: &Limits) -> Self {
        Self { cpu: *limits.compile_cpu, memory: *limits.compile_memory }
    }
}

impl Compiler {
    pub(in crate::plugins) fn new() -> Self {
        Self {
            program: child::program(),
            quick: Arc::new(Queue::new(QUICK_TURNS)),
            long: Arc::new(Queue::new(LONG_TURNS)),
            large: Arc::new(Queue::new(LARGE_TURNS)),
            ready: Mutex::new(None),
            killed: Mutex::new(BTreeMap::new()),
        }
    }

    /// True if a child waits for the next file, or none is needed.
    pub(in crate::plugins) fn is_ready(&self) -> bool {
        self.program.is_none() || lock(&self.ready).as_mut().is_some_and(Child::is_alive)
    }

    /// Starts a child that waits for the next file.
    pub(in crate::plugins) async fn make_ready(&self, engine: &Engine) {
        let Some(program) = &self.program else { return };
        match Child::start(program, &engine.code_version()).await {
            Ok(child) => *lock(&self.ready) = Some(child),
            // The next file says so.
            Err(error) => tracing::debug!(%error, "no compiler waits for the next file"),
        }
    }

    /// Compiles one component, when its turn has come. When the future is dropped, its child ends.
    ///
    /// # Errors
    /// [`CompileError`].
    pub(in crate::plugins) async fn compile(
        &self,
        engine: &Engine,
        name: &str,
        digest: Digest,
        bytes: &Arc<Vec<u8>>,
        allowance: Allowance,
    ) -> Result<MachineCode, CompileError> {
        let Some(program) = &self.program else {
            return announced(name, bytes.len(), in_this_process(engine, bytes)).await;
        };
        if let Some(error) = self.killed_lately(digest) {
            return Err(error);
        }
        let compiling = Compilation { compiler: self, program, engine, name, bytes, allowance };
        let mut outcome = compiling.in_turn().await;
        if matches!(outcome, Err(CompileError::Killed(_))) {
            // Most likely by accident, or the waiting child had been ended before it had anything to do.
            outcome = compiling.in_turn().await;
        }
        if let Err(CompileError::Processor { culprit, .. } | CompileError::Memory { culprit, .. }) = &mut outcome {
            *culprit = compiling.culprit().await;
        }
        self.note_kill(digest, outcome.as_ref().err());
        outcome
    }

    fn killed_lately(&self, digest: Digest) -> Option<CompileError> {
        let killed = lock(&self.killed);
        let killed = killed.get(&digest).filter(|killed| Instant::now() < killed.again_at)?;
        Some(killed.error.clone())
    }

    fn note_kill(&self, digest: Digest, error: Option<&CompileError>) {
        let mut killed = lock(&self.killed);
        let before = killed.remove(&digest);
        if let Some(error) = error.filter(|error| error.is_passing()) {
            let pause = before.map_or(FIRST_RETRY, |before| (before.pause * 2).min(LAST_RETRY));
            // Of files that are gone since, nobody asks again.
            if killed.len() >= MAX_KILLED {
                killed.retain(|_, record| Instant::now() < record.again_at);
            }
            killed.insert(digest, KillRecord { error: error.clone(), pause, again_at: Instant::now() + pause });
        }
    }
}

/// One file on its way through the children.
struct Compilation<'a> {
    compiler: &'a Compiler,
    program: &'a Path,
    engine: &'a Engine,
    name: &'a str,
    bytes: &'a Arc<Vec<u8>>,
    allowance: Allowance,
}

impl Compilation<'_> {
    /// Small files first, so that none waits for one that takes long, or for many ([`super::queue`]).
    async fn in_turn(&self) -> Result<MachineCode, CompileError> {
        if self.bytes.len() > LARGE_BYTES {
            let _large = self.turn(&self.compiler.large).await;
            let _turn = self.turn(&self.compiler.long).await;
            return self.in_child(self.child().await?, true).await;
        }
        if let Some(compiled) = self.in_a_moment().await? {
            return Ok(compiled);
        }
        let _turn = self.turn(&self.compiler.long).await;
        self.in_child(self.child().await?, true).await
    }

    /// Compiles a small file among those that may be done soon. None if it is not, and all who may take long are at work: it
    /// begins anew when its turn has come. A second is lost, and nobody is held up.
    async fn in_a_moment(&self) -> Result<Option<MachineCode>, CompileError> {
        let quick = self.turn(&self.compiler.quick).await;
        let child = self.child().await?;
        let id = child.id();
        let running = self.in_child(child, false);
        tokio::pin!(running);
        tokio::select! {
            outcome = &mut running => return outcome.map(Some),
            () = process::has_used(id, MOMENT, LOOK_EVERY) => {}
        }
        let Some(_long) = self.compiler.long.try_enter() else { return Ok(None) };
        drop(quick);
        running.await.map(Some)
    }

    async fn turn(&self, queue: &Arc<Queue>) -> FileTurn {
        queue.enter(self.name, self.bytes.len()).await
    }

    async fn child(&self) -> Result<Child, CompileError> {
        let waiting = lock(&self.compiler.ready).take();
        match waiting {
            Some(child) => Ok(child),
            None => Child::start(self.program, &self.engine.code_version())
                .await
                .map_err(|error| CompileError::NoProcess(format!("{error}{}", descriptors::cure(&error)))),
        }
    }

    async fn in_child(&self, child: Child, is_long: bool) -> Result<MachineCode, CompileError> {
        let job = CompileJob { allowance: self.allowance, is_long, bytes: self.bytes };
        announced(self.name, self.bytes.len(), child.compile(job)).await
    }

    /// Reads the whole file, away from the threads that serve.
    async fn culprit(&self) -> String {
        let bytes = Arc::clone(self.bytes);
        let found = tokio::task::spawn_blocking(move || costly::costliest(&bytes)).await.ok().flatten();
        found.map(|function| format!(": {function}")).unwrap_or_default()
    }
}

/// Says that a plugin takes long, when it does.
async fn announced<T>(name: &str, bytes: usize, compiling: impl Future<Output = T>) -> T {
    tokio::pin!(compiling);
    tokio::select! {
        outcome = &mut compiling => return outcome,
        () = tokio::time::sleep(ANNOUNCED_AFTER) => {}
    }
    tracing::info!(plugin = name, bytes, "compiling plugin `{name}`, which takes a while, once");
    compiling.await
}

async fn in_this_process(engine: &Engine, bytes: &Arc<Vec<u8>>) -> Result<MachineCode, CompileError> {
    let (engine, bytes) = (engine.wasm().clone(), Arc::clone(bytes));
    let compile = move || {
        if let Some(excess) = extent::excess(&bytes) {
            return Err(CompileError::Unsupported(excess));
        }
        let code = engine.precompile_component(&bytes);
        code.map_err(|error| match features::missing(&bytes, &error) {
            Some(missing) => CompileError::Unsupported(missing),
            None => CompileError::Invalid(format!("{error:#}")),
        })
    };
    let code =
        tokio::task::spawn_blocking(compile).await.map_err(|error| CompileError::Crashed(error.to_string()))??;
    Ok(MachineCode { code, cpu: None, memory: None })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
