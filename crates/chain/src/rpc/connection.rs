//! Open sockets of the server: how many there are, who is idle, who does not read.
//!
//! A connection counts as *idle* from the last call it was served (not from its last byte, so that a caller who drips
//! bytes is idle too). When all slots are taken, the longest idle connection makes room for the new one. While a
//! caller does not read its responses, nothing more is read from it: TCP back pressure bounds what it can queue.

use super::limits::RpcLimits;
use alloy_primitives::map::HashMap;
use futures::task::AtomicWaker;
use jsonrpsee::ConnectionId;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    started: Instant,
    limit: usize,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    freed: Notify,
}

/// One open connection. Times are milliseconds since the server started.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    started: Instant,
    served_at: AtomicU64,
    blocked_at: AtomicU64,
    calls: AtomicUsize,
    websocket: AtomicBool,
    closed: AtomicBool,
    reader: AtomicWaker,
}

/// A slot among the open connections; free again when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    connections: Arc<Connections>,
    pub(super) connection: Arc<Connection>,
}

/// A call being served; ends when dropped.
#[derive(Debug)]
pub(super) struct Call(Arc<Connection>);

impl Connections {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            limit,
            open: Mutex::default(),
            next: AtomicU64::new(0),
            freed: Notify::new(),
        })
    }

    /// Takes a slot for a new connection, closing the longest idle one if all are taken. `None` if all are busy.
    pub(super) fn open(self: &Arc<Self>) -> Option<Slot> {
        let mut open = self.open.lock();
        if open.len() >= self.limit {
            let id = longest_idle(&open)?;
            open.remove(&id)?.close();
        }
        let id = self.next.fetch_add(1, Relaxed);
        let connection = Arc::new(Connection::new(id, self.started));
        open.insert(id, connection.clone());
        Some(Slot { connections: self.clone(), connection })
    }

    /// Makes room when the process runs out of file descriptors.
    pub(super) fn shed_one(&self) {
        let mut open = self.open.lock();
        if let Some(connection) = longest_idle(&open).and_then(|id| open.remove(&id)) {
            connection.close();
        }
    }

    /// Closes what was idle or did not read for too long.
    pub(super) fn reap(&self, limits: &RpcLimits) {
        let now = millis_since(self.started);
        let open = self.open.lock();
        for connection in open.values().filter(|c| c.is_overdue(now, limits)) {
            connection.close();
        }
    }

    /// Closes everything.
    pub(super) fn close_all(&self) {
        self.open.lock().values().for_each(|connection| connection.close());
    }

    /// Waits until none is open.
    pub(super) async fn all_closed(&self) {
        loop {
            let freed = self.freed.notified();
            if self.len() == 0 {
                return;
            }
            freed.await;
        }
    }

    /// Number of open connections.
    pub(super) fn len(&self) -> usize {
        self.open.lock().len()
    }
}

impl Connection {
    fn new(id: u64, started: Instant) -> Self {
        Self {
            id,
            started,
            served_at: AtomicU64::new(millis_since(started)),
            blocked_at: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
            websocket: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }
    }

    /// Which connection of its server it is.
    pub(super) fn id(&self) -> ConnectionId {
        ConnectionId(self.id as usize)
    }

    /// Begins a call, during which the connection is not idle.
    pub(super) fn begin(self: &Arc<Self>) -> Call {
        self.calls.fetch_add(1, Relaxed);
        Call(self.clone())
    }

    pub(super) fn mark_websocket(&self) {
        self.websocket.store(true, Relaxed);
    }

    fn is_websocket(&self) -> bool {
        self.websocket.load(Relaxed)
    }

    fn touch(&self) {
        self.served_at.store(millis_since(self.started), Relaxed);
    }

    fn close(&self) {
        self.closed.store(true, Relaxed);
        self.reader.wake();
    }

    fn is_blocked(&self) -> bool {
        self.blocked_at.load(Relaxed) != 0
    }

    fn is_overdue(&self, now: u64, limits: &RpcLimits) -> bool {
        let passed = |since: u64, limit: Duration| now.saturating_sub(since) > limit.as_millis() as u64;
        let stalled = self.is_blocked() && passed(self.blocked_at.load(Relaxed), limits.stall_time);
        let idle = self.calls.load(Relaxed) == 0 && passed(self.served_at.load(Relaxed), limits.idle_time);
        stalled || (idle && !self.is_websocket())
    }
}

fn longest_idle(open: &HashMap<u64, Arc<Connection>>) -> Option<u64> {
    let idle = open.iter().filter(|(_, c)| c.calls.load(Relaxed) == 0);
    idle.min_by_key(|(id, c)| (c.served_at.load(Relaxed), **id)).map(|(id, _)| *id)
}

