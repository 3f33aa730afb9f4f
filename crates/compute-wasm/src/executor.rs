//! The executor: each task on a thread of its own, with a deadline and a way to stop it.

use crate::engine::{Compiler, EngineError, PROFILE};
use crate::guest::{Guest, Stop};
use crate::log::Log;
use async_trait::async_trait;
use compute::executor::{
    Control, Executor, ExecutorError, Exit, LogChunk, ModuleError, ModuleFacts, Outcome, Usage, Work,
};
use compute::module;
use protocol::content::sha256;
use protocol::output::{OutputFile, OutputSummary};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, Trap, UpdateDeadline};

/// Stack of a task's thread: the guest's part and room for the host's functions.
const THREAD_STACK_BYTES: usize = 4 * 1024 * 1024;
/// How long the end of the log waits for a slow reader.
const LOG_FLUSH_MAX: Duration = Duration::from_secs(5);

/// Runs WebAssembly tasks. Cheap to share behind an [`Arc`]; compiled modules are kept in memory.
pub struct WasmExecutor {
    compiler: Arc<Compiler>,
}

impl WasmExecutor {
    /// An executor with an empty cache; fails where wasmtime cannot run.
    pub fn new() -> Result<Self, EngineError> {
        Ok(Self { compiler: Arc::new(Compiler::new()?) })
    }
}

#[async_trait]
impl Executor for WasmExecutor {
    fn profile(&self) -> &str {
        PROFILE
    }

    fn check(&self, module: &[u8]) -> Result<ModuleFacts, ModuleError> {
        module::check(module)
    }

    async fn run(&self, work: Work, control: Control) -> Result<Outcome, ExecutorError> {
        let cancel = control.cancel.child_token();
        let _cancelled_when_dropped = cancel.clone().drop_guard();
        let task = TaskThread { compiler: self.compiler.clone(), cancel, started: Instant::now() };
        let log = Log::new(work.limits.log_bytes, control.logs.clone());
        let (sender, receiver) = oneshot::channel();
        std::thread::Builder::new()
            .name("wasm-task".into())
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || drop(sender.send(task.run(work, log))))
            .map_err(|e| ExecutorError::Host(format!("no thread for the task: {e}")))?;
        let (outcome, rest) = receiver.await.map_err(|_| ExecutorError::Host("task thread panicked".into()))??;
        flush(rest, &control).await;
        Ok(outcome)
    }
}

