//! `/v1/jobs/{id}/events`: a job's history, as a list or as a stream of server-sent events.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{
        IntoResponse as _, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use chrono::{DateTime, Utc};
use futures::{Stream, stream};
use gristmill_core::ids::{JobId, OrgId};
use gristmill_store::{
    Db,
    job_events::{self, JobEvent},
    jobs,
    keys::Scope,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Shared,
    auth::{Caller, Read},
    params::{self, Id, List, Query},
    problem::ApiError,
    routes::jobs::without_cause,
    wait::{Changes, Stopping},
};

/// How often a stream without news says that it lives: proxies drop what is silent for a minute.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events read at once for a stream.
const BATCH: u64 = 200;
/// How long a client should wait before it connects again, in milliseconds.
pub(crate) const RECONNECT: Duration = Duration::from_secs(2);

/// Something that happened to a job.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobEventBody {
    /// Its place in the order of events.
    pub id: i64,
    /// The job.
    #[schema(value_type = String)]
    pub job_id: JobId,
    /// When.
    pub at: DateTime<Utc>,
    /// What: `created`, `released`, `started`, `progress`, `log`, `step`, `retry_scheduled`, `succeeded`, `failed`,
    /// `cancelled`, `retried`, `revived` ….
    #[schema(example = "progress")]
    pub r#type: String,
    /// During which attempt; 0 before the first.
    pub attempt: i32,
    /// The particulars.
    pub data: Json,
}

impl JobEventBody {
    pub(crate) fn seen(event: JobEvent, may_operate: bool) -> Self {
        let JobEvent { id, job_id, at, r#type, attempt, mut data } = event;
        if !may_operate && let Some(error) = data.get_mut("error") {
            *error = without_cause(error.take());
        }
        Self { id, job_id, at, r#type, attempt, data }
    }
}

/// Which events are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// The `next_cursor` of the page before; the id of the last event seen serves as well.
    cursor: Option<i64>,
    /// Rows per page, 1 to 200; 50 if not given. A stream has no pages.
    limit: Option<u64>,
}

/// Follow what happens to a job, or list what happened. With `Accept: text/event-stream` the answer is a stream whose
/// events carry the type as `event`, the id as `id` (send the last one as `Last-Event-ID` to resume) and the event as
/// `data`; it ends after the event that ended the job. Asked to resume after that event, it answers 204, upon which an
/// `EventSource` stops reconnecting.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "Jobs",
    params(("id" = String, Path, description = "The job's id"), EventsQuery,
           ("last-event-id" = Option<i64>, Header, description = "Resume a stream after this event")),
    responses((status = 200, description = "The history, oldest first", content(
                  (List<JobEventBody> = "application/json"), (String = "text/event-stream"))),
              (status = 204, description = "The stream that is to be resumed has nothing more to come")))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<JobId>,
    Query(query): Query<EventsQuery>,
    stop: Stopping,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let may_operate = caller.may(Scope::Operate);
    let resume = last_event_id(&headers)?;
    let after = resume.or(query.cursor).unwrap_or(0);
    if wants_stream(&headers) {
        return follow(&app, caller.org, id, may_operate, after, resume.is_some(), stop).await;
    }
    let limit = params::limit_of(query.limit)?;
    let tx = app.engine.db().org(caller.org).await?;
    let job = jobs::find(&tx, id).await?.ok_or(ApiError::NotFound("job"))?;
    let mut events = job_events::list(&tx, &job, after, limit + 1).await?;
    tx.commit().await?;
    let more = events.len() as u64 > limit;
    events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = events.last().filter(|_| more).map(|event| event.id.to_string());
    let data = events.into_iter().map(|event| JobEventBody::seen(event, may_operate)).collect();
    Ok(axum::Json(List { data, next_cursor }).into_response())
}

pub(crate) fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")))
}

pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Ok("") => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|_| not_an_id()),
        Err(_) => Err(not_an_id()),
    }
}

