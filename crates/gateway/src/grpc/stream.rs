//! Endless answers: they end when the client goes, an error comes, or the server stops.

use super::{Service, status};
use crate::problem::Reply;
use crate::server::Stopping;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, future};
use tokio::sync::OwnedSemaphorePermit;
use tonic::codegen::http::Extensions;
use tonic::{Request, Response, Status};

/// What a server stream yields.
pub(super) type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// A place among the streams, and the end of the server.
pub(super) struct Place {
    _slot: OwnedSemaphorePermit,
    stopping: Option<Stopping>,
}

impl Place {
    /// Takes a place for the stream that answers a request.
    pub fn take<T>(service: &Service, request: &Request<T>) -> Result<Self, Status> {
        let extensions: &Extensions = request.extensions();
        let slot = service.0.stream_slot().map_err(|problem| status(problem.0))?;
        Ok(Self { _slot: slot, stopping: extensions.get().cloned() })
    }

    /// One answer after the other, beginning with the `state` given; `None` ends the stream.
    pub fn answer<S, T, F>(self, state: S, next: impl FnMut(S) -> F + Send + 'static) -> Response<Answers<T>>
    where
        S: Send + 'static,
        T: Send + 'static,
        F: Future<Output = Reply<Option<(T, S)>>> + Send + 'static,
    {
        let Self { _slot: slot, stopping } = self;
        let answers = stream::try_unfold(state, next).map(move |answer| {
            let _held = &slot;
            answer.map_err(|problem| status(problem.0))
        });
        let stopped = async move {
            match stopping {
                Some(stopping) => stopping.wait().await,
                None => future::pending().await,
            }
        };
        Response::new(answers.take_until(Box::pin(stopped)).boxed())
    }
}
