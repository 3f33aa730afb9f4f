//! `kumo job logs` and `kumo job outputs`: what only the consumer can read.

use super::{Logs, Outputs};
use crate::amount::bytes;
use crate::session::Session;
use crate::{Exit, Failure, Table};
use futures::StreamExt;
use sdk::Jobs;
use sdk::jobs::{LogLine, TaskOutput};
use serde_json::{Value, json};
use std::path::Path;

pub(super) async fn logs(arguments: Logs, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing(format!("cannot read the log of job {}", arguments.id));
    let client = session.client().await?;
    let jobs = client.jobs(&session.wallet(&client)?);
    let mut lines = jobs.logs(arguments.id, arguments.task, arguments.follow).await?;
    let mut prefixer = Prefixer::default();
    let mut collected = Vec::new();
    while let Some(line) = lines.next().await {
        let line = line?;
        match (session.is_json(), arguments.follow) {
            (true, true) => session.print("", line_json(&line))?,
            (true, false) => collected.push(line_json(&line)),
            (false, _) if arguments.task.is_some() => session.write(&line.text)?,
            (false, _) => session.write(&prefixer.push(&line))?,
        }
    }
    session.write(&prefixer.finish())?;
    if session.is_json() && !arguments.follow {
        session.print("", collected.into())?;
    }
    Ok(Exit::Ok)
}

pub(super) async fn outputs(arguments: Outputs, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing(format!("cannot hand out the outputs of job {}", arguments.id));
    let client = session.client().await?;
    let jobs = client.jobs(&session.wallet(&client)?);
    let outputs = jobs.outputs(arguments.id).await?;
    if let Some(folder) = &arguments.out {
        for output in &outputs {
            download(&jobs, output, folder, session).await?;
        }
    }
    let mut table = Table::new(&["task", "state", "file", "size", "sha256"]);
    for output in &outputs {
        let (task, state) = (output.manifest.task.to_string(), state(output));
        for file in &output.manifest.summary.files {
            table.row([task.clone(), state.clone(), file.path.clone(), bytes(file.size), file.sha256.to_string()]);
        }
    }
    let json: Vec<Value> = outputs.iter().map(|output| output_json(output, arguments.out.as_deref())).collect();
    session.print(table.render(), json.into())?;
    Ok(Exit::Ok)
}

async fn download(jobs: &Jobs, output: &TaskOutput, folder: &Path, session: &mut Session<'_>) -> Result<(), Failure> {
    let task = output.manifest.task;
    let place = folder.join(task_folder(task));
    let paths = jobs.download(output, &place).await?;
    session.say(format!("task {task}: {} files checked, in {}", paths.len(), place.display()));
    Ok(())
}

fn task_folder(task: u32) -> String {
    format!("task-{task}")
}

fn state(output: &TaskOutput) -> String {
    format!("{:?}", output.state).to_lowercase()
}

fn output_json(output: &TaskOutput, folder: Option<&Path>) -> Value {
    let task = output.manifest.task;
    let files = output.manifest.summary.files.iter().zip(&output.manifest.cids).map(|(file, cid)| {
        json!({
            "path": file.path,
            "size": file.size,
            "sha256": file.sha256.to_string(),
            "cid": cid.to_string(),
            "saved": folder.map(|folder| folder.join(task_folder(task)).join(&file.path).display().to_string()),
        })
    });
    json!({
        "task": task,
        "state": state(output),
        "attempt": output.receipt.attempt,
        "provider": output.receipt.provider.to_string(),
        "exit_code": output.manifest.summary.exit_code,
        "fuel": output.receipt.fuel,
        "memory_bytes": output.receipt.memoryBytes,
        "wall_millis": output.receipt.wallMillis,
        "commitment": output.receipt.commitment.to_string(),
        "root": output.root.to_string(),
        "manifest": output.cid.to_string(),
        "log": output.manifest.log_cid.to_string(),
        "files": files.collect::<Vec<_>>(),
    })
}

fn line_json(line: &LogLine) -> Value {
    json!({
        "task": line.task,
        "attempt": line.attempt,
        "provider": line.provider.to_string(),
        "seq": line.seq,
        "text": String::from_utf8_lossy(&line.text),
    })
}

/// Puts the task before each line when several tasks talk at once; pieces of a line wait for its end.
#[derive(Default)]
struct Prefixer {
    unfinished: std::collections::BTreeMap<(u32, u8), Vec<u8>>,
}

/// Longest line that is held back.
const LINE_BYTES_MAX: usize = 64 << 10;

impl Prefixer {
    fn push(&mut self, line: &LogLine) -> Vec<u8> {
        let held = self.unfinished.entry((line.task, line.attempt)).or_default();
        let mut out = Vec::new();
        for piece in line.text.split_inclusive(|byte| *byte == b'\n') {
            held.extend_from_slice(piece);
            if held.ends_with(b"\n") || held.len() > LINE_BYTES_MAX {
                out.extend(prefixed(line.task, held));
                held.clear();
            }
        }
        out
    }

    fn finish(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.unfinished);
        rest.into_iter()
            .filter(|(_, held)| !held.is_empty())
            .flat_map(|((task, _), held)| prefixed(task, &held))
            .collect()
    }
}

fn prefixed(task: u32, line: &[u8]) -> Vec<u8> {
    let end: &[u8] = if line.ends_with(b"\n") { b"" } else { b"\n" };
    [format!("task {task} | ").as_bytes(), line, end].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(task: u32, text: &str) -> LogLine {
        LogLine { task, attempt: 1, provider: sdk::Address::ZERO, seq: 0, text: text.into() }
    }

    #[test]
    fn lines_of_different_tasks_are_not_mixed() {
        let mut prefixer = Prefixer::default();
        let mut out = String::new();
        for (task, text) in [(0, "ep"), (1, "start\nhalf"), (0, "och 1\nepoch 2\n"), (1, " done")] {
            out += &String::from_utf8(prefixer.push(&piece(task, text))).unwrap();
        }
        out += &String::from_utf8(prefixer.finish()).unwrap();
        assert_eq!(out, "task 1 | start\ntask 0 | epoch 1\ntask 0 | epoch 2\ntask 1 | half done\n");
    }

    #[test]
    fn a_line_without_an_end_is_not_held_for_ever() {
        let mut prefixer = Prefixer::default();
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        assert!(!prefixer.push(&piece(0, &long)).is_empty());
    }
}
