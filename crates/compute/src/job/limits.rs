//! The limits of a job specification, and the defaults.
//!
//! Those of tasks, windows and attempts lie within what the contract `JobMarket` accepts at genesis.

use protocol::units::{Bps, ByteSize, Fuel, Millis};

/// Most tasks of a job.
pub const TASKS_MAX: usize = 256;
/// Most input files.
pub const INPUTS_MAX: usize = 32;
/// Most names in a matrix.
pub const MATRIX_NAMES_MAX: usize = 8;
/// Most values of one matrix name.
pub const MATRIX_VALUES_MAX: usize = 64;
/// Most arguments of a task.
pub const ARGS_MAX: usize = 128;
/// Most environment values of a task.
pub const ENV_MAX: usize = 64;
/// Most bytes of one argument, name or value.
pub const ARG_BYTES_MAX: usize = 4096;
/// Most bytes of all arguments and environment values of a task.
pub const ARGS_BYTES_MAX: usize = 32 * 1024;
/// Longest name of a job.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest path below `/in`.
pub const MOUNT_BYTES_MAX: usize = 255;
/// Most parts of a path below `/in`.
pub const MOUNT_PARTS_MAX: usize = 8;

/// Least memory: one WebAssembly page.
pub const MEMORY_MIN: ByteSize = ByteSize(64 << 10);
/// Most memory: what 32-bit WebAssembly can address.
pub const MEMORY_MAX: ByteSize = ByteSize(4 << 30);
/// Memory if not said.
pub const MEMORY_DEFAULT: ByteSize = ByteSize(256 << 20);
/// Least fuel.
pub const FUEL_MIN: Fuel = Fuel(1_000);
/// Most fuel: some days of work.
pub const FUEL_MAX: Fuel = Fuel(1_000_000_000_000_000);
/// Fuel if not said.
pub const FUEL_DEFAULT: Fuel = Fuel(50_000_000_000);
/// Most output; it is held in memory while the task runs.
pub const OUTPUT_MAX: ByteSize = ByteSize(256 << 20);
/// Output if not said.
pub const OUTPUT_DEFAULT: ByteSize = ByteSize(16 << 20);
/// Most log.
pub const LOGS_MAX: ByteSize = ByteSize(16 << 20);
/// Log if not said.
pub const LOGS_DEFAULT: ByteSize = ByteSize(64 << 10);
/// Least time on the clock.
pub const WALL_MIN: Millis = Millis(100);
/// Most time on the clock.
pub const WALL_MAX: Millis = Millis(86_400_000);
/// Time on the clock if not said.
pub const WALL_DEFAULT: Millis = Millis(60_000);

/// Least of every window and timeout.
pub const SECONDS_MIN: Millis = Millis(1_000);
/// Longest bid window.
pub const BID_WINDOW_MAX: Millis = Millis(3_600_000);
/// Bid window if not said.
pub const BID_WINDOW_DEFAULT: Millis = Millis(2_000);
/// Longest time from assignment to receipt.
pub const TASK_TIMEOUT_MAX: Millis = Millis(86_400_000);
/// Time from assignment to receipt if not said.
pub const TASK_TIMEOUT_DEFAULT: Millis = Millis(120_000);
/// Longest time for the whole job.
pub const JOB_TIMEOUT_MAX: Millis = Millis(7 * 86_400_000);
/// Time for the whole job if not said.
pub const JOB_TIMEOUT_DEFAULT: Millis = Millis(600_000);
/// Most attempts of a task.
pub const ATTEMPTS_MAX: u8 = 5;
/// Attempts of a task if not said.
pub const ATTEMPTS_DEFAULT: u8 = 3;
/// Audit probability if not said.
pub const AUDIT_DEFAULT: Bps = Bps(500);
/// Most that the contract can hold as a price: 2^96 - 1 wei.
pub const PRICE_MAX: u128 = (1 << 96) - 1;

const _: () = assert!(TASK_TIMEOUT_MAX.0 <= JOB_TIMEOUT_MAX.0 && BID_WINDOW_MAX.0 <= JOB_TIMEOUT_MAX.0);
const _: () = assert!(JOB_TIMEOUT_MAX.0 / 1000 <= u32::MAX as u64);
const _: () = assert!(WALL_DEFAULT.0 <= TASK_TIMEOUT_DEFAULT.0 && WALL_MAX.0 <= TASK_TIMEOUT_MAX.0);