/// Sends the end of the log; gives up when the reader is gone or too slow, since the outcome has the whole log.
async fn flush(rest: Vec<LogChunk>, control: &Control) {
    let send = async {
        for chunk in rest {
            if control.logs.send(chunk).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = send => {}
        () = control.cancel.cancelled() => {}
        () = tokio::time::sleep(LOG_FLUSH_MAX) => tracing::warn!("log reader is too slow, the end is in the outcome"),
    }
}

struct TaskThread {
    compiler: Arc<Compiler>,
    cancel: CancellationToken,
    started: Instant,
}

impl TaskThread {
    fn run(self, work: Work, log: Log) -> Result<(Outcome, Vec<LogChunk>), ExecutorError> {
        prepare_out_dir(&work.out_dir)?;
        let guest = Guest::new(&work, log)?;
        let compiled = self.compiler.compile(&work.module)?;
        let mut store = self.store(guest, &work)?;
        let ended = compiled
            .instantiate(&mut store)
            .and_then(|instance| instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ()));
        let exit = match ended {
            Ok(()) => Exit::Code(0),
            Err(error) => exit_of(error)?,
        };
        // Fuel that is out may have been overdrawn within the last block of instructions.
        let fuel_left = if exit == Exit::Fuel { 0 } else { store.get_fuel().map_err(host)? };
        let fuel = work.limits.fuel.saturating_sub(fuel_left);
        self.finish(exit, fuel, store.into_data(), &work)
    }

    fn store(&self, guest: Guest, work: &Work) -> Result<Store<Guest>, ExecutorError> {
        let mut store = Store::new(self.compiler.engine(), guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_fuel(work.limits.fuel).map_err(host)?;
        let (cancel, started, limit) = (self.cancel.clone(), self.started, work.limits.wall);
        store.epoch_deadline_callback(move |_| {
            if cancel.is_cancelled() {
                Err(Stop::from(ExecutorError::Cancelled).into())
            } else if started.elapsed() >= limit {
                Err(Stop::from(ExecutorError::WallTime { limit }).into())
            } else {
                Ok(UpdateDeadline::Continue(1))
            }
        });
        store.set_epoch_deadline(1);
        Ok(store)
    }

    fn finish(
        &self,
        exit: Exit,
        fuel: u64,
        guest: Guest,
        work: &Work,
    ) -> Result<(Outcome, Vec<LogChunk>), ExecutorError> {
        let written = guest.tree.outputs();
        let output_bytes = written.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let mut outputs = Vec::with_capacity(written.len());
        let mut files = Vec::with_capacity(written.len());
        for (path, bytes) in written {
            files.push(write_output(&work.out_dir, &path, bytes)?);
            outputs.push(OutputFile { path, size: bytes.len() as u64, sha256: sha256(bytes) });
        }
        let memory_bytes = guest.limiter.memory_bytes_peak();
        let (log, rest) = guest.log.into_parts();
        let summary = OutputSummary { files: outputs, log: sha256(&log), exit_code: exit.code() };
        let wall_millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let usage = Usage { fuel, memory_bytes, wall_millis, output_bytes };
        Ok((Outcome { exit, usage, log, summary, files }, rest))
    }
}

/// What an error of the guest means: a result that is the same everywhere, or none.
fn exit_of(error: wasmtime::Error) -> Result<Exit, ExecutorError> {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return match trap {
            Trap::OutOfFuel => Ok(Exit::Fuel),
            Trap::Interrupt => Err(host(error)),
            trap => Ok(Exit::Trap(trap.to_string())),
        };
    }
    match error.downcast::<Stop>() {
        Ok(Stop::Exit(code)) => Ok(Exit::Code(code)),
        Ok(Stop::Memory) => Ok(Exit::Memory),
        Ok(Stop::Fuel) => Ok(Exit::Fuel),
        Ok(Stop::Output) => Ok(Exit::Output),
        Ok(Stop::Log) => Ok(Exit::Log),
        Ok(Stop::Trap(reason)) => Ok(Exit::Trap(reason.into())),
        Ok(Stop::Host(error)) => Err(error),
        Err(error) => Err(host(error)),
    }
}

fn host(error: wasmtime::Error) -> ExecutorError {
    ExecutorError::Host(format!("{error:#}"))
}

/// The folder must be new or empty, so that nothing but this task's output is ever in it.
fn prepare_out_dir(path: &Path) -> Result<(), ExecutorError> {
    let file = |action| move |source| ExecutorError::File { action, path: path.into(), source };
    std::fs::create_dir_all(path).map_err(file("create"))?;
    match std::fs::read_dir(path).map_err(file("read"))?.next() {
        None => Ok(()),
        Some(_) => Err(ExecutorError::Setup(format!("output folder {} is not empty", path.display()))),
    }
}

/// Writes a new file; `path` has only plain parts, see [`crate::wasi::Tree`].
fn write_output(folder: &Path, path: &str, bytes: &[u8]) -> Result<PathBuf, ExecutorError> {
    let whole = folder.join(path);
    let file = |action| {
        let path = whole.clone();
        move |source| ExecutorError::File { action, path, source }
    };
    if let Some(parent) = whole.parent() {
        std::fs::create_dir_all(parent).map_err(file("create"))?;
    }
    let mut created = std::fs::File::create_new(&whole).map_err(file("create"))?;
    std::io::Write::write_all(&mut created, bytes).map_err(file("write"))?;
    Ok(whole)
}
