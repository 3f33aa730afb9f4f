//! A person at a shell: an own home directory, and commands that end.

use crate::process::until;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ended {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("the output is text")
    }

    /// The one JSON value on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("not exactly one JSON value: {e}\n{self:?}"))
    }

    /// Asserts the exit code, and that standard error has all of `parts` and no panic.
    pub fn refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stdout.is_empty(), "a refused command has no result: {self:?}");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in:\n{}", self.stderr);
        }
    }
}

/// A person with an own home directory; the user's own settings are out of reach.
pub struct Person {
    home: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Person {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a temporary directory"), environment: Vec::new() }
    }

    /// The same with an environment variable.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// A path in the home directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file in the home directory.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a name below the home")).expect("a folder");
        fs::write(&path, content).expect("a file can be written");
        path
    }

    /// `kumo` with these words, for this person.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kumo"));
        for name in ["KUMO_NETWORK", "KUMO_GATEWAY", "KUMO_RPC", "RUST_LOG"] {
            command.env_remove(name);
        }
        command.env("HOME", self.home.path()).env("XDG_STATE_HOME", self.path("state"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(words).current_dir(self.home.path());
        command
    }

    /// Runs a command to its end.
    pub fn run<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(&self, words: &[S]) -> Ended {
        let mut command = self.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Mortal(command.spawn().expect("kumo starts"));
        let stdout = gather(child.0.stdout.take().expect("piped"));
        let stderr = gather(child.0.stderr.take().expect("piped"));
        let status = until(&format!("{words:?} ends"), || child.0.try_wait().expect("the process can be asked"));
        let stderr = String::from_utf8_lossy(&stderr.join().expect("no panic")).into_owned();
        Ended { code: status.code(), stdout: stdout.join().expect("no panic"), stderr }
    }

    /// Runs a command that must succeed; returns its standard output without the last line end.
    pub fn ok(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        ended.text().trim_end_matches('\n').to_owned()
    }

    /// Runs a command with `--output json` that must succeed.
    pub fn json(&self, words: &[&str]) -> Value {
        let ended = self.run(&[words, &["--output", "json"]].concat());
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        ended.json()
    }

    /// The content of a file in the home directory.
    pub fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        fs::read(self.home.path().join(name)).expect("the file is there")
    }
}

/// A child that does not outlive a test that gave up on it.
struct Mortal(Child);

impl Drop for Mortal {
    fn drop(&mut self) {
        // It has usually ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn gather(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// The path as a word of a command line.
pub fn word(path: &Path) -> &str {
    path.to_str().expect("paths of the tests are text")
}

/// Bytes that do not repeat and do not compress, the same at every run.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}
