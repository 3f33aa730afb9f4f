//! Promises of the executor, shown with small guests: the same result everywhere, and every limit holds.

mod guests;

use compute::Executor;
use compute::executor::{
    Control, EXIT_FUEL, EXIT_LOG, EXIT_MEMORY, EXIT_OUTPUT, EXIT_TRAP, ExecutorError, Exit, ModuleError, Stream,
};
use compute_wasm::{PROFILE, WasmExecutor};
use guests::{Bench, guest, print, write_file};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_same_work_gives_the_same_result_bit_for_bit() {
    let program = guest(&[&print("hello\n"), &write_file("b", "two"), &write_file("a", "one")]);
    let (one, other) = (Bench::new(&program), Bench::new(&program));
    let (first, second) = (one.run().await.unwrap(), other.run().await.unwrap());
    assert_eq!(first.exit, Exit::Code(0));
    assert_eq!(first.log, b"hello\n");
    let paths: Vec<&str> = first.summary.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["a", "b"]);
    assert_eq!(std::fs::read(&first.files[0]).unwrap(), b"one");
    assert_eq!(first.summary, second.summary);
    assert_eq!((first.usage.fuel, first.usage.memory_bytes), (second.usage.fuel, second.usage.memory_bytes));
    assert_eq!((first.usage.output_bytes, first.usage.memory_bytes), (6, 65_536));
    assert!(first.usage.fuel > 0);
}

#[tokio::test]
async fn many_tasks_run_at_a_time_with_the_same_result() {
    let program = guest(&[&print("x"), "(call $spin (i32.const 100000))"]);
    let bench = Bench::new(&program);
    let other = Bench::sharing(&bench, &program);
    let third = Bench::sharing(&bench, &program);
    let (a, b, c) = tokio::join!(bench.run(), other.run(), third.run());
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    assert_eq!((&a.summary, a.usage.fuel), (&b.summary, b.usage.fuel));
    assert_eq!((&a.summary, a.usage.fuel), (&c.summary, c.usage.fuel));
}

#[tokio::test]
async fn the_exit_code_is_the_guests() {
    let outcome = Bench::new(&guest(&["(call $proc_exit (i32.const 7))"])).run().await.unwrap();
    assert_eq!((outcome.exit, outcome.summary.exit_code), (Exit::Code(7), 7));
}

#[tokio::test]
async fn a_trap_is_a_result_and_keeps_what_was_written() {
    let outcome = Bench::new(&guest(&[&print("before"), &write_file("a", "1"), "unreachable"])).run().await.unwrap();
    assert!(matches!(&outcome.exit, Exit::Trap(reason) if reason.contains("unreachable")), "{:?}", outcome.exit);
    assert_eq!(outcome.summary.exit_code, EXIT_TRAP);
    assert_eq!((outcome.log.as_slice(), outcome.summary.files.len()), (b"before".as_slice(), 1));
}

#[tokio::test]
async fn endless_recursion_is_a_trap() {
    let outcome = Bench::new(&guest(&["(call $recurse)"])).run().await.unwrap();
    assert!(matches!(&outcome.exit, Exit::Trap(reason) if reason.contains("stack")), "{:?}", outcome.exit);
}

#[tokio::test]
async fn an_endless_loop_ends_with_its_fuel() {
    let mut bench = Bench::new(&guest(&["(loop $again (br $again))"]));
    bench.work.limits.fuel = 1_000_000;
    let outcome = bench.run().await.unwrap();
    assert_eq!((&outcome.exit, outcome.usage.fuel), (&Exit::Fuel, 1_000_000));
    assert_eq!(outcome.summary.exit_code, EXIT_FUEL);
}

#[tokio::test]
async fn bytes_that_the_host_moves_cost_fuel() {
    let mut bench = Bench::new(&guest(&["(drop (call $random_get (i32.const 0) (i32.const 60000)))"]));
    bench.work.limits.fuel = 10_000;
    assert_eq!(bench.run().await.unwrap().exit, Exit::Fuel);
}

#[tokio::test]
async fn wall_time_gives_no_result() {
    let mut bench = Bench::new(&guest(&["(loop $again (br $again))"]));
    bench.work.limits.fuel = u64::MAX / 2;
    bench.work.limits.wall = Duration::from_millis(50);
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.to_string(), "task ran for more than its 50 ms");
}

#[tokio::test]
async fn a_cancelled_task_gives_no_result() {
    let mut bench = Bench::new(&guest(&[&print("running"), "(loop $again (br $again))"]));
    bench.work.limits.fuel = u64::MAX / 2;
    let cancel = CancellationToken::new();
    let (control, mut logs) = Control::new(cancel.clone());
    let run = tokio::spawn(async move { bench.executor.run(bench.work.clone(), control).await });
    assert_eq!(&logs.recv().await.unwrap().bytes[..], b"running");
    cancel.cancel();
    assert!(matches!(run.await.unwrap(), Err(ExecutorError::Cancelled)));
}

