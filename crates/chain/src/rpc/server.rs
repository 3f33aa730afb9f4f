//! The listener: HTTP and WebSocket on one port, from the first socket to the last.

use super::connection::{Connections, GuardedStream};
use super::dispatch::Dispatcher;
use super::http::Service;
use super::limits::RpcLimits;
use super::memory::Memory;
use super::node::Node;
use super::{RpcError, RpcServer, follow, methods};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower_http::cors::CorsLayer;

/// Pause after the system refused to accept a connection, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often overdue connections are looked for.
const REAP_INTERVAL: Duration = Duration::from_secs(1);
/// Largest HTTP head, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Time running calls have to end when the server stops.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Connections that the kernel keeps while they wait to be accepted: with fewer, a burst waits for retries of a second.
const BACKLOG: u32 = 4_096;

/// Listens with room for a burst of connections; a server that was just stopped does not block its successor.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Binds, and serves in the background.
pub(super) async fn start(address: SocketAddr, node: Arc<Node>) -> Result<RpcServer, RpcError> {
    let failed = |source| RpcError::Bind { address, source };
    let listener = listen(address).map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    let (stop, stopping) = watch::channel(false);
    let limits = node.limits.clone();
    let connections = Connections::new(limits.connections);
    let acceptor = Acceptor {
        dispatcher: Arc::new(Dispatcher::new(methods(node.clone())?, limits.clone()).with_node(node.clone())),
        memory: node.memory.clone(),
        limits: limits.clone(),
        connections: connections.clone(),
        stop: stopping.clone(),
    };
    let tasks = vec![
        tokio::spawn(acceptor.run(listener)),
        tokio::spawn(reap(connections.clone(), limits, stopping.clone())),
        tokio::spawn(follow::follow(node.clone(), stopping.clone())),
        tokio::spawn(follow::keep_journal(node, stopping)),
    ];
    Ok(RpcServer { local_addr, running: Running { stop, connections, tasks } })
}

/// What must end when the server stops.
#[derive(Debug)]
pub(super) struct Running {
    stop: watch::Sender<bool>,
    connections: Arc<Connections>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Stops accepting, lets running calls end for a while, then closes what is left.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            let _ = task.await;
        }
        if tokio::time::timeout(STOP_TIME, self.connections.all_closed()).await.is_err() {
            tracing::warn!(open = self.connections.len(), "closing connections that are still busy");
        }
        self.connections.close_all();
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Waits until the server stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A server that is gone has stopped, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn reap(connections: Arc<Connections>, limits: Arc<RpcLimits>, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(REAP_INTERVAL);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            _ = ticks.tick() => connections.reap(&limits),
        }
    }
}

struct Acceptor {
    dispatcher: Arc<Dispatcher>,
    limits: Arc<RpcLimits>,
    memory: Memory,
    connections: Arc<Connections>,
    stop: watch::Receiver<bool>,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let mut stop = self.stop.clone();
        loop {
            let accepted = tokio::select! {
                () = stopped(&mut stop) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, _)) => self.serve(socket),
                Err(error) => {
                    tracing::warn!(%error, open = self.connections.len(), "cannot accept a connection");
                    self.connections.shed_one();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves a socket in a task of its own; drops it if every slot is busy.
    fn serve(&self, socket: TcpStream) {
        let Some(slot) = self.connections.open() else {
            tracing::debug!(limit = self.limits.connections, "connection refused, all are busy");
            return;
        };
        // Without it, small answers wait for acknowledgements of earlier ones.
        let _ = socket.set_nodelay(true);
        let service = Service {
            dispatcher: self.dispatcher.clone(),
            limits: self.limits.clone(),
            memory: self.memory.clone(),
            connection: slot.connection.clone(),
            stop: self.stop.clone(),
        };
        let requests = tower::service_fn(move |request| service.clone().serve(request));
        let requests = tower::ServiceBuilder::new().layer(CorsLayer::permissive()).service(requests);
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.limits.idle_time).max_buf_size(HEAD_BYTES_MAX);
        let stream = TokioIo::new(GuardedStream::new(socket, slot));
        let connection = http.serve_connection(stream, TowerToHyperService::new(requests)).with_upgrades();
        let mut stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = stopped(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}
