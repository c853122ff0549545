//! From the bytes of a file to a [`Plugin`]: the code from the cache, or compiled in a child; then [`component::load`].
//!
//! Code that was made is kept whether its component loads or not: the next start would make it again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wasmtime::component::Component;

use super::cache::Cache;
use super::compile::{Allowance, CompileError, Compiler, MachineCode};
use super::component_kind::{self, ComponentKind};
use super::error::LoadError;
use super::queue::{FileTurn, Queue};
use super::threads::{LARGE_BYTES, Threads};
use super::{component, file_kind, stack_size};
use crate::metrics::Counted;
use crate::plugins::plugin::{Digest, Plugin};
use crate::plugins::sandbox::engine::Engine;
use crate::plugins::sandbox::runtime::Runtime;

/// A failure that took less is found out again as quickly as it is remembered.
const REMEMBERED_FROM: Duration = Duration::from_secs(1);

/// Files that are in memory at once, of those that are read, wait for a compiler, or are loaded. A directory may have any
/// number.
const SMALL_FILES: usize = 256;
const LARGE_FILES: usize = 16;

/// The maker of plugins. Nothing in it knows the registry's state.
pub struct Loader {
    runtime: Arc<Runtime>,
    cache: Option<Cache>,
    threads: Threads,
    compiler: Compiler,
    is_starting_child: AtomicBool,
    small_files: Arc<Queue>,
    large_files: Arc<Queue>,
}

impl Loader {
    /// Starts the threads.
    ///
    /// # Errors
    /// When there are none to be had.
    pub fn new(runtime: Arc<Runtime>, cache: Option<Cache>) -> io::Result<Self> {
        let (threads, compiler) = (Threads::start()?, Compiler::new());
        Ok(Self {
            runtime,
            cache,
            threads,
            compiler,
            is_starting_child: AtomicBool::new(false),
            small_files: Arc::new(Queue::new(SMALL_FILES)),
            large_files: Arc::new(Queue::new(LARGE_FILES)),
        })
    }

    /// The threads on which files are read.
    pub(in crate::plugins) fn threads(&self) -> &Threads {
        &self.threads
    }

    /// Waits until a file may be in memory: until it is loaded, and while it waits for a compiler.
    pub(in crate::plugins) async fn room_for(&self, name: &str, bytes: u64) -> FileTurn {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let files = if bytes > LARGE_BYTES { &self.large_files } else { &self.small_files };
        files.enter(name, bytes).await
    }

