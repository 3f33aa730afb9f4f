//! Small guests, and a bench to run them on.

use bytes::Bytes;
use compute::Executor;
use compute::executor::{Control, ExecutorError, Limits, Outcome, Work};
use compute_wasm::WasmExecutor;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A work with generous limits, and the folders it needs.
pub struct Bench {
    pub executor: Arc<WasmExecutor>,
    pub work: Work,
    folder: TempDir,
}

impl Bench {
    pub fn new(program: &str) -> Self {
        Self::of(wat::parse_str(program).expect("the guests of the tests are well-formed"))
    }

    pub fn sharing(other: &Self, program: &str) -> Self {
        Self { executor: other.executor.clone(), ..Self::new(program) }
    }

    pub fn of(module: Vec<u8>) -> Self {
        static EXECUTOR: OnceLock<Arc<WasmExecutor>> = OnceLock::new();
        let executor = EXECUTOR.get_or_init(|| Arc::new(WasmExecutor::new().unwrap())).clone();
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            fuel: 100_000_000,
            memory_bytes: 64 << 20,
            wall: Duration::from_secs(60),
            output_bytes: 1 << 20,
            log_bytes: 1 << 20,
            files_max: 100,
        };
        let work = Work {
            module: Bytes::from(module),
            args: vec!["task".into()],
            env: Default::default(),
            inputs: Vec::new(),
            out_dir: folder.path().join("out"),
            limits,
            seed: [0; 32],
        };
        Self { executor, work, folder }
    }

    pub fn add_input(&mut self, mount: &str, content: &str) {
        let path = self.folder.path().join(format!("input-{}", self.work.inputs.len()));
        std::fs::write(&path, content).unwrap();
        self.work.inputs.push((mount.into(), path));
    }

    pub async fn run(&self) -> Result<Outcome, ExecutorError> {
        let (control, _logs) = Control::new(CancellationToken::new());
        self.executor.run(self.work.clone(), control).await
    }
}

/// Prints `text` to standard output.
pub fn print(text: &str) -> String {
    format!("{} (call $put (i32.const 1024) (i32.const {}))", store(1024, text), text.len())
}

/// Writes a file below `/out`.
pub fn write_file(name: &str, content: &str) -> String {
    let (name_bytes, content_bytes) = (name.len(), content.len());
    format!(
        "{} {} (call $write_file (i32.const {name_bytes}) (i32.const {content_bytes}))",
        store(2048, name),
        store(4096, content)
    )
}

/// Right to read, as WASI writes it.
pub const READ: u64 = 2;
/// Right to write, as WASI writes it; the guests create what is not there.
pub const WRITE: u64 = 64;

/// A guest that opens `path` below `/in` and exits with the error number.
pub fn guest_opening(path: &str, rights: u64) -> String {
    let open = format!("(call $open (i32.const 3) (i32.const {}) (i64.const {rights}))", path.len());
    guest(&[&store(2048, path), &format!("(call $proc_exit {open})")])
}

fn store(address: usize, text: &str) -> String {
    let byte = |(i, b): (usize, &u8)| format!("(i32.store8 (i32.const {}) (i32.const {b}))", address + i);
    text.as_bytes().iter().enumerate().map(byte).collect()
}

/// A module whose `_start` has these instructions. Memory: 0 to 99 for calls, 100 on for the guest, 1024 for text,
/// 2048 for paths, 4096 for content, 8192 on for lists.
pub fn guest(body: &[&str]) -> String {
    let body = body.join("\n");
    format!("(module {LIBRARY} (func (export \"_start\") {body}))")
}

const LIBRARY: &str = r#"
(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
(import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
(import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
(memory (export "memory") 1)

;; Ends the guest with the error number, if there is one.
(func $check (param $errno i32) (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

;; Writes memory to a descriptor.
(func $write_to (param $fd i32) (param $address i32) (param $len i32)
  (i32.store (i32.const 0) (local.get $address))
  (i32.store (i32.const 4) (local.get $len))
  (call $check (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))

(func $put (param $address i32) (param $len i32)
  (call $write_to (i32.const 1) (local.get $address) (local.get $len)))

;; Opens the path at 2048; the descriptor is stored at 12. Rights: 2 read, 64 write (creates).
(func $open (param $folder i32) (param $len i32) (param $rights i64) (result i32)
  (call $path_open (local.get $folder) (i32.const 0) (i32.const 2048) (local.get $len)
    (select (i32.const 1) (i32.const 0) (i64.eq (local.get $rights) (i64.const 64)))
    (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 12)))

(func $write_file (param $name i32) (param $content i32)
  (call $check (call $open (i32.const 4) (local.get $name) (i64.const 64)))
  (call $write_to (i32.load (i32.const 12)) (i32.const 4096) (local.get $content))
  (call $check (call $fd_close (i32.load (i32.const 12)))))

;; Prints /in/data.csv, read in one go.
(func $copy_input
  (i64.store (i32.const 2048) (i64.const 0x7673632e61746164))
  (call $check (call $open (i32.const 3) (i32.const 8) (i64.const 2)))
  (i32.store (i32.const 0) (i32.const 4096))
  (i32.store (i32.const 4) (i32.const 1000))
  (call $check (call $fd_read (i32.load (i32.const 12)) (i32.const 0) (i32.const 1) (i32.const 16)))
  (call $put (i32.const 4096) (i32.load (i32.const 16))))

(func $print_args
  (call $check (call $args_sizes_get (i32.const 16) (i32.const 20)))
  (call $check (call $args_get (i32.const 8192) (i32.const 4096)))
  (call $put (i32.const 4096) (i32.load (i32.const 20))))

(func $print_env
  (call $check (call $environ_sizes_get (i32.const 16) (i32.const 20)))
  (call $check (call $environ_get (i32.const 8192) (i32.const 4096)))
  (call $put (i32.const 4096) (i32.load (i32.const 20))))

;; Prints the time as eight bytes.
(func $clock
  (call $check (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 24)))
  (call $put (i32.const 24) (i32.const 8)))

(func $sleep (param $nanos i64)
  (memory.fill (i32.const 8192) (i32.const 0) (i32.const 48))
  (i32.store (i32.const 8208) (i32.const 1))
  (i64.store (i32.const 8216) (local.get $nanos))
  (call $check (call $poll_oneoff (i32.const 8192) (i32.const 8300) (i32.const 1) (i32.const 16))))

(func $spin (param $times i32)
  (loop $again
    (local.set $times (i32.sub (local.get $times) (i32.const 1)))
    (br_if $again (local.get $times))))

(func $recurse (call $recurse) (call $spin (i32.const 1)))
"#;
