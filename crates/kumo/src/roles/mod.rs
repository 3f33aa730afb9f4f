//! The roles a node can play. `kumo dev` starts all of them in one process, `kumo node` one at a time; both call the
//! same `start` functions, and the roles meet only over sockets; only the rpc role of a validator's process shares its chain
//! ([`shared`]).

pub mod bridge;
pub mod gateway;
pub mod handover;
pub mod imported;
pub mod provider;
pub mod rpc;
mod shards;
pub mod shared;
pub mod storage;
pub mod validator;

use eyre::{Result, eyre};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a role may take to stop its tasks before they are left behind.
const STOP_SECONDS_MAX: u64 = 10;

type Finish = Box<dyn FnOnce() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A role that runs: its tasks, and what has to be stopped in order.
pub struct Running {
    name: String,
    cancel: CancellationToken,
    tasks: TaskTracker,
    finish: Vec<Finish>,
    failure: watch::Sender<Option<String>>,
    _lock: Option<std::fs::File>,
}

impl Running {
    /// A role with no tasks yet. `name` is for people: `storage-3`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
            finish: Vec::new(),
            failure: watch::Sender::new(None),
            _lock: None,
        }
    }

    /// Name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cancelled when the role stops.
    pub fn cancelled(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Runs a task until it ends or the role stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Where a task says why the role cannot go on.
    pub fn failure(&self) -> watch::Sender<Option<String>> {
        self.failure.clone()
    }

    /// Waits until the role cannot go on; returns why.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The sender lives in `self`, so the wait cannot fail.
            Err(_) => std::future::pending().await,
        }
    }

    /// Adds a step of the stop; the steps run in reverse order of their addition, after all tasks ended.
    pub fn on_stop<F>(&mut self, step: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.finish.push(Box::new(move || Box::pin(step())));
    }

    /// Holds the lock of the role's directory until the role is stopped.
    pub fn hold(&mut self, lock: std::fs::File) {
        self._lock = Some(lock);
    }

    /// Stops the role: tasks first, then servers and engines; returns when its ports and files are free.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        self.tasks.close();
        if tokio::time::timeout(Duration::from_secs(STOP_SECONDS_MAX), self.tasks.wait()).await.is_err() {
            tracing::warn!(role = self.name, "tasks did not stop in time");
        }
        while let Some(step) = self.finish.pop() {
            if tokio::time::timeout(Duration::from_secs(STOP_SECONDS_MAX), step()).await.is_err() {
                tracing::warn!(role = self.name, "a part did not stop in time");
            }
        }
    }
}

/// Binds a listening socket; the error says who probably has the port and how to take another.
///
/// # Errors
/// When the address cannot be bound.
pub async fn listen(what: &str, address: SocketAddr) -> Result<TcpListener> {
    ::gateway::listen(address).map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => eyre!(
            "{what} cannot listen on {address}: the port is taken, perhaps by another `kumo dev`; stop it or use --ports auto"
        ),
        _ => eyre!("{what} cannot listen on {address}: {e}"),
    })
}

/// Takes the directory of a node for this process, making it if needed.
///
/// # Errors
/// When it cannot be made, or another process uses it.
pub fn lock_directory(dir: &Path) -> Result<std::fs::File> {
    std::fs::create_dir_all(dir).map_err(|e| eyre!("cannot make state directory {}: {e}", dir.display()))?;
    let path = dir.join("kumo.lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| eyre!("cannot open {}: {e}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(eyre!(
            "state directory {} is used by another kumo process; stop it or name another with --state",
            dir.display()
        )),
        Err(std::fs::TryLockError::Error(e)) => Err(eyre!("cannot lock {}: {e}", path.display())),
    }
}

/// Ports that are chosen from when nobody names one: below those that a system takes for outgoing connections, which could
/// take a chosen one before it is listened on.
const AUTO_PORTS: std::ops::Range<u16> = 10_000..30_000;

/// A loopback port that is free now. Every call begins behind the last one, and every process somewhere else.
///
/// # Errors
/// When there is none, or the system gives no randomness.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static BEGIN: OnceLock<u32> = OnceLock::new();
    let begin = match BEGIN.get() {
        Some(begin) => *begin,
        None => {
            let random = getrandom::u32().map_err(|e| eyre!("no randomness for a port: {e}"))?;
            *BEGIN.get_or_init(|| random)
        }
    };
    let count = AUTO_PORTS.len() as u32;
    for _ in 0..count {
        let offset = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        let port = AUTO_PORTS.start + offset as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(eyre!("no free loopback port from {} to {}", AUTO_PORTS.start, AUTO_PORTS.end - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn a_stopped_role_ends_its_tasks_then_its_parts_in_reverse() {
        let mut role = Running::new("test");
        let order = Arc::new(AtomicU32::new(0));
        for wanted in [1, 0] {
            let order = order.clone();
            role.on_stop(move || async move {
                assert_eq!(order.fetch_add(1, Ordering::SeqCst), wanted);
            });
        }
        role.spawn(std::future::pending());
        role.stop().await;
        assert_eq!(order.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_directory_is_for_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock_directory(dir.path()).unwrap();
        let error = lock_directory(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&dir.path().display().to_string()) && error.contains("--state"), "{error}");
        drop(held);
        lock_directory(dir.path()).unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = listen("gateway", address).await.unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--ports auto"), "{error}");
    }
}
