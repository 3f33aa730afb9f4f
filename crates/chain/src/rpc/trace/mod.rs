//! Traces of what transactions did: `debug`, `trace` and `ots`.
//!
//! ```text
//! method ─▶ heavy slot ─▶ Replay (a block, again) ─┐
//!                     └─▶ Simulation (calls) ──────┴─▶ Watched (budget) ─▶ tracer ─▶ answer
//! ```

pub mod api;
mod budget;
mod debug;
mod otterscan;
mod parity;
mod raw;
mod rewards;
mod search;
mod simulation;
mod structlog;
mod tracer;

pub(super) use debug::Debug;
pub(super) use otterscan::Otterscan;
pub(super) use parity::Parity;