#[tokio::test]
async fn memory_beyond_the_limit_ends_the_guest() {
    let mut bench = Bench::new(&guest(&["(loop $again (drop (memory.grow (i32.const 16))) (br $again))"]));
    bench.work.limits.memory_bytes = 10 << 20;
    let outcome = bench.run().await.unwrap();
    assert_eq!((&outcome.exit, outcome.summary.exit_code), (&Exit::Memory, EXIT_MEMORY));
    assert!(outcome.usage.memory_bytes <= 10 << 20 && outcome.usage.memory_bytes > 9 << 20);
}

#[tokio::test]
async fn a_module_that_begins_beyond_the_limit_ends_at_once() {
    let mut bench = Bench::new(&guest(&[&print("never")]));
    bench.work.limits.memory_bytes = 65_535;
    let outcome = bench.run().await.unwrap();
    assert_eq!((outcome.exit, outcome.log.len()), (Exit::Memory, 0));
    bench = Bench::new(&guest(&[&print("once")]));
    bench.work.limits.memory_bytes = 65_536;
    assert_eq!(bench.run().await.unwrap().exit, Exit::Code(0), "exactly enough is enough");
}

#[tokio::test]
async fn output_beyond_the_limit_ends_the_guest() {
    let program = guest(&[&write_file("a", "12345"), &write_file("b", "67890")]);
    let mut bench = Bench::new(&program);
    bench.work.limits.output_bytes = 9;
    let outcome = bench.run().await.unwrap();
    assert_eq!((&outcome.exit, outcome.summary.exit_code), (&Exit::Output, EXIT_OUTPUT));
    assert_eq!(outcome.usage.output_bytes, 5, "what was written within the limit stays");
    let mut bench = Bench::new(&program);
    bench.work.limits.output_bytes = 10;
    assert_eq!(bench.run().await.unwrap().exit, Exit::Code(0), "exactly enough is enough");
}

#[tokio::test]
async fn too_many_files_end_the_guest() {
    let mut bench = Bench::new(&guest(&[&write_file("a", ""), &write_file("b", "")]));
    bench.work.limits.files_max = 1;
    assert_eq!(bench.run().await.unwrap().exit, Exit::Output);
}

#[tokio::test]
async fn logs_beyond_the_limit_end_the_guest() {
    let mut bench = Bench::new(&guest(&[&print("12345"), &print("67890")]));
    bench.work.limits.log_bytes = 7;
    let outcome = bench.run().await.unwrap();
    assert_eq!((&outcome.exit, outcome.summary.exit_code), (&Exit::Log, EXIT_LOG));
    assert_eq!(outcome.log, b"1234567", "cut exactly at the limit");
}

#[tokio::test]
async fn logs_are_live_and_complete() {
    let bench = Bench::new(&guest(&[&print("one\n"), &print("two\n")]));
    let (control, mut logs) = Control::new(CancellationToken::new());
    let outcome = bench.executor.run(bench.work.clone(), control).await.unwrap();
    let mut seen = Vec::new();
    while let Some(chunk) = logs.recv().await {
        assert_eq!(chunk.stream, Stream::Stdout);
        seen.extend(chunk.bytes);
    }
    assert_eq!(seen, outcome.log);
}

#[tokio::test]
async fn inputs_are_read_and_never_written() {
    let mut bench = Bench::new(&guest(&["(call $copy_input)"]));
    bench.add_input("data.csv", "1,2,3");
    let outcome = bench.run().await.unwrap();
    assert_eq!((outcome.exit, outcome.log), (Exit::Code(0), b"1,2,3".to_vec()));

    const READ_ONLY: i32 = 69;
    for path in ["data.csv", "new.csv"] {
        let mut bench = Bench::new(&guests::guest_opening(path, guests::WRITE));
        bench.add_input("data.csv", "1,2,3");
        assert_eq!(bench.run().await.unwrap().exit, Exit::Code(READ_ONLY), "{path}");
    }
}

#[tokio::test]
async fn no_path_leads_out() {
    const NOT_CAPABLE: i32 = 76;
    for path in ["../etc/passwd", "/etc/passwd", "./../../etc/passwd", ".."] {
        let program = guests::guest_opening(path, guests::READ);
        let outcome = Bench::new(&program).run().await.unwrap();
        assert_eq!(outcome.exit, Exit::Code(NOT_CAPABLE), "{path}");
    }
}

#[tokio::test]
async fn arguments_and_environment_are_the_works_and_nothing_else() {
    let mut bench = Bench::new(&guest(&["(call $print_args)", "(call $print_env)"]));
    bench.work.args = vec!["task".into(), "--rate".into(), "ünï".into()];
    bench.work.env = [("B".into(), "2".into()), ("A".into(), "1".into())].into();
    let outcome = bench.run().await.unwrap();
    assert_eq!(String::from_utf8(outcome.log).unwrap(), "task\0--rate\0ünï\0A=1\0B=2\0");
    let mut bare = Bench::new(&guest(&["(call $print_env)"]));
    bare.work.env.clear();
    assert_eq!(bare.run().await.unwrap().log, b"", "nothing is inherited");
}

