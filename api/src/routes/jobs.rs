//! `/v1/jobs`: handing jobs in and looking at them.

mod waiting;

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use gristmill_core::{clock, ids::JobId};
use gristmill_engine::{NewJob, Queue, state::State as JobState, submit::Start};
use gristmill_store::{
    OrgTx,
    jobs::{self, Filter, Job},
    keys::Scope,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use utoipa::{IntoParams, ToSchema};

pub use waiting::WaitingFor;

use crate::{
    app::Shared,
    auth::{Caller, Read, Submit},
    body::JsonBody,
    etag::tagged,
    idempotency::{Answer, Content, Done, Repeat, once},
    observe::RequestId,
    openapi::{IdempotencyHeader, PreferHeader},
    params::{self, Id, List, Query},
    problem::ApiError,
    wait::{Prefer, Stopping},
};

/// How far ahead a job may be scheduled.
const FARTHEST: TimeDelta = TimeDelta::days(3_660);

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobBody {
    /// Its id.
    #[schema(value_type = String, example = "job_01kahpz9vefv5r5j3s9x2e6d7k")]
    pub id: JobId,
    /// What it does.
    #[schema(example = "document.ingest")]
    pub kind: String,
    /// Where it waits.
    #[schema(example = "ingest")]
    pub queue: String,
    /// `scheduled`, `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    #[schema(example = "queued")]
    pub state: String,
    /// 0 (first) to 9.
    pub priority: i16,
    /// How often it was started.
    pub attempt: i32,
    /// How often it may be started.
    pub max_attempts: i32,
    /// How long one attempt may take, in seconds.
    pub timeout_s: i32,
    /// What its kind is given.
    pub args: Json,
    /// What it returned.
    pub result: Option<Json>,
    /// Why it failed, last: `{code, message, attempt, fingerprint}`; `detail`, the cause, for keys that may operate.
    pub error: Option<Json>,
    /// How far it is: `{done, total, stage}`.
    pub progress: Option<Json>,
    /// Its owner's labels.
    pub tags: Vec<String>,
    /// The id of what it is about.
    pub subject: Option<String>,
    /// What it cost, in billionths of a dollar.
    pub cost_nusd: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Before which time it does not start.
    pub run_at: DateTime<Utc>,
    /// When it last started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When somebody asked to cancel it.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// The request that made it.
    pub request_id: Option<String>,
    /// Why it does not run; told where a single job that waits is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
}

impl JobBody {
    /// The job as `caller` may see it: what only helps those who run Gristmill is for those who may operate.
    pub(crate) fn seen_by<N>(job: Job, caller: &Caller<N>) -> Self {
        let error = job.error.map(|error| if caller.may(Scope::Operate) { error } else { without_cause(error) });
        Self {
            id: job.id,
            kind: job.kind,
            queue: job.queue,
            state: job.state,
            priority: job.priority,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            timeout_s: job.timeout_s,
            args: job.args,
            result: job.result,
            error,
            progress: job.progress,
            tags: job.tags,
            subject: job.subject,
            cost_nusd: job.cost_nusd,
            created_at: job.created_at,
            run_at: job.run_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            cancel_requested_at: job.cancel_requested_at,
            request_id: job.request_id,
            waiting_for: None,
        }
    }
}

/// A job's error without the cause behind it.
pub(crate) fn without_cause(mut error: Json) -> Json {
    if let Some(fields) = error.as_object_mut() {
        fields.remove("detail");
    }
    error
}

/// Where the job is found.
pub(crate) fn location(id: JobId) -> String {
    format!("/v1/jobs/{id}")
}

/// A job to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// What it does; `GET /v1/kinds` lists the kinds.
    #[schema(example = "feed.poll")]
    kind: String,
    /// What the kind is given, as its `args_schema` says.
    #[serde(default)]
    args: Map<String, Json>,
    /// Where it waits, if not where its kind says: `ingest`, `ai`, `io` or `default`.
    queue: Option<String>,
    /// 0 (first) to 9.
    #[serde(default = "five")]
    #[schema(minimum = 0, maximum = 9)]
    priority: i16,
    /// Not before this time.
    run_at: Option<DateTime<Utc>>,
    /// Not before so many seconds from now.
    #[schema(minimum = 0)]
    delay_s: Option<u64>,
    /// Labels to find it by.
    #[serde(default)]
    tags: Vec<String>,
    /// How often it may be started, 1 to 100.
    #[schema(minimum = 1, maximum = 100)]
    max_attempts: Option<u16>,
    /// How long one attempt may take, in seconds, 1 to 86,400.
    #[schema(minimum = 1, maximum = 86_400)]
    timeout_s: Option<u64>,
}