    /// Sees to it that a child waits for the next file that has to be compiled.
    pub(in crate::plugins) fn keep_ready(self: &Arc<Self>) {
        if self.compiler.is_ready() || self.is_starting_child.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            this.compiler.make_ready(&this.runtime.engine).await;
            this.is_starting_child.store(false, Ordering::Release);
        });
    }

    /// Loads a component.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load(&self, name: &str, bytes: Vec<u8>, allowance: Allowance) -> Result<Plugin, LoadError> {
        let (bytes, name) = (Arc::new(bytes), Arc::<str>::from(name));
        let (runtime, cache) = (Arc::clone(&self.runtime), self.cache.clone());
        let looking_at = Arc::clone(&bytes);
        let look = move || look_up(&runtime.engine, cache.as_ref(), &looking_at, allowance);
        let (digest, cached) = self.on_thread(bytes.len(), look).await??;
        let metrics = &self.runtime.services.observers.metrics;
        metrics.count(Counted::CodeCache, if cached.is_some() { "hit" } else { "miss" });
        let component = match cached {
            Some(component) => component,
            None => self.compile(&name, digest, &bytes, allowance).await?,
        };
        let runtime = Arc::clone(&self.runtime);
        self.on_thread(bytes.len(), move || component::load(&runtime, &component, digest, &name, &bytes)).await?
    }

    /// The same for code that is not asynchronous.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load_and_wait(&self, name: &str, bytes: Vec<u8>, allowance: Allowance) -> Result<Plugin, LoadError> {
        let waited = self.runtime.engine.lane().block_on(self.load(name, bytes, allowance));
        waited.map_err(LoadError::Host).flatten()
    }

    async fn compile(
        &self,
        name: &Arc<str>,
        digest: Digest,
        bytes: &Arc<Vec<u8>>,
        allowance: Allowance,
    ) -> Result<Component, LoadError> {
        let started = Instant::now();
        let outcome = self.compiler.compile(&self.runtime.engine, name, digest, bytes, allowance).await;
        let elapsed = started.elapsed();
        self.runtime.services.observers.metrics.compiled(outcome.is_ok(), elapsed);
        match outcome {
            Ok(MachineCode { code, cpu, memory }) => {
                tracing::info!(
                    plugin = &**name,
                    elapsed_ms = elapsed.as_millis(),
                    cpu_ms = cpu.map(|cpu| cpu.as_millis()),
                    memory_mib = memory.map(|memory| memory.bytes() >> 20),
                    "compiled plugin `{name}` in {:.2} s",
                    elapsed.as_secs_f64(),
                );
                if let Some(advice) = stack_size::advice(bytes) {
                    tracing::info!(plugin = &**name, "plugin `{name}` could be faster: {advice}");
                }
                let (runtime, cache, name) = (Arc::clone(&self.runtime), self.cache.clone(), Arc::clone(name));
                self.on_thread(code.len(), move || keep(&runtime.engine, cache.as_ref(), &name, digest, &code)).await?
            }
            Err(error) => {
                if error.is_worth_remembering(elapsed >= REMEMBERED_FROM)
                    && let Some(cache) = self.cache.clone()
                {
                    let message = error.to_string();
                    let remember = move || cache.put_failure(&digest, allowance, &message);
                    if let Err(error) = self.on_thread(0, remember).await? {
                        tracing::warn!(plugin = &**name, %error, "failure of plugin `{name}` not kept; the next start tries it again");
                    }
                }
                Err(match error {
                    CompileError::Invalid(_) | CompileError::Unsupported(_)
                        if component_kind::is_wit_package(bytes) =>
                    {
                        LoadError::NoTools(Vec::new(), ComponentKind::WitPackage)
                    }
                    CompileError::Invalid(message) => LoadError::Invalid(wasmtime::Error::msg(message)),
                    error => LoadError::NotCompiled(error),
                })
            }
        }
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LoadError> {
        let worked = self.threads.run(bytes, work).await;
        worked.ok_or_else(|| LoadError::Host("the host failed while it loaded the file".to_owned()))
    }
}

/// The component of a file, if its code is in the cache.
fn look_up(
    engine: &Engine,
    cache: Option<&Cache>,
    bytes: &[u8],
    allowance: Allowance,
) -> Result<(Digest, Option<Component>), LoadError> {
    file_kind::require_component(bytes)?;
    let digest = Digest::of(bytes);
    let Some(cache) = cache else { return Ok((digest, None)) };
    if let Some(component) = cache.get(engine, &digest) {
        return Ok((digest, Some(component)));
    }
    match cache.failure(&digest, allowance) {
        Some(message) => Err(LoadError::NotCompiled(CompileError::Remembered(message))),
        None => Ok((digest, None)),
    }
}

/// Makes a component of code, and keeps the code: kept code is mapped from its file, and takes no memory of its own.
fn keep(
    engine: &Engine,
    cache: Option<&Cache>,
    name: &str,
    digest: Digest,
    code: &[u8],
) -> Result<Component, LoadError> {
    let kept = cache.map(|cache| cache.put(engine, name, &digest, code));
    match kept {
        Some(Ok(Some(component))) => return Ok(component),
        Some(Err(error)) => {
            tracing::warn!(plugin = name, %error, "compiled code of plugin `{name}` not kept; the next start compiles it again");
        }
        Some(Ok(None)) | None => {}
    }
    // SAFETY: the code was made just now by this very program, in its child, for an engine with the same compatibility
    // hash, as the child's greeting said.
    #[expect(unsafe_code, reason = "compiled code cannot be loaded otherwise; see the head of `compile`")]
    let component = unsafe { Component::deserialize(engine.wasm(), code) };
    component.map_err(|error| LoadError::Host(format!("the compiled code cannot be loaded: {error:#}")))
}
