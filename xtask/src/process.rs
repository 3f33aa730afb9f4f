//! Programs that tasks start: ours, those of packages, and the time they may take.

use eyre::{Context, Result, bail, ensure, eyre};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Pause between two looks at a process that is being waited for.
const POLL: Duration = Duration::from_millis(20);
/// Time a process has to stop when it is asked to.
const STOP_TIME: Duration = Duration::from_secs(10);

/// What a process with a time limit did.
pub struct Limited {
    /// Its standard output.
    pub output: String,
    /// Whether it ended in time and with 0.
    pub success: bool,
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started or does not end with 0.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().wrap_err_with(|| format!("cannot run {command:?}; is it installed?"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

/// Runs a command and keeps what it prints; ends it and all it started after `limit`.
///
/// # Errors
/// When it cannot be started.
pub fn run_limited(command: &mut Command, limit: Duration) -> Result<Limited> {
    let mut group = Group::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let mut stdout = group.child.stdout.take().expect("it was just piped");
    let reader = std::thread::spawn(move || {
        let mut output = Vec::new();
        // What was printed before the pipe broke is kept.
        let _ = stdout.read_to_end(&mut output);
        String::from_utf8_lossy(&output).into_owned()
    });
    let success = group.wait(limit)?;
    // Whoever else holds the pipe must go, or the reader never ends.
    drop(group);
    let mut output = reader.join().expect("the reader does not panic");
    if success.is_none() {
        output.push_str(&format!("not ok time: it ran longer than {} s\n", limit.as_secs()));
    }
    Ok(Limited { output, success: success == Some(true) })
}

/// A process and everything it starts; all end when this is dropped.
pub struct Group {
    child: Child,
}

impl Group {
    /// Starts a command in a process group of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let child = command.process_group(0).spawn();
        Ok(Self { child: child.wrap_err_with(|| format!("cannot run {command:?}; is it installed?"))? })
    }

    /// Whether it ended with 0; `None` while it still runs after `limit`.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<bool>> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status.success()));
            }
            if begin.elapsed() > limit {
                return Ok(None);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Asks it to stop, and returns when it has; whether it ended with 0.
    ///
    /// # Errors
    /// When it did not stop in time.
    pub fn stop(&mut self) -> Result<bool> {
        self.signal(Signal::TERM);
        let stopped = self.wait(STOP_TIME)?;
        stopped.ok_or_else(|| eyre!("process {} did not stop within {} s", self.child.id(), STOP_TIME.as_secs()))
    }

    /// Ends it at once, as a power cut would, and returns when it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        // It is gone either way.
        let _ = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // A group that is gone needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        if !matches!(self.wait(STOP_TIME), Ok(Some(_))) {
            eprintln!("process {} did not stop within {} s and is killed", self.child.id(), STOP_TIME.as_secs());
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The program to test: the one that is named, or the release program, freshly built.
///
/// # Errors
/// When the build fails or there is no such file.
pub fn kumo(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return path.canonicalize().wrap_err_with(|| format!("there is no program {}", path.display()));
    }
    run(Command::new(env!("CARGO")).args(["build", "--release", "--locked"]).current_dir(root()))?;
    Ok(target_directory()?.join("release/kumo"))
}

/// The target directory of the workspace.
///
/// # Errors
/// When cargo does not name it.
pub fn target_directory() -> Result<PathBuf> {
    match metadata()?["target_directory"].as_str() {
        Some(path) => Ok(path.into()),
        None => bail!("cargo metadata names no target directory"),
    }
}

/// What cargo says about the workspace, without what it depends on.
///
/// # Errors
/// When cargo fails.
pub fn metadata() -> Result<Value> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(root());
    let output = command.output().wrap_err("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_exit_code_are_kept() {
        let done = run_limited(&mut shell("echo one; exit 3"), Duration::from_secs(10)).unwrap();
        assert_eq!((done.output.as_str(), done.success), ("one\n", false));
        assert!(run_limited(&mut shell("true"), Duration::from_secs(10)).unwrap().success);
    }

    #[test]
    fn whatever_a_process_started_ends_with_it() {
        // The child of the shell holds the pipe; were it left, this test would not end.
        let late = run_limited(&mut shell("echo one; sleep 1000 & sleep 1000"), Duration::from_millis(50)).unwrap();
        assert!(late.output.starts_with("one\nnot ok time") && !late.success, "{}", late.output);
        let left = run_limited(&mut shell("sleep 1000 & echo two"), Duration::from_secs(10)).unwrap();
        assert_eq!((left.output.as_str(), left.success), ("two\n", true));
    }
}
