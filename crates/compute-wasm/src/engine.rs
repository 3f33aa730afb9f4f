//! The wasmtime engine with its deterministic rules, and the modules compiled for it.

use crate::guest::Guest;
use crate::wasi;
use compute::executor::{ExecutorError, ModuleError};
use compute::module;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use wasmtime::{Config, Engine, EngineWeak, InstancePre, Linker, Module, OptLevel};

/// Name of this run-time and of its rules. It changes whenever a result, a fuel count or a limit could.
pub const PROFILE: &str = "wasmtime-48/deterministic-v1";
/// Compiled modules that are kept; the one longest unused goes first.
pub const CACHED_MODULES_MAX: usize = 16;
/// Native stack that a guest may use, in bytes.
const STACK_BYTES_MAX: usize = 512 * 1024;
/// How often running guests look at the clock and at their cancellation.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Why the run-time cannot start on this machine.
#[derive(Debug, thiserror::Error)]
#[error("wasmtime cannot start here: {0}")]
pub struct EngineError(String);

/// A module that is ready to be instantiated.
pub(crate) type Compiled = InstancePre<Guest>;
/// Compiled once, however many tasks ask for it at a time.
type Slot = Arc<OnceLock<Result<Compiled, ExecutorError>>>;

/// The engine, and what was compiled with it.
pub(crate) struct Compiler {
    engine: Engine,
    linker: Linker<Guest>,
    /// By SHA-256 of the module, longest unused first.
    slots: Mutex<VecDeque<([u8; 32], Slot)>>,
}

impl Compiler {
    pub(crate) fn new() -> Result<Self, EngineError> {
        let fault = |e: wasmtime::Error| EngineError(format!("{e:#}"));
        let engine = config().and_then(|config| Engine::new(&config)).map_err(fault)?;
        let mut linker = Linker::new(&engine);
        wasi::link(&mut linker).map_err(fault)?;
        start_ticker(engine.weak())?;
        Ok(Self { engine, linker, slots: Mutex::default() })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The compiled form of `bytes`, from the cache if it is there.
    pub(crate) fn compile(&self, bytes: &[u8]) -> Result<Compiled, ExecutorError> {
        let slot = self.slot(Sha256::digest(bytes).into());
        match slot.get_or_init(|| self.compile_now(bytes)) {
            Ok(compiled) => Ok(compiled.clone()),
            Err(ExecutorError::Module(error)) => Err(ExecutorError::Module(error.clone())),
            Err(error) => Err(ExecutorError::Host(error.to_string())),
        }
    }

    fn compile_now(&self, bytes: &[u8]) -> Result<Compiled, ExecutorError> {
        module::check(bytes)?;
        let invalid = |e: wasmtime::Error| ModuleError::Invalid { offset: 0, reason: format!("{e:#}") };
        let module = Module::from_binary(&self.engine, bytes).map_err(invalid)?;
        Ok(self.linker.instantiate_pre(&module).map_err(invalid)?)
    }

    fn slot(&self, digest: [u8; 32]) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let found = slots.iter().position(|(known, _)| *known == digest).and_then(|at| slots.remove(at));
        let (digest, slot) = found.unwrap_or_else(|| (digest, Slot::default()));
        if slots.len() == CACHED_MODULES_MAX {
            slots.pop_front();
        }
        slots.push_back((digest, slot.clone()));
        slot
    }
}

/// Everything that decides a result stands here; a change needs another [`PROFILE`].
fn config() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    if let Some(target) = baseline_target() {
        config.target(&target)?;
    }
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(STACK_BYTES_MAX)
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        .wasm_bulk_memory(true)
        .wasm_multi_value(true)
        .wasm_extended_const(true)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_backtrace_max_frames(None);
    Ok(config)
}

/// Code for the least machine of this architecture: with the same instructions everywhere, frames are as large and the
/// stack of a guest is as deep everywhere. `None` where the name of the platform is not known.
fn baseline_target() -> Option<String> {
    let rest = match std::env::consts::OS {
        "linux" => "unknown-linux-gnu",
        "macos" => "apple-darwin",
        _ => return None,
    };
    Some(format!("{}-{rest}", std::env::consts::ARCH))
}

/// Advances the engine's epoch until the engine is gone.
fn start_ticker(engine: EngineWeak) -> Result<(), EngineError> {
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    let thread = std::thread::Builder::new().name("wasm-ticker".into()).spawn(tick);
    thread.map(drop).map_err(|e| EngineError(format!("no thread for the clock: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(n: usize) -> Vec<u8> {
        wat::parse_str(format!(r#"(module (memory (export "memory") {n}) (func (export "_start")))"#)).unwrap()
    }

    #[test]
    fn a_module_is_compiled_once_and_the_cache_is_bounded() {
        let compiler = Compiler::new().unwrap();
        compiler.compile(&module(1)).unwrap();
        let kept = |compiler: &Compiler| compiler.slots.lock().unwrap().len();
        compiler.compile(&module(1)).unwrap();
        assert_eq!(kept(&compiler), 1);
        for n in 2..CACHED_MODULES_MAX + 5 {
            compiler.compile(&module(n)).unwrap();
        }
        assert_eq!(kept(&compiler), CACHED_MODULES_MAX);
        let newest: [u8; 32] = Sha256::digest(module(CACHED_MODULES_MAX + 4)).into();
        assert_eq!(compiler.slots.lock().unwrap().back().unwrap().0, newest);
    }

    #[test]
    fn what_is_no_module_stays_refused() {
        let compiler = Compiler::new().unwrap();
        for _ in 0..2 {
            assert!(matches!(compiler.compile(b"\x7fELF"), Err(ExecutorError::Module(ModuleError::NotWasm { .. }))));
        }
    }
}