fn not_an_id() -> ApiError {
    ApiError::field("Last-Event-ID", "is the id of an event, a whole number")
}

/// What a stream still has to do.
struct Following {
    db: Db,
    org: OrgId,
    job: JobId,
    may_operate: bool,
    after: i64,
    changes: Changes,
    ready: VecDeque<JobEvent>,
    /// The job is over and everything that happened to it was read.
    complete: bool,
    /// More happened than was read at once.
    more: bool,
    stop: Stopping,
}

async fn follow(
    app: &Shared,
    org: OrgId,
    job: JobId,
    may_operate: bool,
    after: i64,
    resumed: bool,
    stop: Stopping,
) -> Result<Response, ApiError> {
    // Listen first, then look: what happens in between is heard.
    let changes = Changes::of(&app.engine, job);
    let db = app.engine.db().clone();
    let mut following = Following {
        db,
        org,
        job,
        may_operate,
        after,
        changes,
        ready: VecDeque::new(),
        complete: false,
        more: false,
        stop,
    };
    following.look().await?;
    if resumed && following.complete && following.ready.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("still here");
    let mut response = Sse::new(following.into_stream()).keep_alive(heartbeat).into_response();
    // Tells nginx and its like not to hold events back.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

impl Following {
    /// Reads what happened since the last look.
    async fn look(&mut self) -> Result<(), ApiError> {
        let tx = self.db.org(self.org).await?;
        // The job before its events: the event that ends a job is written together with its state.
        let job = jobs::find(&tx, self.job).await?.ok_or(ApiError::NotFound("job"))?;
        let over = job.is_over();
        let events = job_events::list(&tx, &job, self.after, BATCH).await?;
        tx.commit().await?;
        self.after = events.last().map_or(self.after, |event| event.id);
        self.more = events.len() as u64 == BATCH;
        self.complete = over && !self.more;
        self.ready.extend(events);
        Ok(())
    }

    fn into_stream(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, |mut following| async move {
            loop {
                if let Some(event) = following.ready.pop_front() {
                    return Some((Ok(written(event, following.may_operate)), following));
                }
                if following.complete {
                    return None;
                }
                tokio::select! {
                    () = following.stop.0.cancelled() => return None,
                    () = following.changes.next(), if !following.more => {}
                    () = std::future::ready(()), if following.more => {}
                }
                match following.look().await {
                    Ok(()) => {}
                    // The job was erased meanwhile.
                    Err(ApiError::NotFound(_)) => return None,
                    // The client keeps its place and its connection; the next look may succeed.
                    Err(error) => {
                        tracing::warn!(%error, job.id = %following.job, "a stream of events stalls; trying again");
                        // Not at once: until the next change, or the next round.
                        following.more = false;
                    }
                }
            }
        })
    }
}

fn written(event: JobEvent, may_operate: bool) -> sse::Event {
    let (id, kind) = (event.id.to_string(), event.r#type.clone());
    let data = serde_json::to_string(&JobEventBody::seen(event, may_operate)).unwrap_or_default();
    sse::Event::default().id(id).event(kind).retry(RECONNECT).data(data)
}

#[cfg(test)]
mod tests {
    use super::{last_event_id, wants_stream};
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    fn with(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn a_stream_is_given_to_those_who_accept_one() {
        assert!(wants_stream(&with("accept", "text/html, Text/Event-Stream;q=0.9")));
        assert!(!wants_stream(&with("accept", "*/*")) && !wants_stream(&HeaderMap::new()));
    }

    #[test]
    fn the_last_event_is_a_number_or_nothing() {
        assert_eq!(last_event_id(&with("last-event-id", "42")).unwrap(), Some(42));
        assert_eq!(last_event_id(&with("last-event-id", "")).unwrap(), None);
        assert!(last_event_id(&with("last-event-id", "x")).is_err());
    }
}