fn five() -> i16 {
    5
}

impl JobRequest {
    fn check(self, request_id: RequestId) -> Result<NewJob, ApiError> {
        let within =
            |pointer: &str, fits: bool, detail: &str| if fits { Ok(()) } else { Err(ApiError::field(pointer, detail)) };
        within("/priority", (0..=9).contains(&self.priority), "is 0 to 9")?;
        within("/max_attempts", self.max_attempts.is_none_or(|most| (1..=100).contains(&most)), "is 1 to 100")?;
        within("/timeout_s", self.timeout_s.is_none_or(|most| (1..=86_400).contains(&most)), "is 1 to 86400")?;
        params::labels("/tags", &self.tags)?;
        let queue = self.queue.map(|name| name.parse::<Queue>()).transpose();
        Ok(NewJob {
            queue: queue.map_err(|error| ApiError::field("/queue", error.to_string()))?,
            priority: self.priority,
            start: start(self.run_at, self.delay_s)?,
            tags: self.tags,
            max_attempts: self.max_attempts,
            timeout: self.timeout_s.map(Duration::from_secs),
            request_id: Some(request_id.0),
            ..NewJob::new(self.kind, Json::Object(self.args))
        })
    }
}

fn start(run_at: Option<DateTime<Utc>>, delay_s: Option<u64>) -> Result<Start, ApiError> {
    let farthest_s = FARTHEST.num_seconds().unsigned_abs();
    match (run_at, delay_s) {
        (Some(_), Some(_)) => Err(ApiError::field("/delay_s", "is given instead of run_at, not with it")),
        (None, Some(seconds)) if seconds > farthest_s => Err(ApiError::field("/delay_s", "is at most ten years")),
        (None, Some(seconds)) => Ok(Start::In(Duration::from_secs(seconds))),
        (Some(time), None) if time > clock::now() + FARTHEST => {
            Err(ApiError::field("/run_at", "is at most ten years ahead"))
        }
        (Some(time), None) => Ok(Start::At(params::plausible("/run_at", Some(time))?.unwrap_or(time))),
        (None, None) => Ok(Start::Now),
    }
}

/// Hand in a job.
#[utoipa::path(post, path = "/v1/jobs", tag = "Jobs", request_body = JobRequest,
    params(IdempotencyHeader, PreferHeader),
    responses((status = 202, description = "Accepted; it will run", body = JobBody,
                  headers(("location", description = "Where the job is found"))),
              (status = 200, description = "It ended within the time given by `Prefer: wait`", body = JobBody)))]
pub(crate) async fn submit(
    caller: Caller<Submit>,
    State(app): State<Shared>,
    repeat: Repeat,
    prefer: Prefer,
    stop: Stopping,
    request_id: RequestId,
    body: JsonBody<JobRequest>,
) -> Result<Response, ApiError> {
    let job = body.value.check(request_id)?;
    let id = job.id;
    let tx = app.engine.db().org(caller.org).await?;
    let done = once(&tx, caller.org, &repeat, Content::json(&body.bytes), async {
        app.engine.submit(&tx, job).await?;
        let body = JobBody::seen_by(submitted(&tx, id).await?, &caller);
        Ok(Answer::new(StatusCode::ACCEPTED, &body)?.at(location(id)))
    })
    .await?;
    tx.commit().await?;
    app.engine.nudge();
    accepted(&app, &caller, &stop, prefer, id, done).await
}

/// The row of a job that `tx` wrote.
pub(crate) async fn submitted(tx: &OrgTx, id: JobId) -> Result<Job, ApiError> {
    jobs::find(tx, id).await?.ok_or_else(|| ApiError::Internal(format!("{id} is gone right after it was written")))
}

/// Answers that a job was accepted; with the job as it ended, where the caller waits and it ends in time.
pub(crate) async fn accepted<N>(
    app: &Shared,
    caller: &Caller<N>,
    stop: &Stopping,
    prefer: Prefer,
    id: JobId,
    done: Done,
) -> Result<Response, ApiError> {
    let Done::New(answer) = done else { return Ok(done.into_response()) };
    let response = match prefer.until_over(&app.engine, stop, caller.org, id).await? {
        Some(job) => Answer::new(StatusCode::OK, &JobBody::seen_by(job, caller))?.at(location(id)).into_response(),
        None => answer.into_response(),
    };
    Ok(prefer.applied(response))
}