fn millis_since(started: Instant) -> u64 {
    // At least 1, because 0 says "never".
    started.elapsed().as_millis().max(1) as u64
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.touch();
        self.0.calls.fetch_sub(1, Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.connection.id);
        self.connections.freed.notify_waiters();
    }
}

/// A socket that can be closed from outside, and that is not read while its writes are blocked.
#[derive(Debug)]
pub(super) struct GuardedStream<S> {
    inner: S,
    slot: Slot,
}

impl<S> GuardedStream<S> {
    pub(super) fn new(inner: S, slot: Slot) -> Self {
        Self { inner, slot }
    }

    fn note_write<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let connection = &self.slot.connection;
        match &result {
            Poll::Pending if !connection.is_blocked() => {
                connection.blocked_at.store(millis_since(connection.started), Relaxed);
            }
            Poll::Ready(_) if connection.is_blocked() => {
                connection.blocked_at.store(0, Relaxed);
                connection.reader.wake();
            }
            _ => {}
        }
        result
    }

    fn check_open(&self) -> io::Result<()> {
        if !self.slot.connection.closed.load(Relaxed) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "connection closed to make room"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Registered before the checks, so that a change in between still wakes this task.
        self.slot.connection.reader.register(cx.waker());
        self.check_open()?;
        if self.slot.connection.is_blocked() {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check_open()?;
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note_write(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_open()?;
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note_write(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn the_longest_idle_connection_makes_room() {
        let connections = Connections::new(2);
        let first = connections.open().unwrap();
        let second = connections.open().unwrap();
        let third = connections.open().unwrap();
        assert!(first.connection.closed.load(Relaxed));
        assert!(!second.connection.closed.load(Relaxed));
        assert!(!third.connection.closed.load(Relaxed));
        assert_eq!(connections.len(), 2);
    }

    #[test]
    fn a_busy_connection_is_never_closed_for_another() {
        let connections = Connections::new(1);
        let slot = connections.open().unwrap();
        let call = slot.connection.begin();
        assert!(connections.open().is_none());
        drop(call);
        assert!(connections.open().is_some());
        assert!(slot.connection.closed.load(Relaxed));
    }

    #[test]
    fn a_dropped_slot_is_free_again() {
        let connections = Connections::new(1);
        drop(connections.open().unwrap());
        assert_eq!(connections.len(), 0);
        assert!(connections.open().is_some());
    }

    #[test]
    fn idle_http_is_overdue_but_an_idle_websocket_is_not() {
        let limits = RpcLimits::default();
        let connections = Connections::new(1);
        let connection = connections.open().unwrap().connection.clone();
        let idle = limits.idle_time.as_millis() as u64;
        let now = connection.served_at.load(Relaxed) + idle;
        assert!(!connection.is_overdue(now, &limits));
        assert!(connection.is_overdue(now + 1, &limits));
        connection.mark_websocket();
        assert!(!connection.is_overdue(now + 1, &limits));
    }

    #[tokio::test]
    async fn nothing_is_read_from_a_caller_that_does_not_read() {
        let connections = Connections::new(1);
        let (near, mut far) = tokio::io::duplex(8);
        let mut stream = GuardedStream::new(near, connections.open().unwrap());
        let connection = stream.slot.connection.clone();
        far.write_all(b"ask").await.unwrap();
        let mut cx = Context::from_waker(futures::task::noop_waker_ref());
        assert!(Pin::new(&mut stream).poll_write(&mut cx, &[0; 8]).is_ready());
        assert!(Pin::new(&mut stream).poll_write(&mut cx, &[0; 1]).is_pending());
        let mut buffer = [0; 3];
        assert!(Pin::new(&mut stream).poll_read(&mut cx, &mut ReadBuf::new(&mut buffer)).is_pending());
        let limits = RpcLimits::default();
        let late = millis_since(connection.started) + limits.stall_time.as_millis() as u64 + 1;
        assert!(connection.is_overdue(late, &limits));

        far.read_exact(&mut [0; 8]).await.unwrap();
        stream.write_all(&[0; 1]).await.unwrap();
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"ask");
        assert!(!connection.is_blocked());
    }

    #[tokio::test]
    async fn closing_ends_a_pending_read() {
        let connections = Connections::new(1);
        let (near, _far) = tokio::io::duplex(8);
        let mut stream = GuardedStream::new(near, connections.open().unwrap());
        let reading = tokio::spawn(async move { stream.read_u8().await });
        tokio::task::yield_now().await;
        connections.close_all();
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
