//! A child process with its log in a file: awaited with a deadline, killed when it goes out of scope.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Pause between two looks at something that is awaited.
pub const POLL: Duration = Duration::from_millis(30);
/// Longest wait for anything; the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Lines of a log that are shown when a test fails.
const LOG_LINES: usize = 25;

/// A `kumo` process that serves.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; stdout and stderr go to `log`, behind what is there.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("the log can be written");
        let errors = file.try_clone().expect("the log can be shared");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn().expect("kumo starts");
        Self { child, name: name.to_owned(), log: log.to_owned() }
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process ends");
    }

    /// Ctrl-C; returns how it ended.
    pub fn interrupt(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the process can be interrupted");
        self.end()
    }

    /// Waits until it ends by itself.
    pub fn end(&mut self) -> ExitStatus {
        let name = self.name.clone();
        until(&format!("{name} ends"), || self.child.try_wait().expect("the process can be asked"))
    }

    /// Panics with the log when the process has ended.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("the process can be asked") {
            panic!("{} ended with {status}:\n{}", self.name, tail(&self.log()));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; either way nothing is left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- end of the log of {}\n{}", self.name, tail(&self.log()));
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// Asks until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(POLL);
    }
}
