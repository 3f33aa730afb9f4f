//! Memory for requests and answers: bounded for each, and for all together.

use super::limits::RpcLimits;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use serde_json::value::RawValue;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bytes of an answer given to the socket at a time; the rest stays accounted for.
const CHUNK_BYTES: usize = 64 << 10;

/// What one server may hold.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    requests: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    pushes: Arc<Semaphore>,
    request_bytes: u32,
}

/// Bytes that are held; given back when dropped.
pub(super) type Held = OwnedSemaphorePermit;

/// What became of a request body.
#[derive(Debug)]
pub(super) enum Read {
    /// All of it, and the memory it takes.
    Whole(Vec<u8>, Option<Held>),
    /// It is longer than a body may be.
    TooLarge,
    /// There is no room for it now.
    Busy,
}

impl Memory {
    pub(super) fn new(limits: &RpcLimits) -> Self {
        let room = |all: usize, one: u32| Arc::new(Semaphore::new(all.clamp(one as usize, u32::MAX as usize)));
        Self {
            requests: room(limits.requests_bytes, limits.request_bytes),
            answers: room(limits.responses_bytes, limits.response_bytes),
            pushes: room(limits.pushes_bytes, 1),
            request_bytes: limits.request_bytes,
        }
    }

    /// Reads a body to its end. Fails only as the connection does.
    pub(super) async fn read<B: Body<Data = Bytes> + Unpin>(&self, mut body: B) -> Result<Read, B::Error> {
        let (mut bytes, mut held) = (Vec::new(), None::<Held>);
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let Ok(data) = frame?.into_data() else { continue };
            if bytes.len() + data.len() > self.request_bytes as usize {
                return Ok(Read::TooLarge);
            }
            let Some(more) = take(&self.requests, data.len()) else { return Ok(Read::Busy) };
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Read::Whole(bytes, held))
    }

    /// Accounts for a request that is in memory already; `None` if there is no room.
    pub(super) fn hold_request(&self, bytes: usize) -> Option<Held> {
        take(&self.requests, bytes)
    }

    /// Accounts for an answer until it is written; `None` if there is no room.
    pub(super) fn hold_answer(&self, answer: &RawValue) -> Option<Held> {
        take(&self.answers, answer.get().len())
    }

    /// Accounts for a notification, as soon as there is room for it; `None` if there is none for so long.
    pub(super) async fn hold_push(&self, bytes: usize, time: Duration) -> Option<Held> {
        let bytes = u32::try_from(bytes).ok()?;
        timeout(time, self.pushes.clone().acquire_many_owned(bytes)).await.ok()?.ok()
    }
}

fn take(room: &Arc<Semaphore>, bytes: usize) -> Option<Held> {
    room.clone().try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
}

/// The body of an HTTP answer, handed out in pieces so that its memory counts until the last one is taken.
#[derive(Debug, Default)]
pub(super) struct AnswerBody {
    rest: Bytes,
    _held: Option<Held>,
}

impl AnswerBody {
    pub(super) fn new(answer: impl Into<Bytes>, held: Option<Held>) -> Self {
        Self { rest: answer.into(), _held: held }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(CHUNK_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(request_bytes: u32, requests_bytes: usize) -> Memory {
        Memory::new(&RpcLimits { request_bytes, requests_bytes, ..Default::default() })
    }

    fn body(bytes: &'static str) -> AnswerBody {
        AnswerBody::new(bytes, None)
    }

    #[tokio::test]
    async fn a_request_may_be_as_long_as_the_limit_and_no_longer() {
        let memory = memory(3, 100);
        assert!(matches!(memory.read(body("abc")).await, Ok(Read::Whole(all, _)) if all == b"abc"));
        assert!(matches!(memory.read(body("abcd")).await, Ok(Read::TooLarge)));
        assert!(matches!(memory.read(body("")).await, Ok(Read::Whole(all, None)) if all.is_empty()));
    }

    #[tokio::test]
    async fn all_requests_together_are_bounded_until_they_are_dropped() {
        let memory = memory(3, 5);
        let first = memory.read(body("abc")).await;
        assert!(matches!(memory.read(body("abc")).await, Ok(Read::Busy)));
        assert!(memory.hold_request(3).is_none());
        drop(first);
        assert!(memory.hold_request(3).is_some());
    }

    #[tokio::test]
    async fn a_notification_waits_for_room_and_not_for_ever() {
        let memory = Memory::new(&RpcLimits { pushes_bytes: 1_024, ..Default::default() });
        let first = memory.hold_push(1_000, Duration::ZERO).await;
        assert!(first.is_some() && memory.hold_push(100, Duration::ZERO).await.is_none());
        let (second, ()) = tokio::join!(memory.hold_push(100, Duration::from_secs(600)), async { drop(first) });
        assert!(second.is_some());
        assert!(memory.hold_push(1_025, Duration::ZERO).await.is_none(), "more than there is");
    }

    #[tokio::test]
    async fn an_answer_counts_until_it_is_taken_to_the_end() {
        let limits = RpcLimits { response_bytes: 70_000, responses_bytes: 70_000, ..Default::default() };
        let memory = Memory::new(&limits);
        let answer = RawValue::from_string(format!("\"{}\"", "x".repeat(69_998))).unwrap();
        let held = memory.hold_answer(&answer);
        let mut body = AnswerBody::new(answer.get().to_owned(), held);
        let mut taken = 0;
        while !body.is_end_stream() {
            assert!(memory.hold_answer(RawValue::NULL).is_none(), "given back at {taken}");
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
            taken += frame.into_data().unwrap().len();
        }
        drop(body);
        assert_eq!(taken, 70_000);
        assert!(memory.hold_answer(&answer).is_some());
    }
}
