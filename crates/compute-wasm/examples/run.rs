//! Run one module under the rules of a task: `run MODULE [--in HOST=MOUNT]… [--env NAME=VALUE]… [--out FOLDER] [ARG]…`.
//!
//! Prints the log as it comes, then what was used to standard error, and exits with the guest's code.

use compute::Executor;
use compute::executor::{Control, Limits, Stream, Work};
use compute_wasm::WasmExecutor;
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let work = work(std::env::args().skip(1))?;
    let (control, mut logs) = Control::new(CancellationToken::new());
    let executor = WasmExecutor::new()?;
    let show = async {
        while let Some(chunk) = logs.recv().await {
            match chunk.stream {
                Stream::Stdout => std::io::stdout().write_all(&chunk.bytes)?,
                Stream::Stderr => std::io::stderr().write_all(&chunk.bytes)?,
            }
        }
        Ok::<(), std::io::Error>(())
    };
    let (outcome, shown) = tokio::join!(executor.run(work, control), show);
    shown?;
    let outcome = outcome?;
    eprintln!("{} | {:?}", outcome.exit, outcome.usage);
    std::process::exit(outcome.summary.exit_code)
}

fn work(mut words: impl Iterator<Item = String>) -> Result<Work, Box<dyn Error>> {
    let module = words.next().ok_or("usage: run MODULE [--in HOST=MOUNT] [--env NAME=VALUE] [--out FOLDER] [ARG]…")?;
    let mut work = Work {
        module: std::fs::read(&module)?.into(),
        args: vec![module],
        env: Default::default(),
        inputs: Vec::new(),
        out_dir: std::env::temp_dir().join(format!("kumo-run-{}", std::process::id())),
        limits: Limits {
            fuel: 100_000_000_000,
            memory_bytes: 1 << 30,
            wall: Duration::from_secs(600),
            output_bytes: 64 << 20,
            log_bytes: 1 << 20,
            files_max: 1024,
        },
        seed: [0; 32],
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let pair = |text: String| {
            let (name, value) = text.split_once('=').ok_or(format!("{text} has no ="))?;
            Ok::<_, String>((name.to_string(), value.to_string()))
        };
        match word.as_str() {
            "--in" => {
                let (host, mount) = pair(value()?)?;
                work.inputs.push((mount, PathBuf::from(host)));
            }
            "--env" => work.env.extend([pair(value()?)?]),
            "--out" => work.out_dir = value()?.into(),
            _ => work.args.push(word),
        }
    }
    Ok(work)
}
