//! Run a job as WebAssembly inside fuel, memory and time limits.
