//! Run a router on a socket, whatever the clients do.
//!
//! The rules: at most [`ServeLimits::connections_max`] connections and [`ServeLimits::requests_max`] requests at a time.
//! A connection without a complete request for [`ServeLimits::idle`] is closed; when three quarters of the connections
//! are taken, an eighth of that time is enough. A client that reads nothing of its answer for [`ServeLimits::stall`] is
//! cut. [`Server::stop`] takes no new connection, lets running requests end within [`ServeLimits::drain`], and cuts the
//! rest. HTTP/1.1 and HTTP/2 (with prior knowledge) share the port.

mod activity;
mod connection;
mod descriptors;

pub use descriptors::raise_open_files;

use axum::Router;
use connection::{Connection, Shared};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Pause after a refused `accept`: the process is out of descriptors, and spinning would not give any back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that the kernel keeps until they are accepted. With the usual 128, a burst loses some of its packets, and
/// their senders try again a second later.
const BACKLOG: u32 = 4096;

/// How much of the machine one server may take.
#[derive(Clone, Debug)]
pub struct ServeLimits {
    /// Connections at a time (1 or more); later ones wait in the backlog of the kernel. Each takes a file descriptor, see
    /// [`raise_open_files`].
    pub connections_max: usize,
    /// Requests being answered at a time (1 or more); later ones are refused with 503.
    pub requests_max: usize,
    /// Longest time without a complete request on a connection.
    pub idle: Duration,
    /// Longest time in which a client takes nothing of an answer, or the answer has nothing to say.
    pub stall: Duration,
    /// Time that running requests have to end after [`Server::stop`].
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 12_000,
            requests_max: 2_048,
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(120),
            drain: Duration::from_secs(5),
        }
    }
}

impl ServeLimits {
    /// For the node APIs, whose clients are other nodes: 1,024 connections.
    pub fn node() -> Self {
        Self { connections_max: 1_024, requests_max: 512, ..Self::default() }
    }
}

/// Tells a handler that the server is stopping, so that an endless answer can end. It is in the request's extensions.
#[derive(Clone, Debug)]
pub struct Stopping(pub(crate) CancellationToken);

impl Stopping {
    /// Completes when the server begins to stop.
    pub async fn wait(self) {
        self.0.cancelled_owned().await;
    }
}

/// A running server. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    stopping: CancellationToken,
    accepting: JoinHandle<()>,
    connections: TaskTracker,
}

/// Listens on `address` with room for a burst of connections; port 0 lets the system choose. Must be called within a
/// tokio runtime.
///
/// Fails when the address is taken, or is not one of this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that was just stopped leaves connections behind that would block its own successor. On Windows the option
    // would let two servers share the port instead.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` on `listener` until [`Server::stop`]; must be called within a tokio runtime.
///
/// Fails when the listener has no address.
pub fn serve(listener: TcpListener, router: Router, limits: ServeLimits) -> io::Result<Server> {
    let local_addr = listener.local_addr()?;
    let stopping = CancellationToken::new();
    let connections = TaskTracker::new();
    let shared = Arc::new(Shared::new(router, limits, stopping.clone()));
    let accepting = tokio::spawn(accept(listener, shared, connections.clone()));
    Ok(Server { local_addr, stopping, accepting, connections })
}

impl Server {
    /// Where it listens; with the port that the system chose when port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops: returns when the socket is free and every connection is closed, after [`ServeLimits::drain`] at the latest.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        // The task only ends by this cancellation; if it panicked, its socket is closed as well.
        let _ = (&mut self.accepting).await;
        self.connections.close();
        self.connections.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, connections: TaskTracker) {
    let stopping = shared.stopping.clone();
    loop {
        let next = async {
            let permit = permit(&shared.connections).await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            () = stopping.cancelled() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => start(stream, permit, &shared, &connections),
            Err(error) => refuse(error).await,
        }
    }
}

async fn permit(connections: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    connections.clone().acquire_owned().await.expect("the semaphore is never closed")
}

fn start(stream: TcpStream, permit: OwnedSemaphorePermit, shared: &Arc<Shared>, connections: &TaskTracker) {
    let connection = Connection::new(shared.clone());
    connections.spawn(async move {
        connection.run(stream).await;
        drop(permit);
    });
}

/// A connection that died in the backlog is nothing; anything else is a shortage that takes time to pass.
async fn refuse(error: io::Error) {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => debug!(%error, "connection died early"),
        _ => {
            warn!(%error, "cannot accept connections");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}