#[tokio::test]
async fn nans_are_canonical() {
    let program = guest(&[
        "(f32.store (i32.const 100) (f32.div (f32.const 0) (f32.const 0)))",
        "(f64.store (i32.const 104) (f64.sqrt (f64.const -1)))",
        "(f32.store (i32.const 112) (f32.add (f32.const -nan:0x200001) (f32.const 1)))",
        "(call $put (i32.const 100) (i32.const 16))",
    ]);
    let outcome = Bench::new(&program).run().await.unwrap();
    let mut canonical = 0x7fc0_0000_u32.to_le_bytes().to_vec();
    canonical.extend(0x7ff8_0000_0000_0000_u64.to_le_bytes());
    canonical.extend(0x7fc0_0000_u32.to_le_bytes());
    assert_eq!(outcome.log, canonical);
}

#[tokio::test]
async fn vectors_run_on_the_least_machine() {
    let program = guest(&[
        "(v128.store (i32.const 112) (f32x4.floor (v128.const f32x4 1.5 -1.5 2.5 nan)))",
        "(v128.store (i32.const 128) (i32x4.mul (v128.const i32x4 2 3 4 5) (v128.const i32x4 7 7 7 7)))",
        "(v128.store (i32.const 144) (i8x16.swizzle (v128.load (i32.const 128)) (v128.const i8x16 0 4 8 12 0 4 8 12 0 4 8 12 0 4 8 99)))",
        "(call $put (i32.const 112) (i32.const 48))",
    ]);
    let log = Bench::new(&program).run().await.unwrap().log;
    assert_eq!(log[..12], [1.0f32, -2.0, 2.0].map(f32::to_le_bytes).concat());
    assert_eq!(log[16..32], [14i32, 21, 28, 35].map(i32::to_le_bytes).concat());
    assert_eq!(log[32..36], [14, 21, 28, 35]);
}

#[tokio::test]
async fn randomness_is_the_seeds() {
    let program = guest(&[
        "(drop (call $random_get (i32.const 100) (i32.const 32)))",
        "(call $put (i32.const 100) (i32.const 32))",
    ]);
    let run = async |seed: u8| {
        let mut bench = Bench::new(&program);
        bench.work.seed = [seed; 32];
        bench.run().await.unwrap().log
    };
    assert_eq!(run(1).await, run(1).await);
    assert_ne!(run(1).await, run(2).await);
}

#[tokio::test]
async fn the_clock_is_virtual_and_sleep_takes_no_time() {
    let program = guest(&["(call $clock)", "(call $sleep (i64.const 3600000000000))", "(call $clock)"]);
    let outcome = Bench::new(&program).run().await.unwrap();
    assert_eq!(outcome.log, Bench::new(&program).run().await.unwrap().log);
    let at = |i: usize| u64::from_le_bytes(outcome.log[i..i + 8].try_into().unwrap());
    assert_eq!(at(0) / 1_000_000_000, 946_684_800, "it begins in the year 2000");
    assert_eq!((at(8) - at(0)) / 1_000_000_000, 3600);
}

#[tokio::test]
async fn what_cannot_run_is_refused_before_it_runs() {
    let bench = Bench::new(&guest(&[]));
    assert_eq!(bench.executor.profile(), PROFILE);
    assert!(bench.executor.check(&bench.work.module).is_ok());

    let network = r#"(module (import "wasi_snapshot_preview1" "sock_send" (func)) (memory (export "memory") 1) (func (export "_start")))"#;
    let network = wat::parse_str(network).unwrap();
    assert!(matches!(bench.executor.check(&network), Err(ModuleError::Network { .. })));
    let error = Bench::of(network).run().await.unwrap_err();
    assert!(error.to_string().starts_with("module asks for the network"), "{error}");
    let error = Bench::of(b"#!/bin/sh".to_vec()).run().await.unwrap_err();
    assert!(matches!(error, ExecutorError::Module(ModuleError::NotWasm { .. })));
}

#[tokio::test]
async fn a_used_output_folder_is_refused() {
    let bench = Bench::new(&guest(&[&write_file("a", "1")]));
    bench.run().await.unwrap();
    assert!(matches!(bench.run().await, Err(ExecutorError::Setup(_))));
}

#[tokio::test]
async fn bad_pointers_are_error_numbers_not_faults_of_the_host() {
    const FAULT: i32 = 21;
    for call in [
        "(call $fd_write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 0))",
        "(call $fd_write (i32.const 1) (i32.const 65532) (i32.const 1) (i32.const 0))",
        "(call $random_get (i32.const -1) (i32.const 2))",
        "(call $random_get (i32.const 65535) (i32.const 2))",
        "(call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 65529))",
        "(call $fd_read (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 65533))",
    ] {
        let outcome = Bench::new(&guest(&[&format!("(call $proc_exit {call})")])).run().await.unwrap();
        assert_eq!(outcome.exit, Exit::Code(FAULT), "{call}");
    }
}

#[test]
fn an_executor_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&WasmExecutor::new().unwrap());
}