/// Which jobs are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// In this state.
    state: Option<String>,
    /// Of this kind.
    kind: Option<String>,
    /// In this queue.
    queue: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// About the thing with this id.
    subject: Option<String>,
    /// Made at this time or later.
    created_after: Option<DateTime<Utc>>,
    /// Made before this time.
    created_before: Option<DateTime<Utc>>,
    /// Rows per page, 1 to 200; 50 if not given.
    limit: Option<u64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List jobs, newest first. Arguments and results over 64 kB are null here; ask for the job itself.
#[utoipa::path(get, path = "/v1/jobs", tag = "Jobs", params(JobsQuery),
    responses((status = 200, description = "A page of jobs", body = List<JobBody>)))]
pub(crate) async fn list(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Query(query): Query<JobsQuery>,
) -> Result<axum::Json<List<JobBody>>, ApiError> {
    let page = params::page(query.limit, query.cursor.as_deref())?;
    if let Some(Err(error)) = query.state.as_deref().map(str::parse::<JobState>) {
        return Err(ApiError::field("state", error.to_string()));
    }
    if let Some(Err(error)) = query.queue.as_deref().map(str::parse::<Queue>) {
        return Err(ApiError::field("queue", error.to_string()));
    }
    let filter = Filter {
        state: query.state,
        kind: query.kind,
        queue: query.queue,
        tag: query.tag,
        subject: query.subject,
        created_after: params::plausible("created_after", query.created_after)?,
        created_before: params::plausible("created_before", query.created_before)?,
    };
    let tx = app.engine.db().org(caller.org).await?;
    let (rows, next) = page.cut(jobs::list(&tx, &filter, page).await?, |job| job.id.uuid());
    tx.commit().await?;
    let data = rows.into_iter().map(|job| JobBody::seen_by(job, &caller)).collect();
    Ok(axum::Json(List { data, next_cursor: next.map(|cursor| cursor.to_string()) }))
}

/// Look at a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "Jobs", params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, description = "The job", body = JobBody,
                  headers(("etag", description = "Changes with the job"))),
              (status = 304, description = "It is as `If-None-Match` knows it")))]
pub(crate) async fn show(
    caller: Caller<Read>,
    State(app): State<Shared>,
    Id(id): Id<JobId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let job = jobs::find(&tx, id).await?.ok_or(ApiError::NotFound("job"))?;
    let waiting_for = waiting::waiting_for(&tx, &job).await?;
    tx.commit().await?;
    tagged(&headers, &JobBody { waiting_for, ..JobBody::seen_by(job, &caller) })
}

#[cfg(test)]
mod tests {
    use super::{JobRequest, start, without_cause};
    use crate::{observe::RequestId, problem::ApiError};
    use gristmill_core::clock;
    use gristmill_engine::submit::Start;
    use serde_json::json;
    use std::time::Duration;

    fn wrong(body: serde_json::Value) -> String {
        let request: JobRequest = serde_json::from_value(body).unwrap();
        match request.check(RequestId("r1".to_owned())) {
            Err(ApiError::Invalid { errors, .. }) => errors[0].pointer.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_pointed_at() {
        for (field, value) in [("priority", 10), ("max_attempts", 0), ("timeout_s", 86_401), ("delay_s", 1_i64 << 40)] {
            assert_eq!(wrong(json!({ "kind": "x", field: value })), format!("/{field}"));
        }
        assert_eq!(wrong(json!({ "kind": "x", "queue": "y" })), "/queue");
        assert_eq!(wrong(json!({ "kind": "x", "tags": ["a", ""] })), "/tags/1");
        assert_eq!(wrong(json!({ "kind": "x", "delay_s": 1, "run_at": "2026-01-01T00:00:00Z" })), "/delay_s");
        assert_eq!(wrong(json!({ "kind": "x", "run_at": "2999-01-01T00:00:00Z" })), "/run_at");
    }

    #[test]
    fn a_start_is_now_later_or_at_a_time() {
        assert_eq!(start(None, None).unwrap(), Start::Now);
        assert_eq!(start(None, Some(5)).unwrap(), Start::In(Duration::from_secs(5)));
        let time = clock::now();
        assert_eq!(start(Some(time), None).unwrap(), Start::At(time));
    }

    #[test]
    fn the_cause_of_an_error_can_be_left_out() {
        assert_eq!(without_cause(json!({ "code": "x", "detail": "secret" })), json!({ "code": "x" }));
    }
}
