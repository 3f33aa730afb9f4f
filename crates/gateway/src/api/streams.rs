//! Server-sent events: the progress of a job, and the log of its tasks.
//!
//! Every stream ends with one event named `end`, so that a client knows the difference between a job that is over and a
//! connection that broke. A server that stops leaves it out: the client comes back and goes on where it was.

use super::Problems;
use crate::app::App;
use crate::extract::{JobId, Named, Parameters, number};
use crate::problem::{Reply, bad_request};
use crate::server::Stopping;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use protocol::api::{JobEvent, LogRecord};
use serde::Serialize;
use std::future::pending;
use std::time::Duration;

/// Tells middlemen not to collect events before they pass them on.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "jobs", summary = "What happens to a job, as it happens",
    description = "Past events first, then new ones until the job closes. Each has the id `block-index`; after a break, \
                   send the last one as `Last-Event-ID`. The last event is named `end`.",
    params(("id" = u64, Path, description = "Job id"),
        ("last-event-id" = Option<String>, Header, description = "Only events after this one, as `block-index`")),
    responses((status = 200, description = "Server-sent events whose data is a JobEvent", body = JobEvent,
        content_type = "text/event-stream"), Problems))]
pub(crate) async fn job_events(
    State(app): State<App>,
    Named(JobId(id)): Named<JobId>,
    query: Parameters,
    headers: HeaderMap,
    stopping: Option<Extension<Stopping>>,
) -> Reply<Response> {
    query.only(&[])?;
    let after = last_event_id(&headers)?;
    let slot = app.stream_slot()?;
    let events = app.backend.job_events(id, after).await?;
    let events = events.map(move |event| {
        let _held = &slot;
        told(&event).map(|told| told.id(format!("{}-{}", event.block_number, event.log_index)))
    });
    Ok(answer(events, app.config.keep_alive, stopping))
}

#[utoipa::path(get, path = "/v1/jobs/{id}/logs", tag = "jobs", summary = "Log records, sealed to the consumer",
    description = "Kept records first. With `follow`, new ones until the job closes. The last event is named `end`.",
    params(("id" = u64, Path, description = "Job id"),
        ("task" = Option<u32>, Query, description = "Only this task"),
        ("follow" = Option<bool>, Query, description = "Go on until the job closes; false if absent")),
    responses((status = 200, description = "Server-sent events whose data is a LogRecord", body = LogRecord,
        content_type = "text/event-stream"), Problems))]
pub(crate) async fn job_logs(
    State(app): State<App>,
    Named(JobId(id)): Named<JobId>,
    query: Parameters,
    stopping: Option<Extension<Stopping>>,
) -> Reply<Response> {
    let query = query.only(&["task", "follow"])?;
    let task = query.number("task", 0..=u64::from(u32::MAX))?.map(|n| u32::try_from(n).expect("within the range"));
    let follow = query.flag("follow")?;
    let slot = app.stream_slot()?;
    let records = app.backend.job_logs(id, task, follow).await?;
    let records = records.map(move |record: LogRecord| {
        let _held = &slot;
        told(&record)
    });
    Ok(answer(records, app.config.keep_alive, stopping))
}

/// What a stream has to say now: its first `max` items, until it is silent for `patience`.
pub(crate) async fn past<T>(mut stream: BoxStream<'static, T>, max: usize, patience: Duration) -> Vec<T> {
    let mut items = Vec::new();
    while items.len() < max
        && let Ok(Some(item)) = tokio::time::timeout(patience, stream.next()).await
    {
        items.push(item);
    }
    items
}

fn told(item: &impl Serialize) -> Result<Event, axum::Error> {
    Event::default().json_data(item)
}

fn answer<S>(events: S, keep_alive: Duration, stopping: Option<Extension<Stopping>>) -> Response
where
    S: Stream<Item = Result<Event, axum::Error>> + Send + 'static,
{
    let end = stream::iter([Ok(Event::default().event("end").data("{}"))]);
    let stopped = async move {
        match stopping {
            Some(Extension(stopping)) => stopping.wait().await,
            None => pending().await,
        }
    };
    let events = events.chain(end).take_until(stopped);
    let keep_alive = KeepAlive::new().interval(keep_alive).text("keep-alive");
    let (name, value) = UNBUFFERED;
    ([(name, value)], Sse::new(events).keep_alive(keep_alive)).into_response()
}

fn last_event_id(headers: &HeaderMap) -> Reply<Option<(u64, u64)>> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let read = |text: &str| {
        let (block, index) = text.split_once('-')?;
        Some((number(block)?, number(index)?))
    };
    match value.to_str().ok().and_then(read) {
        Some(position) => Ok(Some(position)),
        None => {
            let given = String::from_utf8_lossy(value.as_bytes());
            Err(bad_request("Last-Event-ID", given, "the id of an event, block-index, such as 120-3").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(id: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(LAST_EVENT_ID, HeaderValue::from_static(id))])
    }

    #[test]
    fn a_position_is_two_numbers() {
        assert_eq!(last_event_id(&HeaderMap::new()), Ok(None));
        assert_eq!(last_event_id(&headers("120-3")), Ok(Some((120, 3))));
        for id in ["", "120", "120-", "-3", "1-2-3", "a-b", "18446744073709551616-0"] {
            assert!(last_event_id(&headers(id)).is_err(), "{id:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_past_ends_where_the_stream_falls_silent_or_is_full() {
        let live = || stream::iter([1, 2, 3]).chain(stream::pending()).boxed();
        assert_eq!(past(live(), 10, Duration::from_millis(200)).await, [1, 2, 3]);
        assert_eq!(past(live(), 2, Duration::from_millis(200)).await, [1, 2]);
    }
}
