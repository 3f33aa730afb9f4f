//! Run a job as WebAssembly inside fuel, memory and time limits.
//!
//! The same [`compute::executor::Work`] gives the same exit, log, files and fuel on every machine, bit for bit. That is
//! what makes audits by re-execution possible, so nothing of the machine reaches the guest:
//!
//! - **instructions**: fuel is metered, NaNs are canonical, threads and relaxed SIMD are off;
//! - **files**: a small WASI preview 1 of our own over a tree in memory: inputs below `/in` (read-only), outputs below
//!   `/out`, bounded in bytes and number; no symbolic links, no timestamps, and no path of the host;
//! - **time**: a virtual clock that begins at a fixed date and steps with each reading; sleeping takes no time;
//! - **randomness**: a stream made of the task's seed;
//! - **network, standard input, inherited environment**: none.
//!
//! The limits on fuel, memory, output and log end a guest at the same instruction everywhere. Only the limit on wall
//! time depends on the machine; it gives an error, never a result.

#![deny(unsafe_code)]

mod engine;
mod executor;
mod guest;
mod limiter;
mod log;
mod wasi;

pub use engine::{CACHED_MODULES_MAX, EngineError, PROFILE};
pub use executor::WasmExecutor;
