//! The example job runs as committed: nine of ten digits are read, and twice the same result.

use bytes::Bytes;
use compute::executor::{Control, Exit, Outcome, Work};
use compute::{Executor, Job};
use compute_wasm::WasmExecutor;
use protocol::content::sha256;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits").join(name)
}

async fn run(executor: &WasmExecutor, job: &Job, task: u32, folder: &Path) -> Outcome {
    let work = Work {
        module: Bytes::from(std::fs::read(example("digits.wasm")).unwrap()),
        args: job.argv(task).unwrap(),
        env: job.tasks[task as usize].env.clone(),
        inputs: job.inputs.iter().map(|input| (input.mount.clone(), example("digits.csv"))).collect(),
        out_dir: folder.join("out"),
        limits: job.limits(),
        seed: Job::seed(sha256(b"spec"), task),
    };
    let (control, _logs) = Control::new(CancellationToken::new());
    executor.run(work, control).await.unwrap()
}

#[tokio::test]
async fn nine_of_ten_digits_are_read_and_twice_the_same() {
    let job = Job::parse_yaml(&std::fs::read_to_string(example("job.yaml")).unwrap()).unwrap();
    let executor = WasmExecutor::new().unwrap();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let best = job.task_count() - 1;
    let a = run(&executor, &job, best, first.path()).await;
    let b = run(&executor, &job, best, second.path()).await;

    let log = String::from_utf8(a.log.clone()).unwrap();
    assert_eq!(a.exit, Exit::Code(0), "{log}");
    let metrics = std::fs::read_to_string(&a.files[0]).unwrap();
    let accuracy = metrics.split("\"accuracy\":").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    assert!(accuracy.parse::<f64>().unwrap() > 0.9, "{metrics}");
    assert!(log.contains("epoch  40"), "{log}");

    assert_eq!(a.summary.root(&[1; 32]), b.summary.root(&[1; 32]));
    assert_eq!(a.usage.fuel, b.usage.fuel);
    println!("{:?} {metrics}", a.usage);
}

#[test]
fn the_committed_module_has_the_committed_digest() {
    let digest = std::fs::read_to_string(example("digits.wasm.sha256")).unwrap();
    let module = std::fs::read(example("digits.wasm")).unwrap();
    assert_eq!(format!("{:x}  digits.wasm\n", sha256(&module)), digest);
}
