//! Small WebAssembly programs, as text, and specifications of jobs that run them.

use crate::person::Person;
use std::path::PathBuf;

/// Copies `/in/data` to `/out/copy`, prints a line, and ends with 0.
pub const COPY: &str = r#"
(call $put (i32.const 1024) (i32.const 8))
(call $copy)"#;

/// What its only argument begins with: `t`rap, `l`oop for ever, eat `m`emory, write too much `o`utput, `p`rint too much,
/// end with `c`ode 7, anything else: end with 0.
pub const MISBEHAVE: &str = r#"
(local $wish i32)
(local.set $wish (call $first_letter))
(if (i32.eq (local.get $wish) (i32.const 0x74)) (then unreachable))
(if (i32.eq (local.get $wish) (i32.const 0x6c)) (then (loop $again (br $again))))
(if (i32.eq (local.get $wish) (i32.const 0x6d))
  (then (loop $again (drop (memory.grow (i32.const 16))) (br $again))))
(if (i32.eq (local.get $wish) (i32.const 0x6f))
  (then (call $create) (loop $again (call $write (i32.load (i32.const 12)) (i32.const 4096) (i32.const 32768)) (br $again))))
(if (i32.eq (local.get $wish) (i32.const 0x70))
  (then (loop $again (call $put (i32.const 1024) (i32.const 8)) (br $again))))
(if (i32.eq (local.get $wish) (i32.const 0x63)) (then (call $proc_exit (i32.const 7))))"#;

/// Works for a while, then writes `/out/copy` of `/in/data`: 400 million rounds of nothing, about a second.
pub const WORK: &str = r#"
(local $rounds i32)
(local.set $rounds (i32.const 400000000))
(loop $again
  (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
  (br_if $again (local.get $rounds)))
(call $copy)"#;

/// A program that opens a socket.
pub const NETWORK: &str = r#"(module
  (import "wasi_snapshot_preview1" "sock_accept" (func (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")))"#;

const LIBRARY: &str = r#"
(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
(import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
(memory (export "memory") 2)
(data (i32.const 1024) "working\n")
(data (i32.const 2048) "data")
(data (i32.const 2064) "copy")

;; Ends the program with the error number, if there is one.
(func $check (param $errno i32) (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))

(func $write (param $fd i32) (param $address i32) (param $len i32)
  (i32.store (i32.const 0) (local.get $address))
  (i32.store (i32.const 4) (local.get $len))
  (call $check (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))

(func $put (param $address i32) (param $len i32)
  (call $write (i32.const 1) (local.get $address) (local.get $len)))

;; Creates /out/copy; its descriptor is at 12.
(func $create
  (call $check (call $path_open (i32.const 4) (i32.const 0) (i32.const 2064) (i32.const 4)
    (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 12))))

;; Copies /in/data to /out/copy.
(func $copy (local $from i32) (local $to i32) (local $len i32)
  (call $check (call $path_open (i32.const 3) (i32.const 0) (i32.const 2048) (i32.const 4)
    (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 12)))
  (local.set $from (i32.load (i32.const 12)))
  (call $create)
  (local.set $to (i32.load (i32.const 12)))
  (block $end
    (loop $again
      (i32.store (i32.const 0) (i32.const 4096))
      (i32.store (i32.const 4) (i32.const 65536))
      (call $check (call $fd_read (local.get $from) (i32.const 0) (i32.const 1) (i32.const 16)))
      (local.set $len (i32.load (i32.const 16)))
      (br_if $end (i32.eqz (local.get $len)))
      (call $write (local.get $to) (i32.const 4096) (local.get $len))
      (br $again))))

;; First letter of the last argument: the arguments lie one behind the other, each with a zero.
(func $first_letter (result i32)
  (call $check (call $args_get (i32.const 8192) (i32.const 16384)))
  (i32.load8_u (i32.load (i32.const 8196))))
"#;

/// A module whose `_start` has these instructions.
pub fn module(body: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {LIBRARY} (func (export \"_start\") {body}))"))
        .expect("the programs are well-formed")
}

/// A job of one program on one input, as `job.yaml`: two tasks, quick windows, no audits.
pub const JOB: &str = r#"
apiVersion: kumo/v1
kind: Job
metadata: {name: copy}
spec:
  run: {wasm: {module: ./program.wasm}}
  inputs: [{path: ./data.bin, mount: data}]
  tasks: [{args: [one]}, {args: [two]}]
  resources: {memory: 16Mi, fuel: 1G, output: 1Mi, logs: 16Ki, wall: 20s}
  scheduling: {bidWindow: 2s, taskTimeout: 60s, jobTimeout: 5m, attempts: 3}
  budget: {perTask: "0.5 AKE"}
  verify: {audit: 0%}
"#;

/// Writes `name/job.yaml` with its program and input; returns the path of the specification.
pub fn write_job(person: &Person, name: &str, program: &str, data: &[u8], yaml: &str) -> PathBuf {
    person.write(&format!("{name}/program.wasm"), module(program));
    person.write(&format!("{name}/data.bin"), data);
    person.write(&format!("{name}/job.yaml"), yaml)
}
